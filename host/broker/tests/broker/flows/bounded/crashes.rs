//! Flows that come to an end, over crashes: exactly once, and exactly to the end.

use std::sync::Arc;

use weir_batch::Codec;
use weir_broker::{Backfill, Broker, FlowChange, FlowSpec, OnError, Replay};

use super::super::exactly_once::on_volume;
use super::finished;
use crate::faults::FaultyVolume;
use crate::support::{all_values, batch_with, pairs, populate, produce, wait_for_records};

const TOPICS: &[(&str, u32)] = &[("a", 3), ("b", 5), ("c", 4)];

/// Ten records for a partition of `a`, of which one contains `bad`.
fn round(partition: u32, round: u32) -> Vec<String> {
    let line = |n: u32| {
        let bad = if (n + round) % 10 == 3 { "bad" } else { "good" };
        format!("{bad}-{partition}-{round:05}-{n}")
    };
    (0..10).map(line).collect()
}

async fn produce_round(broker: &Broker, number: u32) {
    for partition in 0..3 {
        let texts = round(partition, number);
        let records = texts.iter().map(|text| (Some(text.as_str()), text.as_bytes()));
        produce(broker, "a", partition, batch_with(Codec::None, records)).await;
    }
}

fn spec() -> FlowSpec {
    let mut spec = FlowSpec::new("f", "a", ["hostile"], ["b"]);
    spec.config = pairs(&[("do", "fail"), ("at", "bad")]);
    spec.on_error = OnError::DeadLetter;
    spec
}

/// Has the broker crash again and again, until the flow is finished.
async fn crash_until_finished(
    folder: &std::path::Path,
    mut volume: Arc<FaultyVolume>,
    flow: &str,
) -> (Arc<FaultyVolume>, i64) {
    let mut crashes = 0;
    loop {
        let broker = on_volume(folder, &volume).await;
        if broker.describe_flow(flow).await.unwrap().status.name() == "finished" {
            broker.shutdown().await;
            return (volume.after_crash(), crashes);
        }
        volume.crash_after(5 + crashes * 7 % 40);
        let status = broker.wait_for_flow(flow, |status| {
            matches!(status.name(), "finished" | "waiting" | "paused")
        });
        crate::support::timely(status).await.unwrap();
        broker.shutdown().await;
        drop(broker);
        volume = volume.after_crash();
        crashes += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_and_a_replay_come_out_once() {
    let folder = tempfile::tempdir().unwrap();
    let volume = FaultyVolume::new();
    let broker = on_volume(folder.path(), &volume).await;
    populate(&broker, TOPICS, &["hostile", "identity"]).await;
    broker.create_flow(spec()).await.unwrap();
    for number in 0..60 {
        produce_round(&broker, number).await;
    }
    let source = all_values(&broker, "a").await;
    let (bad, good): (Vec<_>, Vec<_>) = source.iter().cloned().partition(|value| value.starts_with("bad"));
    wait_for_records(&broker, "b", good.len() as i64).await;
    wait_for_records(&broker, "f.dead-letter", bad.len() as i64).await;
    // From now on only those of one partition fail.
    let change = FlowChange {
        set: pairs(&[("at", "bad-1")]),
        ..FlowChange::default()
    };
    let still_bad: Vec<_> = bad
        .iter()
        .filter(|value| value.starts_with("bad-1"))
        .cloned()
        .collect();
    let passes: Vec<_> = source
        .iter()
        .filter(|value| !value.starts_with("bad-1"))
        .cloned()
        .collect();
    broker.upgrade_flow("f", change).await.unwrap();
    let backfill = Backfill {
        plugins: vec!["identity".to_owned()],
        to: vec!["c".to_owned()],
        ..Backfill::default()
    };
    // The settings are those of another plugin.
    let error = broker.backfill_flow("f", backfill.clone()).await.unwrap_err();
    assert!(error.message.contains("identity@1"), "{error}");
    broker
        .backfill_flow(
            "f",
            Backfill {
                plugins: Vec::new(),
                ..backfill
            },
        )
        .await
        .unwrap();
    broker
        .replay_flow("f", Replay::Letters { start: None })
        .await
        .unwrap();
    broker.shutdown().await;
    drop(broker);
    let volume = volume.after_crash();
    let (volume, of_backfill) = crash_until_finished(folder.path(), volume, "f.backfill").await;
    let (volume, of_replay) = crash_until_finished(folder.path(), volume, "f.replay").await;
    assert!(of_backfill + of_replay > 0, "it was to crash at least once");
    let broker = on_volume(folder.path(), &volume).await;
    finished(&broker, "f.backfill").await;
    finished(&broker, "f.replay").await;
    assert_eq!(all_values(&broker, "c").await, passes);
    assert_eq!(all_values(&broker, "f.backfill.dead-letter").await, still_bad);
    assert_eq!(all_values(&broker, "b").await, passes);
    let mut letters = [bad, still_bad].concat();
    letters.sort();
    assert_eq!(all_values(&broker, "f.dead-letter").await, letters);
    broker.shutdown().await;
}
