//! Every record comes out once, whatever happens.

use std::path::Path;
use std::sync::Arc;

use weir_batch::Codec;
use weir_broker::{Broker, DataFolder, FlowSpec, FlowStatus, Storage};

use crate::faults::FaultyVolume;
use crate::support::{
    all_values, batch_with, config, on_folder, populate, produce, timely, wait_for_records, with,
};

const SOURCES: u32 = 3;
const SINKS: u32 = 5;

/// Produces batch `n` to every source partition; keys spread the records over all sink partitions and shards.
async fn produce_round(broker: &Broker, n: u32) {
    for partition in 0..SOURCES {
        let texts: Vec<String> = (0..20)
            .map(|index| format!("{partition}-{n:04}-{index:02}"))
            .collect();
        let records = texts.iter().map(|text| (Some(text.as_str()), text.as_bytes()));
        produce(broker, "a", partition, batch_with(Codec::None, records)).await;
    }
}

fn expected(rounds: u32) -> Vec<String> {
    let mut all: Vec<String> = (0..SOURCES)
        .flat_map(|p| (0..rounds).flat_map(move |n| (0..20).map(move |i| format!("{p}-{n:04}-{i:02}"))))
        .collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_restarts_and_across_shards() {
    let folder = tempfile::tempdir().unwrap();
    let mut rounds = 0;
    for restart in 0..6 {
        let broker = on_folder(folder.path(), 3).await;
        if restart == 0 {
            populate(&broker, &[("a", SOURCES), ("b", SINKS)], &["identity"]).await;
            broker
                .create_flow(FlowSpec::new("f", "a", ["identity"], ["b"]))
                .await
                .unwrap();
        }
        for _ in 0..10 {
            produce_round(&broker, rounds).await;
            rounds += 1;
        }
        // In the midst of it, not at its end.
        broker.shutdown().await;
    }
    let broker = on_folder(folder.path(), 3).await;
    let records = expected(rounds);
    wait_for_records(&broker, "b", records.len() as i64).await;
    broker.pause_flow("f").await.unwrap();
    assert_eq!(all_values(&broker, "b").await, records);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_pauses_and_growing_sinks() {
    let broker = with(3, &[("a", SOURCES), ("b", 1)], &["identity"]).await;
    broker
        .create_flow(FlowSpec::new("f", "a", ["identity"], ["b"]))
        .await
        .unwrap();
    for n in 0..40 {
        produce_round(&broker, n).await;
        if n % 5 == 2 {
            broker
                .alter_topic("b", Default::default(), Some(1 + n / 5))
                .await
                .unwrap();
        }
        if n % 5 == 4 {
            broker.pause_flow("f").await.unwrap();
            broker.resume_flow("f").await.unwrap();
        }
    }
    let records = expected(40);
    wait_for_records(&broker, "b", records.len() as i64).await;
    broker.pause_flow("f").await.unwrap();
    assert_eq!(all_values(&broker, "b").await, records);
    broker.shutdown().await;
}

/// Opens the broker with its metadata in `folder` and its partitions on `volume`.
pub(super) async fn on_volume(folder: &Path, volume: &Arc<FaultyVolume>) -> Broker {
    let data = DataFolder::open(folder).unwrap();
    let mut config = config(Storage::Folder(data), 3);
    config.log_storage = Some(weir_log::Storage::Volume(
        Arc::clone(volume) as Arc<dyn weir_log::volume::Volume>
    ));
    Broker::open(config).await.unwrap()
}

/// The source is written with keys and without, and everything acknowledged has to be there, so that what the source
/// holds in the end is known; the sink has to be its copy, record for record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_crashes_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let mut volume = FaultyVolume::new();
    let mut round = 0;
    let mut acknowledged = Vec::new();
    for crash in 0..30_i64 {
        let broker = on_volume(folder.path(), &volume).await;
        if crash == 0 {
            populate(&broker, &[("a", SOURCES), ("b", SINKS)], &["identity"]).await;
            broker
                .create_flow(FlowSpec::new("f", "a", ["identity"], ["b"]))
                .await
                .unwrap();
        }
        // Early ones hit recovery, late ones the steady state.
        volume.crash_after(5 + crash * 37 % 400);
        'produce: loop {
            for partition in 0..SOURCES {
                let texts: Vec<String> = (0..20)
                    .map(|index| format!("{partition}-{round:04}-{index:02}"))
                    .collect();
                let records = texts.iter().map(|text| (Some(text.as_str()), text.as_bytes()));
                let batch = batch_with(Codec::None, records);
                let topic = broker.topic("a").unwrap();
                let stored = match topic.produce(partition, batch).await {
                    Ok(ticket) => ticket.await.is_ok(),
                    Err(_) => false,
                };
                if !stored {
                    break 'produce;
                }
                acknowledged.extend(texts);
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
    wait_for_records(&broker, "b", source.len() as i64).await;
    broker.pause_flow("f").await.unwrap();
    let sink = all_values(&broker, "b").await;
    assert_eq!(sink, source);
    let source: std::collections::BTreeSet<_> = source.into_iter().collect();
    assert!(acknowledged.iter().all(|text| source.contains(text)));
    assert!(
        acknowledged.len() > 1_000,
        "{} records were acknowledged",
        acknowledged.len()
    );
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_full_disk_that_gets_room_again() {
    let folder = tempfile::tempdir().unwrap();
    let volume = FaultyVolume::new();
    let broker = on_volume(folder.path(), &volume).await;
    populate(&broker, &[("a", SOURCES), ("b", SINKS)], &["identity"]).await;
    broker
        .create_flow(FlowSpec::new("f", "a", ["identity"], ["b"]))
        .await
        .unwrap();
    let mut rounds = 0;
    for _ in 0..3 {
        // A backlog, so that the flow has something to write while there is no room.
        broker.pause_flow("f").await.unwrap();
        for _ in 0..20 {
            produce_round(&broker, rounds).await;
            rounds += 1;
        }
        volume.set_full(true);
        broker.resume_flow("f").await.unwrap();
        let waits = |status: &FlowStatus| {
            assert!(
                !matches!(status, FlowStatus::Paused(pause) if !pause.requested),
                "{status:?}"
            );
            matches!(status, FlowStatus::Waiting { .. })
        };
        let status = timely(broker.wait_for_flow("f", waits)).await.unwrap();
        let FlowStatus::Waiting { reason } = status else {
            panic!("{status:?}")
        };
        assert!(reason.contains("no room"), "{reason}");
        let topic = broker.topic("a").unwrap();
        let refused = match topic
            .produce(0, batch_with(Codec::None, [(None, b"x".as_slice())]))
            .await
        {
            Ok(ticket) => ticket.await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(refused.unwrap_err().retriable());
        assert_eq!(
            all_values(&broker, "a").await.len(),
            expected(rounds).len(),
            "reading goes on"
        );
        volume.set_full(false);
        wait_for_records(&broker, "b", expected(rounds).len() as i64).await;
    }
    broker.pause_flow("f").await.unwrap();
    assert_eq!(all_values(&broker, "b").await, expected(rounds));
    broker.shutdown().await;
}
