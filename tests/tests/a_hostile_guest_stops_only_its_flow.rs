//! A guest that loops for ever, eats memory, floods its output, lies about it or traps stops its own flow, with the
//! reason visible; the broker and every other flow go on.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

use std::collections::BTreeMap;
use std::time::Duration;

use weir_client::{Client, FlowSpec, FlowState, NewTopic, Record, Start};
use weir_tests::BrokerCommand;

const BINARY: &str = env!("CARGO_BIN_EXE_weir-under-test");
/// Fewer than the index that a lying frame names as its source.
const RECORDS: usize = 100;

/// Longest anything here may take before it counts as stuck. Bounds a hang, measures nothing.
const PATIENCE: Duration = Duration::from_secs(120);

/// What each guest is told to do, and a word that the reason shown to the user must hold.
const HOSTILE: &[(&str, &str)] = &[
    ("loop", "1000 ms"),
    ("memory", "memory"),
    ("recurse", "recurse"),
    ("panic", "told to panic"),
    ("trap", "trap"),
    ("flood-bytes", ""),
    ("flood-records", ""),
    ("configure-loop", " ms"),
    ("configure-panic", "told to panic"),
    ("frame-version", "malformed answer"),
    ("frame-count", "malformed answer"),
    ("frame-source", "malformed answer"),
    ("frame-output", "malformed answer"),
    ("frame-tail", "malformed answer"),
    ("frame-trailing", "malformed answer"),
];

fn flow(name: &str, plugin: &str, to: &str, config: &[(&str, &str)]) -> FlowSpec {
    FlowSpec {
        config: config
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>(),
        ..FlowSpec::new(name, "in", [plugin], [to])
    }
}

async fn produce(client: &Client) {
    let producer = client.producer("in").build().await.unwrap();
    for number in 0..RECORDS {
        let _delivery = producer
            .send(Record::value(format!("record {number}").into_bytes()))
            .await
            .unwrap();
    }
    producer.close().await.unwrap();
}

async fn count(client: &Client, topic: &str, records: usize) {
    let mut consumer = client
        .consumer(topic)
        .start(Start::Earliest)
        .build()
        .await
        .unwrap();
    for _ in 0..records {
        tokio::time::timeout(PATIENCE, consumer.next())
            .await
            .expect("the flow goes on")
            .unwrap()
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_misdeed_is_limited_reported_and_isolated() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = BrokerCommand::new(BINARY, folder.path()).start();
    let client = broker.client().await;
    let admin = client.admin();
    for topic in ["in", "good", "bad"] {
        admin
            .create_topic(NewTopic::new(topic).partitions(1))
            .await
            .unwrap();
    }
    admin
        .upload_plugin("identity", weir_plugins::IDENTITY, None)
        .await
        .unwrap();
    admin
        .upload_plugin("hostile", weir_plugins::HOSTILE, None)
        .await
        .unwrap();
    admin
        .create_flow(flow("good", "identity", "good", &[]))
        .await
        .unwrap();

    // A guest that fails as it is configured is refused at once or paused at its start: both are told in words.
    let mut refused = BTreeMap::new();
    for (what, _) in HOSTILE {
        if let Err(error) = admin
            .create_flow(flow(what, "hostile", "bad", &[("do", what)]))
            .await
        {
            refused.insert(*what, error.to_string());
        }
    }
    produce(&client).await;
    count(&client, "good", RECORDS).await;

    for (what, word) in HOSTILE {
        if let Some(reason) = refused.get(what) {
            assert!(
                what.starts_with("configure"),
                "{what} is only found out when it runs: {reason}"
            );
            assert!(reason.contains(word), "{what}: {reason}");
            continue;
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let reason = loop {
            let info = admin.describe_flow(*what).await.unwrap();
            if let FlowState::Paused { reason } = info.state {
                break reason;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{what} never paused: {:?}",
                info.state
            );
            tokio::task::yield_now().await;
        };
        assert!(reason.to_lowercase().contains(word), "{what}: {reason}");
    }

    // The broker never stumbled: the good flow is running, takes more, and memory stayed bounded.
    assert!(broker.is_running());
    produce(&client).await;
    count(&client, "good", 2 * RECORDS).await;
    let good = admin.describe_flow("good").await.unwrap();
    assert_eq!(good.state, FlowState::Running);
    assert!(
        broker.resident_bytes() < 1 << 30,
        "{} bytes resident",
        broker.resident_bytes()
    );

    // Paused is durable: a restart does not set a hostile guest loose again.
    let data = broker.kill();
    let broker = BrokerCommand::new(BINARY, &data).start();
    let client = broker.client().await;
    let FlowState::Paused { reason } = client.admin().describe_flow("loop").await.unwrap().state else {
        panic!("the flow runs again")
    };
    assert!(reason.contains("1000 ms"), "{reason}");
}
