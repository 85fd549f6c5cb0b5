//! Flows: what they do, when they stop, and that they do it exactly once.

mod bounded;
mod damage;
mod dry_runs;
mod errors;
mod exactly_once;
mod fairness;
mod http;
mod lifecycle;
mod limits;
mod logs;
mod metrics;
mod partitions;
mod policies;
mod producers;
mod schemas;
mod sources;
mod stateful;
mod versions;
mod windows;

use weir_batch::Codec;
use weir_broker::{Broker, ErrorKind, FlowSpec, Mode, Start};

use crate::support::{
    TIME_0, all_values, batch, batch_with, no_config, pairs, produce, running, values, wait_for_records, with,
};

/// JSON values `{"n":0}` and so on.
fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("{{\"n\":{n}}}")).collect()
}

fn spec(plugins: &[&str]) -> FlowSpec {
    FlowSpec::new("f", "a", plugins.iter().copied(), ["b"])
}

#[tokio::test]
async fn an_identity_flow_copies_everything_and_counts() {
    let broker = with(1, &[("a", 3), ("b", 3)], &["identity"]).await;
    produce(&broker, "a", 0, batch(&["before"])).await;
    let made = broker.create_flow(spec(&["identity"])).await.unwrap();
    assert_eq!(made.spec.plugins, ["identity@1"]);
    for partition in 0..3 {
        produce(&broker, "a", partition, batch(&["x", "y"])).await;
    }
    wait_for_records(&broker, "b", 7).await;
    assert_eq!(
        values(&broker, "b", 0).await,
        ["before", "x", "y"],
        "no key: same partition"
    );
    assert_eq!(values(&broker, "b", 2).await, ["x", "y"]);
    running(&broker, "f").await;
    broker.pause_flow("f").await.unwrap();
    let info = broker.describe_flow("f").await.unwrap();
    assert_eq!(info.partitions.len(), 3);
    let first = &info.partitions[0];
    assert_eq!((first.cursor, first.end, first.lag), (3, 3, 0));
    assert_eq!((first.records_in, first.records_out, first.dropped), (3, 3, 0));
    assert!(first.bytes_in > 0 && first.bytes_out > 0 && first.guest_ns > 0);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_chain_filters_and_transforms_in_one_pass() {
    let broker = with(1, &[("a", 1), ("b", 1)], &["json-filter", "json-project"]).await;
    let mut spec = spec(&["json-filter", "json-project"]);
    spec.config = pairs(&[
        ("json-filter.field", "n"),
        ("json-filter.op", "ge"),
        ("json-filter.value", "7"),
        ("json-project.rename", "n=m"),
    ]);
    broker.create_flow(spec).await.unwrap();
    produce(&broker, "a", 0, batch(&numbers(0..10))).await;
    wait_for_records(&broker, "b", 3).await;
    assert_eq!(
        values(&broker, "b", 0).await,
        [r#"{"m":7}"#, r#"{"m":8}"#, r#"{"m":9}"#]
    );
    broker.pause_flow("f").await.unwrap();
    let partition = broker.describe_flow("f").await.unwrap().partitions[0];
    assert_eq!(
        (partition.records_in, partition.records_out, partition.dropped),
        (10, 3, 7)
    );
    broker.shutdown().await;
}

#[tokio::test]
async fn a_filter_that_drops_everything_still_moves_the_cursor() {
    let broker = with(2, &[("a", 1), ("b", 1)], &["json-filter"]).await;
    let mut spec = spec(&["json-filter"]);
    spec.config = pairs(&[("field", "n"), ("op", "missing")]);
    broker.create_flow(spec).await.unwrap();
    produce(&broker, "a", 0, batch(&numbers(0..10))).await;
    // The last record is kept: when it is there, the others were dropped.
    produce(&broker, "a", 0, batch(&["{}"])).await;
    wait_for_records(&broker, "b", 1).await;
    assert_eq!(values(&broker, "b", 0).await, ["{}"]);
    broker.pause_flow("f").await.unwrap();
    assert_eq!(broker.describe_flow("f").await.unwrap().partitions[0].cursor, 11);
    broker.shutdown().await;
}

#[tokio::test]
async fn keys_decide_the_partition_and_compressed_batches_stay_compressed() {
    let broker = with(3, &[("a", 1), ("b", 4)], &["identity"]).await;
    broker.create_flow(spec(&["identity"])).await.unwrap();
    let keys: Vec<String> = (0..40).map(|n| format!("key-{n}")).collect();
    let records = keys.iter().map(|key| (Some(key.as_str()), key.as_bytes()));
    produce(&broker, "a", 0, batch_with(Codec::Zstd, records)).await;
    wait_for_records(&broker, "b", 40).await;
    for partition in 0..4 {
        let found = values(&broker, "b", partition).await;
        let expected: Vec<_> = keys
            .iter()
            .filter(|key| weir_batch::partition_for_key(key.as_bytes(), 4) == partition)
            .collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected);
        let fetched = broker
            .topic("b")
            .unwrap()
            .partition(partition)
            .unwrap()
            .fetch(0, 100)
            .await
            .unwrap();
        assert_eq!(
            weir_batch::Batch::parse(&fetched.batches).unwrap().codec(),
            Codec::Zstd
        );
    }
    broker.shutdown().await;
}

#[tokio::test]
async fn a_flow_begins_where_it_is_told_to_even_within_a_batch() {
    let starts = [
        (Start::Earliest, 0),
        (Start::Offset(4), 4),
        (Start::Time(TIME_0 + 2), 2),
        (Start::Latest, 6),
    ];
    for (start, first) in starts {
        let broker = with(1, &[("a", 1), ("b", 1)], &["identity"]).await;
        produce(&broker, "a", 0, batch(&["0", "1", "2"])).await;
        produce(&broker, "a", 0, batch(&["3", "4", "5"])).await;
        broker
            .create_flow(FlowSpec {
                start,
                ..spec(&["identity"])
            })
            .await
            .unwrap();
        produce(&broker, "a", 0, batch(&["6"])).await;
        wait_for_records(&broker, "b", 7 - first).await;
        let expected: Vec<_> = (first..7).map(|n| n.to_string()).collect();
        assert_eq!(values(&broker, "b", 0).await, expected, "{start:?}");
        broker.shutdown().await;
    }
}

#[tokio::test]
async fn a_circle_that_was_asked_for_ends_where_its_plugins_let_records_out() {
    let broker = with(1, &[("a", 1), ("b", 1)], &["identity", "dedup"]).await;
    let there = FlowSpec::new("there", "a", ["identity"], ["b"]);
    broker.create_flow(there).await.unwrap();
    let mut back = FlowSpec::new("back", "b", ["dedup"], ["a"]);
    back.config = pairs(&[("by", "value")]);
    let refused = broker.create_flow(back.clone()).await.unwrap_err();
    assert!(refused.message.contains("--allow-cycle"), "{refused}");
    back.allow_cycle = true;
    broker.create_flow(back.clone()).await.unwrap();
    // Sent, then sent back, and known when it comes again.
    produce(&broker, "a", 0, batch(&["x", "y"])).await;
    wait_for_records(&broker, "b", 4).await;
    crate::support::timely(async {
        while broker.describe_flow("back").await.unwrap().partitions[0].lag > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(all_values(&broker, "a").await, ["x", "x", "y", "y"]);
    assert_eq!(all_values(&broker, "b").await, ["x", "x", "y", "y"]);
    // Others have to ask for themselves.
    let other = FlowSpec::new("other", "b", ["identity"], ["a"]);
    assert!(broker.create_flow(other).await.is_err());
    broker.shutdown().await;
}

#[tokio::test]
async fn flows_can_follow_one_another_but_not_in_a_circle() {
    let broker = with(1, &[("a", 1), ("b", 1), ("c", 1)], &["identity"]).await;
    let flow = |name: &str, from: &str, to: &str| FlowSpec::new(name, from, ["identity"], [to]);
    broker.create_flow(flow("ab", "a", "b")).await.unwrap();
    broker.create_flow(flow("bc", "b", "c")).await.unwrap();
    for (from, to) in [("c", "a"), ("c", "b"), ("b", "a"), ("a", "a")] {
        let error = broker.create_flow(flow("back", from, to)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidFlow);
        assert!(error.message.contains("cycle"), "{error}");
    }
    produce(&broker, "a", 0, batch(&["x"])).await;
    wait_for_records(&broker, "c", 1).await;
    assert_eq!(all_values(&broker, "c").await, ["x"]);
    // Once the way on is gone, the way back is open.
    broker.delete_flow("bc").await.unwrap();
    broker.create_flow(flow("cb", "c", "b")).await.unwrap();
    broker.shutdown().await;
}

#[tokio::test]
async fn what_cannot_run_is_refused() {
    let broker = with(1, &[("a", 1), ("b", 1)], &["identity"]).await;
    let good = || spec(&["identity"]);
    let cases = [
        (
            FlowSpec {
                name: "f/g".to_owned(),
                ..good()
            },
            ErrorKind::InvalidFlow,
        ),
        (
            FlowSpec {
                from: vec!["x".to_owned()],
                ..good()
            },
            ErrorKind::UnknownTopicOrPartition,
        ),
        (
            FlowSpec {
                to: vec!["x".to_owned()],
                ..good()
            },
            ErrorKind::UnknownTopicOrPartition,
        ),
        (FlowSpec { to: vec![], ..good() }, ErrorKind::InvalidFlow),
        (
            FlowSpec {
                to: vec!["b".to_owned(), "b".to_owned()],
                ..good()
            },
            ErrorKind::InvalidFlow,
        ),
        (
            FlowSpec {
                plugins: vec![],
                ..good()
            },
            ErrorKind::InvalidFlow,
        ),
        (
            FlowSpec {
                plugins: vec!["identity@9".to_owned()],
                ..good()
            },
            ErrorKind::UnknownPlugin,
        ),
        (
            FlowSpec {
                plugins: vec!["identity".to_owned(); 17],
                ..good()
            },
            ErrorKind::InvalidFlow,
        ),
        (
            FlowSpec {
                config: pairs(&[("k", &"v".repeat(70_000))]),
                ..good()
            },
            ErrorKind::InvalidFlow,
        ),
        (
            FlowSpec {
                mode: Mode::Ingest,
                ..good()
            },
            ErrorKind::InvalidFlow,
        ),
        (
            FlowSpec {
                name: "f".repeat(240),
                ..good()
            },
            ErrorKind::InvalidFlow,
        ),
        (
            FlowSpec {
                start: Start::Offset(5),
                ..good()
            },
            ErrorKind::OffsetOutOfRange,
        ),
    ];
    for (spec, kind) in cases {
        assert_eq!(
            broker.create_flow(spec.clone()).await.unwrap_err().kind,
            kind,
            "{spec:?}"
        );
    }
    broker.create_flow(good()).await.unwrap();
    assert_eq!(
        broker.create_flow(good()).await.unwrap_err().kind,
        ErrorKind::FlowAlreadyExists
    );
    broker.shutdown().await;
}

/// Grows both topics while the flow runs.
async fn grow(broker: &Broker, partitions: u32) {
    broker
        .alter_topic("a", no_config(), Some(partitions))
        .await
        .unwrap();
    broker
        .alter_topic("b", no_config(), Some(partitions + 1))
        .await
        .unwrap();
}

#[tokio::test]
async fn partitions_that_are_added_are_taken_up() {
    let broker = with(2, &[("a", 1), ("b", 1)], &["identity"]).await;
    broker.create_flow(spec(&["identity"])).await.unwrap();
    let mut count = 0;
    for partitions in 2..6 {
        grow(&broker, partitions).await;
        for partition in 0..partitions {
            let keyed = |n: u32| (Some(["k0", "k1", "k2", "k3"][n as usize]), b"v".as_slice());
            produce(
                &broker,
                "a",
                partition,
                batch_with(Codec::None, (0..4).map(keyed)),
            )
            .await;
            count += 4;
        }
    }
    wait_for_records(&broker, "b", count).await;
    broker.pause_flow("f").await.unwrap();
    assert_eq!(all_values(&broker, "b").await.len() as i64, count);
    assert_eq!(broker.describe_flow("f").await.unwrap().partitions.len(), 5);
    broker.shutdown().await;
}
