//! Versions of keyed state: what plugins say of them, and what becomes of a migration that goes wrong.
#![allow(clippy::unwrap_used)]

mod support;

use support::{FilterText, refusal, runtime, runtime_with, start_with_state};
use weir_runtime::{CallError, Instance, Limits, LoadError, MemoryState, StateStore};

/// Rows `k0`, `k1`, ... of value `v`.
fn rows(count: usize) -> Box<MemoryState> {
    let mut state = MemoryState::new();
    for n in 0..count {
        state.put(format!("k{n}").as_bytes(), b"v", None).unwrap();
    }
    Box::new(state)
}

fn hostile(config: &[(&str, &str)]) -> Instance {
    let limits = Limits {
        deadline_ms: 10_000,
        ..Limits::default()
    };
    let plugin = runtime_with(limits).load(weir_plugins::HOSTILE_STATE).unwrap();
    let config = [config, &[("version", "5")]].concat();
    let mut instance = start_with_state(&plugin, &config).unwrap();
    instance.set_state(rows(3));
    instance
}

#[test]
fn a_plugin_that_does_not_say_has_version_0_and_takes_no_other() {
    let plugin = runtime().load(weir_plugins::COUNT_BY_KEY).unwrap();
    assert!(!plugin.has_state_schema());
    let mut instance = start_with_state(&plugin, &[]).unwrap();
    assert_eq!(instance.state_version(), Ok(0));
    let refused = instance.migrate(2, None, 0).unwrap_err().to_string();
    assert!(
        refused.contains("knows no versions") && refused.contains("version 2"),
        "{refused}"
    );
}

#[test]
fn a_migration_goes_step_by_step() {
    let mut instance = hostile(&[("rows", "2")]);
    assert_eq!(instance.state_version(), Ok(5));
    let next = instance.migrate(0, None, 0).unwrap();
    assert_eq!(next.as_deref(), Some(&b"k1"[..]));
    assert_eq!(instance.migrate(0, next.as_deref(), 0), Ok(None));
    let mut state = instance.take_state().unwrap();
    for key in [b"k0", b"k1", b"k2"] {
        assert_eq!(state.get(key, 0).unwrap().unwrap(), b"v!");
    }
    assert_eq!(instance.stats().restarts, 0);
}

#[test]
fn the_sdk_refuses_newer_state() {
    let plugin = runtime().load(weir_plugins::COUNT_SINCE).unwrap();
    assert!(plugin.has_state_schema() && plugin.imports_state());
    let mut instance = start_with_state(&plugin, &[]).unwrap();
    assert_eq!(instance.state_version(), Ok(1));
    instance.set_state(rows(1));
    let refused = instance.migrate(2, None, 0).unwrap_err();
    assert!(
        matches!(&refused, CallError::Migrate { message } if message.contains("knows it up to 1")),
        "{refused}"
    );
    assert_eq!(instance.migrate(0, None, 0), Ok(None), "it goes on");
}

#[test]
fn what_goes_wrong_is_said() {
    let failed = |what: &str| {
        let mut instance = hostile(&[("migrate", what)]);
        let first = instance.migrate(1, None, 0);
        let error = match first {
            Ok(next) => instance.migrate(1, next.as_deref(), 0).unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(
            instance.state_version(),
            Ok(5),
            "a fresh guest goes on after {what}"
        );
        error
    };
    let words = |error: &CallError, words: &str| assert!(error.to_string().contains(words), "{error}");
    let refused = failed("refuse");
    assert!(matches!(refused, CallError::Migrate { .. }), "{refused}");
    words(&refused, "told to refuse version 1");
    let again = failed("again");
    assert!(matches!(again, CallError::BadOutput { .. }), "{again}");
    let huge = failed("huge");
    assert!(
        matches!(huge, CallError::CursorTooLarge { bytes: 1_048_576, .. }),
        "{huge}"
    );
    words(&failed("panic"), "told to panic at version 1");
    words(&failed("bomb"), "more than 100000 times in one call");
    let mut instance = hostile(&[("migrate", "version-panic")]);
    words(&instance.state_version().unwrap_err(), "asked for the version");
}

#[test]
fn exports_of_other_types_are_refused() {
    // A component by hand beside a filter by hand.
    let with = |version: &str, core: &str, rest: &str| {
        let outer = format!(
            r#"(core module $s (func (export "version") (result {core}) ({core}.const 7)))
               (core instance $si (instantiate $s))
               (func $version (result {version}) (canon lift (core func $si "version")))
               (instance $schema (export "version" (func $version)) {rest})
               (export "weir:plugin/state-schema@0.1.0" (instance $schema))"#
        );
        let filter = FilterText {
            outer: &outer,
            ..FilterText::default()
        };
        match refusal(&filter.component()) {
            LoadError::Invalid { reason } => reason,
            other => panic!("{other}"),
        }
    };
    let reason = with("u64", "i64", "");
    assert!(
        reason.contains("`version`") && reason.contains("another type"),
        "{reason}"
    );
    let reason = with("u32", "i32", "");
    assert!(reason.contains("has no function `migrate`"), "{reason}");
    let reason = with("u32", "i32", r#"(export "migrate" (func $version))"#);
    assert!(
        reason.contains("`migrate`") && reason.contains("another type"),
        "{reason}"
    );
}
