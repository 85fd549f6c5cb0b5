//! Flows whose plugins keep state: state and outputs are always of the same records.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use weir_batch::Codec;
use weir_broker::{Broker, DataFolder, FlowSpec, Storage};

use crate::faults::FaultyVolume;
use crate::support::{all_values, batch_with, config, populate, timely, values, wait_for_records, with};

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
