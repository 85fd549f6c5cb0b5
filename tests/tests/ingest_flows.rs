//! An ingest flow judges every record before it is stored: what it refuses fails for its own producer alone, what it leaves out is
//! never there, and nothing gets by, over reconnects and kills.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use weir::Broker;
use weir_client::{
    Client, ErrorCode, FlowMode, FlowSpec, FlowState, NewTopic, OnError, Producer, Record, RecordFate,
};
use weir_tests::BrokerCommand;

const BINARY: &str = env!("CARGO_BIN_EXE_weir-under-test");
/// Longest anything here may take before it counts as stuck. Bounds a hang, measures nothing.
const PATIENCE: Duration = Duration::from_secs(90);

async fn soon<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, step)
        .await
        .expect("the step takes too long")
}

fn spec(plugin: &str, on_error: OnError, config: &[(&str, &str)]) -> FlowSpec {
    FlowSpec {
        config: config
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>(),
        on_error,
        mode: FlowMode::Ingest,
        ..FlowSpec::new("guard", "", [plugin], ["t"])
    }
}

/// Topics `t`, which a flow is to guard, and `free`.
async fn prepare(client: &Client, partitions: u32, plugin: &str) {
    let admin = client.admin();
    for topic in ["t", "free"] {
        let topic = NewTopic::new(topic).partitions(partitions);
        admin.create_topic(topic).await.unwrap();
    }
    let bytes = weir_plugins::component(plugin).unwrap().to_vec();
    admin.upload_plugin(plugin, bytes, None).await.unwrap();
}

async fn producer(client: &Client) -> Producer {
    client
        .producer("t")
        .batch_bytes(600)
        .linger(Duration::from_millis(1))
        .build()
        .await
        .unwrap()
}

/// Everything that is stored: partition, offset and value.
async fn stored(client: &Client, topic: &str) -> Vec<(u32, i64, String)> {
    let mut consumer = client.consumer(topic).until_end(true).build().await.unwrap();
    let mut found = Vec::new();
    while let Some(record) = soon(consumer.next()).await {
        let record = record.unwrap();
        let value = String::from_utf8(record.value().unwrap().to_vec()).unwrap();
        found.push((record.partition(), record.offset(), value));
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejection_reaches_exactly_its_own_delivery() {
    let broker = Broker::builder().in_memory().start().await.unwrap();
    let client = broker.client().await.unwrap();
    prepare(&client, 3, "json-project").await;
    let made = spec("json-project", OnError::Pause, &[("rename", "n=m")]);
    client.admin().create_flow(made).await.unwrap();
    let producer = producer(&client).await;
    let mut deliveries = Vec::new();
    for n in 0..500 {
        let value = match n % 7 {
            3 => format!("no JSON {n}"),
            _ => format!("{{\"n\":{n}}}"),
        };
        let record = Record::value(value).partition(n % 3);
        deliveries.push((n, producer.send(record).await.unwrap()));
    }
    let mut expected = Vec::new();
    for (n, delivery) in deliveries {
        match soon(delivery).await {
            Ok(place) => {
                assert_ne!(n % 7, 3);
                assert_eq!((place.partition, place.fate), (n % 3, RecordFate::Stored));
                expected.push((place.partition, place.offset, format!("{{\"m\":{n}}}")));
            }
            Err(error) => {
                assert_eq!(n % 7, 3, "{error}");
                assert_eq!(error.code(), Some(ErrorCode::RecordRejected));
                assert!(!error.retriable());
                assert!(error.to_string().contains("cannot handle a record"), "{error}");
            }
        }
    }
    let error = soon(producer.close()).await.unwrap_err();
    assert_eq!(
        error.code(),
        Some(ErrorCode::RecordRejected),
        "flushing tells, too"
    );
    expected.sort();
    assert_eq!(stored(&client, "t").await, expected);
    soon(broker.stop()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_out_is_no_failure_and_has_no_offset() {
    let broker = Broker::builder().in_memory().start().await.unwrap();
    let client = broker.client().await.unwrap();
    prepare(&client, 2, "json-filter").await;
    let config = [("field", "n"), ("op", "lt"), ("value", "100")];
    client
        .admin()
        .create_flow(spec("json-filter", OnError::Pause, &config))
        .await
        .unwrap();
    let producer = producer(&client).await;
    let values =
        |range: std::ops::Range<u32>| range.map(|n| Record::value(format!("{{\"n\":{n}}}")).partition(n % 2));
    let all = soon(producer.send_all(values(0..300)).await.unwrap())
        .await
        .unwrap();
    assert_eq!(all, 100, "so many are stored");
    let place = soon(producer.send("{\"n\":700}").await.unwrap()).await.unwrap();
    assert_eq!((place.fate, place.offset), (RecordFate::Dropped, -1));
    let place = soon(
        producer
            .send(Record::value("{\"n\":7}").partition(1))
            .await
            .unwrap(),
    )
    .await
    .unwrap();
    assert_eq!((place.fate, place.offset), (RecordFate::Stored, 50));
    soon(producer.close()).await.unwrap();
    assert_eq!(stored(&client, "t").await.len(), 101);
    let flow = client.admin().describe_flow("guard").await.unwrap();
    let dropped: u64 = flow.partitions.iter().map(|partition| partition.dropped).sum();
    assert_eq!((dropped, flow.state), (201, FlowState::Running));
    soon(broker.stop()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_flow_is_paused_producers_wait_and_then_go_on() {
    let broker = Broker::builder().in_memory().start().await.unwrap();
    let client = broker.client().await.unwrap();
    prepare(&client, 1, "json-filter").await;
    let config = [("field", "n"), ("op", "lt"), ("value", "10")];
    let admin = client.admin();
    admin
        .create_flow(spec("json-filter", OnError::Pause, &config))
        .await
        .unwrap();
    admin.pause_flow("guard").await.unwrap();
    let impatient = client
        .producer("t")
        .delivery_timeout(Duration::from_millis(300))
        .build()
        .await
        .unwrap();
    let error = soon(impatient.send("{\"n\":1}").await.unwrap())
        .await
        .unwrap_err();
    assert!(error.retriable(), "{error}");
    for part in ["flow 'guard'", "paused"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    drop(impatient);
    let patient = producer(&client).await;
    let waiting = patient
        .send_all((0..50).map(|n| format!("{{\"n\":{n}}}")))
        .await
        .unwrap();
    admin.resume_flow("guard").await.unwrap();
    assert_eq!(soon(waiting).await.unwrap(), 10);
    soon(patient.close()).await.unwrap();
    let values: Vec<_> = stored(&client, "t")
        .await
        .into_iter()
        .map(|(_, _, value)| value)
        .collect();
    assert_eq!(
        values,
        (0..10).map(|n| format!("{{\"n\":{n}}}")).collect::<Vec<_>>()
    );
    soon(broker.stop()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_guest_harms_its_own_topic_alone() {
    let broker = Broker::builder().in_memory().start().await.unwrap();
    let client = broker.client().await.unwrap();
    prepare(&client, 1, "hostile").await;
    for what in ["loop", "trap", "memory", "frame-source", "flood-bytes"] {
        let config = [("do", what), ("at", "bad")];
        client
            .admin()
            .create_flow(spec("hostile", OnError::Pause, &config))
            .await
            .unwrap();
        let producer = producer(&client).await;
        let bad = producer.send("bad").await.unwrap();
        let free = client.producer("free").build().await.unwrap();
        assert_eq!(soon(free.send_all(["x"; 100]).await.unwrap()).await.unwrap(), 100);
        let error = soon(bad).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::RecordRejected), "{what}: {error}");
        drop(producer);
        soon(client.admin().delete_flow("guard")).await.unwrap();
    }
    assert!(
        stored(&client, "t")
            .await
            .iter()
            .all(|(_, _, value)| value != "bad")
    );
    soon(broker.stop()).await;
}

#[tokio::test]
async fn what_is_acknowledged_is_stored_once_whatever_happens_to_the_broker() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut broker = BrokerCommand::new(BINARY, &data).start();
    let addr = broker.addr().to_owned();
    let client = broker.client().await;
    prepare(&client, 2, "json-filter").await;
    let config = [("field", "kept"), ("op", "eq"), ("value", "yes")];
    client
        .admin()
        .create_flow(spec("json-filter", OnError::Pause, &config))
        .await
        .unwrap();
    let producer = producer(&client).await;
    let value = |n: u32| {
        let kept = if n.is_multiple_of(3) { "yes" } else { "no" };
        format!("{{\"n\":{n},\"kept\":\"{kept}\"}}")
    };
    let mut deliveries = Vec::new();
    for round in 0..4 {
        for n in round * 1000..(round + 1) * 1000 {
            let record = Record::value(value(n)).partition(n % 2);
            deliveries.push(soon(producer.send(record)).await.unwrap());
            if n == round * 1000 + 500 && round < 3 {
                // In the middle of things: batches are on their way in both directions.
                broker.kill();
                broker = BrokerCommand::new(BINARY, &data).listen(&addr).start();
            }
        }
    }
    let mut expected = Vec::new();
    for (n, delivery) in (0..).zip(deliveries) {
        let place = soon(delivery).await.unwrap();
        let fate = if u32::is_multiple_of(n, 3) {
            RecordFate::Stored
        } else {
            RecordFate::Dropped
        };
        assert_eq!(place.fate, fate, "record {n}");
        if fate == RecordFate::Stored {
            expected.push((place.partition, place.offset, value(n)));
        }
    }
    soon(producer.close()).await.unwrap();
    expected.sort();
    let found = stored(&client, "t").await;
    assert_eq!(found.len(), expected.len(), "no more and no less");
    // Of a batch from before the oldest that the broker remembers, the offset is not known; there is none here.
    assert_eq!(found, expected);
}

#[tokio::test]
async fn the_command_line_guards_a_topic_and_says_what_was_refused() {
    let folder = tempfile::tempdir().unwrap();
    let broker = BrokerCommand::new(BINARY, &folder.path().join("data")).start();
    let client = broker.client().await;
    prepare(&client, 1, "json-project").await;
    let run = |arguments: &[&str], input: &str| {
        let mut command = broker.weir(BINARY, arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (done.status.success(), text(done.stdout) + &text(done.stderr))
    };
    let create = [
        "flow",
        "create",
        "guard",
        "--plugin",
        "json-project",
        "--set",
        "rename=n=m",
        "--to",
        "t",
    ];
    let (done, said) = run(&create, "");
    assert!(!done && said.contains("--mode ingest"), "{said}");
    let (done, said) = run(&[&create[..], &["--mode", "ingest"]].concat(), "");
    assert!(
        done && said.contains("producers -> json-project@1 -> t"),
        "{said}"
    );
    let (done, said) = run(&["produce", "t"], "{\"n\":1}\nno JSON\n{\"n\":2}\n");
    assert!(!done, "{said}");
    for part in [
        "refused 1 line,",
        "line 2",
        "RECORD_REJECTED",
        "2 others are acknowledged",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(stored(&client, "t").await.len(), 2);
    let (done, said) = run(&["flow", "describe", "guard"], "");
    assert!(done && said.contains("1 rejected"), "{said}");
    let (done, said) = run(&["flow", "pause", "guard"], "");
    assert!(done, "{said}");
    let (done, said) = run(&["flow", "delete", "guard"], "");
    assert!(done, "{said}");
    let (done, said) = run(&["produce", "t"], "no JSON\n");
    assert!(done, "{said}");
}

#[tokio::test]
async fn a_producer_to_a_paused_flow_says_within_seconds_why_it_waits() {
    let folder = tempfile::tempdir().unwrap();
    let broker = BrokerCommand::new(BINARY, &folder.path().join("data")).start();
    let client = broker.client().await;
    prepare(&client, 1, "json-filter").await;
    let config = [("field", "n"), ("op", "exists")];
    let made = spec("json-filter", OnError::Pause, &config);
    client.admin().create_flow(made).await.unwrap();
    client.admin().pause_flow("guard").await.unwrap();
    let mut command = tokio::process::Command::from(broker.weir(BINARY, &["produce", "t"]));
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"{\"n\":1}\n").await.unwrap();
    drop(input);
    let mut said = tokio::io::BufReader::new(child.stderr.take().unwrap()).lines();
    let line = soon(said.next_line()).await.unwrap().expect("it says why");
    for part in [
        "held up for 2 s",
        "FLOW_NOT_RUNNING",
        "flow 'guard', which is paused",
        "still trying for 11",
    ] {
        assert!(line.contains(part), "{line}");
    }
    // It has not given up.
    client.admin().resume_flow("guard").await.unwrap();
    let done = soon(child.wait_with_output()).await.unwrap();
    assert!(done.status.success());
    assert_eq!(stored(&client, "t").await.len(), 1);
}
