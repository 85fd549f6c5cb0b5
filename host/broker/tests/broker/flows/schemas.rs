//! Versions of plugins' state: what is migrated, what is refused, and what a crash leaves.

use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use weir_batch::Codec;
use weir_broker::{
    Broker, BrokerError, DataFolder, ErrorKind, FlowChange, FlowSpec, FlowStatePage, FlowStateQuery,
    FlowStatus, Storage,
};

use crate::faults::FaultyVolume;
use crate::support::{
    TIME_0, batch_with, config, guest, pairs, populate, produce, running, timely, values, wait_for_records,
    with,
};

fn keyed(keys: &[&str]) -> BytesMut {
    batch_with(Codec::None, keys.iter().map(|key| (Some(*key), key.as_bytes())))
}

fn to(plugin: &str, set: &[(&str, &str)]) -> FlowChange {
    FlowChange {
        plugins: vec![plugin.to_owned()],
        set: pairs(set),
        ..FlowChange::default()
    }
}

async fn state(broker: &Broker) -> FlowStatePage {
    try_state(broker).await.unwrap()
}

async fn try_state(broker: &Broker) -> Result<FlowStatePage, BrokerError> {
    let query = FlowStateQuery {
        rows_max: 1_000,
        ..FlowStateQuery::default()
    };
    broker.flow_state("f", query).await
}

/// Partition, version, and the version on the way to which the rows are.
fn versions_in(page: FlowStatePage) -> Vec<(u32, u32, Option<u32>)> {
    let schemas = page.schemas.into_iter();
    schemas
        .map(|of| (of.partition, of.version, of.migrating_to))
        .collect()
}

async fn versions(broker: &Broker) -> Vec<(u32, u32, Option<u32>)> {
    versions_in(state(broker).await)
}

/// `count@1` is count-by-key, which knows no versions; `count@2` takes its state over.
async fn counting() -> Broker {
    let broker = with(2, &[("a", 2), ("b", 2)], &[]).await;
    for name in ["count-by-key", "count-since"] {
        broker.upload_plugin("count", &guest(name)).await.unwrap();
    }
    broker
        .create_flow(FlowSpec::new("f", "a", ["count@1"], ["b"]))
        .await
        .unwrap();
    broker
}

/// The values in both partitions: keys decide where they are.
async fn outputs(broker: &Broker) -> Vec<String> {
    let mut all = values(broker, "b", 0).await;
    all.extend(values(broker, "b", 1).await);
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_migrates_the_state_and_a_rollback_is_refused() {
    let broker = counting().await;
    produce(&broker, "a", 0, keyed(&["x", "x", "y"])).await;
    wait_for_records(&broker, "b", 3).await;
    assert_eq!(versions(&broker).await, []);
    broker.upgrade_flow("f", to("count@2", &[])).await.unwrap();
    // Partition 1 has no state: there it begins.
    produce(&broker, "a", 0, keyed(&["x", "new"])).await;
    produce(&broker, "a", 1, keyed(&["z"])).await;
    wait_for_records(&broker, "b", 6).await;
    let since = |key: &str, count: u32, at: i64| {
        let since = TIME_0 + at;
        format!("{{\"key\":\"{key}\",\"count\":{count},\"since\":{since}}}")
    };
    let mut expected = vec![
        r#"{"key":"x","count":1}"#.to_owned(),
        r#"{"key":"x","count":2}"#.to_owned(),
        r#"{"key":"y","count":1}"#.to_owned(),
        r#"{"key":"x","count":3}"#.to_owned(),
        since("new", 1, 1),
        since("z", 1, 0),
    ];
    expected.sort();
    assert_eq!(outputs(&broker).await, expected);
    assert_eq!(versions(&broker).await, [(0, 1, None), (1, 1, None)]);

    let refused = broker.rollback_flow("f", None).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::InvalidFlow);
    let message = &refused.message;
    assert!(
        message.contains("plugin count@1 does not take the state of version 1"),
        "{message}"
    );
    assert!(message.contains("it knows no versions"), "{message}");
    let info = broker.describe_flow("f").await.unwrap();
    assert_eq!(
        (info.spec.plugins[0].as_str(), info.revisions.len()),
        ("count@2", 2)
    );
    // It goes on as it was.
    produce(&broker, "a", 0, keyed(&["y"])).await;
    wait_for_records(&broker, "b", 7).await;
    assert!(
        outputs(&broker)
            .await
            .contains(&r#"{"key":"y","count":2}"#.to_owned())
    );
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_does_not_take_the_state_does_not_replace_the_one_that_has_it() {
    let broker = with(2, &[("a", 3), ("b", 1)], &[]).await;
    for name in ["count-by-key", "hostile-state"] {
        broker.upload_plugin("count", &guest(name)).await.unwrap();
    }
    broker
        .create_flow(FlowSpec::new("f", "a", ["count@1"], ["b"]))
        .await
        .unwrap();
    for partition in 0..3 {
        let keys = ["x", "y", ["p0", "p1", "p2"][partition as usize]];
        produce(&broker, "a", partition, keyed(&keys)).await;
    }
    wait_for_records(&broker, "b", 9).await;
    let cases = [
        (pairs(&[("migrate", "refuse")]), "told to refuse version 0"),
        // The others could be migrated, and are not.
        (
            pairs(&[("poison", "p2")]),
            "partition 2 of topic 'a': told to refuse the key",
        ),
        (pairs(&[("migrate", "panic")]), "told to panic at version 0"),
        (
            pairs(&[("migrate", "version-panic")]),
            "when asked for the version",
        ),
        (pairs(&[("migrate", "again")]), "would be repeated for ever"),
        (pairs(&[("migrate", "huge")]), "cursor of 1048576 bytes"),
        (
            pairs(&[("migrate", "bomb")]),
            "more than 100000 times in one call",
        ),
    ];
    for (number, (mut set, words)) in (1_i64..).zip(cases) {
        set.insert("version".to_owned(), "7".to_owned());
        let change = FlowChange {
            plugins: vec!["count@2".to_owned()],
            set,
            ..FlowChange::default()
        };
        let refused = broker.upgrade_flow("f", change).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::InvalidFlow, "{refused}");
        assert!(refused.message.contains(words), "{words}: {refused}");
        let info = broker.describe_flow("f").await.unwrap();
        assert_eq!(
            (info.spec.plugins[0].as_str(), info.revisions.len()),
            ("count@1", 1)
        );
        assert_eq!(state(&broker).await.rows.len(), 9);
        // The first version runs, and counts on.
        produce(&broker, "a", 0, keyed(&["x"])).await;
        wait_for_records(&broker, "b", 9 + number).await;
    }
    let last = values(&broker, "b", 0).await.pop().unwrap();
    assert_eq!(last, r#"{"key":"x","count":8}"#);
    broker.shutdown().await;
}

const SOURCES: u32 = 2;
const ROWS: usize = 60;
/// Three entries take all rows of a partition.
const VALUE_BYTES: usize = 150_000;

async fn on_volume(folder: &Path, volume: &Arc<FaultyVolume>) -> Broker {
    let data = DataFolder::open(folder).unwrap();
    let mut config = config(Storage::Folder(data), 2);
    config.log_storage = Some(weir_log::Storage::Volume(
        Arc::clone(volume) as Arc<dyn weir_log::volume::Volume>
    ));
    Broker::open(config).await.unwrap()
}

/// A flow with large rows in every partition, all of version 0.
async fn with_large_rows(broker: &Broker) {
    populate(broker, &[("a", SOURCES), ("b", 1)], &["hostile-state"]).await;
    let mut spec = FlowSpec::new("f", "a", ["hostile-state"], ["b"]);
    spec.config = pairs(&[("do", "set"), ("rows", "1")]);
    broker.create_flow(spec).await.unwrap();
    let value = vec![b'v'; VALUE_BYTES];
    for partition in 0..SOURCES {
        for chunk in 0..ROWS / 5 {
            let keys: Vec<String> = (0..5).map(|n| format!("key-{:03}", chunk * 5 + n)).collect();
            let records = keys.iter().map(|key| (Some(key.as_str()), value.as_slice()));
            produce(broker, "a", partition, batch_with(Codec::None, records)).await;
        }
    }
    wait_for_records(broker, "b", i64::from(SOURCES) * ROWS as i64).await;
}

/// By partition, how many rows have no mark, one, or more than one.
async fn marks(broker: &Broker) -> Vec<[usize; 3]> {
    let mut marks = Vec::new();
    for partition in 0..SOURCES {
        let mut of = [0; 3];
        let mut query = FlowStateQuery {
            partition: Some(partition),
            rows_max: 1_000,
            ..FlowStateQuery::default()
        };
        loop {
            let page = broker.flow_state("f", query.clone()).await.unwrap();
            for row in &page.rows {
                of[(row.value_bytes as usize - VALUE_BYTES).min(2)] += 1;
            }
            query.after = page.rows.last().map(|row| row.place.clone());
            if !page.more {
                break;
            }
        }
        marks.push(of);
    }
    marks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_a_crash_cuts_short_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut volume = FaultyVolume::new();
    let broker = on_volume(folder.path(), &volume).await;
    with_large_rows(&broker).await;
    assert_eq!(marks(&broker).await, [[ROWS, 0, 0]; SOURCES as usize]);
    broker.shutdown().await;
    drop(broker);
    volume = volume.after_crash();
    const MIGRATED: [(u32, u32, Option<u32>); 2] = [(0, 1, None), (1, 1, None)];
    // Each crash comes a little later in what is left of the migration.
    let (mut seen_half_way, mut changed, mut crashes) = (false, false, 0);
    for crash in 0.. {
        assert!(crash < 200, "the migration comes to its end");
        let broker = on_volume(folder.path(), &volume).await;
        let found = versions(&broker).await;
        seen_half_way |= found.iter().any(|of| of.2.is_some());
        if found == MIGRATED {
            broker.shutdown().await;
            break;
        }
        volume.crash_after(10 + crash * 21);
        if !changed {
            let upgraded = broker
                .upgrade_flow("f", to("hostile-state", &[("version", "1")]))
                .await;
            // The change is stored where the crash does not reach: it is there, or it is not.
            changed = upgraded.is_ok();
        }
        // Until the crash, which is a failure that it waits for to pass, or until it is done.
        timely(async {
            loop {
                let status = broker.describe_flow("f").await.unwrap().status;
                let crashed = match status {
                    FlowStatus::Waiting { reason } => !reason.contains("migrates"),
                    FlowStatus::Paused(pause) => panic!("{}", pause.reason),
                    FlowStatus::Running | FlowStatus::Starting => false,
                };
                // Nothing can be read any more after the crash, either.
                let found = try_state(&broker).await.map(versions_in);
                if crashed || found.is_err() || found.is_ok_and(|found| found == MIGRATED) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        broker.shutdown().await;
        drop(broker);
        volume = volume.after_crash();
        crashes += 1;
    }
    assert!(
        seen_half_way && crashes > 3,
        "crashes came between entries: {crashes}"
    );
    let broker = on_volume(folder.path(), &volume).await;
    running(&broker, "f").await;
    assert_eq!(
        marks(&broker).await,
        [[0, ROWS, 0]; SOURCES as usize],
        "each row was migrated once"
    );
    for partition in 0..SOURCES {
        produce(&broker, "a", partition, keyed(&["after"])).await;
    }
    wait_for_records(&broker, "b", i64::from(SOURCES) * (ROWS as i64 + 1)).await;
    assert_eq!(versions(&broker).await, [(0, 1, None), (1, 1, None)]);
    // Outputs come before the state that they go with, until the flow stands still.
    broker.pause_flow("f").await.unwrap();
    let found = state(&broker).await.totals;
    assert!(found.iter().all(|of| of.rows == ROWS as u64 + 1), "{found:?}");
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_is_migrated_once() {
    let broker = with(2, &[], &[]).await;
    with_large_rows(&broker).await;
    let set = [("version", "1")];
    broker.upgrade_flow("f", to("hostile-state", &set)).await.unwrap();
    // The second migration begins when the first is done.
    let set = [("version", "2"), ("rows", "7")];
    loop {
        running(&broker, "f").await;
        let done = versions(&broker).await;
        if done == [(0, 1, None), (1, 1, None)] {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(marks(&broker).await, [[0, ROWS, 0]; SOURCES as usize]);
    broker.upgrade_flow("f", to("hostile-state", &set)).await.unwrap();
    while versions(&broker).await != [(0, 2, None), (1, 2, None)] {
        tokio::task::yield_now().await;
    }
    assert_eq!(marks(&broker).await, [[0, 0, ROWS]; SOURCES as usize]);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_may_begin_to_keep_state_and_end() {
    let broker = with(2, &[("a", 1), ("b", 2)], &[]).await;
    for name in ["identity", "count-since"] {
        broker.upload_plugin("p", &guest(name)).await.unwrap();
    }
    broker
        .create_flow(FlowSpec::new("f", "a", ["p@1"], ["b"]))
        .await
        .unwrap();
    produce(&broker, "a", 0, keyed(&["x", "y"])).await;
    let mut records = 2;
    wait_for_records(&broker, "b", records).await;
    let mut round = async |upgrade: Option<&str>| {
        match upgrade {
            Some(plugin) => broker.upgrade_flow("f", to(plugin, &[])).await.unwrap(),
            None => broker.rollback_flow("f", None).await.unwrap(),
        };
        produce(&broker, "a", 0, keyed(&["x", "y"])).await;
        records += 2;
        wait_for_records(&broker, "b", records).await;
    };
    round(Some("p@2")).await;
    round(None).await;
    // The state is that of when it was left.
    round(Some("p@2")).await;
    let mut expected: Vec<String> = ["x", "x", "y", "y"].map(str::to_owned).to_vec();
    for (at, key) in (0..).zip(["x", "y"]) {
        for count in 1..3 {
            let since = TIME_0 + at;
            expected.push(format!(
                "{{\"key\":\"{key}\",\"count\":{count},\"since\":{since}}}"
            ));
        }
    }
    expected.sort();
    assert_eq!(outputs(&broker).await, expected);
    broker.shutdown().await;
}
