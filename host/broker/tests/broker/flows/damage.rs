//! A damaged file of the log: the broker starts, says what is lost, and leaves it to the user what flows do about it.

use std::path::Path;

use weir_broker::{ErrorKind, FlowSpec, FlowStatus};

use super::spec;
use crate::support::{batch, on_folder, paused, populate, produce, running, values, wait_for_records};

/// Overwrites the first page of the segment that is written to.
fn damage(folder: &Path) {
    let path = folder.join("shards/shard-00/segment-0000000001-0000.redb");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[..4096].fill(0);
    std::fs::write(&path, bytes).unwrap();
}

#[tokio::test]
async fn flows_whose_cursors_may_be_lost_pause_once_and_offsets_are_not_given_twice() {
    let folder = tempfile::tempdir().unwrap();
    let broker = on_folder(folder.path(), 1).await;
    populate(&broker, &[("a", 1), ("b", 1)], &["identity"]).await;
    broker.create_flow(spec(&["identity"])).await.unwrap();
    produce(&broker, "a", 0, batch(&["0", "1"])).await;
    wait_for_records(&broker, "b", 2).await;
    broker.shutdown().await;
    drop(broker);
    damage(folder.path());

    let broker = on_folder(folder.path(), 1).await;
    let pause = paused(&broker, "f").await;
    assert!(
        !pause.requested && pause.reason.contains("damaged file"),
        "{}",
        pause.reason
    );
    let topic = broker.topic("a").unwrap();
    let info = topic.info().partitions[0];
    let lost = info.damaged.unwrap();
    assert_eq!((lost.from, lost.to, lost.stretches), (0, info.high_watermark, 1));
    let error = topic.partition(0).unwrap().fetch(0, 1 << 20).await.unwrap_err();
    assert_eq!((error.kind, error.offset), (ErrorKind::CorruptMessage, Some(0)));
    assert!(error.message.contains(".redb.damaged"), "{}", error.message);
    assert_eq!(produce(&broker, "a", 0, batch(&["2"])).await, lost.to);
    // What is new has nothing to do with it.
    populate(&broker, &[("c", 1), ("d", 1)], &[]).await;
    let other = FlowSpec::new("g", "c", ["identity"], ["d"]);
    broker.create_flow(other).await.unwrap();
    produce(&broker, "c", 0, batch(&["x"])).await;
    wait_for_records(&broker, "d", 1).await;
    assert_eq!(values(&broker, "d", 0).await, ["x"]);
    broker.shutdown().await;
    drop(broker);

    let broker = on_folder(folder.path(), 1).await;
    running(&broker, "g").await;
    assert_eq!(paused(&broker, "f").await.reason, pause.reason);
    // The hole is the source's: the flow goes on behind it when it is told to begin there.
    broker.resume_flow("f").await.unwrap();
    let pause = paused(&broker, "f").await;
    assert!(pause.reason.contains("lost with"), "{}", pause.reason);
    let mut behind = spec(&["identity"]);
    behind.name = "h".to_owned();
    behind.start = weir_broker::Start::Offset(lost.to);
    let made = broker.create_flow(behind).await.unwrap();
    assert!(!matches!(made.status, FlowStatus::Paused(_)));
    wait_for_records(&broker, "b", lost.to + 1).await;
    broker.shutdown().await;
}
