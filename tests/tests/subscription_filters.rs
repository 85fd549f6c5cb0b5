//! A consumer with a filter gets what the same filter, applied by itself to everything, would keep: with the offsets as they
//! are, across reconnects, up to the end.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

use std::time::Duration;

use weir::Broker;
use weir_client::{Client, Codec, Consumer, Error, ErrorCode, NewTopic, Record, Start};
use weir_tests::BrokerCommand;

const BINARY: &str = env!("CARGO_BIN_EXE_weir-under-test");
/// Longest anything here may take before it counts as stuck. Bounds a hang, measures nothing.
const PATIENCE: Duration = Duration::from_secs(60);
const PARTITIONS: u32 = 3;
/// What json-filter is told: keep what says so.
const CONFIG: [(&str, &str); 3] = [("field", "kept"), ("op", "eq"), ("value", "yes")];

async fn soon<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, step)
        .await
        .expect("the step takes too long")
}

/// Whether the filter keeps record `n`: one of ten, then long runs of all and of none.
fn is_kept(n: u32) -> bool {
    match n {
        0..1000 => n % 10 == 7,
        1000..2000 => true,
        _ => false,
    }
}

async fn fill(client: &Client, records: std::ops::Range<u32>) {
    for codec in [Codec::None, Codec::Zstd] {
        let producer = client
            .producer("t")
            .compression(codec)
            .batch_bytes(1500)
            .build()
            .await
            .unwrap();
        let values = records.clone().map(|n| {
            let kept = if is_kept(n) { "yes" } else { "no" };
            Record::value(format!("{{\"n\":{n},\"kept\":\"{kept}\"}}")).partition(n % PARTITIONS)
        });
        soon(producer.send_all(values).await.unwrap()).await.unwrap();
        soon(producer.close()).await.unwrap();
    }
}

async fn prepare(client: &Client) {
    let admin = client.admin();
    admin
        .create_topic(NewTopic::new("t").partitions(PARTITIONS))
        .await
        .unwrap();
    for plugin in ["json-filter", "hostile-filter"] {
        admin
            .upload_plugin(plugin, weir_plugins::component(plugin).unwrap().to_vec(), None)
            .await
            .unwrap();
    }
}

type Found = Vec<(u32, i64, String)>;

async fn next(consumer: &mut Consumer) -> Option<(u32, i64, String)> {
    let record = soon(consumer.next()).await?.unwrap();
    let value = String::from_utf8(record.value().unwrap().to_vec()).unwrap();
    Some((record.partition(), record.offset(), value))
}

async fn drain(consumer: &mut Consumer) -> Found {
    let mut found = Vec::new();
    while let Some(record) = next(consumer).await {
        found.push(record);
    }
    found.sort();
    found
}

/// What a consumer without a filter gets, less what does not say that it is kept.
async fn expected(client: &Client) -> Found {
    let mut consumer = client.consumer("t").until_end(true).build().await.unwrap();
    let mut all = drain(&mut consumer).await;
    all.retain(|(_, _, value)| value.contains("\"yes\""));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_what_the_filter_keeps_and_it_ends_at_the_end() {
    let broker = Broker::builder().in_memory().start().await.unwrap();
    let client = broker.client().await.unwrap();
    prepare(&client).await;
    fill(&client, 0..3000).await;
    let expected = expected(&client).await;
    assert_eq!(expected.len(), 2 * 1100);
    for frame_bytes in [500, 1 << 20] {
        let mut consumer = client
            .consumer("t")
            .filter("json-filter", CONFIG)
            .frame_bytes(frame_bytes)
            .until_end(true)
            .build()
            .await
            .unwrap();
        assert_eq!(drain(&mut consumer).await, expected);
        for partition in 0..PARTITIONS {
            let end = client
                .admin()
                .list_offsets("t", partition, Start::Latest)
                .await
                .unwrap();
            assert_eq!(consumer.position(partition), Some(end), "it has seen all of it");
        }
        // From within a batch.
        let mut consumer = client
            .consumer("t")
            .partition_from(1, Start::Offset(345))
            .filter("json-filter@1", CONFIG)
            .frame_bytes(frame_bytes)
            .until_end(true)
            .build()
            .await
            .unwrap();
        let part: Found = expected
            .iter()
            .filter(|(partition, offset, _)| *partition == 1 && *offset >= 345)
            .cloned()
            .collect();
        assert_eq!(drain(&mut consumer).await, part);
    }
    soon(broker.stop()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_of_the_broker_it_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let start = async |addr: Option<std::net::SocketAddr>| {
        let builder = Broker::builder().folder(folder.path());
        let builder = match addr {
            Some(addr) => builder.listen(addr),
            None => builder,
        };
        builder.start().await.unwrap()
    };
    let broker = start(None).await;
    let addr = broker.addr();
    let client = broker.client().await.unwrap();
    prepare(&client).await;
    fill(&client, 0..3000).await;
    let mut consumer = client
        .consumer("t")
        .filter("json-filter", CONFIG)
        .frame_bytes(400)
        .build()
        .await
        .unwrap();
    let mut found = Vec::new();
    for _ in 0..150 {
        found.push(next(&mut consumer).await.unwrap());
    }
    // A newer version, which would keep everything, does not take over in the middle.
    let newer = weir_plugins::component("hostile-filter").unwrap().to_vec();
    client
        .admin()
        .upload_plugin("json-filter", newer, None)
        .await
        .unwrap();
    soon(broker.stop()).await;
    let broker = start(Some(addr)).await;
    let other = broker.client().await.unwrap();
    fill(&other, 0..3000).await;
    let expected = expected(&other).await;
    while found.len() < expected.len() {
        found.push(next(&mut consumer).await.unwrap());
    }
    found.sort();
    assert_eq!(found, expected, "nothing is missing and nothing comes twice");
    soon(broker.stop()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_that_fails_ends_its_subscription_and_no_other() {
    let broker = Broker::builder().in_memory().start().await.unwrap();
    let client = broker.client().await.unwrap();
    prepare(&client).await;
    fill(&client, 0..300).await;
    for what in ["panic", "loop", "short"] {
        let mut consumer = client
            .consumer("t")
            .partitions([0])
            .filter("hostile-filter", [("do", what), ("at", "\"n\":150,")])
            .until_end(true)
            .build()
            .await
            .unwrap();
        let mut records = 0;
        let error = loop {
            match soon(consumer.next()).await.expect("it fails before the end") {
                Ok(_) => records += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.code(), Some(ErrorCode::PluginFailed), "{error}");
        assert!(!error.retriable(), "{error}");
        let before = if what == "short" { 0 } else { 50 };
        assert_eq!(
            records, before,
            "{what}: what comes before the record is delivered"
        );
        let place = format!("hostile-filter@1 fails at t/0@{before}");
        assert!(error.to_string().contains(&place), "{error}");
        assert!(soon(consumer.next()).await.is_none(), "it is over");
    }
    for (plugin, config, code) in [
        ("nothing", &[][..], ErrorCode::UnknownPlugin),
        ("json-filter", &[], ErrorCode::InvalidRequest),
    ] {
        let config: &[(&str, &str)] = config;
        let built = client
            .consumer("t")
            .filter(plugin, config.iter().copied())
            .build();
        match built.await.unwrap_err() {
            Error::Broker(error) => assert_eq!(error.error_code(), Some(code), "{error}"),
            other => panic!("{other}"),
        }
    }
    let mut consumer = client
        .consumer("t")
        .filter("json-filter", CONFIG)
        .until_end(true)
        .build()
        .await
        .unwrap();
    assert_eq!(drain(&mut consumer).await, expected(&client).await);
    soon(broker.stop()).await;
}

#[tokio::test]
async fn the_command_line_filters_too() {
    let folder = tempfile::tempdir().unwrap();
    let broker = BrokerCommand::new(BINARY, &folder.path().join("data")).start();
    let client = broker.client().await;
    prepare(&client).await;
    fill(&client, 0..100).await;
    let mut command = broker.weir(BINARY, &["consume", "t", "--from", "earliest", "--exit-at-end"]);
    command.args(["--filter", "json-filter"]);
    for (key, value) in CONFIG {
        command.arg("--filter-set").arg(format!("{key}={value}"));
    }
    let done = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    let (out, said) = (
        String::from_utf8(done.stdout).unwrap(),
        String::from_utf8(done.stderr).unwrap(),
    );
    assert!(done.status.success(), "{said}");
    assert_eq!(out.lines().count(), 20, "{out}");
    assert!(out.lines().all(|line| line.contains("\"yes\"")), "{out}");
}
