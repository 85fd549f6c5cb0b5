//! Replays: dead letters, or some offsets, through the plugins once more.

use weir_batch::{Batch, BatchBuilder, iter_batches};
use weir_broker::{Broker, FlowChange, FlowSpec, OnError, Replay, Start};

use super::finished;
use crate::support::{
    TIME_0, batch, no_config, on_folder, pairs, paused, populate, produce, timely, values, wait_for_records,
    with,
};

const TOPICS: &[(&str, u32)] = &[("a", 2), ("b", 2), ("c", 1)];
const LETTERS: &str = "f.dead-letter";

/// A flow `f` from `a` to `b` that has what contains `bad` for a dead letter.
fn spec() -> FlowSpec {
    let mut spec = FlowSpec::new("f", "a", ["hostile"], ["b"]);
    spec.config = pairs(&[("do", "trap"), ("at", "bad")]);
    spec.on_error = OnError::DeadLetter;
    spec
}

async fn letters_arrive(broker: &Broker, count: i64) {
    timely(async {
        while broker.topic(LETTERS).is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    })
    .await;
    wait_for_records(broker, LETTERS, count).await;
}

/// Has the flow fail at `what` from now on.
async fn fails_at(broker: &Broker, what: &str) {
    let change = FlowChange {
        set: pairs(&[("at", what)]),
        ..FlowChange::default()
    };
    broker.upgrade_flow("f", change).await.unwrap();
}

fn all() -> Replay {
    Replay::Letters { start: None }
}

/// Values with their headers, as `value key=value key=value`.
async fn records(broker: &Broker, topic: &str, partition: u32) -> Vec<String> {
    let partition = broker.topic(topic).unwrap().partition(partition).unwrap();
    let mut records = Vec::new();
    let mut offset = 0;
    while offset < partition.high_watermark() {
        let fetched = partition.fetch(offset, 1 << 20).await.unwrap();
        for item in iter_batches(&fetched.batches) {
            let (header, bytes) = item.unwrap();
            let batch = Batch::parse(bytes).unwrap();
            for record in batch.records().unwrap() {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                let mut shown = text(record.value().unwrap());
                for (key, value) in record.headers() {
                    shown.push_str(&format!(" {key}={}", text(value.unwrap())));
                }
                records.push(shown);
            }
            offset = header.next_offset();
        }
    }
    records
}

/// A batch of records that have a header of their own each.
fn traced(values: &[&str]) -> bytes::BytesMut {
    let mut builder = BatchBuilder::new();
    for (index, value) in values.iter().enumerate() {
        let headers = [("trace", Some(value.as_bytes()))];
        builder
            .push(TIME_0 + index as i64, None, Some(value.as_bytes()), &headers)
            .unwrap();
    }
    bytes::BytesMut::from(bytes::Bytes::from(builder.finish().unwrap()))
}

#[tokio::test]
async fn dead_letters_come_out_as_if_they_had_never_failed() {
    let broker = with(2, TOPICS, &["hostile"]).await;
    broker.create_flow(spec()).await.unwrap();
    produce(&broker, "a", 1, traced(&["x", "bad 1", "y", "bad 2"])).await;
    wait_for_records(&broker, "b", 2).await;
    letters_arrive(&broker, 2).await;
    fails_at(&broker, "nothing").await;
    let made = broker.replay_flow("f", all()).await.unwrap();
    assert_eq!(made.spec.name, "f.replay");
    assert_eq!(made.spec.config["at"], "nothing", "what the flow runs now");
    finished(&broker, "f.replay").await;
    assert_eq!(
        records(&broker, "b", 1).await,
        ["x trace=x", "y trace=y", "bad 1 trace=bad 1", "bad 2 trace=bad 2"]
    );
    let partition = broker.topic("b").unwrap().partition(1).unwrap();
    let fetched = partition.fetch(2, 1 << 20).await.unwrap();
    let replayed = Batch::parse(&fetched.batches).unwrap();
    let times: Vec<i64> = replayed
        .records()
        .unwrap()
        .map(|record| record.timestamp())
        .collect();
    assert_eq!(times, [TIME_0 + 1, TIME_0 + 3]);
    broker.shutdown().await;
}

#[tokio::test]
async fn what_fails_again_keeps_its_place_and_no_letter_is_sent_twice() {
    let folder = tempfile::tempdir().unwrap();
    let broker = on_folder(folder.path(), 2).await;
    populate(&broker, TOPICS, &["hostile"]).await;
    broker.create_flow(spec()).await.unwrap();
    produce(&broker, "a", 1, batch(&["bad early", "good", "bad late"])).await;
    letters_arrive(&broker, 2).await;
    fails_at(&broker, "late").await;
    broker.replay_flow("f", all()).await.unwrap();
    finished(&broker, "f.replay").await;
    assert_eq!(values(&broker, "b", 1).await, ["good", "bad early"]);
    let letters = records(&broker, LETTERS, 1).await;
    assert_eq!(
        letters.len(),
        3,
        "the one that failed again is behind the end: {letters:?}"
    );
    let place = "weir-flow=f weir-plugin=hostile@1 weir-topic=a weir-partition=1 weir-offset=2 weir-reason=";
    assert!(
        letters[1].starts_with(&format!("bad late {place}")),
        "{}",
        letters[1]
    );
    assert!(
        letters[2].starts_with(&format!("bad late {place}")),
        "{}",
        letters[2]
    );
    assert_eq!(letters[2].matches("weir-flow").count(), 1);
    assert!(broker.topic("f.replay.dead-letter").is_err());

    // The next one begins behind it, over a restart and with what the flow runs by then.
    broker.shutdown().await;
    drop(broker);
    let broker = on_folder(folder.path(), 2).await;
    fails_at(&broker, "nothing").await;
    let made = broker.replay_flow("f", all()).await.unwrap();
    assert_eq!(made.revisions.last().unwrap().from, [[0, 2]]);
    finished(&broker, "f.replay").await;
    assert_eq!(values(&broker, "b", 1).await, ["good", "bad early", "bad late"]);
    // With nothing new, nothing is done; the same revision runs.
    let made = broker.replay_flow("f", all()).await.unwrap();
    assert_eq!(made.revisions.len(), 2);
    finished(&broker, "f.replay").await;
    assert_eq!(values(&broker, "b", 1).await.len(), 3);
    // Unless it is asked for.
    let again = Replay::Letters {
        start: Some(Start::Time(TIME_0 + 1)),
    };
    broker.replay_flow("f", again).await.unwrap();
    finished(&broker, "f.replay").await;
    assert_eq!(
        values(&broker, "b", 1).await[3..],
        ["bad late", "bad late"],
        "both letters of it"
    );
    broker.replay_flow("f", all()).await.unwrap();
    finished(&broker, "f.replay").await;
    assert_eq!(values(&broker, "b", 1).await.len(), 5);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_replay_that_stands_still_goes_on_with_what_mends_it() {
    let broker = with(2, TOPICS, &["hostile"]).await;
    broker.create_flow(spec()).await.unwrap();
    produce(&broker, "a", 0, batch(&["bad 1", "bad 2"])).await;
    letters_arrive(&broker, 2).await;
    let pausing = FlowChange {
        set: pairs(&[("at", "2")]),
        on_error: Some(OnError::Pause),
        ..FlowChange::default()
    };
    broker.upgrade_flow("f", pausing).await.unwrap();
    broker.replay_flow("f", all()).await.unwrap();
    let place = paused(&broker, "f.replay").await.place.unwrap();
    assert_eq!((place.topic.as_str(), place.offset), (LETTERS, 1));
    fails_at(&broker, "nothing").await;
    broker.replay_flow("f", all()).await.unwrap();
    finished(&broker, "f.replay").await;
    assert_eq!(values(&broker, "b", 0).await, ["bad 1", "bad 2"]);
    broker.shutdown().await;
}

#[tokio::test]
async fn letters_of_a_topic_made_anew_are_all_new() {
    let broker = with(2, TOPICS, &["hostile"]).await;
    broker.create_flow(spec()).await.unwrap();
    produce(&broker, "a", 0, batch(&["bad 1", "bad 2"])).await;
    letters_arrive(&broker, 2).await;
    broker.replay_flow("f", all()).await.unwrap();
    finished(&broker, "f.replay").await;
    letters_arrive(&broker, 4).await;
    broker.delete_topic(LETTERS).await.unwrap();
    let error = broker.replay_flow("f", all()).await.unwrap_err();
    assert!(error.message.contains("has no dead letters"), "{error}");
    produce(&broker, "a", 0, batch(&["bad 3"])).await;
    letters_arrive(&broker, 1).await;
    fails_at(&broker, "nothing").await;
    broker.replay_flow("f", all()).await.unwrap();
    finished(&broker, "f.replay").await;
    assert_eq!(values(&broker, "b", 0).await, ["bad 3"]);
    broker.shutdown().await;
}

#[tokio::test]
async fn what_was_put_among_the_letters_by_hand_goes_through_as_it_is() {
    let broker = with(2, TOPICS, &["hostile"]).await;
    broker.create_topic(LETTERS, 1, no_config()).await.unwrap();
    broker.create_flow(spec()).await.unwrap();
    produce(&broker, LETTERS, 0, traced(&["by hand", "bad"])).await;
    broker.replay_flow("f", all()).await.unwrap();
    finished(&broker, "f.replay").await;
    assert_eq!(records(&broker, "b", 0).await, ["by hand trace=by hand"]);
    let letters = records(&broker, LETTERS, 0).await;
    assert!(
        letters[2].contains("trace=bad weir-flow=f weir-plugin=hostile@1 weir-topic=f.dead-letter weir-partition=0 weir-offset=1"),
        "{letters:?}"
    );
    broker.shutdown().await;
}

#[tokio::test]
async fn a_range_of_one_partition_goes_through_once_more() {
    let broker = with(2, TOPICS, &["hostile"]).await;
    broker.create_flow(spec()).await.unwrap();
    for partition in 0..2 {
        produce(&broker, "a", partition, batch(&["0", "bad 1", "2", "3", "4"])).await;
    }
    wait_for_records(&broker, "b", 8).await;
    letters_arrive(&broker, 2).await;
    let range = |offsets| Replay::Range {
        topic: Some("a".to_owned()),
        partition: 1,
        offsets,
        name: None,
    };
    let made = broker.replay_flow("f", range(1..4)).await.unwrap();
    assert_eq!(made.spec.name, "f.replay-range");
    let info = finished(&broker, "f.replay-range").await;
    assert_eq!(info.partitions.len(), 1);
    assert_eq!(
        (info.partitions[0].partition, info.partitions[0].until),
        (1, Some(4))
    );
    assert_eq!(values(&broker, "b", 1).await, ["0", "2", "3", "4", "2", "3"]);
    assert_eq!(values(&broker, "b", 0).await.len(), 4);
    // What fails is a dead letter of the flow, and can be replayed as such.
    let letters = records(&broker, LETTERS, 1).await;
    assert!(letters[1].contains("weir-flow=f "), "{}", letters[1]);
    let made = broker.replay_flow("f", range(4..1000)).await.unwrap();
    assert_eq!(made.spec.name, "f.replay-range-2");
    finished(&broker, "f.replay-range-2").await;
    assert_eq!(values(&broker, "b", 1).await[6..], ["4"]);
    broker.shutdown().await;
}
