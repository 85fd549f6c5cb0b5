//! What cannot be backfilled or replayed, and why.

use weir_broker::{Backfill, Broker, BrokerError, ErrorKind, FlowSpec, Replay, Schedule, Start};

use super::finished;
use crate::support::{batch, no_config, populate, produce, wait_for_records, with};

const TOPICS: &[(&str, u32)] = &[("a", 2), ("b", 2), ("c", 1), ("g", 1)];

fn range(topic: Option<&str>, partition: u32, offsets: std::ops::Range<i64>) -> Replay {
    Replay::Range {
        topic: topic.map(str::to_owned),
        partition,
        offsets,
        name: None,
    }
}

fn letters() -> Replay {
    Replay::Letters { start: None }
}

async fn refused(broker: &Broker, flow: &str, replay: Replay) -> BrokerError {
    broker.replay_flow(flow, replay).await.unwrap_err()
}

#[tokio::test]
async fn flows_that_read_no_topic_are_told_what_to_do_instead() {
    let broker = with(1, TOPICS, &["key-filter", "ticker"]).await;
    let mut guard = FlowSpec::ingest("guard", ["key-filter"], "g");
    guard.config = crate::support::pairs(&[("prefix", "k")]);
    broker.create_flow(guard).await.unwrap();
    let ticks = FlowSpec::producing("ticks", Schedule::EveryMs(3_600_000), "ticker", ["c"]);
    broker.create_flow(ticks).await.unwrap();
    for (flow, said) in [
        ("guard", "send it to 'g' once more"),
        ("ticks", "polls a producer and reads no topic"),
    ] {
        for error in [
            broker.backfill_flow(flow, Backfill::default()).await.unwrap_err(),
            refused(&broker, flow, letters()).await,
            refused(&broker, flow, range(None, 0, 0..1)).await,
        ] {
            assert_eq!(error.kind, ErrorKind::InvalidFlow);
            assert!(error.message.contains(said), "{error}");
        }
    }
    for error in [
        broker.backfill_flow("x", Backfill::default()).await.unwrap_err(),
        refused(&broker, "x", letters()).await,
    ] {
        assert_eq!(error.kind, ErrorKind::UnknownFlow);
    }
    broker.shutdown().await;
}

#[tokio::test]
async fn places_and_names_that_cannot_be_are_refused() {
    let broker = with(1, TOPICS, &["identity"]).await;
    let sources = vec!["a".to_owned(), "c".to_owned()];
    broker
        .create_flow(FlowSpec::of_sources("f", sources, ["identity"], ["b"]))
        .await
        .unwrap();
    produce(&broker, "a", 0, batch(&["0", "1"])).await;
    wait_for_records(&broker, "b", 2).await;
    for (replay, kind, said) in [
        (letters(), ErrorKind::InvalidFlow, "has no dead letters"),
        (
            range(None, 0, 0..1),
            ErrorKind::InvalidRequest,
            "name one of a, c",
        ),
        (
            range(Some("b"), 0, 0..1),
            ErrorKind::InvalidRequest,
            "does not read topic 'b'",
        ),
        (
            range(Some("a"), 2, 0..1),
            ErrorKind::UnknownTopicOrPartition,
            "no partition 2",
        ),
        (range(Some("a"), 0, 1..1), ErrorKind::InvalidRequest, "10..20"),
        (range(Some("a"), 0, -1..1), ErrorKind::InvalidRequest, "10..20"),
        (
            range(Some("a"), 0, 2..3),
            ErrorKind::OffsetOutOfRange,
            "it ends at 2",
        ),
    ] {
        let error = refused(&broker, "f", replay).await;
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(said), "{error}");
    }
    for (backfill, kind) in [
        (
            Backfill {
                start: Start::Offset(9),
                ..Backfill::default()
            },
            ErrorKind::OffsetOutOfRange,
        ),
        (
            Backfill {
                plugins: vec!["other".to_owned()],
                ..Backfill::default()
            },
            ErrorKind::UnknownPlugin,
        ),
        (
            Backfill {
                to: vec!["other".to_owned()],
                ..Backfill::default()
            },
            ErrorKind::UnknownTopicOrPartition,
        ),
        (
            Backfill {
                name: Some("a/b".to_owned()),
                ..Backfill::default()
            },
            ErrorKind::InvalidFlow,
        ),
        (
            Backfill {
                name: Some("f".to_owned()),
                ..Backfill::default()
            },
            ErrorKind::FlowAlreadyExists,
        ),
    ] {
        let error = broker.backfill_flow("f", backfill.clone()).await.unwrap_err();
        assert_eq!(error.kind, kind, "{backfill:?}: {error}");
    }
    assert_eq!(broker.list_flows().await.unwrap().len(), 1);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_name_that_leaves_no_room_needs_another_one() {
    let broker = with(1, TOPICS, &["identity"]).await;
    // Its dead-letter topic has just the most that a name can have.
    let long = "f".repeat(249 - ".dead-letter".len());
    let letters_topic = format!("{long}.dead-letter");
    broker
        .create_flow(FlowSpec::new(&long, "a", ["identity"], ["b"]))
        .await
        .unwrap();
    produce(&broker, "a", 0, batch(&["0"])).await;
    wait_for_records(&broker, "b", 1).await;
    let named = |name: Option<&str>| Backfill {
        name: name.map(str::to_owned),
        ..Backfill::default()
    };
    let error = broker.backfill_flow(&long, named(None)).await.unwrap_err();
    assert!(error.message.contains("choose a shorter one"), "{error}");
    broker.backfill_flow(&long, named(Some("short"))).await.unwrap();
    finished(&broker, "short").await;
    // A replay of letters always has room.
    broker.create_topic(&letters_topic, 1, no_config()).await.unwrap();
    broker.replay_flow(&long, letters()).await.unwrap();
    finished(&broker, &format!("{long}.replay")).await;
    broker.shutdown().await;
}

#[tokio::test]
async fn replays_of_replays_are_those_of_the_flow_itself() {
    let broker = with(1, TOPICS, &["identity"]).await;
    populate(&broker, &[("f.dead-letter", 1), ("h.dead-letter", 1)], &[]).await;
    for name in ["f", "h", "h.replay"] {
        broker
            .create_flow(FlowSpec::new(name, "a", ["identity"], ["b"]))
            .await
            .unwrap();
    }
    broker.replay_flow("f", letters()).await.unwrap();
    finished(&broker, "f.replay").await;
    for error in [
        refused(&broker, "f.replay", letters()).await,
        broker
            .backfill_flow("f.replay", Backfill::default())
            .await
            .unwrap_err(),
    ] {
        assert!(
            error.message.contains("replay of the dead letters of flow 'f'"),
            "{error}"
        );
    }
    let error = refused(&broker, "h", letters()).await;
    assert_eq!(error.kind, ErrorKind::FlowAlreadyExists);
    assert!(error.message.contains("delete it first"), "{error}");
    broker.shutdown().await;
}
