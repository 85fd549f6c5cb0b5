//! What a flow does when it cannot go on.

use std::time::Duration;

use weir_broker::{Broker, FlowSpec, FlowStatus, Pause};

use super::numbers;
use crate::support::{
    batch, no_config, on_folder, pairs, paused, populate, produce, running, timely, values, wait_for_records,
    with,
};

/// A flow of the guest that misbehaves as told, beside one that does not.
async fn hostile(broker: &Broker, guest: &str, config: &[(&str, &str)]) {
    let mut spec = FlowSpec::new("hostile", "a", [guest], ["b"]);
    spec.config = pairs(config);
    broker.create_flow(spec).await.unwrap();
    broker
        .create_flow(FlowSpec::new("good", "a", ["identity"], ["c"]))
        .await
        .unwrap();
}

const TOPICS: &[(&str, u32)] = &[("a", 1), ("b", 1), ("c", 1)];

fn place(pause: &Pause) -> (i64, Option<i64>, Option<&str>) {
    let place = pause.place.as_ref().unwrap();
    assert_eq!((place.topic.as_str(), place.partition), ("a", 0));
    (place.offset, place.last_offset, place.plugin.as_deref())
}

#[tokio::test]
async fn a_trap_pauses_its_flow_before_the_record_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let broker = on_folder(folder.path(), 1).await;
    populate(&broker, TOPICS, &["hostile", "identity"]).await;
    hostile(&broker, "hostile", &[("do", "panic"), ("at", "bad")]).await;
    produce(&broker, "a", 0, batch(&["0", "1"])).await;
    produce(&broker, "a", 0, batch(&["2", "bad"])).await;
    produce(&broker, "a", 0, batch(&["4"])).await;
    let pause = paused(&broker, "hostile").await;
    assert!(
        pause.reason.contains("told to panic") && !pause.requested,
        "{}",
        pause.reason
    );
    assert_eq!(place(&pause), (3, None, Some("hostile@1")));
    assert_eq!(pause.place.as_ref().unwrap().sample.as_deref(), Some("bad"));
    assert_eq!(
        values(&broker, "b", 0).await,
        ["0", "1", "2"],
        "what came before is done"
    );
    wait_for_records(&broker, "c", 5).await;
    assert_eq!(
        broker.describe_flow("good").await.unwrap().status,
        FlowStatus::Running
    );
    let info = broker.describe_flow("hostile").await.unwrap();
    assert_eq!(
        (
            info.partitions[0].cursor,
            info.partitions[0].lag,
            info.partitions[0].errors
        ),
        (3, 2, 1)
    );
    assert!(
        info.log.iter().any(|line| line.contains("told to panic")),
        "{:?}",
        info.log
    );
    broker.shutdown().await;
    drop(broker);

    // It stays paused over a restart, with its place; another try ends in the same way.
    let broker = on_folder(folder.path(), 1).await;
    assert_eq!(paused(&broker, "hostile").await, pause);
    assert_eq!(
        broker.describe_flow("hostile").await.unwrap().partitions[0].cursor,
        3
    );
    broker.resume_flow("hostile").await.unwrap();
    let again = paused(&broker, "hostile").await;
    assert_eq!(place(&again), place(&pause));
    assert_eq!(values(&broker, "b", 0).await, ["0", "1", "2"]);
    produce(&broker, "a", 0, batch(&["5"])).await;
    wait_for_records(&broker, "c", 6).await;
    broker.shutdown().await;
}

/// The guest, its configuration, and what the reason has to say.
type Misdeed = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

#[tokio::test]
async fn every_misdeed_pauses_the_flow_with_its_reason() {
    let cases: [Misdeed; 8] = [
        ("hostile", &[("do", "loop")], "longer than"),
        ("hostile", &[("do", "memory")], "memory"),
        ("hostile", &[("do", "recurse")], "trapped"),
        ("hostile", &[("do", "flood-bytes"), ("n", "40000000")], "bytes"),
        ("hostile", &[("do", "frame-source")], "malformed"),
        ("hostile", &[("do", "frame-truncated")], "malformed"),
        ("hostile-filter", &[("do", "short")], "malformed"),
        ("hostile-filter", &[("do", "loop")], "longer than"),
    ];
    for (guest, config, says) in cases {
        let broker = with(1, TOPICS, &[guest, "identity"]).await;
        hostile(&broker, guest, config).await;
        produce(&broker, "a", 0, batch(&["0"])).await;
        let pause = paused(&broker, "hostile").await;
        assert!(pause.reason.contains(says), "{config:?}: {}", pause.reason);
        assert_eq!(place(&pause), (0, None, Some(format!("{guest}@1").as_str())));
        wait_for_records(&broker, "c", 1).await;
        assert_eq!(values(&broker, "b", 0).await.len(), 0);
        broker.shutdown().await;
    }
}

#[tokio::test]
async fn a_record_too_large_for_the_sink_pauses_until_there_is_room() {
    let broker = with(1, TOPICS, &["identity"]).await;
    broker
        .alter_topic("b", pairs(&[("max.message.bytes", "1000")]), None)
        .await
        .unwrap();
    broker
        .create_flow(FlowSpec::new("f", "a", ["identity"], ["b"]))
        .await
        .unwrap();
    produce(&broker, "a", 0, batch(&numbers(0..200))).await;
    produce(&broker, "a", 0, batch(&["x".repeat(2_000)])).await;
    let pause = paused(&broker, "f").await;
    assert!(pause.reason.contains("max.message.bytes"), "{}", pause.reason);
    assert_eq!(place(&pause).0, 200);
    assert_eq!(
        values(&broker, "b", 0).await.len(),
        200,
        "split into batches that fit"
    );
    let minute = Duration::from_secs(60);
    let place = pause.place.as_ref();
    broker.resume_flow("f").await.unwrap();
    let info = broker.settled_flow("f", place, minute).await.unwrap();
    assert!(matches!(&info.status, FlowStatus::Paused(again) if again.place == pause.place));
    broker
        .alter_topic("b", pairs(&[("max.message.bytes", "")]), None)
        .await
        .unwrap();
    broker.resume_flow("f").await.unwrap();
    let info = broker.settled_flow("f", place, minute).await.unwrap();
    assert_eq!(
        (info.status, info.partitions[0].cursor),
        (FlowStatus::Running, 201)
    );
    wait_for_records(&broker, "b", 201).await;
    broker.shutdown().await;
}

#[tokio::test]
async fn a_deleted_topic_pauses_the_flow_until_it_is_there_again() {
    for deleted in ["a", "b"] {
        let broker = with(2, TOPICS, &["identity"]).await;
        broker
            .create_flow(FlowSpec::new("f", "a", ["identity"], ["b"]))
            .await
            .unwrap();
        produce(&broker, "a", 0, batch(&["0", "1", "2"])).await;
        wait_for_records(&broker, "b", 3).await;
        broker.delete_topic(deleted).await.unwrap();
        let pause = paused(&broker, "f").await;
        assert!(
            pause.reason.contains(&format!("'{deleted}' was deleted")),
            "{}",
            pause.reason
        );
        let error = broker.resume_flow("f").await.unwrap_err();
        assert!(error.message.contains("does not exist"), "{error}");
        broker.create_topic(deleted, 1, no_config()).await.unwrap();
        broker.resume_flow("f").await.unwrap();
        produce(&broker, "a", 0, batch(&["3"])).await;
        // A new source begins at its beginning; a new sink gets what comes after the cursor.
        let expected: &[&str] = if deleted == "a" {
            &["0", "1", "2", "3"]
        } else {
            &["3"]
        };
        wait_for_records(&broker, "b", expected.len() as i64).await;
        assert_eq!(values(&broker, "b", 0).await, expected);
        broker.shutdown().await;
    }
}

#[tokio::test]
async fn a_busy_guest_holds_up_neither_producers_nor_other_flows() {
    let mut config = crate::support::config(weir_broker::Storage::Memory, 1);
    config.limits.flow_threads = 1;
    let broker = Broker::open(config).await.unwrap();
    populate(&broker, TOPICS, &["hostile", "identity"]).await;
    hostile(&broker, "hostile", &[("do", "loop")]).await;
    produce(&broker, "a", 0, batch(&["0"])).await;
    let began = std::time::Instant::now();
    for n in 1..50 {
        produce(&broker, "a", 0, batch(&[n.to_string()])).await;
    }
    assert!(
        began.elapsed().as_millis() < 900,
        "the guest computes until its deadline of a second meanwhile"
    );
    timely(paused(&broker, "hostile")).await;
    wait_for_records(&broker, "c", 50).await;
    running(&broker, "good").await;
    broker.shutdown().await;
}
