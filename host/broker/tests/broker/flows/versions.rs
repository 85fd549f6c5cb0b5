//! Upgrades and rollbacks: at an exact offset, or not at all.

use weir_broker::{Broker, ErrorKind, FlowChange, FlowSpec, FlowStatus, OnError};

use crate::support::{
    batch, guest, on_folder, pairs, paused, populate, produce, running, timely, values, wait_for_records,
    with,
};

const TOPICS: &[(&str, u32)] = &[("a", 2), ("b", 2)];

/// Plugin `form`: version 1 leaves lines as they are, version 2 makes `{"n":LINE}` of them, version 3 wants a setting that is missing.
async fn broker() -> Broker {
    let broker = with(2, TOPICS, &[]).await;
    upload_forms(&broker).await;
    broker
}

async fn upload_forms(broker: &Broker) {
    for name in ["identity", "lines-to-json", "json-filter"] {
        broker.upload_plugin("form", &guest(name)).await.unwrap();
    }
}

fn spec() -> FlowSpec {
    FlowSpec::new("f", "a", ["form@1"], ["b"])
}

/// The first version takes no configuration, the second one has to have one.
fn to_version(version: u32) -> FlowChange {
    let columns = pairs(&[("columns", "n")]);
    let keys = columns.keys().cloned().collect();
    let (set, unset) = match version {
        1 => (pairs(&[]), keys),
        _ => (columns, Vec::new()),
    };
    FlowChange {
        plugins: vec![format!("form@{version}")],
        set,
        unset,
        ..FlowChange::default()
    }
}

async fn numbers(broker: &Broker, partition: u32, range: std::ops::Range<u32>) {
    let values: Vec<String> = range.map(|n| n.to_string()).collect();
    produce(broker, "a", partition, batch(&values)).await;
}

#[tokio::test]
async fn an_upgrade_takes_over_at_the_cursor_and_a_rollback_gives_back_there() {
    let broker = broker().await;
    broker.create_flow(spec()).await.unwrap();
    numbers(&broker, 0, 0..5).await;
    numbers(&broker, 1, 0..3).await;
    wait_for_records(&broker, "b", 8).await;
    let info = broker.upgrade_flow("f", to_version(2)).await.unwrap();
    assert_eq!(info.spec.plugins, ["form@2"]);
    assert_eq!(info.revisions.len(), 2);
    assert_eq!(
        (info.revisions[1].number, info.revisions[1].from[0].as_slice()),
        (2, &[5, 3][..])
    );
    numbers(&broker, 0, 5..7).await;
    wait_for_records(&broker, "b", 10).await;
    let info = broker.rollback_flow("f", None).await.unwrap();
    assert_eq!(info.spec.plugins, ["form@1"]);
    assert_eq!(info.revisions[2].back_to, Some(1));
    assert_eq!(info.revisions[2].from, [[7, 3]]);
    numbers(&broker, 0, 7..8).await;
    wait_for_records(&broker, "b", 11).await;
    assert_eq!(
        values(&broker, "b", 0).await,
        ["0", "1", "2", "3", "4", "{\"n\":5}", "{\"n\":6}", "7"]
    );
    assert_eq!(values(&broker, "b", 1).await, ["0", "1", "2"]);
    let back = broker.rollback_flow("f", Some(2)).await.unwrap();
    assert_eq!(back.spec.plugins, ["form@2"]);
    let error = broker.rollback_flow("f", Some(9)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidFlow);
    assert!(error.message.contains("choose one of 1, 2, 3, 4"), "{error}");
}

#[tokio::test]
async fn what_does_not_start_takes_over_nothing() {
    let broker = broker().await;
    broker.create_flow(spec()).await.unwrap();
    numbers(&broker, 0, 0..2).await;
    wait_for_records(&broker, "b", 2).await;
    let error = broker.upgrade_flow("f", FlowChange::default()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidFlow);
    assert!(error.message.contains("form@3 does not start"), "{error}");
    for (change, part) in [
        (to_version(9), "form@9"),
        (
            FlowChange {
                plugins: vec!["other".to_owned()],
                ..FlowChange::default()
            },
            "no plugin 'other'",
        ),
    ] {
        let error = broker.upgrade_flow("f", change).await.unwrap_err();
        assert!(error.message.contains(part), "{error}");
    }
    let error = broker.rollback_flow("f", None).await.unwrap_err();
    assert!(error.message.contains("never changed"), "{error}");
    numbers(&broker, 0, 2..4).await;
    wait_for_records(&broker, "b", 4).await;
    let info = broker.describe_flow("f").await.unwrap();
    assert_eq!((info.status, info.revisions.len()), (FlowStatus::Running, 1));
}

#[tokio::test]
async fn a_change_mends_a_flow_that_failed_and_leaves_alone_one_that_was_paused() {
    let broker = with(2, TOPICS, &["hostile"]).await;
    let mut spec = FlowSpec::new("f", "a", ["hostile"], ["b"]);
    spec.config = pairs(&[("do", "trap"), ("at", "1")]);
    broker.create_flow(spec).await.unwrap();
    numbers(&broker, 0, 0..3).await;
    paused(&broker, "f").await;
    let change = FlowChange {
        set: pairs(&[("at", "none")]),
        ..FlowChange::default()
    };
    broker.upgrade_flow("f", change.clone()).await.unwrap();
    wait_for_records(&broker, "b", 3).await;
    running(&broker, "f").await;
    let again = broker.upgrade_flow("f", change).await.unwrap();
    assert_eq!(again.revisions.len(), 2, "there was nothing to change");
    broker.pause_flow("f").await.unwrap();
    let policy = FlowChange {
        on_error: Some(OnError::Skip),
        ..FlowChange::default()
    };
    let info = broker.upgrade_flow("f", policy).await.unwrap();
    assert!(matches!(info.status, FlowStatus::Paused(ref pause) if pause.requested));
    assert_eq!(info.spec.on_error, OnError::Skip);
}

#[tokio::test]
async fn revisions_and_versions_in_use_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let broker = on_folder(folder.path(), 2).await;
    populate(&broker, TOPICS, &[]).await;
    upload_forms(&broker).await;
    broker.create_flow(spec()).await.unwrap();
    broker.upgrade_flow("f", to_version(2)).await.unwrap();
    let before = broker.describe_flow("f").await.unwrap().revisions;
    broker.shutdown().await;
    drop(broker);
    let broker = on_folder(folder.path(), 2).await;
    assert_eq!(broker.describe_flow("f").await.unwrap().revisions, before);
    for (version, part) in [
        ("form@2", "is run by flow f: upgrade"),
        ("form@1", "is what a rollback of flow f goes back to"),
    ] {
        let error = broker.delete_plugin(version).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::PluginInUse);
        assert!(error.message.contains(part), "{error}");
    }
    broker.delete_plugin("form@3").await.unwrap();
    numbers(&broker, 0, 0..1).await;
    wait_for_records(&broker, "b", 1).await;
    assert_eq!(values(&broker, "b", 0).await, ["{\"n\":0}"]);
    broker.rollback_flow("f", None).await.unwrap();
    broker.delete_plugin("form@2").await.unwrap();
}

#[tokio::test]
async fn each_rollback_goes_further_back() {
    let broker = broker().await;
    broker.create_flow(spec()).await.unwrap();
    broker.upgrade_flow("f", to_version(2)).await.unwrap();
    let skip = FlowChange {
        on_error: Some(OnError::Skip),
        ..FlowChange::default()
    };
    broker.upgrade_flow("f", skip).await.unwrap();
    for (back_to, plugin) in [(2, "form@2"), (1, "form@1")] {
        let info = broker.rollback_flow("f", None).await.unwrap();
        assert_eq!(info.revisions.last().unwrap().back_to, Some(back_to));
        assert_eq!(info.spec.plugins, [plugin]);
        assert_eq!(info.spec.on_error, OnError::Pause);
    }
    let error = broker.rollback_flow("f", None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidFlow);
    assert!(
        error.message.contains("the first revision") && error.message.contains("1, 2, 3, 4, 5"),
        "{error}"
    );
    let info = broker.rollback_flow("f", Some(3)).await.unwrap();
    assert_eq!(info.spec.on_error, OnError::Skip);
}

#[tokio::test]
async fn a_version_is_let_go_of_by_another_change_and_what_is_gone_is_named() {
    let broker = broker().await;
    broker.create_flow(spec()).await.unwrap();
    broker.upgrade_flow("f", to_version(2)).await.unwrap();
    assert_eq!(broker.describe_plugin("form@1").unwrap().kept_for, ["f"]);
    broker.delete_plugin("form@1").await.unwrap_err();
    let skip = FlowChange {
        on_error: Some(OnError::Skip),
        ..FlowChange::default()
    };
    broker.upgrade_flow("f", skip).await.unwrap();
    broker.delete_plugin("form@1").await.unwrap();
    let error = broker.rollback_flow("f", Some(1)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidFlow);
    assert!(
        error.message.contains("form@1, which was deleted"),
        "uploading cannot bring that version back: {error}"
    );
    let info = broker.rollback_flow("f", None).await.unwrap();
    assert_eq!(info.spec.plugins, ["form@2"]);
    assert_eq!(info.spec.on_error, OnError::Pause);
}

/// Records pour in while versions change: each is processed once, by the version whose offsets it lies in.
#[tokio::test]
async fn under_load_every_record_is_processed_by_one_version() {
    const ROUNDS: u32 = 12;
    let broker = std::sync::Arc::new(broker().await);
    broker.create_flow(spec()).await.unwrap();
    let sender = std::sync::Arc::clone(&broker);
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let sending = tokio::spawn(async move {
        let mut next = [0_u32; 2];
        while stopped.try_recv().is_err() {
            for partition in 0..2 {
                let from = &mut next[partition as usize];
                numbers(&sender, partition, *from..*from + 20).await;
                *from += 20;
            }
        }
        next
    });
    for round in 0..ROUNDS {
        let info = if round % 3 == 2 {
            broker.rollback_flow("f", None).await
        } else {
            let runs = broker.describe_flow("f").await.unwrap().spec.plugins.remove(0);
            let other = if runs == "form@1" { 2 } else { 1 };
            broker.upgrade_flow("f", to_version(other)).await
        };
        let revision = info.unwrap().revisions.pop().unwrap();
        // The next change comes when this one has processed something.
        let partitions = timely(async {
            loop {
                let info = broker.describe_flow("f").await.unwrap();
                let passed = |(p, from): (&weir_broker::FlowPartitionInfo, &i64)| p.cursor > *from;
                if info.partitions.iter().zip(&revision.from[0]).any(passed) {
                    return info.partitions;
                }
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(partitions.await.len(), 2);
    }
    stop.send(()).unwrap();
    let next = sending.await.unwrap();
    wait_for_records(&broker, "b", i64::from(next[0] + next[1])).await;
    let revisions = broker.describe_flow("f").await.unwrap().revisions;
    assert!(revisions.len() as u32 > ROUNDS / 2);
    for (partition, &next) in next.iter().enumerate() {
        let expected: Vec<String> = (0..next)
            .map(|n| {
                let of = revisions
                    .iter()
                    .rev()
                    .find(|revision| revision.from[0][partition] <= i64::from(n));
                match of.unwrap().plugins[0].as_str() {
                    "form@1" => n.to_string(),
                    _ => format!("{{\"n\":{n}}}"),
                }
            })
            .collect();
        assert_eq!(values(&broker, "b", partition as u32).await, expected);
    }
}
