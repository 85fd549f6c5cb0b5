//! The broker is killed while a flow is upgraded and its state is migrated: every row is migrated once, whatever of it was done before
//! each kill.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

use std::collections::BTreeMap;
use std::time::Duration;

use weir_client::{Client, FlowChange, FlowSpec, FlowState, FlowStateQuery, NewTopic, Record, Start};
use weir_tests::{BrokerCommand, Random};

const BINARY: &str = env!("CARGO_BIN_EXE_weir-under-test");
const PARTITIONS: u32 = 2;
const ROWS: u32 = 150;
/// Some entries take all rows of a partition.
const VALUE_BYTES: usize = 100_000;
const KILLS_MAX: u32 = 60;

/// A flow that puts each record's value under its key, one row a record.
async fn set_up(client: &Client) {
    let admin = client.admin();
    for topic in ["in", "out"] {
        admin
            .create_topic(NewTopic::new(topic).partitions(PARTITIONS))
            .await
            .unwrap();
    }
    admin
        .upload_plugin("keep", weir_plugins::HOSTILE_STATE, None)
        .await
        .unwrap();
    let config = [("do", "set"), ("rows", "5")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let mut spec = FlowSpec::new("f", "in", ["keep"], ["out"]);
    spec.config = BTreeMap::from(config);
    admin.create_flow(spec).await.unwrap();
    let producer = client.producer("in").build().await.unwrap();
    for n in 0..ROWS * PARTITIONS {
        let record = Record::value(vec![b'v'; VALUE_BYTES])
            .key(format!("{n:05}").into_bytes())
            .partition(n % PARTITIONS);
        let _delivery = producer.send(record).await.unwrap();
    }
    producer.close().await.unwrap();
}

/// Waits until so many records came out.
async fn came_out(client: &Client, count: u32) {
    let mut outputs = client
        .consumer("out")
        .start(Start::Earliest)
        .build()
        .await
        .unwrap();
    for seen in 0..count {
        tokio::time::timeout(Duration::from_secs(60), outputs.next())
            .await
            .unwrap_or_else(|_| panic!("{seen} of {count} came out, then nothing"))
            .unwrap()
            .unwrap();
    }
}

/// Whether all rows are of version 1.
async fn is_migrated(client: &Client) -> bool {
    let query = FlowStateQuery {
        rows_max: 1,
        ..FlowStateQuery::default()
    };
    let Ok(page) = client.admin().flow_state("f", query).await else {
        return false;
    };
    let done = page.schemas.iter();
    done.filter(|of| of.version == 1 && of.migrating_to.is_none())
        .count()
        == PARTITIONS as usize
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrates_every_row_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let start = |listen: &str| BrokerCommand::new(BINARY, &data).listen(listen).start();
    let mut broker = start("127.0.0.1:0");
    let addr = broker.addr().to_owned();
    let client = broker.client().await;
    set_up(&client).await;
    came_out(&client, ROWS * PARTITIONS).await;

    let mut random = Random::new(11);
    let mut kills = 0;
    loop {
        // At any moment: while it is tried, stored, or migrated.
        let admin = client.admin();
        let upgrade = FlowChange {
            set: BTreeMap::from([("version".to_owned(), "1".to_owned())]),
            plugins: vec!["keep@1".to_owned()],
            ..FlowChange::default()
        };
        let changing = admin.upgrade_flow("f", upgrade);
        let wait = Duration::from_micros(random.next() % (50_000 * (1 + u64::from(kills))));
        // The answer is of no interest: the broker may be gone before it.
        let _ = tokio::join!(tokio::time::timeout(wait, changing), tokio::time::sleep(wait));
        broker.kill();
        kills += 1;
        broker = start(&addr);
        if is_migrated(&client).await {
            break;
        }
        assert!(kills < KILLS_MAX, "it gets on from kill to kill");
    }
    let status = client.admin().describe_flow("f").await.unwrap().state;
    assert!(!matches!(status, FlowState::Paused { .. }), "{status:?}");
    let mut query = FlowStateQuery {
        rows_max: 1_000,
        ..FlowStateQuery::default()
    };
    let mut rows = 0;
    loop {
        let page = client.admin().flow_state("f", query.clone()).await.unwrap();
        for row in &page.rows {
            assert_eq!(
                row.value_bytes,
                VALUE_BYTES as u64 + 1,
                "after {kills} kills: {:?}",
                row.place
            );
            rows += 1;
        }
        query.after = page.rows.last().map(|row| row.place.clone());
        if !page.more {
            break;
        }
    }
    assert_eq!(rows, ROWS * PARTITIONS);
    assert!(kills > 2, "it was killed {kills} times");
    // And it goes on.
    let producer = client.producer("in").build().await.unwrap();
    let record = Record::value(b"last".to_vec()).key(b"last".to_vec()).partition(0);
    producer.send(record).await.unwrap().await.unwrap();
    came_out(&client, ROWS * PARTITIONS + 1).await;
}
