//! Producers give pages within their budget, go on where a page ended, and are refused what is more.
#![allow(clippy::unwrap_used)]

mod support;

use support::{options, runtime_with, start};
use weir_batch::frame::{Entry, Reader};
use weir_runtime::{Budget, CallError, Instance, InstanceOptions, Limits, Page, Plugin};

const BUDGET: Budget = Budget {
    records: 10,
    bytes: 10_000,
};

fn limits() -> Limits {
    Limits {
        // No test is about time but the one of the endless loop, which has a deadline of its own.
        deadline_ms: 10_000,
        cursor_bytes_max: 1_000,
        ..Limits::default()
    }
}

fn load(component: &[u8]) -> Plugin {
    runtime_with(limits()).load(component).unwrap()
}

fn hostile(config: &[(&str, &str)]) -> Instance {
    start(&load(weir_plugins::HOSTILE_PRODUCER), config).unwrap()
}

/// One poll that has to fail; the same instance answers the next one if `then` is a budget for it.
fn refused(config: &[(&str, &str)], budget: Budget) -> CallError {
    let mut instance = hostile(config);
    let mut page = Page {
        frame: vec![1],
        cursor: vec![2],
        more: true,
    };
    let error = instance
        .poll(None, budget, &mut page)
        .expect_err("it has to be refused");
    assert_eq!(page, Page::default(), "nothing is left in the page");
    assert_eq!((instance.stats().calls, instance.stats().errors), (1, 1));
    error
}

/// The records of a page: timestamp, key and value.
fn records(page: &Page) -> Vec<(i64, String, String)> {
    let reader = Reader::new(&page.frame, 1, 1).expect("the runtime has checked it");
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let records = reader.entries().map(|entry| match entry {
        Entry::Emit {
            source: 0,
            timestamp_delta,
            tail,
            ..
        } => (timestamp_delta, text(tail.key()), text(tail.value())),
        other => panic!("{other:?}"),
    });
    records.collect()
}

#[test]
fn a_producer_goes_on_where_its_page_ended() {
    let plugin = load(weir_plugins::TICKER);
    assert!(plugin.imports_clock() && !plugin.imports_state() && !plugin.imports_random());
    let config = [("limit", "25"), ("prefix", "tick-")];
    let mut instance = start(&plugin, &config).unwrap();
    let mut page = Page::default();
    let mut cursor: Option<Vec<u8>> = None;
    let mut all = Vec::new();
    for (poll, count) in [10, 10, 5, 0].into_iter().enumerate() {
        instance.set_poll_time(5_000 + poll as i64);
        instance.poll(cursor.as_deref(), BUDGET, &mut page).unwrap();
        let records = records(&page);
        assert_eq!(records.len(), count);
        assert!(records.iter().all(|record| record.0 == 5_000 + poll as i64));
        assert_eq!(page.more, poll < 2);
        all.extend(records);
        cursor = Some(page.cursor.clone());
        // What is not stored is lost with the instance, and the cursor is all there is to go on.
        instance = start(&plugin, &config).unwrap();
    }
    let wanted = (0..25).map(|n| (format!("tick-{n}"), format!("{{\"n\":{n}}}")));
    assert!(all.into_iter().map(|(_, key, value)| (key, value)).eq(wanted));
    assert_eq!(cursor.as_deref(), Some(&b"25"[..]));
}

#[test]
fn the_same_cursor_gives_the_same_page() {
    let mut instance = start(&load(weir_plugins::TICKER), &[]).unwrap();
    let (mut first, mut second) = (Page::default(), Page::default());
    instance.poll(Some(b"7"), BUDGET, &mut first).unwrap();
    instance.poll(Some(b"7"), BUDGET, &mut second).unwrap();
    assert_eq!(first, second);
    assert_eq!(records(&first)[0].2, r#"{"n":7}"#);
}

#[test]
fn what_the_plugin_says_went_wrong_is_passed_on_and_it_lives() {
    let mut instance = start(&load(weir_plugins::TICKER), &[]).unwrap();
    let mut page = Page::default();
    let error = instance.poll(Some(b"x"), BUDGET, &mut page).unwrap_err();
    assert!(
        matches!(&error, CallError::Poll { message } if message.contains("\"x\" is no number")),
        "{error}"
    );
    instance.poll(Some(b"3"), BUDGET, &mut page).unwrap();
    let stats = instance.stats();
    assert_eq!((stats.calls, stats.errors, stats.restarts), (2, 1, 0));

    let CallError::Poll { message } = refused(&[("do", "refuse"), ("n", "1000000")], BUDGET) else {
        panic!("it refuses")
    };
    assert_eq!(message.len(), 4 << 10, "a long reason is cut");
}

#[test]
fn a_page_over_its_budget_is_refused() {
    assert_eq!(
        refused(&[("do", "records")], BUDGET),
        CallError::OverBudget {
            unit: "records",
            returned: 11,
            budget: 10
        }
    );
    let CallError::OverBudget {
        unit: "bytes",
        returned,
        budget: 10_000,
    } = refused(&[("do", "bytes"), ("n", "10000")], BUDGET)
    else {
        panic!("over its bytes")
    };
    assert!(returned > 10_000);
    let none = Budget {
        records: 0,
        bytes: 1_000,
    };
    assert!(matches!(refused(&[], none), CallError::OverBudget { .. }));
}

#[test]
fn a_budget_is_never_over_the_bytes_that_a_call_may_return() {
    let plugin = load(weir_plugins::HOSTILE_PRODUCER);
    let own = Limits {
        output_bytes_max: 500,
        ..limits()
    };
    let options = InstanceOptions {
        limits: Some(own),
        ..options(&[("do", "bytes"), ("n", "600")])
    };
    let mut instance = plugin.instantiate(options).unwrap();
    let error = instance.poll(None, BUDGET, &mut Page::default()).unwrap_err();
    assert!(
        matches!(error, CallError::OverBudget { budget: 500, .. }),
        "{error}"
    );
}

#[test]
fn a_cursor_is_bounded() {
    assert_eq!(
        refused(&[("do", "cursor"), ("n", "1001")], BUDGET),
        CallError::CursorTooLarge {
            bytes: 1_001,
            limit: 1_000
        }
    );
    let mut page = Page::default();
    let mut instance = hostile(&[("do", "cursor"), ("n", "1000")]);
    instance.poll(None, BUDGET, &mut page).unwrap();
    assert_eq!(page.cursor.len(), 1_000, "at the limit it passes");
    let bomb = refused(&[("do", "cursor"), ("n", "50000000")], BUDGET);
    assert!(
        matches!(
            bomb,
            CallError::CursorTooLarge {
                bytes: 50_000_000,
                ..
            }
        ),
        "{bomb}"
    );
}

#[test]
fn a_page_that_lies_is_refused() {
    for (lie, word) in [
        ("source", "comes from record 1"),
        ("truncated", "entry 0"),
        ("dead-letter", "\"nope\""),
    ] {
        let error = refused(&[("do", lie)], BUDGET);
        assert!(
            matches!(&error, CallError::BadOutput { reason } if reason.contains(word)),
            "{lie}: {error}"
        );
    }
}

#[test]
fn a_producer_that_traps_or_loops_is_started_anew() {
    let impatient = Limits {
        deadline_ms: 150,
        ..limits()
    };
    let options = InstanceOptions {
        limits: Some(impatient),
        ..options(&[("do", "loop")])
    };
    let mut instance = load(weir_plugins::HOSTILE_PRODUCER).instantiate(options).unwrap();
    for restarts in 0..2 {
        let error = instance.poll(None, BUDGET, &mut Page::default()).unwrap_err();
        assert_eq!(error, CallError::Deadline { limit_ms: 150 });
        assert_eq!(instance.stats().restarts, restarts);
    }
    let mut instance = hostile(&[("do", "panic")]);
    for restarts in 0..3 {
        let error = instance.poll(None, BUDGET, &mut Page::default()).unwrap_err();
        assert!(
            matches!(&error, CallError::Trap { reason, .. } if reason.contains("told to panic")),
            "{error}"
        );
        assert_eq!(instance.stats().restarts, restarts);
    }
}

#[test]
fn a_producer_is_no_transform() {
    let mut instance = hostile(&[]);
    let mut out = Vec::new();
    assert!(matches!(
        instance.transform(&support::batch(["a"]), &mut out),
        Err(CallError::WrongKind { .. })
    ));
    let mut transform = start(&load(weir_plugins::IDENTITY), &[]).unwrap();
    assert!(matches!(
        transform.poll(None, BUDGET, &mut Page::default()),
        Err(CallError::WrongKind { .. })
    ));
}
