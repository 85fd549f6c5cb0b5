//! What a flow writes is exactly the function of what it read, however often the broker is killed while it runs.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

use std::collections::BTreeMap;
use std::time::Duration;

use weir_client::{FlowSpec, NewTopic, Record, Start};
use weir_tests::{BrokerCommand, Random};

const BINARY: &str = env!("CARGO_BIN_EXE_weir-under-test");
const PARTITIONS: u32 = 3;
const RECORDS: u64 = 30_000;
const KILLS: u64 = 50;

async fn run(shards: u16) {
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
    let admin = client.admin();
    admin
        .create_topic(NewTopic::new("in").partitions(PARTITIONS))
        .await
        .unwrap();
    admin
        .create_topic(NewTopic::new("out").partitions(PARTITIONS))
        .await
        .unwrap();
    admin
        .upload_plugin("json-filter", weir_plugins::JSON_FILTER, None)
        .await
        .unwrap();
    admin
        .upload_plugin("identity", weir_plugins::IDENTITY, None)
        .await
        .unwrap();
    let config = [
        ("json-filter.field", "n"),
        ("json-filter.op", "ge"),
        ("json-filter.value", "1000"),
    ];
    admin
        .create_flow(FlowSpec {
            config: config
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect::<BTreeMap<_, _>>(),
            ..FlowSpec::new("copy", "in", ["json-filter", "identity"], ["out"])
        })
        .await
        .unwrap();

    // Keys decide the output's partition, so that outputs cross shards.
    let producer = client
        .producer("in")
        .batch_bytes(8 * 1024)
        .delivery_timeout(Duration::from_secs(120))
        .build()
        .await
        .unwrap();
    let sending = tokio::spawn(async move {
        for n in 0..RECORDS {
            let record = Record::value(format!("{{\"n\":{n}}}").into_bytes())
                .key(n.to_string().into_bytes())
                .partition((n % u64::from(PARTITIONS)) as u32);
            let _delivery = producer.send(record).await.unwrap();
        }
        producer.close().await.unwrap();
    });

    // Kills while the flow runs: each after some further outputs came out.
    let mut random = Random::new(u64::from(shards));
    let mut outputs = client
        .consumer("out")
        .start(Start::Earliest)
        .build()
        .await
        .unwrap();
    let expected = RECORDS - 1000;
    let mut next_kill = 500;
    let mut kills = 0;
    for seen in 0..expected {
        let record = tokio::time::timeout(Duration::from_secs(120), outputs.next())
            .await
            .unwrap_or_else(|_| panic!("{seen} of {expected} came out, then nothing"))
            .unwrap();
        record.unwrap();
        if seen == next_kill && kills < KILLS {
            broker.kill();
            broker = start(&addr);
            kills += 1;
            next_kill = seen + 1 + random.next() % (2 * expected / KILLS);
        }
    }
    sending.await.unwrap();
    assert!(kills > 0);

    // From cold: each number once, in the order of its source partition.
    broker.kill();
    let broker = start(&addr);
    let client = broker.client().await;
    let mut all = client
        .consumer("out")
        .start(Start::Earliest)
        .until_end(true)
        .build()
        .await
        .unwrap();
    let mut seen = vec![false; RECORDS as usize];
    let mut last: BTreeMap<(u32, u64), u64> = BTreeMap::new();
    let mut count = 0;
    while let Some(record) = all.next().await {
        let record = record.unwrap();
        let n: u64 = std::str::from_utf8(record.key().unwrap())
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(record.value().unwrap(), format!("{{\"n\":{n}}}").as_bytes());
        assert!(n >= 1000, "{n} was to be filtered out");
        assert!(
            !std::mem::replace(&mut seen[n as usize], true),
            "{n} came out twice"
        );
        let lane = (record.partition(), n % u64::from(PARTITIONS));
        if let Some(before) = last.insert(lane, n) {
            assert!(before < n, "{n} came after {before} in {lane:?}");
        }
        count += 1;
    }
    assert_eq!(count, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_shard_where_all_is_one_entry() {
    run(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_three_shards_where_outputs_cross_them() {
    run(3).await;
}
