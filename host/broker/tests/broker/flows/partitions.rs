//! To which partition of a sink a record goes.

use weir_batch::BatchBuilder;
use weir_broker::{Broker, FlowSpec, Mode, OnError, PartitionBy};

use crate::support::{TIME_0, pairs, paused, produce, timely, values, wait_for_records, with};

const TOPICS: &[(&str, u32)] = &[("a", 3), ("b", 3)];

/// Sends one record with the key `key` to each partition of `a`: its value is the partition's number.
async fn feed(broker: &Broker, topic: &str, key: &str) {
    for partition in 0..3 {
        let mut builder = BatchBuilder::new();
        builder
            .push(
                TIME_0,
                Some(key.as_bytes()),
                Some(partition.to_string().as_bytes()),
                &[],
            )
            .unwrap();
        let batch = bytes::BytesMut::from(builder.finish().unwrap().as_slice());
        produce(broker, topic, partition, batch).await;
    }
}

/// The values in each partition, sorted.
async fn spread(broker: &Broker, topic: &str) -> [Vec<String>; 3] {
    let mut all = [Vec::new(), Vec::new(), Vec::new()];
    for (partition, found) in all.iter_mut().enumerate() {
        *found = values(broker, topic, partition as u32).await;
        found.sort();
    }
    all
}

/// The flow `f` from `a` to `b` whose plugin chooses a partition: `n`, or that of the source.
fn choosing(n: Option<&str>) -> FlowSpec {
    let mut spec = FlowSpec::new("f", "a", ["hostile"], ["b"]);
    spec.config = pairs(&[("do", "partition")]);
    spec.config.extend(n.map(|n| ("n".to_owned(), n.to_owned())));
    spec
}

#[tokio::test]
async fn records_stay_in_the_partition_that_they_come_from_if_the_flow_says_so() {
    let broker = with(2, &[("a", 3), ("keyed", 3), ("same", 3)], &["identity"]).await;
    feed(&broker, "a", "one key").await;
    let keyed = FlowSpec::new("keyed", "a", ["identity"], ["keyed"]);
    let same = FlowSpec {
        partition_by: PartitionBy::Source,
        ..FlowSpec::new("same", "a", ["identity"], ["same"])
    };
    for spec in [keyed, same] {
        broker.create_flow(spec).await.unwrap();
    }
    wait_for_records(&broker, "keyed", 3).await;
    wait_for_records(&broker, "same", 3).await;
    let spread_out = spread(&broker, "keyed").await;
    assert_eq!(
        spread_out.iter().filter(|values| !values.is_empty()).count(),
        1,
        "a key is in one partition: {spread_out:?}"
    );
    assert_eq!(spread(&broker, "same").await, [["0"], ["1"], ["2"]]);
    let kept = broker.describe_flow("same").await.unwrap().spec;
    assert_eq!(kept.partition_by, PartitionBy::Source);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_plugin_chooses_the_partition() {
    let broker = with(2, TOPICS, &["hostile"]).await;
    feed(&broker, "a", "one key").await;
    broker.create_flow(choosing(Some("2"))).await.unwrap();
    wait_for_records(&broker, "b", 3).await;
    let all: [&[&str]; 3] = [&[], &[], &["0", "1", "2"]];
    assert_eq!(spread(&broker, "b").await, all);
    broker.delete_flow("f").await.unwrap();
    broker.create_flow(choosing(None)).await.unwrap();
    wait_for_records(&broker, "b", 6).await;
    let all: [&[&str]; 3] = [&["0"], &["1"], &["0", "1", "2", "2"]];
    assert_eq!(spread(&broker, "b").await, all);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_partition_that_is_not_there_is_an_error_of_the_record() {
    let broker = with(1, &[("a", 3), ("b", 3)], &["hostile"]).await;
    broker.create_flow(choosing(Some("3"))).await.unwrap();
    feed(&broker, "a", "k").await;
    let pause = paused(&broker, "f").await;
    assert!(
        pause.reason.contains("partition 3 of topic 'b', which has 3"),
        "{}",
        pause.reason
    );
    assert!(pause.place.is_some());
    broker.shutdown().await;
}

#[tokio::test]
async fn on_ingest_the_producer_has_chosen() {
    let broker = with(1, TOPICS, &["hostile"]).await;
    let guard = FlowSpec {
        mode: Mode::Ingest,
        on_error: OnError::Pause,
        from: Vec::new(),
        ..choosing(Some("2"))
    };
    broker.create_flow(guard).await.unwrap();
    timely(feed(&broker, "b", "k")).await;
    assert_eq!(spread(&broker, "b").await, [["0"], ["1"], ["2"]]);
    broker.shutdown().await;
}
