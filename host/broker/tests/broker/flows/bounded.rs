//! Backfills and replays: flows that come to an end, exactly where they are to.

mod crashes;
mod refusals;
mod replays;

use weir_broker::{
    Backfill, BoundedKind, Broker, ErrorKind, FlowBounded, FlowInfo, FlowSpec, FlowStatus, Replay, Start,
    Until,
};

use crate::support::{
    TIME_0, all_values, batch, no_config, on_folder, pairs, paused, populate, produce, running, timely,
    values, wait_for_records, with,
};

const TOPICS: &[(&str, u32)] = &[("a", 2), ("b", 2), ("c", 1)];

/// Waits until the flow is finished.
pub(super) async fn finished(broker: &Broker, flow: &str) -> FlowInfo {
    let pause = paused(broker, flow).await;
    assert!(pause.finished && pause.requested, "{pause:?}");
    let info = broker.describe_flow(flow).await.unwrap();
    assert_eq!(info.status.name(), "finished");
    info
}

fn lines(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("{n:03}")).collect()
}

/// A flow `f` that copies `a` to `b`, with ten records in each partition of `a`, all of them copied.
async fn copied() -> Broker {
    let broker = with(2, TOPICS, &["identity", "count-by-key"]).await;
    broker
        .create_flow(FlowSpec::new("f", "a", ["identity"], ["b"]))
        .await
        .unwrap();
    for partition in 0..2 {
        produce(&broker, "a", partition, batch(&lines(0..10))).await;
    }
    wait_for_records(&broker, "b", 20).await;
    broker
}

fn to_c(backfill: Backfill) -> Backfill {
    Backfill {
        to: vec!["c".to_owned()],
        ..backfill
    }
}

#[tokio::test]
async fn a_backfill_ends_and_leaves_the_running_flow_alone() {
    let broker = copied().await;
    let made = broker
        .backfill_flow("f", to_c(Backfill::default()))
        .await
        .unwrap();
    assert_eq!(made.spec.name, "f.backfill");
    assert_eq!(
        made.bounded,
        Some(FlowBounded {
            of: "f".to_owned(),
            kind: BoundedKind::Backfill
        })
    );
    let info = finished(&broker, "f.backfill").await;
    let seen: Vec<_> = info
        .partitions
        .iter()
        .map(|p| (p.cursor, p.end, p.until, p.lag))
        .collect();
    assert_eq!(seen, [(10, 10, Some(10), 0); 2]);
    assert_eq!(info.partitions[0].records_in, 10);
    // What comes later is for the running flow alone.
    produce(&broker, "a", 0, batch(&["later"])).await;
    wait_for_records(&broker, "b", 21).await;
    running(&broker, "f").await;
    assert_eq!(all_values(&broker, "c").await.len(), 20);
    let info = broker.describe_flow("f.backfill").await.unwrap();
    assert_eq!((info.partitions[0].end, info.partitions[0].lag), (10, 0));
    assert!(broker.describe_flow("f").await.unwrap().bounded.is_none());

    // Each further one has a name of its own.
    for name in ["f.backfill-2", "f.backfill-3"] {
        let made = broker.backfill_flow("f", Backfill::default()).await.unwrap();
        assert_eq!(made.spec.name, name);
        finished(&broker, name).await;
    }
    assert_eq!(all_values(&broker, "b").await.len(), 21 + 2 * 21);
    broker.delete_flow("f.backfill").await.unwrap();
    let named = Backfill {
        name: Some("mine".to_owned()),
        ..Backfill::default()
    };
    assert_eq!(
        broker.backfill_flow("f", named.clone()).await.unwrap().spec.name,
        "mine"
    );
    let error = broker.backfill_flow("f", named).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::FlowAlreadyExists);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_finished_backfill_needs_its_plugins_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let broker = on_folder(folder.path(), 2).await;
    populate(&broker, TOPICS, &["identity", "hostile"]).await;
    broker
        .create_flow(FlowSpec::new("f", "a", ["identity"], ["b"]))
        .await
        .unwrap();
    produce(&broker, "a", 0, batch(&lines(0..3))).await;
    let with_hostile = to_c(Backfill {
        plugins: vec!["hostile".to_owned()],
        ..Backfill::default()
    });
    broker.backfill_flow("f", with_hostile).await.unwrap();
    finished(&broker, "f.backfill").await;
    assert!(broker.describe_plugin("hostile").unwrap().used_by.is_empty());
    broker.delete_plugin("hostile").await.unwrap();
    assert_eq!(
        broker.delete_plugin("identity").await.unwrap_err().kind,
        ErrorKind::PluginInUse,
        "the flow itself runs it"
    );
    broker.shutdown().await;
    drop(broker);

    let broker = on_folder(folder.path(), 2).await;
    finished(&broker, "f.backfill").await;
    broker.delete_flow("f.backfill").await.unwrap();
    broker.shutdown().await;
}

#[tokio::test]
async fn a_backfill_begins_and_ends_even_within_a_batch() {
    let broker = copied().await;
    let cases = [
        (Start::Offset(3), Until::Offset(7), 3..7),
        (Start::Time(TIME_0 + 2), Until::Time(TIME_0 + 4), 2..4),
        (Start::Earliest, Until::Offset(1), 0..1),
        (Start::Offset(8), Until::Offset(1_000_000), 8..10),
        (Start::Offset(8), Until::Offset(2), 0..0),
        (Start::Latest, Until::Now, 0..0),
        (Start::Earliest, Until::Time(i64::MAX), 0..10),
        (Start::Earliest, Until::Time(0), 0..0),
    ];
    for (index, (start, until, expected)) in cases.into_iter().enumerate() {
        let to = format!("to{index}");
        broker.create_topic(&to, 2, no_config()).await.unwrap();
        let backfill = Backfill {
            start,
            until,
            to: vec![to.clone()],
            ..Backfill::default()
        };
        let name = broker.backfill_flow("f", backfill).await.unwrap().spec.name;
        finished(&broker, &name).await;
        for partition in 0..2 {
            assert_eq!(
                values(&broker, &to, partition).await,
                lines(expected.clone()),
                "{start:?} {until:?}"
            );
        }
    }
    broker.shutdown().await;
}

#[tokio::test]
async fn a_backfill_has_plugins_and_state_of_its_own() {
    let broker = copied().await;
    let with_counter = || {
        to_c(Backfill {
            plugins: vec!["count-by-key".to_owned()],
            ..Backfill::default()
        })
    };
    let keyed = || crate::support::batch_with(weir_batch::Codec::None, vec![(Some("k"), &b"v"[..]); 3]);
    produce(&broker, "a", 0, keyed()).await;
    for round in 1..3 {
        let made = broker.backfill_flow("f", with_counter()).await.unwrap();
        assert_eq!(made.spec.plugins, ["count-by-key@1"]);
        finished(&broker, &made.spec.name).await;
        // Each counts from 1 on.
        let thirds = all_values(&broker, "c").await;
        let thirds = thirds.iter().filter(|value| value.contains("\"count\":3"));
        assert_eq!(thirds.filter(|value| value.contains("\"k\"")).count(), round);
    }
    broker.shutdown().await;
}

#[tokio::test]
async fn a_finished_flow_stays_so_over_restarts_and_needs_nothing_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let broker = on_folder(folder.path(), 2).await;
    populate(&broker, TOPICS, &["identity"]).await;
    broker
        .create_flow(FlowSpec::new("f", "a", ["identity"], ["b"]))
        .await
        .unwrap();
    produce(&broker, "a", 0, batch(&lines(0..10))).await;
    broker
        .backfill_flow("f", to_c(Backfill::default()))
        .await
        .unwrap();
    let before = finished(&broker, "f.backfill").await;
    broker.shutdown().await;
    drop(broker);
    let broker = on_folder(folder.path(), 2).await;
    let after = broker.describe_flow("f.backfill").await.unwrap();
    assert_eq!(after.status, before.status);
    assert_eq!(after.partitions.len(), 1, "nothing was in the other partition");
    assert_eq!((after.partitions[0].cursor, after.partitions[0].lag), (10, 0));
    // Standing still, it does not go on, neither by itself nor on request.
    let paused = broker.pause_flow("f.backfill").await.unwrap();
    assert_eq!(paused.status.name(), "finished");
    let error = broker.resume_flow("f.backfill").await.unwrap_err();
    assert!(error.message.contains("is finished"), "{error}");
    broker.delete_flow("f").await.unwrap();
    broker.delete_topic("a").await.unwrap();
    let after = broker.describe_flow("f.backfill").await.unwrap();
    assert_eq!(after.status.name(), "finished");
    broker.delete_flow("f.backfill").await.unwrap();
    assert_eq!(values(&broker, "c", 0).await, lines(0..10));
    broker.shutdown().await;
}

#[tokio::test]
async fn it_outlives_its_parent_but_not_its_source() {
    let broker = with(2, TOPICS, &["hostile"]).await;
    let mut spec = FlowSpec::new("f", "a", ["hostile"], ["b"]);
    spec.config = pairs(&[("do", "trap"), ("at", "bad")]);
    broker.create_flow(spec).await.unwrap();
    produce(&broker, "a", 0, batch(&["good", "bad", "good"])).await;
    paused(&broker, "f").await;
    broker
        .backfill_flow("f", to_c(Backfill::default()))
        .await
        .unwrap();
    let pause = paused(&broker, "f.backfill").await;
    assert!(!pause.finished && !pause.requested);
    assert_eq!(pause.place.unwrap().offset, 1);
    broker.delete_flow("f").await.unwrap();
    let skip = weir_broker::FlowChange {
        on_error: Some(weir_broker::OnError::Skip),
        ..weir_broker::FlowChange::default()
    };
    broker.pause_flow("f.backfill").await.unwrap();
    // What had stopped at a failure goes on with a change that mends it, and to its end.
    broker.upgrade_flow("f.backfill", skip).await.unwrap();
    finished(&broker, "f.backfill").await;
    assert_eq!(values(&broker, "c", 0).await, ["good", "good"]);

    let mut spec = FlowSpec::new("g", "a", ["hostile"], ["b"]);
    spec.config = pairs(&[("do", "trap"), ("at", "bad")]);
    broker.create_flow(spec).await.unwrap();
    paused(&broker, "g").await;
    broker.backfill_flow("g", Backfill::default()).await.unwrap();
    paused(&broker, "g.backfill").await;
    broker.delete_topic("a").await.unwrap();
    broker.create_topic("a", 2, no_config()).await.unwrap();
    produce(&broker, "a", 0, batch(&["other"])).await;
    broker.resume_flow("g.backfill").await.unwrap();
    let pause = paused(&broker, "g.backfill").await;
    assert!(pause.reason.contains("made anew"), "{}", pause.reason);
    assert!(!pause.finished);
    broker.shutdown().await;
}

#[tokio::test]
async fn several_sources_are_each_read_to_their_end() {
    let broker = with(2, TOPICS, &["identity"]).await;
    broker.create_topic("d", 3, no_config()).await.unwrap();
    let sources = vec!["a".to_owned(), "d".to_owned()];
    broker
        .create_flow(FlowSpec::of_sources("f", sources, ["identity"], ["b"]))
        .await
        .unwrap();
    produce(&broker, "a", 1, batch(&["a", "a"])).await;
    produce(&broker, "d", 1, batch(&["d"])).await;
    produce(&broker, "d", 2, batch(&["d"])).await;
    wait_for_records(&broker, "b", 4).await;
    broker
        .backfill_flow("f", to_c(Backfill::default()))
        .await
        .unwrap();
    let info = finished(&broker, "f.backfill").await;
    let lanes: Vec<_> = info
        .partitions
        .iter()
        .map(|p| (p.source, p.partition, p.until))
        .collect();
    assert_eq!(lanes, [(0, 1, Some(2)), (1, 1, Some(1)), (1, 2, Some(1))]);
    assert_eq!(all_values(&broker, "c").await, ["a", "a", "d", "d"]);
    broker.shutdown().await;
}

/// Waits until retention has taken everything below `offset` of a partition.
pub(super) async fn expire(broker: &Broker, topic: &str, partition: u32, offset: i64) {
    broker
        .alter_topic(topic, pairs(&[("retention.bytes", "0")]), None)
        .await
        .unwrap();
    let partition = broker.topic(topic).unwrap().partition(partition).unwrap();
    timely(async {
        while partition.log_start_offset() < offset {
            // Nothing announces it.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_retention_took_is_said_and_nothing_waits_for_it() {
    let broker = with(2, TOPICS, &["hostile"]).await;
    let mut spec = FlowSpec::new("f", "a", ["hostile"], ["b"]);
    spec.config = pairs(&[("do", "trap"), ("at", "000")]);
    broker.create_flow(spec).await.unwrap();
    produce(&broker, "a", 0, batch(&lines(0..10))).await;
    paused(&broker, "f").await;
    let until_7 = to_c(Backfill {
        until: Until::Offset(7),
        ..Backfill::default()
    });
    broker.backfill_flow("f", until_7).await.unwrap();
    // It stands still in front of the first record until all are gone.
    assert!(!paused(&broker, "f.backfill").await.finished);
    expire(&broker, "a", 0, 10).await;
    let lost = |info: FlowInfo| match info.status {
        FlowStatus::Paused(pause) => pause.reason,
        other => panic!("{other:?}"),
    };
    broker.resume_flow("f.backfill").await.unwrap();
    let reason = lost(finished(&broker, "f.backfill").await);
    assert!(
        reason.contains("but for 7 records that were deleted by retention"),
        "{reason}"
    );
    // Of a range that is gone already, the same is said at once.
    let range = Replay::Range {
        topic: None,
        partition: 0,
        offsets: 3..5,
        name: None,
    };
    broker.replay_flow("f", range).await.unwrap();
    let reason = lost(finished(&broker, "f.replay-range").await);
    assert!(
        reason.contains("but for 2 records that were deleted by retention"),
        "{reason}"
    );
    // From the earliest that there is, nothing is missing.
    broker.backfill_flow("f", Backfill::default()).await.unwrap();
    let reason = lost(finished(&broker, "f.backfill-2").await);
    assert!(!reason.contains("retention"), "{reason}");
    broker.shutdown().await;
}
