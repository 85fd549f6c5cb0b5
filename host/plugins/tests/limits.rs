//! A guest that misbehaves is stopped, and the next call finds everything in order.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use support::{FilterText, batch, emitted, kept, options, runtime_with, start};
use weir_runtime::{CallError, Instance, InstanceOptions, Limits, Plugin};

const DEADLINE_MS: u64 = 150;

fn limits() -> Limits {
    Limits {
        deadline_ms: DEADLINE_MS,
        memory_bytes_max: 16 << 20,
        output_bytes_max: 1 << 20,
        ..Limits::default()
    }
}

fn hostile() -> Plugin {
    runtime_with(limits()).load(weir_plugins::HOSTILE).unwrap()
}

/// Runs a batch that is fine, then one with a record at which the guest does `what`, then one that is fine again.
fn between_good_batches(what: &str) -> CallError {
    let mut instance = start(&hostile(), &[("do", what), ("at", "bad")]).unwrap();
    let good = batch(["one", "two"]);
    let poisoned = batch(["one", "a bad one", "three"]);
    assert_eq!(emitted(&mut instance, &good, 2).unwrap(), ["one", "two"]);
    let error = emitted(&mut instance, &poisoned, 3).expect_err("it has to be stopped");
    assert_eq!(instance.memory_bytes(), 0, "nothing is left of the guest");
    assert_eq!(
        emitted(&mut instance, &good, 2).unwrap(),
        ["one", "two"],
        "a fresh one goes on"
    );
    let stats = instance.stats();
    assert_eq!((stats.calls, stats.errors, stats.restarts), (3, 1, 1));
    error
}

#[test]
fn an_endless_loop_ends_at_the_deadline() {
    let started = Instant::now();
    assert_eq!(
        between_good_batches("loop"),
        CallError::Deadline {
            limit_ms: DEADLINE_MS
        }
    );
    let took = started.elapsed();
    assert!(
        took >= Duration::from_millis(DEADLINE_MS),
        "not before its time: {took:?}"
    );
    assert!(took < Duration::from_millis(DEADLINE_MS * 20), "{took:?}");
}

#[test]
fn deadlines_hold_for_each_call_not_for_all_together() {
    let mut instance = start(&hostile(), &[]).unwrap();
    let good = batch(["one"]);
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(3 * DEADLINE_MS) {
        emitted(&mut instance, &good, 1).unwrap();
    }
}

#[test]
fn a_deadline_is_met_beside_a_crowd_of_short_calls() {
    let plugin = hostile();
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let crowd = {
        let (plugin, done) = (plugin.clone(), Arc::clone(&done));
        std::thread::spawn(move || {
            let mut instance = start(&plugin, &[]).unwrap();
            let good = batch(["one"]);
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                emitted(&mut instance, &good, 1).unwrap();
            }
        })
    };
    let mut instance = start(&plugin, &[("do", "loop")]).unwrap();
    let started = Instant::now();
    assert_eq!(
        emitted(&mut instance, &batch(["x"]), 1),
        Err(CallError::Deadline {
            limit_ms: DEADLINE_MS
        })
    );
    let took = started.elapsed();
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    crowd.join().unwrap();
    assert!(
        took >= Duration::from_millis(DEADLINE_MS),
        "the crowd must not make the clock run faster: {took:?}"
    );
}

#[test]
fn a_memory_bomb_is_refused_memory() {
    let CallError::Memory {
        asked_bytes,
        limit_bytes,
    } = between_good_batches("memory")
    else {
        panic!("of memory")
    };
    assert_eq!(limit_bytes, 16 << 20);
    assert!(asked_bytes > limit_bytes);
}

#[test]
fn a_panic_says_what_the_guest_said() {
    let CallError::Trap { reason, backtrace } = between_good_batches("panic") else {
        panic!("a trap")
    };
    assert!(
        reason.contains("told to panic at \"a bad one\"") && reason.contains("hostile/transform/src/lib.rs"),
        "{reason}"
    );
    assert!(
        backtrace.iter().any(|frame| frame.contains("hostile")),
        "{backtrace:?}"
    );
    assert!(
        !backtrace.iter().any(|frame| frame.contains("panicking")),
        "{backtrace:?}"
    );
}

#[test]
fn a_trap_says_which() {
    let CallError::Trap { reason, .. } = between_good_batches("trap") else {
        panic!("a trap")
    };
    assert!(reason.contains("unreachable"), "{reason}");
}

#[test]
fn a_recursion_without_end_overflows_its_own_stack_only() {
    let error = between_good_batches("recurse");
    let CallError::Trap { reason, backtrace } = &error else {
        panic!("a trap: {error}")
    };
    assert!(
        reason.contains("stack") || reason.contains("out of bounds"),
        "{reason}"
    );
    assert!(
        backtrace.iter().any(|frame| frame.contains("recurse")),
        "{backtrace:?}"
    );
}

fn call(config: &[(&str, &str)]) -> CallError {
    let mut instance = start(&hostile(), config).unwrap();
    emitted(&mut instance, &batch(["one", "two"]), 2).expect_err("it has to be stopped")
}

#[test]
fn an_output_is_bounded_in_bytes() {
    let bytes = (1 << 20) + 1;
    let error = call(&[("do", "flood-bytes"), ("n", &bytes.to_string())]);
    assert_eq!(
        error,
        CallError::OutputTooLarge {
            bytes,
            limit: 1 << 20
        }
    );
    assert!(
        matches!(call(&[("do", "flood-bytes")]), CallError::Memory { .. }),
        "without an end, memory ends"
    );
}

#[test]
fn an_output_is_bounded_in_records() {
    let error = call(&[("do", "flood-records"), ("n", "1001")]);
    assert_eq!(
        error,
        CallError::TooManyRecords {
            records: 2002,
            input: 2,
            limit: 2000
        }
    );
    let mut instance = start(&hostile(), &[("do", "flood-records"), ("n", "1000")]).unwrap();
    assert_eq!(
        emitted(&mut instance, &batch(["a", "b"]), 2).unwrap().len(),
        2_000,
        "at the limit it passes"
    );
}

#[test]
fn a_frame_that_lies_is_refused() {
    for lie in [
        "empty",
        "version",
        "count",
        "truncated",
        "source",
        "output",
        "tail",
        "trailing",
    ] {
        let error = call(&[("do", &format!("frame-{lie}"))]);
        assert!(matches!(error, CallError::BadOutput { .. }), "{lie}: {error}");
    }
}

#[test]
fn a_bitmap_that_lies_is_refused() {
    let plugin = runtime_with(limits()).load(weir_plugins::HOSTILE_FILTER).unwrap();
    let good = batch(["a", "b", "c"]);
    for (lie, word) in [
        ("short", "0 bytes for 3 records"),
        ("long", "2 bytes for 3 records"),
        ("spare-bits", "after the last record"),
    ] {
        let mut instance = start(&plugin, &[("do", lie)]).unwrap();
        let error = kept(&mut instance, &good, 3).expect_err("it lies");
        assert!(
            matches!(&error, CallError::BadOutput { reason } if reason.contains(word)),
            "{lie}: {error}"
        );
    }
    let mut instance = start(&plugin, &[]).unwrap();
    assert_eq!(kept(&mut instance, &good, 3), Ok(vec![0, 1, 2]));
}

fn refused_start(plugin: &Plugin, config: &[(&str, &str)]) -> CallError {
    match start(plugin, config) {
        Ok(_) => panic!("it has to be refused"),
        Err(error) => error,
    }
}

#[test]
fn configure_is_under_the_same_limits() {
    let plugin = hostile();
    let error = |what| refused_start(&plugin, &[("do", what)]);
    assert_eq!(
        error("configure-loop"),
        CallError::Deadline {
            limit_ms: DEADLINE_MS
        }
    );
    assert!(matches!(error("configure-memory"), CallError::Memory { .. }));
    assert!(
        matches!(error("configure-panic"), CallError::Trap { reason, .. } if reason.contains("configure was told to panic"))
    );
    assert_eq!(
        error("configure-error"),
        CallError::Configure {
            message: "configure was told to refuse".to_owned()
        }
    );
    assert_eq!(
        refused_start(&plugin, &[("dou", "loop")]).to_string(),
        "the plugin refuses its configuration: there is no `dou`: this plugin takes do, at, n, log"
    );
}

fn start_text(text: &FilterText<'_>) -> Result<Instance, CallError> {
    let plugin = runtime_with(limits())
        .load(&text.component())
        .expect("it is a valid component");
    start(&plugin, &[])
}

#[test]
fn start_functions_are_under_the_same_limits() {
    let module = "(func $start (loop $again (br $again))) (start $start)";
    let Err(error) = start_text(&FilterText {
        module,
        ..FilterText::default()
    }) else {
        panic!("it loops")
    };
    assert_eq!(
        error,
        CallError::Deadline {
            limit_ms: DEADLINE_MS
        }
    );
    let module = "(func $start unreachable) (start $start)";
    let Err(error) = start_text(&FilterText {
        module,
        ..FilterText::default()
    }) else {
        panic!("it traps")
    };
    assert!(matches!(error, CallError::Trap { .. }), "{error}");
}

#[test]
fn a_memory_that_begins_too_large_is_refused() {
    let memory = r#"(memory (export "memory") 1000)"#;
    let Err(error) = start_text(&FilterText {
        memory,
        ..FilterText::default()
    }) else {
        panic!("64 MB and 16 allowed")
    };
    assert!(
        matches!(
            error,
            CallError::Memory {
                asked_bytes: 65_536_000,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn memory_is_counted_over_all_memories() {
    let module = r#"(memory 200)"#;
    let Err(error) = start_text(&FilterText {
        module,
        memory: r#"(memory (export "memory") 100)"#,
        ..FilterText::default()
    }) else {
        panic!("both together are too large")
    };
    assert!(matches!(error, CallError::Memory { .. }), "{error}");
}

#[test]
fn tables_are_bounded() {
    let module =
        "(table $t 10 funcref) (func $start (drop (table.grow $t (ref.null func) (i32.const 1000000)))
        (if (i32.ne (table.size $t) (i32.const 10)) (then unreachable))) (start $start)";
    assert!(
        start_text(&FilterText {
            module,
            ..FilterText::default()
        })
        .is_ok(),
        "growing is refused, and nothing else happens"
    );
}

#[test]
fn pointers_that_lie_are_found_out() {
    for (pointer, bytes) in [(65_535, 2), (-1, 1), (0, -1), (65_536, 1), (i32::MAX, i32::MAX)] {
        let filter = format!(
            "(i32.store (i32.const 8) (i32.const {pointer})) (i32.store (i32.const 12) (i32.const {bytes})) (i32.const 8)"
        );
        let mut instance = start_text(&FilterText {
            filter: &filter,
            ..FilterText::default()
        })
        .unwrap();
        let error = kept(&mut instance, &batch(["a"]), 1).expect_err("it lies");
        assert!(
            matches!(&error, CallError::Trap { reason, .. } if reason.contains("out of bounds")),
            "{pointer} {bytes}: {error}"
        );
    }
    for result in [-4, 65_536, 65_532, 3] {
        let filter = format!("(i32.const {result})");
        let mut instance = start_text(&FilterText {
            filter: &filter,
            ..FilterText::default()
        })
        .unwrap();
        let error = kept(&mut instance, &batch(["a"]), 1).expect_err("it lies");
        assert!(matches!(error, CallError::Trap { .. }), "{result}: {error}");
    }
    for realloc in [-1, 65_536, 65_500] {
        let realloc = format!("(i32.const {realloc})");
        let called = start_text(&FilterText {
            realloc: &realloc,
            ..FilterText::default()
        })
        .and_then(|mut instance| kept(&mut instance, &batch(["a long record: ".repeat(10)]), 1));
        assert!(
            matches!(called, Err(CallError::Trap { .. })),
            "{realloc}: {called:?}"
        );
    }
}

#[test]
fn a_guest_that_has_grown_is_started_anew() {
    let mut instance = start(&hostile(), &[("do", "grow"), ("n", "100000")]).unwrap();
    let good = batch(["one"]);
    let began = instance.memory_bytes();
    for _ in 0..200 {
        emitted(&mut instance, &good, 1).expect("it is started anew before memory ends");
    }
    let stats = instance.stats();
    assert!(stats.restarts >= 1, "{stats:?}");
    assert!(
        stats.memory_bytes_peak > began && stats.memory_bytes_peak <= 16 << 20,
        "{stats:?}"
    );
    assert_eq!(stats.errors, 0);
}

#[test]
fn an_instance_can_have_limits_of_its_own() {
    let plugin = hostile();
    let own = Limits {
        deadline_ms: 20,
        ..limits()
    };
    let mut instance = plugin
        .instantiate(InstanceOptions {
            limits: Some(own),
            ..options(&[("do", "loop")])
        })
        .unwrap();
    assert_eq!(
        emitted(&mut instance, &batch(["x"]), 1),
        Err(CallError::Deadline { limit_ms: 20 })
    );
}

#[test]
fn a_batch_that_is_none_is_not_given_to_a_plugin() {
    let mut instance = start(&hostile(), &[]).unwrap();
    let good = batch(["one"]);
    for bytes in [&[][..], &good[..60], &good[..good.len() - 1]] {
        assert!(matches!(
            emitted(&mut instance, bytes, 1),
            Err(CallError::BadInput { .. })
        ));
    }
    let mut compressed = good.clone();
    compressed[22] |= 4;
    let Err(CallError::BadInput { reason }) = emitted(&mut instance, &compressed, 1) else {
        panic!("it is compressed")
    };
    assert!(reason.contains("compressed"), "{reason}");
    assert!(matches!(
        kept(&mut instance, &good, 1),
        Err(CallError::WrongKind { .. })
    ));
    assert_eq!(
        emitted(&mut instance, &good, 1).unwrap(),
        ["one"],
        "the guest has not noticed"
    );
    assert_eq!(instance.stats().restarts, 0);
}
