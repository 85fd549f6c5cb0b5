//! Dry runs: they tell what would be, and change nothing.

use weir_broker::{Broker, ErrorKind, FlowChange, FlowSpec, FlowStatus};

use crate::support::{batch, guest, pairs, produce, values, wait_for_records, with};

const TOPICS: &[(&str, u32)] = &[("a", 2), ("b", 1)];

/// A flow `f` of `json-filter` that keeps what has an `n` of 3 and more, over `{"n":0}` to `{"n":9}` in each of two partitions.
async fn broker() -> Broker {
    let broker = with(2, TOPICS, &["json-filter", "hostile"]).await;
    let mut spec = FlowSpec::new("f", "a", ["json-filter"], ["b"]);
    spec.config = pairs(&[("field", "n"), ("op", "ge"), ("value", "3")]);
    broker.create_flow(spec).await.unwrap();
    let numbers: Vec<String> = (0..10).map(|n| format!("{{\"n\":{n}}}")).collect();
    for partition in 0..2 {
        for half in numbers.chunks(5) {
            produce(&broker, "a", partition, batch(half)).await;
        }
    }
    wait_for_records(&broker, "b", 14).await;
    broker
}

fn setting(key: &str, value: &str) -> FlowChange {
    FlowChange {
        set: pairs(&[(key, value)]),
        ..FlowChange::default()
    }
}

#[tokio::test]
async fn differences_are_shown_record_by_record_and_nothing_is_stored() {
    let broker = broker().await;
    // Counters follow what is committed.
    broker.pause_flow("f").await.unwrap();
    let before = (
        values(&broker, "b", 0).await,
        broker.describe_flow("f").await.unwrap(),
    );
    let found = broker
        .dry_run_flow("f", setting("value", "5"), 1000, false)
        .await
        .unwrap();
    assert_eq!(
        (found.tried.records_in, found.tried.dropped, found.tried.failed),
        (20, 10, 0)
    );
    assert_eq!(found.tried.records_out["b"], 10);
    assert_eq!(found.running.as_ref().unwrap().records_out["b"], 14);
    assert_eq!((found.same, found.different), (16, 4));
    let shown: Vec<_> = found
        .differences
        .iter()
        .map(|difference| {
            (
                difference.partition,
                difference.offset,
                difference.running.join(","),
            )
        })
        .collect();
    let expected = |partition, n: i64| (partition, n, format!("b: {{\"n\":{n}}}"));
    assert_eq!(
        shown,
        [expected(0, 3), expected(0, 4), expected(1, 3), expected(1, 4)]
    );
    assert!(
        found
            .differences
            .iter()
            .all(|difference| difference.tried.is_empty())
    );
    assert!(found.tried.guest_ns > 0 && found.tried.memory_bytes_peak >= 65_536);
    let after = (
        values(&broker, "b", 0).await,
        broker.describe_flow("f").await.unwrap(),
    );
    assert_eq!(after, before);
}

#[tokio::test]
async fn only_the_last_records_are_taken() {
    let broker = broker().await;
    let found = broker
        .dry_run_flow("f", setting("value", "5"), 6, false)
        .await
        .unwrap();
    assert_eq!((found.tried.records_in, found.tried.records_out["b"]), (6, 6));
    assert_eq!((found.same, found.different), (6, 0));
    let same = broker
        .dry_run_flow("f", FlowChange::default(), 6, false)
        .await
        .unwrap();
    assert_eq!(same.running, None, "there is no other version");
}

#[tokio::test]
async fn failures_are_found_each_with_its_record() {
    let broker = broker().await;
    for misdeed in ["trap", "fail", "dead-letter", "retry"] {
        let mut spec = FlowSpec::new("g", "a", ["hostile"], ["b"]);
        spec.config = pairs(&[("do", misdeed), ("at", "7")]);
        let found = broker.dry_run_new_flow(spec, 100, false).await.unwrap();
        let tried = &found.tried;
        let wanted = if misdeed == "dead-letter" { (0, 2) } else { (2, 0) };
        assert_eq!((tried.failed, tried.dead_lettered), wanted, "{misdeed}");
        assert_eq!(tried.records_out["b"], 18, "{misdeed}");
        assert!(
            tried
                .failures
                .iter()
                .all(|failure| failure.dead_letter == (wanted.1 > 0))
        );
        let first = &found.tried.failures[0];
        assert_eq!((first.partition, first.offset), (0, 7));
        assert_eq!(first.plugin.as_deref(), Some("hostile@1"));
        assert_eq!(first.sample.as_deref(), Some("{\"n\":7}"));
        assert!(!first.reason.is_empty());
    }
    let mut spec = FlowSpec::new("g", "a", ["hostile"], ["b"]);
    spec.config = pairs(&[("do", "loop"), ("at", "1")]);
    let found = broker.dry_run_new_flow(spec, 100, false).await.unwrap();
    assert!(
        found
            .tried
            .failures
            .iter()
            .any(|failure| failure.offset == 1 && failure.reason.contains("longer than"))
    );
    assert!(broker.describe_flow("g").await.is_err(), "nothing was made");
}

#[tokio::test]
async fn what_cannot_be_tried_is_refused() {
    let broker = broker().await;
    let error = broker
        .dry_run_flow("f", setting("op", "no"), 1, false)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidFlow);
    assert!(error.message.contains("does not start"), "{error}");
    let error = broker
        .dry_run_flow("g", FlowChange::default(), 1, false)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnknownFlow);
}

/// A version that works on what there is may fail on what comes: then the flow's policy is what counts.
#[tokio::test]
async fn a_version_that_passes_a_dry_run_and_fails_in_life_stops_its_flow_alone() {
    let broker = broker().await;
    broker.create_topic("c", 1, pairs(&[])).await.unwrap();
    broker.upload_plugin("form", &guest("identity")).await.unwrap();
    broker.upload_plugin("form", &guest("hostile")).await.unwrap();
    broker
        .create_flow(FlowSpec::new("g", "a", ["form@1"], ["c"]))
        .await
        .unwrap();
    wait_for_records(&broker, "c", 20).await;
    let change = FlowChange {
        set: pairs(&[("do", "trap"), ("at", "later")]),
        plugins: vec!["form@2".to_owned()],
        ..FlowChange::default()
    };
    let found = broker
        .dry_run_flow("g", change.clone(), 1000, false)
        .await
        .unwrap();
    assert_eq!((found.tried.failed, found.different), (0, 0));
    broker.upgrade_flow("g", change).await.unwrap();
    produce(&broker, "a", 0, batch(&["{\"n\":50}", "later"])).await;
    let paused = broker
        .wait_for_flow("g", |status| matches!(status, FlowStatus::Paused(_)))
        .await
        .unwrap();
    let FlowStatus::Paused(pause) = paused else {
        unreachable!()
    };
    assert_eq!(pause.place.unwrap().offset, 11);
    wait_for_records(&broker, "c", 21).await;
    broker.rollback_flow("g", None).await.unwrap();
    wait_for_records(&broker, "c", 22).await;
    assert_eq!(values(&broker, "c", 0).await.last().unwrap(), "later");
    assert_eq!(
        broker.describe_flow("f").await.unwrap().status,
        FlowStatus::Running
    );
}
