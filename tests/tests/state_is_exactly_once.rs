//! A plugin's state is exactly that of the records whose outputs are there, however often the broker is killed.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

use std::collections::BTreeMap;
use std::time::Duration;

use weir_client::{Client, FlowSpec, FlowStateQuery, NewTopic, Record, Start};
use weir_tests::{BrokerCommand, Random};

const BINARY: &str = env!("CARGO_BIN_EXE_weir-under-test");
const PARTITIONS: u32 = 4;
const KEYS: u64 = 40;
const RECORDS: u64 = 20_000;
const KILLS: u64 = 20;

/// The key of the n-th record. Keys of one source partition are in no other.
fn key_of(n: u64) -> u64 {
    (n * n + n / 7) % KEYS
}

fn record(key: u64) -> Record<'static> {
    // Long enough that what waits is many passes.
    Record::value(vec![b'x'; 1_000])
        .key(key.to_string().into_bytes())
        .partition((key % u64::from(PARTITIONS)) as u32)
}

/// The key and the count in an output.
fn counted(value: &[u8]) -> (u64, u64) {
    let text = std::str::from_utf8(value).unwrap();
    let rest = text.strip_prefix("{\"key\":\"").unwrap();
    let (key, count) = rest.split_once("\",\"count\":").unwrap();
    (
        key.parse().unwrap(),
        count.strip_suffix('}').unwrap().parse().unwrap(),
    )
}

async fn set_up(client: &Client) {
    let admin = client.admin();
    for topic in ["in", "out"] {
        admin
            .create_topic(NewTopic::new(topic).partitions(PARTITIONS))
            .await
            .unwrap();
    }
    admin
        .upload_plugin("count-by-key", weir_plugins::COUNT_BY_KEY, None)
        .await
        .unwrap();
    admin
        .create_flow(FlowSpec::new("count", "in", ["count-by-key"], ["out"]))
        .await
        .unwrap();
}

async fn run(shards: u16, seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let start = |listen: &str| {
        let mut command = BrokerCommand::new(BINARY, &data);
        command.config(&format!("[log]\nshards = {shards}\n"));
        command.listen(listen).start()
    };
    let mut broker = start("127.0.0.1:0");
    let addr = broker.addr().to_owned();
    let client = broker.client().await;
    set_up(&client).await;

    // Small batches: many passes, each with outputs in all shards.
    let producer = client
        .producer("in")
        .batch_bytes(4 * 1024)
        .delivery_timeout(Duration::from_secs(120))
        .build()
        .await
        .unwrap();
    let sending = tokio::spawn(async move {
        for n in 0..RECORDS {
            let _delivery = producer.send(record(key_of(n))).await.unwrap();
        }
        producer.close().await.unwrap();
    });

    let mut random = Random::new(seed);
    let mut outputs = client
        .consumer("out")
        .start(Start::Earliest)
        .build()
        .await
        .unwrap();
    let (mut next_kill, mut kills) = (300, 0);
    for seen in 0..RECORDS {
        let record = tokio::time::timeout(Duration::from_secs(60), outputs.next())
            .await
            .unwrap_or_else(|_| panic!("{seen} of {RECORDS} came out, then nothing"))
            .unwrap();
        record.unwrap();
        if seen == next_kill && kills < KILLS {
            // Not just when outputs came out, but at any moment.
            tokio::time::sleep(Duration::from_micros(random.next() % 10_000)).await;
            broker.kill();
            broker = start(&addr);
            kills += 1;
            next_kill = seen + 1 + random.next() % (2 * RECORDS / KILLS);
        }
    }
    sending.await.unwrap();
    assert!(kills > KILLS / 2, "the broker was killed {kills} times");

    // From cold, and the state goes on where the outputs end.
    broker.kill();
    let broker = start(&addr);
    let client = broker.client().await;
    let producer = client.producer("in").build().await.unwrap();
    for key in 0..KEYS {
        producer.send(record(key)).await.unwrap().await.unwrap();
    }
    let mut expected: BTreeMap<u64, u64> = BTreeMap::new();
    for key in (0..RECORDS).map(key_of).chain(0..KEYS) {
        *expected.entry(key).or_default() += 1;
    }
    for seen in RECORDS..RECORDS + KEYS {
        tokio::time::timeout(Duration::from_secs(60), outputs.next())
            .await
            .unwrap_or_else(|_| panic!("{seen} came out, then nothing"))
            .unwrap()
            .unwrap();
    }
    // What has not come out by now never does.
    client.admin().pause_flow("count").await.unwrap();
    let mut all = client
        .consumer("out")
        .start(Start::Earliest)
        .until_end(true)
        .build()
        .await
        .unwrap();
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    while let Some(record) = all.next().await {
        let (key, count) = counted(record.unwrap().value().unwrap());
        let before = last.insert(key, count).unwrap_or(0);
        assert_eq!(before + 1, count, "the counts of {key} have a gap or go back");
    }
    assert_eq!(last, expected);

    // And what is shown of the state is what came out last.
    let mut shown: BTreeMap<u64, u64> = BTreeMap::new();
    let mut query = FlowStateQuery {
        rows_max: 7,
        ..FlowStateQuery::default()
    };
    loop {
        let page = client.admin().flow_state("count", query.clone()).await.unwrap();
        let rows: u64 = page.totals.iter().map(|totals| totals.rows).sum();
        assert_eq!(rows, KEYS);
        query.after = page.rows.last().map(|row| row.place.clone());
        for row in page.rows {
            let key = std::str::from_utf8(&row.place.key).unwrap();
            let (_, key) = key.rsplit_once('/').unwrap();
            let key = key.parse().unwrap();
            assert_eq!(u64::from(row.place.partition), key % u64::from(PARTITIONS));
            let count = u64::from_le_bytes(row.value.try_into().unwrap());
            assert_eq!(shown.insert(key, count), None, "{key} is shown twice");
        }
        if !page.more {
            break;
        }
    }
    assert_eq!(shown, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_one_shard_where_all_is_one_entry() {
    run(1, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_three_shards_where_outputs_are_written_before_the_state() {
    run(3, 3).await;
}
