//! The broker is killed while plugins are uploaded and compiled and while a flow is upgraded and rolled back: every record is processed
//! once, by the version that the flow's revisions say, and what was uploaded is whole or not there.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use weir_client::{Client, FlowChange, FlowSpec, NewTopic, Record, Start};
use weir_tests::{BrokerCommand, Random};

const BINARY: &str = env!("CARGO_BIN_EXE_weir-under-test");
const PARTITIONS: u32 = 2;
const KILLS: u64 = 15;

fn spec(name: &str, plugin: &str, from: &str, to: &str) -> FlowSpec {
    FlowSpec::new(name, from, [plugin], [to])
}

/// Version 1 leaves a line as it is, version 2 makes `{"n":LINE}` of it.
async fn set_up(client: &Client) {
    let admin = client.admin();
    for topic in ["in", "out"] {
        admin
            .create_topic(NewTopic::new(topic).partitions(PARTITIONS))
            .await
            .unwrap();
    }
    for bytes in [weir_plugins::IDENTITY, weir_plugins::LINES_TO_JSON] {
        admin.upload_plugin("form", bytes, None).await.unwrap();
    }
    admin.create_flow(spec("f", "form@1", "in", "out")).await.unwrap();
}

/// Changes the flow and uploads plugins, again and again; what fails for want of a broker is tried again.
async fn change(client: Client, stop: Arc<AtomicBool>, changes: watch::Sender<u64>) {
    let admin = client.admin();
    let uploads = [
        weir_plugins::JSON_FILTER,
        weir_plugins::JSON_PROJECT,
        weir_plugins::KEY_FILTER,
    ];
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let changed = match admin.describe_flow("f").await {
            Ok(flow) if flow.spec.plugins == ["form@1"] => {
                let to_json = FlowChange {
                    plugins: vec!["form@2".to_owned()],
                    set: BTreeMap::from([("columns".to_owned(), "n".to_owned())]),
                    ..FlowChange::default()
                };
                admin.upgrade_flow("f", to_json).await.is_ok()
            }
            Ok(_) => admin.rollback_flow("f", None).await.is_ok(),
            Err(_) => false,
        };
        changes.send_modify(|changes| *changes += u64::from(changed));
        let name = format!("other-{}", turn % 6);
        // Whether it arrives is looked at in the end.
        let _ = admin
            .upload_plugin(&name, uploads[turn % uploads.len()], None)
            .await;
        if !changed {
            // The broker is away.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loses_repeats_and_mixes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let start = |listen: &str| BrokerCommand::new(BINARY, &data).listen(listen).start();
    let mut broker = start("127.0.0.1:0");
    let addr = broker.addr().to_owned();
    let client = broker.client().await;
    set_up(&client).await;

    let stop = Arc::new(AtomicBool::new(false));
    let (counting, mut changes) = watch::channel(0);
    let changing = tokio::spawn(change(broker.client().await, Arc::clone(&stop), counting));
    let producer = client
        .producer("in")
        .batch_bytes(1024)
        .delivery_timeout(Duration::from_secs(120))
        .build()
        .await
        .unwrap();
    let producing = Arc::clone(&stop);
    let sending = tokio::spawn(async move {
        let mut sent = [0_u64; PARTITIONS as usize];
        while !producing.load(Ordering::Relaxed) {
            for (partition, next) in (0..).zip(&mut sent) {
                for _ in 0..50 {
                    let record = Record::value(next.to_string().into_bytes()).partition(partition);
                    let _delivery = producer.send(record).await.unwrap();
                    *next += 1;
                }
            }
            producer.flush().await.unwrap();
        }
        producer.close().await.unwrap();
        sent
    });

    let mut random = Random::new(7);
    for kill in 0..KILLS {
        if kill % 2 == 0 {
            // So that something does change.
            let before = *changes.borrow_and_update();
            let changed = changes.wait_for(|&now| now > before);
            let changed = tokio::time::timeout(Duration::from_secs(60), changed).await;
            changed.expect("the flow changes").unwrap();
        }
        // At any moment from there on.
        tokio::time::sleep(Duration::from_micros(random.next() % 60_000)).await;
        broker.kill();
        broker = start(&addr);
    }
    stop.store(true, Ordering::Relaxed);
    let sent = sending.await.unwrap();
    changing.await.unwrap();

    let admin = client.admin();
    let mut outputs = client
        .consumer("out")
        .start(Start::Earliest)
        .build()
        .await
        .unwrap();
    let mut seen: Vec<Vec<String>> = vec![Vec::new(); PARTITIONS as usize];
    for count in 0..sent.iter().sum::<u64>() {
        let record = tokio::time::timeout(Duration::from_secs(60), outputs.next())
            .await
            .unwrap_or_else(|_| panic!("{count} of {sent:?} came out, then nothing"))
            .unwrap()
            .unwrap();
        let value = String::from_utf8(record.value().unwrap().to_vec()).unwrap();
        seen[record.partition() as usize].push(value);
    }
    let revisions = admin.describe_flow("f").await.unwrap().revisions;
    for (partition, seen) in seen.iter().enumerate() {
        for (n, value) in (0..).zip(seen) {
            let json = format!("{{\"n\":{n}}}");
            // Older revisions are forgotten.
            match revisions
                .iter()
                .rev()
                .find(|revision| revision.from[0][partition] <= n)
            {
                Some(revision) if revision.plugins == ["form@1"] => assert_eq!(value, &n.to_string()),
                Some(_) => assert_eq!(value, &json),
                None => assert!(
                    value == &json || value == &n.to_string(),
                    "{value} instead of {n}"
                ),
            }
        }
        assert_eq!(seen.len() as u64, sent[partition]);
    }

    // What is listed is whole.
    for plugin in admin.list_plugins().await.unwrap() {
        if !plugin.name.starts_with("other-") {
            continue;
        }
        let reference = format!("{}@{}", plugin.name, plugin.version);
        let refused = admin
            .create_flow(spec("g", &reference, "in", "out"))
            .await
            .unwrap_err();
        // It is loaded and started, and wants the configuration that it was not given.
        assert!(
            refused.to_string().contains("refuses its configuration"),
            "{reference}: {refused}"
        );
    }
}
