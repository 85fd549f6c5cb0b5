//! Flows with several sources: each is read for itself, and none is taken for another.

use std::collections::BTreeMap;

use weir_batch::Codec;
use weir_broker::{Broker, ErrorKind, FlowChange, FlowSpec, FlowStateQuery, OnError, Start};

use super::exactly_once::on_volume;
use crate::faults::FaultyVolume;
use crate::support::{
    all_values, batch, batch_with, on_folder, pairs, paused, populate, produce, values, wait_for_records,
    with,
};

/// Two sources of different numbers of partitions, and a sink of yet another one.
const TOPICS: &[(&str, u32)] = &[("a", 3), ("c", 2), ("b", 5)];

fn two(plugin: &str) -> FlowSpec {
    FlowSpec::of_sources("f", vec!["a".to_owned(), "c".to_owned()], [plugin], ["b"])
}

#[tokio::test]
async fn each_source_is_copied_and_counted_for_itself() {
    let broker = with(2, TOPICS, &["identity"]).await;
    broker.create_flow(two("identity")).await.unwrap();
    produce(&broker, "a", 1, batch(&["a1"])).await;
    produce(&broker, "c", 1, batch(&["c1", "c1"])).await;
    produce(&broker, "a", 2, batch(&["a2"])).await;
    wait_for_records(&broker, "b", 4).await;
    assert_eq!(all_values(&broker, "b").await, ["a1", "a2", "c1", "c1"]);
    broker.alter_topic("c", BTreeMap::new(), Some(3)).await.unwrap();
    produce(&broker, "c", 2, batch(&["late"])).await;
    wait_for_records(&broker, "b", 5).await;
    broker.pause_flow("f").await.unwrap();
    let info = broker.describe_flow("f").await.unwrap();
    let seen: Vec<_> = info
        .partitions
        .iter()
        .map(|p| (p.source, p.partition, p.cursor, p.records_in, p.lag))
        .collect();
    assert_eq!(
        seen,
        [
            (0, 0, 0, 0, 0),
            (0, 1, 1, 1, 0),
            (0, 2, 1, 1, 0),
            (1, 0, 0, 0, 0),
            (1, 1, 2, 2, 0),
            (1, 2, 1, 1, 0)
        ]
    );
    broker.shutdown().await;
}

#[tokio::test]
async fn a_start_holds_for_each_source_and_revisions_say_where_they_begin_in_each() {
    let folder = tempfile::tempdir().unwrap();
    let broker = on_folder(folder.path(), 2).await;
    populate(&broker, TOPICS, &["identity"]).await;
    produce(&broker, "a", 0, batch(&["old"])).await;
    produce(&broker, "c", 1, batch(&["old", "old"])).await;
    let mut spec = two("identity");
    spec.start = Start::Latest;
    broker.create_flow(spec).await.unwrap();
    produce(&broker, "a", 0, batch(&["new a"])).await;
    produce(&broker, "c", 1, batch(&["new c"])).await;
    wait_for_records(&broker, "b", 2).await;
    let change = FlowChange {
        on_error: Some(OnError::Skip),
        ..FlowChange::default()
    };
    let info = broker.upgrade_flow("f", change).await.unwrap();
    assert_eq!(info.revisions[0].from, [vec![1, 0, 0], vec![0, 2]]);
    assert_eq!(info.revisions[1].from, [vec![2, 0, 0], vec![0, 3]]);
    broker.shutdown().await;
    drop(broker);
    let broker = on_folder(folder.path(), 2).await;
    produce(&broker, "c", 0, batch(&["newer c"])).await;
    wait_for_records(&broker, "b", 3).await;
    assert_eq!(all_values(&broker, "b").await, ["new a", "new c", "newer c"]);
    broker.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let broker = with(1, TOPICS, &["identity"]).await;
    let of = |from: &[&str], to: &str| {
        let from = from.iter().map(|&name| name.to_owned()).collect();
        FlowSpec::of_sources("f", from, ["identity"], [to])
    };
    let many: Vec<String> = (0..17).map(|n| format!("t{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (spec, kind, said) in [
        (
            of(&["a", "a"], "b"),
            ErrorKind::InvalidFlow,
            "given twice as a source",
        ),
        (
            of(&["a", "x"], "b"),
            ErrorKind::UnknownTopicOrPartition,
            "no topic 'x'",
        ),
        (of(&["a", "b"], "b"), ErrorKind::InvalidFlow, "b -> b"),
        (of(&["b", "a"], "b"), ErrorKind::InvalidFlow, "b -> b"),
        (of(&[], "b"), ErrorKind::InvalidFlow, "needs a topic to read"),
        (
            of(&many, "b"),
            ErrorKind::InvalidFlow,
            "can read 16 topics, not 17",
        ),
    ] {
        let error = broker.create_flow(spec).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(said), "{error}");
    }
    // Over another flow that reads several.
    broker.create_flow(of(&["a", "c"], "b")).await.unwrap();
    let back = FlowSpec::new("back", "b", ["identity"], ["c"]);
    let error = broker.create_flow(back).await.unwrap_err();
    assert!(error.message.contains("b -> c -> b"), "{error}");
    broker.shutdown().await;
}

#[tokio::test]
async fn each_source_that_is_deleted_pauses_the_flow() {
    for gone in ["a", "c"] {
        let broker = with(1, TOPICS, &["identity"]).await;
        broker.create_flow(two("identity")).await.unwrap();
        broker.delete_topic(gone).await.unwrap();
        let pause = paused(&broker, "f").await;
        assert!(
            pause.reason.contains(&format!("topic '{gone}' was deleted")),
            "{}",
            pause.reason
        );
        // The topic made anew is read from its first record on; the other source goes on where it was.
        broker.create_topic(gone, 1, BTreeMap::new()).await.unwrap();
        produce(&broker, gone, 0, batch(&["anew"])).await;
        broker.resume_flow("f").await.unwrap();
        wait_for_records(&broker, "b", 1).await;
        assert_eq!(all_values(&broker, "b").await, ["anew"]);
        broker.shutdown().await;
    }
}

#[tokio::test]
async fn state_is_kept_for_each_source() {
    let broker = with(2, TOPICS, &["count-by-key"]).await;
    broker.create_flow(two("count-by-key")).await.unwrap();
    let keyed = |n: usize| batch_with(Codec::None, vec![(Some("k"), b"v".as_slice()); n]);
    produce(&broker, "a", 0, keyed(2)).await;
    produce(&broker, "c", 0, keyed(3)).await;
    wait_for_records(&broker, "b", 5).await;
    let counts = [1, 1, 2, 2, 3].map(|n| format!("{{\"key\":\"k\",\"count\":{n}}}"));
    assert_eq!(all_values(&broker, "b").await, counts);
    // The state is written last.
    broker.pause_flow("f").await.unwrap();
    let query = |topic: Option<&str>| FlowStateQuery {
        topic: topic.map(str::to_owned),
        rows_max: 10,
        ..FlowStateQuery::default()
    };
    for (topic, partitions) in [("a", 3), ("c", 2)] {
        let page = broker.flow_state("f", query(Some(topic))).await.unwrap();
        assert_eq!((page.rows.len(), page.totals.len()), (1, partitions), "{topic}");
    }
    for (topic, said) in [(None, "name one of a, c"), (Some("b"), "it reads a, c")] {
        let error = broker.flow_state("f", query(topic)).await.unwrap_err();
        assert!(error.message.contains(said), "{error}");
    }
    broker.shutdown().await;
}

#[tokio::test]
async fn dead_letters_and_pauses_name_the_source() {
    let broker = with(2, TOPICS, &["hostile"]).await;
    let mut spec = two("hostile");
    spec.config = pairs(&[("do", "trap"), ("at", "bad")]);
    spec.on_error = OnError::DeadLetter;
    broker.create_flow(spec.clone()).await.unwrap();
    produce(&broker, "c", 1, batch(&["good", "bad"])).await;
    wait_for_records(&broker, "b", 1).await;
    let letters = {
        while broker.topic("f.dead-letter").is_err() {
            tokio::task::yield_now().await;
        }
        wait_for_records(&broker, "f.dead-letter", 1).await;
        broker.topic("f.dead-letter").unwrap()
    };
    assert_eq!(letters.partitions(), 3, "as many as the larger source");
    let fetched = letters.partition(1).unwrap().fetch(0, 1 << 20).await.unwrap();
    let letter = weir_batch::Batch::parse(&fetched.batches).unwrap();
    let letter = letter.records().unwrap().next().unwrap();
    let headers: BTreeMap<String, String> = letter
        .headers()
        .map(|(key, value)| {
            (
                key.to_owned(),
                String::from_utf8(value.unwrap().to_vec()).unwrap(),
            )
        })
        .collect();
    assert_eq!(
        (headers["weir-topic"].as_str(), headers["weir-partition"].as_str()),
        ("c", "1")
    );
    broker.delete_flow("f").await.unwrap();
    spec.on_error = OnError::Pause;
    broker.create_flow(spec).await.unwrap();
    let place = paused(&broker, "f").await.place.unwrap();
    assert_eq!((place.topic.as_str(), place.partition, place.offset), ("c", 1, 1));
    broker.shutdown().await;
}

#[tokio::test]
async fn a_dry_run_takes_records_of_all_sources() {
    let broker = with(2, TOPICS, &["hostile"]).await;
    let mut spec = two("hostile");
    spec.config = pairs(&[("do", "trap"), ("at", "bad")]);
    for partition in 0..3 {
        produce(&broker, "a", partition, batch(&["x", "y"])).await;
    }
    produce(&broker, "c", 1, batch(&["x", "bad"])).await;
    let found = broker.dry_run_new_flow(spec, 100, false).await.unwrap();
    assert_eq!((found.tried.records_in, found.tried.failed), (8, 1));
    let failure = &found.tried.failures[0];
    assert_eq!(
        (failure.topic.as_str(), failure.partition, failure.offset),
        ("c", 1, 1)
    );
    broker.shutdown().await;
}

/// Sources with the same partition indices, of which one crash after the other leaves outputs in part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_comes_out_once_over_crashes_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let mut volume = FaultyVolume::new();
    let mut round = 0;
    for crash in 0..20_i64 {
        let broker = on_volume(folder.path(), &volume).await;
        if crash == 0 {
            populate(&broker, TOPICS, &["identity"]).await;
            broker.create_flow(two("identity")).await.unwrap();
        }
        volume.crash_after(5 + crash * 53 % 400);
        let mut lives = true;
        while lives {
            for (topic, partitions) in [("a", 3), ("c", 2)] {
                for partition in 0..partitions {
                    lives &= try_produce(&broker, topic, partition, round).await;
                }
            }
            round += 1;
        }
        broker.shutdown().await;
        drop(broker);
        volume = volume.after_crash();
    }
    let broker = on_volume(folder.path(), &volume).await;
    let mut sources = all_values(&broker, "a").await;
    sources.extend(all_values(&broker, "c").await);
    sources.sort();
    assert!(sources.len() > 1_000, "{} records", sources.len());
    wait_for_records(&broker, "b", sources.len() as i64).await;
    broker.pause_flow("f").await.unwrap();
    assert_eq!(all_values(&broker, "b").await, sources);
    for partition in 0..5 {
        assert_in_order(&values(&broker, "b", partition).await);
    }
    broker.shutdown().await;
}

/// Values are `TOPIC-PARTITION-ROUND-INDEX`, and spread over all sink partitions by their keys.
async fn try_produce(broker: &Broker, topic: &str, partition: u32, round: u32) -> bool {
    let texts: Vec<String> = (0..20)
        .map(|index| format!("{topic}-{partition}-{round:05}-{index:02}"))
        .collect();
    let records = texts.iter().map(|text| (Some(text.as_str()), text.as_bytes()));
    let batch = batch_with(Codec::None, records);
    match broker.topic(topic).unwrap().produce(partition, batch).await {
        Ok(ticket) => ticket.await.is_ok(),
        Err(_) => false,
    }
}

/// What came from one source partition is in its order.
fn assert_in_order(values: &[String]) {
    let mut last: BTreeMap<&str, &str> = BTreeMap::new();
    for value in values {
        let (lane, place) = value.split_at("a-0-".len());
        if let Some(before) = last.insert(lane, place) {
            assert!(before < place, "{value} came after {before}");
        }
    }
}
