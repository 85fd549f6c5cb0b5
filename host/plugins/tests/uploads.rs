//! What is uploaded is a plugin, or is refused with the reason in words.
#![allow(clippy::unwrap_used)]

mod support;

use support::{FilterText, batch, kept, refusal, runtime, runtime_with, start};
use weir_runtime::{Kind, Limits, LoadError};

fn words(bytes: &[u8]) -> String {
    refusal(bytes).to_string()
}

#[test]
fn the_plugins_of_this_repository_load() {
    let runtime = runtime();
    for (name, component) in weir_plugins::ALL {
        let plugin = runtime
            .load(component)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let kind = match *name {
            "dedup" | "hostile-filter" | "identity-filter" | "json-filter" | "key-filter" | "known-key"
            | "typed-filter" => Kind::Filter,
            "hostile-producer" | "poll-http" | "ticker" => Kind::Producer,
            _ => Kind::Transform,
        };
        assert_eq!(plugin.kind(), kind, "{name}");
        // A plugin imports what it uses, and nothing that the SDK merely has.
        let granted = match *name {
            "count-by-key" | "count-since" | "dedup" => &["log", "state"][..],
            "windowed-count" => &["log", "metrics", "state"],
            "hostile-state" => &["log", "metrics", "clock", "random", "state"],
            "hostile-producer" | "ticker" => &["log", "clock"],
            "enrich-http" | "hostile-http" | "known-key" => &["log", "http"],
            "poll-http" => &["log", "clock", "http"],
            "typed-filter" | "typed-transform" => &[],
            _ => &["log"],
        };
        let mut granted: Vec<_> = granted
            .iter()
            .map(|interface| format!("weir:plugin/{interface}@0.1.0"))
            .collect();
        let mut imports = plugin.imports().to_vec();
        granted.sort_unstable();
        imports.sort_unstable();
        assert_eq!(imports, granted, "{name}");
        assert_eq!(plugin.component_bytes(), *component, "{name}");
    }
}

#[test]
fn a_component_by_hand_loads_and_runs() {
    let plugin = runtime().load(&FilterText::default().component()).unwrap();
    assert_eq!(plugin.kind(), Kind::Filter);
    assert!(plugin.imports().is_empty());
    let mut instance = start(&plugin, &[]).unwrap();
    assert_eq!(kept(&mut instance, &batch(["a"]), 1), Ok(vec![0]));
}

#[test]
fn the_same_component_is_compiled_once() {
    let runtime = runtime();
    let first = runtime.load(weir_plugins::IDENTITY).unwrap();
    let second = runtime.load(weir_plugins::IDENTITY).unwrap();
    assert_eq!(
        first.component_bytes().as_ptr(),
        second.component_bytes().as_ptr(),
        "both share one"
    );
}

#[test]
fn what_is_no_webassembly_is_refused() {
    assert!(matches!(refusal(b""), LoadError::NotWasm { .. }));
    assert!(matches!(refusal(b"#!/bin/sh\n"), LoadError::NotWasm { .. }));
    let error = words(b"(module)");
    assert!(
        error.contains("text format") && error.contains("weir plugin build"),
        "{error}"
    );
}

#[test]
fn a_core_module_without_a_world_is_refused() {
    let error = words(&wat::parse_str("(module)").unwrap());
    assert!(
        error.contains("core WebAssembly module without an interface of weir:plugin"),
        "{error}"
    );
    let wasi = r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32))))"#;
    let error = words(&wat::parse_str(wasi).unwrap());
    assert!(
        error.contains("WASI preview 1") && error.contains("wasm32-unknown-unknown"),
        "{error}"
    );
}

#[test]
fn a_core_module_with_a_malformed_world_is_refused() {
    for metadata in [
        "",
        "\\00",
        "\\00asm",
        "\\00asm\\0d\\00\\01\\00\\ff\\ff\\ff\\ff\\ff",
        "\\07garbage",
    ] {
        let text = format!("(module (@custom \"component-type:x\" \"{metadata}\"))");
        let error = refusal(&wat::parse_str(text).unwrap());
        assert!(
            matches!(error, LoadError::Invalid { .. } | LoadError::WrongWorld { .. }),
            "{metadata:?}: {error}"
        );
    }
}

#[test]
fn a_component_for_another_world_is_refused_with_what_it_exports() {
    let http = r#"(component (instance $i) (export "wasi:http/incoming-handler@0.2.0" (instance $i)))"#;
    let error = words(&wat::parse_str(http).unwrap());
    assert!(
        error.contains("exports wasi:http/incoming-handler@0.2.0"),
        "{error}"
    );
    assert!(error.contains("weir:plugin/record-transform"), "{error}");
    let error = words(&wat::parse_str("(component)").unwrap());
    assert!(error.contains("exports nothing"), "{error}");
}

#[test]
fn another_version_of_the_world_is_refused() {
    let newer = r#"(component (instance $i) (export "weir:plugin/record-filter@0.2.0" (instance $i)))"#;
    let error = words(&wat::parse_str(newer).unwrap());
    assert!(
        error.contains("record-filter@0.2.0") && error.contains("version 0.1"),
        "{error}"
    );
}

#[test]
fn two_worlds_in_one_component_are_refused() {
    let both = r#"(component (instance $i)
        (export "weir:plugin/record-filter@0.1.0" (instance $i)) (export "weir:plugin/record-transform@0.1.0" (instance $i)))"#;
    assert!(matches!(
        refusal(&wat::parse_str(both).unwrap()),
        LoadError::SeveralWorlds { .. }
    ));
}

#[test]
fn polls_of_other_types_are_refused() {
    let budget = r#"(record (field "records" u32) (field "bytes" u32))"#;
    let page = r#"(record (field "records" (list u8)) (field "cursor" (list u8)) (field "more" bool))"#;
    let load = |cursor: &str, budget: &str, page: &str| runtime().load(&producer_text(cursor, budget, page));
    assert_eq!(
        load("(list u8)", budget, page).unwrap().kind(),
        Kind::Producer,
        "as in the WIT"
    );
    for (cursor, budget, page) in [
        ("string", budget, page),
        ("(list u8)", r#"(record (field "records" u32))"#, page),
        (
            "(list u8)",
            r#"(record (field "records" u32) (field "bytes" u64))"#,
            page,
        ),
        (
            "(list u8)",
            budget,
            r#"(record (field "records" (list u8)) (field "cursor" (list u8)) (field "less" bool))"#,
        ),
        ("(list u8)", budget, "(list u8)"),
    ] {
        let error = load(cursor, budget, page).expect_err("another type").to_string();
        assert!(
            error.contains("`poll`") && error.contains("another type"),
            "{error}"
        );
    }
}

/// A producer of these types that traps when it is called.
fn producer_text(cursor: &str, budget: &str, page: &str) -> Vec<u8> {
    let named = |name: &str, ty: &str| {
        if ty.starts_with("(record") {
            (
                format!("(type ${name}0 {ty}) (export ${name} \"{name}\" (type ${name}0))"),
                format!("${name}"),
            )
        } else {
            (String::new(), ty.to_owned())
        }
    };
    let (budget_type, budget) = named("budget", budget);
    let (page_type, page) = named("page", page);
    wat::parse_str(format!(
        r#"(component
            {budget_type} {page_type}
            (core module $m (memory (export "m") 1) (func (export "r") (param i32 i32 i32 i32) (result i32) unreachable)
              (func (export "c") (param i32 i32 i32 i32) (result i32) unreachable)
              (func (export "p2") (param i32 i32 i32 i32) (result i32) unreachable)
              (func (export "p") (param i32 i32 i32 i32 i32) (result i32) unreachable)
              (func (export "p64") (param i32 i32 i32 i32 i64) (result i32) unreachable))
            (core instance $i (instantiate $m))
            (func $c (param "config" (list (tuple string string))) (param "outputs" (list string)) (result (result (error string)))
              (canon lift (core func $i "c") (memory $i "m") (realloc (func $i "r"))))
            (func $p (param "cursor" (option {cursor})) (param "budget" {budget}) (result (result {page} (error string)))
              (canon lift (core func $i "{core}") (memory $i "m") (realloc (func $i "r"))))
            (instance $w (export "configure" (func $c)) (export "poll" (func $p)))
            (export "weir:plugin/record-producer@0.1.0" (instance $w)))"#,
        core = if budget_type.contains("u64") {
            "p64"
        } else if budget_type.contains("bytes") {
            "p"
        } else {
            "p2"
        },
    ))
    .unwrap()
}

#[test]
fn functions_of_other_types_are_refused() {
    let empty = r#"(component (instance $i) (export "weir:plugin/record-filter@0.1.0" (instance $i)))"#;
    let error = words(&wat::parse_str(empty).unwrap());
    assert!(error.contains("has no function `configure`"), "{error}");
    let typed = r#"(component
        (core module $m (func (export "f") (param i32 i32) (result i32) unreachable) (memory (export "m") 1)
          (func (export "r") (param i32 i32 i32 i32) (result i32) unreachable))
        (core instance $i (instantiate $m))
        (func $c (param "config" (list (tuple string string))) (result (result (error string)))
          (canon lift (core func $i "f") (memory $i "m") (realloc (func $i "r"))))
        (func $f (param "batch" string) (result (list u8)) (canon lift (core func $i "f") (memory $i "m") (realloc (func $i "r"))))
        (instance $w (export "configure" (func $c)) (export "filter" (func $f)))
        (export "weir:plugin/record-filter@0.1.0" (instance $w)))"#;
    let error = words(&wat::parse_str(typed).unwrap());
    assert!(
        error.contains("`filter`") && error.contains("another type"),
        "{error}"
    );
}

#[test]
fn imports_that_plugins_do_not_get_are_named() {
    for (import, word) in [
        ("wasi:http/outgoing-handler@0.2.3", "weir:plugin/http"),
        ("wasi:sockets/tcp@0.2.3", "cannot open sockets"),
        ("wasi:keyvalue/store@0.2.0", "of WASI"),
        ("wasi:io/streams@0.3.0", "WASI 0.2"),
        ("weir:plugin/log@0.9.0", "version 0.1"),
        ("weir:plugin/telepathy@0.1.0", "no such interface"),
        ("my:own/host@1.0.0", "plugins get"),
    ] {
        let outer = format!("(import \"{import}\" (instance))");
        let component = FilterText {
            outer: &outer,
            ..FilterText::default()
        }
        .component();
        let error = words(&component);
        assert!(error.contains(import) && error.contains(word), "{error}");
    }
}

#[test]
fn an_import_with_another_type_is_refused() {
    let outer =
        r#"(import "weir:plugin/log@0.1.0" (instance (export "log" (func (param "message" string)))))"#;
    assert!(matches!(
        refusal(
            &FilterText {
                outer,
                ..FilterText::default()
            }
            .component()
        ),
        LoadError::Invalid { .. }
    ));
    let outer = r#"(import "weir:plugin/log@0.1.0" (instance (export "shout" (func))))"#;
    let error = refusal(
        &FilterText {
            outer,
            ..FilterText::default()
        }
        .component(),
    );
    assert!(matches!(error, LoadError::Invalid { .. }), "{error}");
    assert!(error.to_string().contains("shout"), "{error}");
}

#[test]
fn what_is_too_large_is_refused_before_it_is_looked_at() {
    let runtime = runtime_with(Limits {
        component_bytes_max: 1_000,
        ..Limits::default()
    });
    let error = runtime.load(&[0; 1_001]).expect_err("too large");
    assert_eq!(
        error,
        LoadError::TooLarge {
            size: 1_001,
            limit: 1_000
        }
    );
    assert!(
        matches!(runtime.load(&[0; 1_000]), Err(LoadError::NotWasm { .. })),
        "at the limit it is looked at"
    );
}

#[test]
fn a_damaged_component_is_refused() {
    let sound = weir_plugins::JSON_FILTER;
    let runtime = runtime();
    for end in [8, 9, 100, sound.len() / 2, sound.len() - 1] {
        let error = runtime.load(&sound[..end]).expect_err("it is cut");
        assert!(
            matches!(error, LoadError::Invalid { .. } | LoadError::WrongWorld { .. }),
            "cut at {end}: {error}"
        );
    }
    // A flipped bit is refused, or makes another program that is just as well contained: never a panic.
    for at in (8..sound.len()).step_by(sound.len() / 40) {
        let mut damaged = sound.to_vec();
        damaged[at] ^= 0x10;
        let _ = runtime.load(&damaged);
    }
}

#[test]
fn shared_memory_and_threads_are_not_to_be_had() {
    let memory = r#"(memory (export "memory") 1 4 shared)"#;
    assert!(matches!(
        refusal(
            &FilterText {
                memory,
                ..FilterText::default()
            }
            .component()
        ),
        LoadError::Invalid { .. }
    ));
}
