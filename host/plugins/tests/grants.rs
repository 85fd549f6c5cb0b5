//! What plugins are granted beyond the log: metrics, the time of the records, seeded random numbers, keyed state. And what of it they
//! are not granted.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use support::{
    FilterText, Lines, batch, emitted, kept, options, runtime, runtime_with, start, start_with_state,
};
use weir_batch::BatchBuilder;
use weir_runtime::{
    CallError, Grants, Instance, InstanceOptions, Level, Limits, MemoryState, MetricsSink, Plugin,
    StateError, StateStore,
};

fn load(component: &[u8]) -> Plugin {
    let limits = Limits {
        deadline_ms: 10_000,
        ..Limits::default()
    };
    runtime_with(limits).load(component).unwrap()
}

fn hostile(config: &[(&str, &str)]) -> Instance {
    let mut instance = start_with_state(&load(weir_plugins::HOSTILE_STATE), config).unwrap();
    instance.set_state(Box::new(MemoryState::new()));
    instance
}

/// A batch of records with these keys, all of the time `now_ms`.
fn keyed(now_ms: i64, keys: &[&str]) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for key in keys {
        builder
            .push(now_ms, Some(key.as_bytes()), Some(b"v"), &[])
            .unwrap();
    }
    builder.finish().unwrap()
}

#[test]
fn counts_outlive_the_guest() {
    let plugin = load(weir_plugins::COUNT_BY_KEY);
    assert!(plugin.imports_state() && !plugin.imports_metrics());
    let mut state: Box<dyn StateStore> = Box::new(MemoryState::new());
    for round in 0..3 {
        let mut instance = start_with_state(&plugin, &[]).unwrap();
        instance.set_state(state);
        let got = emitted(&mut instance, &keyed(0, &["a", "b", "a"]), 3).unwrap();
        let count = |key: &str, count: usize| format!("{{\"key\":\"{key}\",\"count\":{count}}}");
        assert_eq!(
            got,
            [
                count("a", 2 * round + 1),
                count("b", round + 1),
                count("a", 2 * round + 2)
            ]
        );
        state = instance.take_state().unwrap();
        assert!(instance.take_state().is_none());
    }
    assert_eq!(state.get(b"count/a", 0), Ok(Some(6_i64.to_le_bytes().to_vec())));
}

#[test]
fn what_was_seen_is_left_out_for_its_time() {
    let mut instance = start_with_state(&load(weir_plugins::DEDUP), &[("ttl-ms", "1000")]).unwrap();
    instance.set_state(Box::new(MemoryState::new()));
    let mut kept = |now_ms, keys: &[&str]| kept(&mut instance, &keyed(now_ms, keys), keys.len()).unwrap();
    assert_eq!(kept(10_000, &["a", "b", "a"]), [0, 1]);
    assert_eq!(kept(10_999, &["a", "c", "b"]), [1]);
    assert_eq!(kept(11_000, &["a", "c"]), [0]);
}

#[test]
fn state_that_is_not_granted_is_said_at_the_start() {
    let plugin = load(weir_plugins::DEDUP);
    let Err(error) = start(&plugin, &[]) else {
        panic!("it imports state")
    };
    assert_eq!(error, CallError::NotGranted { interface: "state" });
    assert!(error.to_string().contains("weir:plugin/state"), "{error}");
    let mut instance = start_with_state(&plugin, &[]).unwrap();
    let error = kept(&mut instance, &keyed(0, &["a"]), 1).unwrap_err();
    assert!(
        matches!(&error, CallError::Trap { reason, .. } if reason.contains("where there is none")),
        "granted, and not given: {error}"
    );
}

#[test]
fn state_comes_back_after_a_trap() {
    let mut instance = hostile(&[("do", "state-panic")]);
    let error = emitted(&mut instance, &batch(["a"]), 1).unwrap_err();
    assert!(
        matches!(&error, CallError::Trap { reason, .. } if reason.contains("told to panic")),
        "{error}"
    );
    let mut state = instance.take_state().expect("it comes back");
    // Whether the change stays is the owner's to say: it is the owner's store.
    assert_eq!(state.get(&[0], 0), Ok(Some(vec![0])));
}

#[test]
fn state_is_for_calls_and_not_for_configure() {
    let plugin = load(weir_plugins::HOSTILE_STATE);
    let Err(error) = start_with_state(&plugin, &[("do", "state-configure")]) else {
        panic!("it uses state")
    };
    assert!(
        matches!(&error, CallError::Trap { reason, .. } if reason.contains("not in `configure`")),
        "{error}"
    );
}

/// A transform that is stopped; the reason.
fn stopped(what: &str, n: usize) -> String {
    let mut instance = hostile(&[("do", what), ("n", &n.to_string())]);
    let error = emitted(&mut instance, &batch(["a", "b"]), 2).expect_err("it has to be stopped");
    assert!(instance.take_state().is_some(), "{what}");
    assert_eq!(instance.memory_bytes(), 0, "nothing is left of the guest");
    let CallError::Trap { reason, .. } = error else {
        panic!("{what}: {error}")
    };
    reason
}

fn passes(what: &str, n: usize) {
    let mut instance = hostile(&[("do", what), ("n", &n.to_string())]);
    assert_eq!(
        emitted(&mut instance, &batch(["a", "b"]), 2).unwrap(),
        ["a", "b"],
        "{what} {n}"
    );
}

#[test]
fn a_flood_of_state_is_stopped_at_its_limits() {
    passes("state-changes", 100_000);
    let reason = stopped("state-changes", 100_001);
    assert!(reason.contains("more than 100000 times in one call"), "{reason}");
    passes("state-bytes", 255);
    let reason = stopped("state-bytes", 257);
    assert!(reason.contains("more than 16777216 bytes"), "{reason}");
    passes("state-reads", 100_000);
    let reason = stopped("state-reads", 1_000_000);
    assert!(reason.contains("read more than 100000 keys"), "{reason}");
}

#[test]
fn keys_and_values_of_state_are_bounded() {
    passes("state-key", 1_024);
    let reason = stopped("state-key", 1_025);
    assert!(reason.contains("1025 bytes, and may have 1024"), "{reason}");
    passes("state-value", 1 << 20);
    let reason = stopped("state-value", (1 << 20) + 1);
    assert!(reason.contains("1048577 bytes, and may have 1048576"), "{reason}");
}

#[test]
fn limits_of_state_hold_for_each_call_not_for_all_together() {
    let mut instance = hostile(&[("do", "state-changes"), ("n", "60000")]);
    for _ in 0..3 {
        emitted(&mut instance, &batch(["a"]), 1).unwrap();
    }
}

#[test]
fn packed_state_that_lies_is_refused() {
    let reason = stopped("state-lie-change", 0);
    assert!(reason.contains("malformed changes"), "{reason}");
    let reason = stopped("state-lie-keys", 0);
    assert!(reason.contains("malformed keys"), "{reason}");
}

/// A store whose disk is gone.
struct Broken;

impl StateStore for Broken {
    fn get(&mut self, _: &[u8], _: i64) -> Result<Option<Vec<u8>>, StateError> {
        Err(StateError::new("the disk is gone"))
    }

    fn put(&mut self, _: &[u8], _: &[u8], _: Option<i64>) -> Result<(), StateError> {
        Err(StateError::new("the disk is gone"))
    }

    fn delete(&mut self, _: &[u8]) -> Result<(), StateError> {
        Err(StateError::new("the disk is gone"))
    }

    fn scan(
        &mut self,
        _: &[u8],
        _: Option<&[u8]>,
        _: i64,
        _: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StateError> {
        Err(StateError::new("the disk is gone"))
    }
}

#[test]
fn a_store_that_fails_is_not_the_plugins_fault() {
    for what in ["state-changes", "state-reads", "state-bytes"] {
        let mut instance = hostile(&[("do", what)]);
        instance.set_state(Box::new(Broken));
        assert_eq!(
            emitted(&mut instance, &batch(["a"]), 1),
            Err(CallError::State {
                reason: "the disk is gone".to_owned()
            }),
            "{what}"
        );
        instance.set_state(Box::new(MemoryState::new()));
        assert!(emitted(&mut instance, &batch(["a"]), 1).is_ok());
    }
}

/// What a plugin sees of time and chance, in one line.
fn look(instance: &mut Instance, now_ms: i64) -> String {
    emitted(instance, &keyed(now_ms, &["k"]), 1).unwrap().remove(0)
}

#[test]
fn time_is_that_of_the_batch_and_numbers_come_from_the_seed() {
    let mut instance = hostile(&[("do", "look")]);
    let mut seeded = |seed, now_ms| {
        instance.set_seed(seed);
        look(&mut instance, now_ms)
    };
    let first = seeded(7, 1_234);
    assert!(first.starts_with("1234 "), "{first}");
    assert_ne!(seeded(8, 1_234), first);
    assert_eq!(seeded(7, 1_234), first, "a replay sees the same");
    let mut other = hostile(&[("do", "look")]);
    other.set_seed(7);
    assert_eq!(look(&mut other, 1_234), first, "whatever instance replays it");
    let unseeded = look(&mut other, 1_234);
    assert_ne!(unseeded, first, "a seed is for one call");
    assert_eq!(look(&mut other, 1_234), unseeded);
    assert_ne!(look(&mut other, 1_235), unseeded);
}

#[test]
fn random_bytes_are_bounded() {
    passes("random", 65_536);
    for n in [65_537, u32::MAX as usize] {
        let reason = stopped("random", n);
        assert!(reason.contains(&format!("asked for {n} bytes")), "{reason}");
    }
}

/// Adds up what it is given.
#[derive(Default)]
struct Sums(Mutex<BTreeMap<String, u64>>);

impl MetricsSink for Sums {
    fn counter_add(&self, name: &str, by: u64) {
        *self.0.lock().unwrap().entry(name.to_owned()).or_default() += by;
    }

    fn histogram_record(&self, name: &str, value: f64) {
        panic!("{name} {value} is no finite number");
    }
}

#[test]
fn metrics_are_passed_on_and_their_names_are_bounded() {
    let plugin = load(weir_plugins::HOSTILE_STATE);
    assert!(plugin.imports_metrics());
    let sums = Arc::<Sums>::default();
    let lines = Lines::new();
    let options = InstanceOptions {
        log: lines.clone(),
        ..options(&[("do", "metrics"), ("n", "100")])
    };
    let grants = Grants::none().state().metrics(sums.clone());
    let mut instance = plugin.instantiate_with(options, grants).unwrap();
    for _ in 0..2 {
        assert_eq!(emitted(&mut instance, &batch(["a"]), 1).unwrap(), ["a"]);
    }
    let taken = sums.0.lock().unwrap().clone();
    let wanted: BTreeMap<_, _> = (0..64).map(|number| (format!("m{number}"), 2)).collect();
    assert_eq!(taken, wanted);
    assert_eq!(instance.stats().metrics_left_out, 2 * (36 + 3));
    let lines = lines.taken();
    assert!(
        matches!(lines.as_slice(), [(Level::Warn, line)] if line.contains("m64")),
        "one warning: {lines:?}"
    );
}

#[test]
fn metrics_without_a_sink_go_nowhere() {
    passes("metrics", 3);
}

#[test]
fn an_interface_is_linked_with_its_own_types_only() {
    for import in [
        r#"(import "weir:plugin/clock@0.1.0" (instance (export "now" (func (result u64)))))"#,
        r#"(import "weir:plugin/state@0.1.0" (instance (export "get" (func (param "key" (list u8)) (result (list u8))))))"#,
        r#"(import "weir:plugin/random@0.1.0" (instance (export "fill" (func (param "len" u64) (result (list u8))))))"#,
    ] {
        let text = FilterText {
            outer: import,
            ..FilterText::default()
        };
        assert!(runtime().load(&text.component()).is_err(), "{import}");
    }
}
