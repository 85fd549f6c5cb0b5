//! Ingest flows: what they let in, and that nothing gets by.

mod groups;
mod lifecycle;
mod repeats;

use bytes::BytesMut;
use weir_batch::{Batch, BatchBuilder, Codec, set_base_offset};
use weir_broker::{
    Broker, BrokerError, ErrorKind, FlowInfo, FlowSpec, OnError, Produced, RecordResults, RecordRun,
};

use crate::support::{TIME_0, all_values, batch, batch_with, pairs, produce, timely, values, with};

/// An ingest flow `f` of one plugin that guards topic `a`.
async fn guard(broker: &Broker, plugin: &str, on_error: OnError, config: &[(&str, &str)]) -> FlowInfo {
    let spec = FlowSpec {
        config: pairs(config),
        on_error,
        ..FlowSpec::ingest("f", [plugin], "a")
    };
    broker.create_flow(spec).await.unwrap()
}

/// Keeps records whose `n` is below 10.
async fn below_ten(broker: &Broker) {
    let config = [("field", "n"), ("op", "lt"), ("value", "10")];
    guard(broker, "json-filter", OnError::Pause, &config).await;
}

fn number(n: u32) -> String {
    format!("{{\"n\":{n}}}")
}

async fn send(broker: &Broker, partition: u32, batch: BytesMut) -> Result<Produced, BrokerError> {
    let topic = broker.topic("a").unwrap();
    let ticket = timely(topic.produce(partition, batch)).await?;
    timely(ticket).await
}

fn results(produced: &Produced) -> &RecordResults {
    produced
        .records
        .as_deref()
        .expect("not all is stored as it was sent")
}

fn stored(records: u32, first: u32, each: u32) -> RecordRun {
    RecordRun::Stored { records, first, each }
}

fn dropped(records: u32) -> RecordRun {
    RecordRun::Dropped { records }
}

fn rejected(records: u32, rejection: u32) -> RecordRun {
    RecordRun::Rejected { records, rejection }
}

#[tokio::test]
async fn what_a_filter_does_not_keep_is_never_stored() {
    for codec in [Codec::None, Codec::Zstd] {
        let broker = with(2, &[("a", 2)], &["json-filter"]).await;
        produce(&broker, "a", 1, batch(&["before the flow"])).await;
        below_ten(&broker).await;
        let numbers = [1, 2, 30, 3, 40, 50, 4].map(number);
        let sent = batch_with(codec, numbers.iter().map(|value| (None, value.as_bytes())));
        let produced = send(&broker, 1, sent).await.unwrap();
        assert_eq!((produced.base_offset, produced.last_offset), (1, 4));
        assert!(!produced.duplicate);
        assert_eq!(
            results(&produced).runs,
            [
                stored(2, 0, 1),
                dropped(1),
                stored(1, 2, 1),
                dropped(2),
                stored(1, 3, 1)
            ]
        );
        let kept = ["before the flow".to_owned()]
            .into_iter()
            .chain([1, 2, 3, 4].map(number));
        assert_eq!(values(&broker, "a", 1).await, kept.collect::<Vec<_>>());
        let fetched = broker
            .topic("a")
            .unwrap()
            .partition(1)
            .unwrap()
            .fetch(1, 1 << 20)
            .await
            .unwrap();
        let stored = Batch::parse(&fetched.batches).unwrap();
        assert_eq!(stored.codec(), codec, "what is rewritten is compressed as it was");
        let partition = broker.describe_flow("f").await.unwrap().partitions[1];
        assert_eq!(
            (partition.records_in, partition.records_out, partition.dropped),
            (7, 4, 3)
        );
        assert!(partition.guest_ns > 0 && partition.lag == 0);
        broker.shutdown().await;
    }
}

#[tokio::test]
async fn what_is_kept_whole_is_stored_as_it_was_sent() {
    let broker = with(1, &[("a", 1)], &["json-filter"]).await;
    below_ten(&broker).await;
    for codec in [Codec::None, Codec::Lz4] {
        let numbers: Vec<_> = (0..10).map(number).collect();
        let sent = batch_with(codec, numbers.iter().map(|value| (None, value.as_bytes())));
        let produced = send(&broker, 0, sent.clone()).await.unwrap();
        assert_eq!(produced.records, None);
        let partition = broker.topic("a").unwrap().partition(0).unwrap();
        let fetched = partition.fetch(produced.base_offset, 1 << 20).await.unwrap();
        let mut found = fetched.batches.to_vec();
        set_base_offset(&mut found, 0).unwrap();
        // The leader epoch is the broker's.
        found[12..16].copy_from_slice(&sent[12..16]);
        assert_eq!(found, sent);
    }
    broker.shutdown().await;
}

#[tokio::test]
async fn a_transform_makes_other_records_in_the_partition_that_the_producer_chose() {
    let broker = with(1, &[("a", 4)], &["json-filter", "json-project"]).await;
    let spec = FlowSpec {
        config: pairs(&[
            ("json-filter.field", "n"),
            ("json-filter.op", "ne"),
            ("json-filter.value", "2"),
            ("json-project.rename", "n=m"),
        ]),
        ..FlowSpec::ingest("f", ["json-filter", "json-project"], "a")
    };
    broker.create_flow(spec).await.unwrap();
    let numbers = [1, 2, 3].map(number);
    let sent = batch_with(
        Codec::None,
        numbers.iter().map(|value| (Some("key"), value.as_bytes())),
    );
    for partition in 0..4 {
        let produced = send(&broker, partition, sent.clone()).await.unwrap();
        assert_eq!(
            results(&produced).runs,
            [stored(1, 0, 1), dropped(1), stored(1, 1, 1)]
        );
        assert_eq!(
            values(&broker, "a", partition).await,
            [r#"{"m":1}"#, r#"{"m":3}"#]
        );
    }
    broker.shutdown().await;
}

#[tokio::test]
async fn a_refused_record_has_its_reason_and_the_others_are_stored() {
    let broker = with(1, &[("a", 1)], &["json-project"]).await;
    guard(&broker, "json-project", OnError::Pause, &[("rename", "n=m")]).await;
    let sent = batch(&[r#"{"n":1}"#, "no JSON", r#"{"n":2}"#, "neither", r#"{"n":3}"#]);
    let produced = send(&broker, 0, sent).await.unwrap();
    let results = results(&produced);
    assert_eq!(
        results.runs,
        [
            stored(1, 0, 1),
            rejected(1, 0),
            stored(1, 1, 1),
            rejected(1, 0),
            stored(1, 2, 1)
        ]
    );
    let rejection = &results.rejections[0];
    assert!(!rejection.retriable);
    assert!(
        rejection.reason.contains("cannot handle a record"),
        "{}",
        rejection.reason
    );
    assert_eq!(values(&broker, "a", 0).await.len(), 3);
    let partition = broker.describe_flow("f").await.unwrap().partitions[0];
    assert_eq!(
        (partition.records_in, partition.records_out, partition.rejected),
        (5, 3, 2)
    );
    broker.shutdown().await;
}

#[tokio::test]
async fn each_policy_does_what_it_says() {
    let values_of = ["good", "bad", "fine"];
    for (on_error, what) in [
        (OnError::Pause, Some(false)),
        (OnError::Retry, Some(true)),
        (OnError::Skip, None),
        (OnError::DeadLetter, None),
    ] {
        for misdeed in ["fail", "panic", "trap", "loop"] {
            let broker = with(1, &[("a", 1)], &["hostile"]).await;
            guard(&broker, "hostile", on_error, &[("do", misdeed), ("at", "bad")]).await;
            let produced = send(&broker, 0, batch(&values_of)).await.unwrap();
            let results = results(&produced);
            let middle = what.map_or(dropped(1), |_| rejected(1, 0));
            assert_eq!(
                results.runs,
                [stored(1, 0, 1), middle, stored(1, 1, 1)],
                "{misdeed}"
            );
            assert_eq!(
                results.rejections.first().map(|rejection| rejection.retriable),
                what
            );
            assert_eq!(values(&broker, "a", 0).await, ["good", "fine"]);
            let info = broker.describe_flow("f").await.unwrap();
            let partition = info.partitions[0];
            let counted = [partition.rejected, partition.skipped, partition.dead_lettered];
            let expected = match on_error {
                OnError::Pause | OnError::Retry => [1, 0, 0],
                OnError::Skip => [0, 1, 0],
                OnError::DeadLetter => [0, 0, 1],
            };
            assert_eq!(counted, expected, "{misdeed}");
            assert_eq!(info.status.name(), "running", "a record stops no ingest flow");
            broker.shutdown().await;
        }
    }
}

#[tokio::test]
async fn what_a_plugin_asks_for_it_gets() {
    for (what, rejection) in [("retry", Some(true)), ("dead-letter", None)] {
        let broker = with(1, &[("a", 1)], &["hostile"]).await;
        guard(&broker, "hostile", OnError::Skip, &[("do", what), ("at", "bad")]).await;
        let produced = send(&broker, 0, batch(&["bad", "good"])).await.unwrap();
        let results = results(&produced);
        assert_eq!(
            results.rejections.first().map(|rejection| rejection.retriable),
            rejection
        );
        assert_eq!(values(&broker, "a", 0).await, ["good"]);
        broker.shutdown().await;
    }
}

#[tokio::test]
async fn dead_letters_are_there_when_the_batch_is_acknowledged() {
    // With one shard they are part of the entry; of two partitions on two shards, one may have to go elsewhere.
    for shards in [1, 2, 3] {
        let broker = with(shards, &[("other", 1), ("a", 2)], &["hostile"]).await;
        guard(
            &broker,
            "hostile",
            OnError::DeadLetter,
            &[("do", "panic"), ("at", "bad")],
        )
        .await;
        for partition in 0..2 {
            let sent = batch(&["one", "bad two", "three", "bad four"]);
            let produced = send(&broker, partition, sent).await.unwrap();
            let runs = [stored(1, 0, 1), dropped(1), stored(1, 1, 1), dropped(1)];
            assert_eq!(results(&produced).runs, runs);
            let letters = all_values(&broker, "f.dead-letter").await;
            assert_eq!(letters, ["bad four", "bad two"]);
            // Nothing but dead letters is no entry of the partition.
            let produced = send(&broker, partition, batch(&["bad"])).await;
            assert_eq!(results(&produced.unwrap()).runs, [dropped(1)]);
            let produced = send(&broker, partition, batch(&["good"])).await.unwrap();
            assert_eq!(produced.base_offset, 2);
            // The topic is made again where it was deleted.
            broker.delete_topic("f.dead-letter").await.unwrap();
            send(&broker, partition, batch(&["bad", "bad"])).await.unwrap();
            assert_eq!(all_values(&broker, "f.dead-letter").await, ["bad", "bad"]);
            broker.delete_topic("f.dead-letter").await.unwrap();
        }
        broker.shutdown().await;
    }
}

#[tokio::test]
async fn a_dead_letter_says_where_it_comes_from_but_has_no_offset() {
    let broker = with(1, &[("a", 1)], &["hostile"]).await;
    guard(
        &broker,
        "hostile",
        OnError::DeadLetter,
        &[("do", "panic"), ("at", "bad")],
    )
    .await;
    send(&broker, 0, batch(&["bad"])).await.unwrap();
    let letters = broker.topic("f.dead-letter").unwrap().partition(0).unwrap();
    let fetched = letters.fetch(0, 1 << 20).await.unwrap();
    let batch = Batch::parse(&fetched.batches).unwrap();
    let record = batch.records().unwrap().next().unwrap();
    let headers: Vec<_> = record.headers().map(|(name, _)| name).collect();
    assert_eq!(
        headers,
        [
            "weir-flow",
            "weir-plugin",
            "weir-topic",
            "weir-partition",
            "weir-reason"
        ]
    );
    broker.shutdown().await;
}

#[tokio::test]
async fn a_plugin_that_does_nothing_but_fail_takes_bounded_time_and_harms_only_its_topic() {
    let broker = with(1, &[("a", 1), ("free", 1)], &["hostile"]).await;
    guard(&broker, "hostile", OnError::Pause, &[("do", "panic")]).await;
    let many: Vec<_> = (0..5_000).map(|n| n.to_string()).collect();
    let produced = send(&broker, 0, batch(&many)).await.unwrap();
    let results = results(&produced);
    assert_eq!(results.rejected(), 5_000);
    assert_eq!(
        results
            .runs
            .first()
            .map(|run| matches!(run, RecordRun::Rejected { records: 1, .. })),
        Some(true)
    );
    // Those that were not even tried may be sent again.
    let last = results.rejections.last().unwrap();
    assert!(
        last.retriable && last.reason.contains("not tried"),
        "{}",
        last.reason
    );
    assert!(last.reason.contains("told to panic"), "{}", last.reason);
    assert!(!results.rejections[0].retriable);
    produce(&broker, "free", 0, batch(&["x"])).await;
    assert!(values(&broker, "a", 0).await.is_empty());
    broker.shutdown().await;
}

#[tokio::test]
async fn a_plugin_that_loops_at_every_record_is_given_up_before_its_producers_give_up() {
    let broker = with(1, &[("a", 1)], &["hostile-filter"]).await;
    guard(&broker, "hostile-filter", OnError::Skip, &[("do", "loop")]).await;
    let many: Vec<_> = (0..2_000).map(|n| n.to_string()).collect();
    let began = std::time::Instant::now();
    let produced = send(&broker, 0, batch(&many)).await.unwrap();
    // Half a minute is what a client waits for an ack.
    assert!(began.elapsed() < std::time::Duration::from_secs(25));
    let results = results(&produced);
    assert!(
        results.rejected() > 1_900,
        "what was not tried is not dropped in silence"
    );
    assert!(results.rejections.iter().all(|rejection| rejection.retriable));
    broker.shutdown().await;
}

#[tokio::test]
async fn batches_of_a_partition_keep_their_order() {
    let broker = with(2, &[("a", 3)], &["json-filter"]).await;
    guard(
        &broker,
        "json-filter",
        OnError::Pause,
        &[("field", "n"), ("op", "exists")],
    )
    .await;
    let topic = broker.topic("a").unwrap();
    let mut tickets = Vec::new();
    for n in 0..300 {
        // Some have a record that is dropped.
        let mut sent = vec![number(n)];
        sent.extend((n % 2 == 0).then(|| "{}".to_owned()));
        tickets.push(timely(topic.produce(n % 3, batch(&sent))).await.unwrap());
    }
    for (n, ticket) in tickets.into_iter().enumerate() {
        let produced = timely(ticket).await.unwrap();
        assert_eq!(produced.base_offset, n as i64 / 3);
        assert_eq!(produced.records.is_some(), n % 2 == 0);
    }
    for partition in 0..3 {
        let expected: Vec<_> = (0..300).filter(|n| n % 3 == partition).map(number).collect();
        assert_eq!(values(&broker, "a", partition).await, expected);
    }
    broker.shutdown().await;
}

/// A batch with a producer id.
fn sequenced(base_sequence: i32, values: &[String]) -> BytesMut {
    let mut builder = BatchBuilder::new().producer(7, 0, base_sequence);
    for value in values {
        builder.push(TIME_0, None, Some(value.as_bytes()), &[]).unwrap();
    }
    BytesMut::from(bytes::Bytes::from(builder.finish().unwrap()))
}

/// The error of a batch that is refused.
async fn refusal(broker: &Broker, batch: BytesMut) -> BrokerError {
    send(broker, 0, batch).await.expect_err("it is refused")
}

fn assert_not_running(error: &BrokerError, part: &str) {
    assert_eq!(error.kind, ErrorKind::FlowNotRunning, "{error}");
    assert!(error.retriable());
    assert!(error.message.contains("flow 'f'"), "{error}");
    assert!(error.message.contains(part), "{error}");
}
