//! Flows whose plugins keep state: state and outputs are always of the same records.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use weir_batch::Codec;
use weir_broker::{Broker, DataFolder, ErrorKind, FlowSpec, FlowStateQuery, OnError, Storage};

use crate::faults::FaultyVolume;
use crate::support::{
    TIME_0, all_values, batch_with, config, pairs, paused, populate, produce, timely, values,
    wait_for_records, with,
};

const SOURCES: u32 = 3;
const SINKS: u32 = 5;
/// Keys of each source partition.
const KEYS: u64 = 7;

async fn on_volume(folder: &Path, volume: &Arc<FaultyVolume>) -> Broker {
    let data = DataFolder::open(folder).unwrap();
    let mut config = config(Storage::Folder(data), 3);
    config.log_storage = Some(weir_log::Storage::Volume(
        Arc::clone(volume) as Arc<dyn weir_log::volume::Volume>
    ));
    // Small passes, so that crashes come between many of them.
    config.limits.flow_pass_bytes_max = 2_000;
    Broker::open(config).await.unwrap()
}

/// A batch for `partition`; its keys are those of no other partition.
fn keyed(partition: u32, round: u64) -> bytes::BytesMut {
    let keys: Vec<String> = (0..20)
        .map(|index| format!("{partition}-{}", (round * 31 + index * index) % KEYS))
        .collect();
    batch_with(
        Codec::None,
        keys.iter().map(|key| (Some(key.as_str()), key.as_bytes())),
    )
}

/// What a count of these values, one for each record, writes: each key with 1, 2, 3, ...
fn counted(source: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let outputs = source.iter().map(|key| {
        let count = counts.entry(key).or_default();
        *count += 1;
        format!("{{\"key\":\"{key}\",\"count\":{count}}}")
    });
    let mut outputs: Vec<_> = outputs.collect();
    outputs.sort();
    outputs
}

async fn assert_in_order(broker: &Broker) {
    for partition in 0..SINKS {
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        for value in values(broker, "b", partition).await {
            let (key, count) = value.rsplit_once(':').unwrap();
            let count: u64 = count.trim_end_matches('}').parse().unwrap();
            let before = last.insert(key.to_owned(), count).unwrap_or(0);
            assert_eq!(before + 1, count, "{key}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_are_right_over_crashes_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let mut volume = FaultyVolume::new();
    let mut round = 0;
    for crash in 0..40_i64 {
        let broker = on_volume(folder.path(), &volume).await;
        if crash == 0 {
            populate(&broker, &[("a", SOURCES), ("b", SINKS)], &["count-by-key"]).await;
            broker
                .create_flow(FlowSpec::new("f", "a", ["count-by-key"], ["b"]))
                .await
                .unwrap();
        }
        // Early ones hit recovery, late ones the steady state.
        volume.crash_after(5 + crash * 37 % 400);
        'produce: loop {
            for partition in 0..SOURCES {
                let topic = broker.topic("a").unwrap();
                let stored = match topic.produce(partition, keyed(partition, round)).await {
                    Ok(ticket) => ticket.await.is_ok(),
                    Err(_) => false,
                };
                if !stored {
                    break 'produce;
                }
            }
            round += 1;
        }
        round += 1;
        broker.shutdown().await;
        drop(broker);
        volume = volume.after_crash();
    }
    let broker = on_volume(folder.path(), &volume).await;
    let source = all_values(&broker, "a").await;
    assert!(source.len() > 1_000, "{} records are there", source.len());
    wait_for_records(&broker, "b", source.len() as i64).await;
    broker.pause_flow("f").await.unwrap();
    assert_eq!(all_values(&broker, "b").await, counted(&source));
    assert_in_order(&broker).await;
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_go_on_over_pauses_restarts_and_growing_sinks() {
    let folder = tempfile::tempdir().unwrap();
    let volume = FaultyVolume::new();
    let mut broker = on_volume(folder.path(), &volume).await;
    populate(&broker, &[("a", SOURCES), ("b", 1)], &["count-by-key"]).await;
    broker
        .create_flow(FlowSpec::new("f", "a", ["count-by-key"], ["b"]))
        .await
        .unwrap();
    for round in 0..60 {
        for partition in 0..SOURCES {
            let topic = broker.topic("a").unwrap();
            topic
                .produce(partition, keyed(partition, round))
                .await
                .unwrap()
                .await
                .unwrap();
        }
        match round % 12 {
            3 => {
                let partitions = Some(1 + round as u32 / 12);
                broker
                    .alter_topic("b", BTreeMap::new(), partitions)
                    .await
                    .unwrap();
            }
            6 => {
                broker.pause_flow("f").await.unwrap();
                broker.resume_flow("f").await.unwrap();
            }
            9 => {
                broker.shutdown().await;
                drop(broker);
                broker = on_volume(folder.path(), &volume).await;
            }
            _ => {}
        }
    }
    let source = all_values(&broker, "a").await;
    wait_for_records(&broker, "b", source.len() as i64).await;
    assert_eq!(all_values(&broker, "b").await, counted(&source));
    broker.shutdown().await;
}

/// A batch with these keys, all of the time `time_ms`.
fn keyed_at(time_ms: i64, keys: &[&str]) -> bytes::BytesMut {
    let mut builder = weir_batch::BatchBuilder::new();
    for key in keys {
        let value = format!("{key}@{time_ms}");
        builder
            .push(time_ms, Some(key.as_bytes()), Some(value.as_bytes()), &[])
            .unwrap();
    }
    bytes::BytesMut::from(bytes::Bytes::from(builder.finish().unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duplicates_are_left_out_until_their_time_is_over() {
    let broker = with(2, &[("a", 1), ("b", 1)], &["dedup"]).await;
    let mut spec = FlowSpec::new("f", "a", ["dedup"], ["b"]);
    spec.config = pairs(&[("ttl-ms", "1000")]);
    broker.create_flow(spec).await.unwrap();
    produce(&broker, "a", 0, keyed_at(TIME_0, &["x", "y", "x"])).await;
    produce(&broker, "a", 0, keyed_at(TIME_0 + 999, &["x", "z"])).await;
    produce(&broker, "a", 0, keyed_at(TIME_0 + 1_000, &["x", "z"])).await;
    wait_for_records(&broker, "b", 4).await;
    // Over a restart of the flow, too.
    broker.pause_flow("f").await.unwrap();
    broker.resume_flow("f").await.unwrap();
    produce(&broker, "a", 0, keyed_at(TIME_0 + 1_998, &["x", "z"])).await;
    produce(&broker, "a", 0, keyed_at(TIME_0 + 5_000, &["end"])).await;
    wait_for_records(&broker, "b", 5).await;
    let at = |key: &str, ms: i64| format!("{key}@{}", TIME_0 + ms);
    let expected = [
        at("x", 0),
        at("y", 0),
        at("z", 999),
        at("x", 1_000),
        at("end", 5_000),
    ];
    // z of 999 is remembered until 1,999.
    assert_eq!(values(&broker, "b", 0).await, expected);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_brings_the_state_over_its_limit_is_dealt_with_as_the_flow_says() {
    for on_error in [OnError::Pause, OnError::Skip] {
        let mut config = config(Storage::Memory, 2);
        // Room for some keys and their counts.
        config.limits.flow_state_bytes_max = 250;
        let broker = Broker::open(config).await.unwrap();
        populate(&broker, &[("a", 1), ("b", 1)], &["count-by-key"]).await;
        let mut spec = FlowSpec::new("f", "a", ["count-by-key"], ["b"]);
        spec.on_error = on_error;
        broker.create_flow(spec).await.unwrap();
        let keys: Vec<String> = (0..30).map(|n| format!("key-{n:02}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        if on_error == OnError::Pause {
            produce(&broker, "a", 0, keyed_at(TIME_0, &keys)).await;
            let pause = paused(&broker, "f").await;
            assert!(pause.reason.contains("and may have 250"), "{}", pause.reason);
            let place = pause.place.unwrap();
            assert_eq!(place.plugin.as_deref(), Some("count-by-key@1"));
            let done = values(&broker, "b", 0).await.len() as i64;
            assert_eq!(place.offset, done, "what there was room for is counted");
            assert!((2..30).contains(&done), "{done}");
        } else {
            produce(&broker, "a", 0, keyed_at(TIME_0, &keys)).await;
            // What there is a count of already goes on being counted.
            produce(&broker, "a", 0, keyed_at(TIME_0, &keys[..1])).await;
            let counted_twice = r#"{"key":"key-00","count":2}"#;
            timely(async {
                let mut watch = broker.topic("b").unwrap().partition(0).unwrap().watch();
                while !values(&broker, "b", 0).await.contains(&counted_twice.to_owned()) {
                    watch.changed().await.unwrap();
                }
            })
            .await;
            let info = broker.pause_flow("f").await.unwrap();
            assert!(info.partitions[0].skipped > 0);
        }
        broker.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_traps_leaves_no_state_behind_it() {
    let broker = with(2, &[("a", 1), ("b", 1)], &["count-by-key", "hostile"]).await;
    // The counter is first and has counted the whole batch each time the second plugin traps at one of its records.
    let mut spec = FlowSpec::new("f", "a", ["count-by-key", "hostile"], ["b"]);
    spec.on_error = OnError::Skip;
    spec.config = pairs(&[("hostile.do", "panic"), ("hostile.at", "bad")]);
    broker.create_flow(spec).await.unwrap();
    produce(
        &broker,
        "a",
        0,
        keyed_at(TIME_0, &["k", "k", "bad", "k", "l", "bad", "k"]),
    )
    .await;
    produce(&broker, "a", 0, keyed_at(TIME_0, &["k", "l"])).await;
    let counts = [
        ("k", 1),
        ("k", 2),
        ("k", 3),
        ("l", 1),
        ("k", 4),
        ("k", 5),
        ("l", 2),
    ];
    let expected = counts.map(|(key, count)| format!("{{\"key\":\"{key}\",\"count\":{count}}}"));
    wait_for_records(&broker, "b", expected.len() as i64).await;
    assert_eq!(values(&broker, "b", 0).await, expected);
    // Once it stands still, everything is counted.
    let info = broker.pause_flow("f").await.unwrap();
    assert_eq!(info.partitions[0].skipped, 2);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_is_shown_page_by_page() {
    let broker = with(2, &[("a", 2), ("b", 1)], &["count-by-key", "dedup"]).await;
    let mut spec = FlowSpec::new("f", "a", ["dedup", "count-by-key"], ["b"]);
    spec.config = pairs(&[("dedup.ttl-ms", "1000")]);
    broker.create_flow(spec).await.unwrap();
    let keys: Vec<String> = (0..30).map(|n| format!("key-{n:02}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    produce(&broker, "a", 0, keyed_at(TIME_0, &keys[..10])).await;
    produce(&broker, "a", 1, keyed_at(TIME_0, &keys)).await;
    wait_for_records(&broker, "b", 40).await;
    broker.pause_flow("f").await.unwrap();

    let mut seen = Vec::new();
    let mut query = FlowStateQuery {
        rows_max: 7,
        ..FlowStateQuery::default()
    };
    loop {
        let page = broker.flow_state("f", query.clone()).await.unwrap();
        assert!(page.rows.len() <= 7);
        let totals: Vec<_> = page.totals.iter().map(|of| (of.partition, of.rows)).collect();
        assert_eq!(totals, [(0, 20), (1, 60)]);
        query.after = page.rows.last().map(|row| row.place.clone());
        seen.extend(page.rows);
        if !page.more {
            break;
        }
    }
    let of = |partition: u32, plugin: &str| {
        let rows = seen.iter();
        rows.filter(|row| row.place.partition == partition && row.place.plugin == plugin)
            .count()
    };
    assert_eq!([of(0, "dedup"), of(0, "count-by-key")], [10, 10]);
    assert_eq!([of(1, "dedup"), of(1, "count-by-key")], [30, 30]);
    assert_eq!(seen.len(), 80);
    for row in &seen {
        let expires_ms = (row.place.plugin == "dedup").then_some(TIME_0 + 1_000);
        assert_eq!(row.expires_ms, expires_ms);
    }

    let one = FlowStateQuery {
        topic: None,
        partition: Some(1),
        plugin: Some("count-by-key".to_owned()),
        prefix: b"count/key-1".to_vec(),
        rows_max: 100,
        after: None,
    };
    let page = broker.flow_state("f", one.clone()).await.unwrap();
    assert_eq!((page.rows.len(), page.more, page.totals.len()), (10, false, 1));
    let other = FlowStateQuery {
        plugin: Some("other".to_owned()),
        ..one.clone()
    };
    let refused = broker.flow_state("f", other).await.unwrap_err();
    assert!(refused.message.contains("dedup, count-by-key"), "{refused}");
    let beyond = FlowStateQuery {
        partition: Some(2),
        ..one
    };
    let refused = broker.flow_state("f", beyond).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::UnknownTopicOrPartition);
    broker.shutdown().await;
}

/// Pairs of any shard whose keys begin with `prefix`.
fn stored(volume: &Arc<FaultyVolume>, prefix: &str) -> usize {
    let storage = weir_log::Storage::Volume(Arc::clone(volume) as Arc<dyn weir_log::volume::Volume>);
    let log = weir_log::Log::open(storage, weir_log::LogConfig::default()).unwrap();
    let pairs = (0..log.shards()).map(|shard| log.kv_scan(shard, prefix.as_bytes()).unwrap().len());
    let pairs = pairs.sum();
    log.close();
    pairs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_that_is_deleted_takes_its_state_along() {
    let folder = tempfile::tempdir().unwrap();
    let volume = FaultyVolume::new();
    let broker = on_volume(folder.path(), &volume).await;
    populate(&broker, &[("a", SOURCES), ("b", 1), ("c", 1)], &["count-by-key"]).await;
    for (flow, to) in [("f", "b"), ("g", "c")] {
        let spec = FlowSpec::new(flow, "a", ["count-by-key"], [to]);
        broker.create_flow(spec).await.unwrap();
    }
    for partition in 0..SOURCES {
        produce(&broker, "a", partition, keyed(partition, 0)).await;
    }
    let records = i64::from(SOURCES) * 20;
    wait_for_records(&broker, "b", records).await;
    wait_for_records(&broker, "c", records).await;
    broker.delete_flow("f").await.unwrap();
    broker.shutdown().await;
    drop(broker);
    let (rows, totals) = (stored(&volume, "state/"), stored(&volume, "state-size/"));
    assert!(rows > SOURCES as usize, "{rows} rows of g are there");
    assert_eq!(totals, SOURCES as usize);
    assert_eq!(
        (stored(&volume, "state/1/"), stored(&volume, "state-size/1/")),
        (0, 0)
    );

    // A flow of the same name begins anew.
    let broker = on_volume(folder.path(), &volume).await;
    broker
        .create_flow(FlowSpec::new("f", "a", ["count-by-key"], ["b"]))
        .await
        .unwrap();
    wait_for_records(&broker, "b", 2 * records).await;
    broker.pause_flow("f").await.unwrap();
    let mut twice = counted(&all_values(&broker, "a").await);
    twice.extend(twice.clone());
    twice.sort();
    assert_eq!(all_values(&broker, "b").await, twice);
    broker.shutdown().await;
}
