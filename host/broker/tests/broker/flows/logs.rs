//! A flow's log: in a topic of its own.

use serde_json::Value;
use weir_broker::{Broker, FlowSpec, OnError};

use crate::support::{batch, on_folder, pairs, paused, populate, produce, timely, values, with};

const TOPICS: &[(&str, u32)] = &[("a", 2), ("b", 2)];

fn flood(lines: &str) -> FlowSpec {
    let mut spec = FlowSpec::new("f", "a", ["hostile"], ["b"]);
    spec.config = pairs(&[("do", "flood-log"), ("n", lines), ("at", "say")]);
    spec
}

/// Waits for so many lines, and returns all there are then.
async fn lines(broker: &Broker, count: usize) -> Vec<Value> {
    timely(async {
        loop {
            if let Ok(topic) = broker.topic("f.log") {
                let partition = topic.partition(0).unwrap();
                if partition.high_watermark() >= count as i64 {
                    break;
                }
                partition.wait_for(count as i64 - 1).await.unwrap();
            }
            // Nothing announces a topic.
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    })
    .await;
    let values = values(broker, "f.log", 0).await;
    values
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn lines_say_whose_they_are_and_where_the_plugin_was() {
    let broker = with(2, TOPICS, &["hostile"]).await;
    broker.create_flow(flood("3")).await.unwrap();
    produce(&broker, "a", 1, batch(&["x", "y", "say"])).await;
    let lines = lines(&broker, 3).await;
    assert_eq!(lines.len(), 3);
    for (n, line) in lines.iter().enumerate() {
        assert_eq!(line["message"], format!("line {n} of a flood"));
        assert_eq!(line["level"], "info");
        assert_eq!(line["flow"], "f");
        assert_eq!(line["plugin"], "hostile@1");
        assert_eq!(line["partition"], 1);
        assert_eq!(
            (&line["offset"], &line["last_offset"]),
            (&0.into(), &2.into()),
            "the call's records"
        );
        assert!(line["time_ms"].as_i64().unwrap() > 1_700_000_000_000);
    }
}

/// The plugin logs each record that it is given, and traps at one: finding that one runs the others several times. Returns what it said,
/// with the first and the last offset of the call.
async fn said_while_a_trap_is_searched(on_error: OnError) -> Vec<(String, i64, i64)> {
    let broker = with(2, TOPICS, &["hostile"]).await;
    let mut spec = flood("1");
    spec.config = pairs(&[("do", "trap"), ("at", "bad"), ("log", "each")]);
    spec.on_error = on_error;
    broker.create_flow(spec).await.unwrap();
    let records = ["r0", "r1", "r2", "bad", "r4", "r5", "r6", "r7"];
    produce(&broker, "a", 0, batch(&records)).await;
    crate::support::wait_for_records(&broker, "b", 7).await;
    let lines = lines(&broker, 8).await;
    let said = lines.iter().filter(|line| line["level"] == "info").map(|line| {
        let first = line["offset"].as_i64().unwrap();
        let last = line["last_offset"].as_i64().unwrap_or(first);
        (line["message"].as_str().unwrap().to_owned(), first, last)
    });
    said.collect()
}

#[tokio::test]
async fn each_record_is_heard_once_though_a_trap_is_searched() {
    let expected = [
        ("given r0", 0, 1),
        ("given r1", 0, 1),
        ("given r2", 2, 2),
        ("given bad", 3, 3),
        ("given r4", 4, 7),
        ("given r5", 4, 7),
        ("given r6", 4, 7),
        ("given r7", 4, 7),
    ];
    let expected = expected.map(|(message, first, last)| (message.to_owned(), first, last));
    assert_eq!(said_while_a_trap_is_searched(OnError::Skip).await, expected);
}

/// The dead-letter topic has to be made first, and the record runs again when it is there.
#[tokio::test]
async fn a_record_that_waits_for_its_dead_letter_topic_is_heard_once() {
    let said = said_while_a_trap_is_searched(OnError::DeadLetter).await;
    let messages: Vec<&str> = said.iter().map(|(message, ..)| message.as_str()).collect();
    let expected = ["r0", "r1", "r2", "bad", "r4", "r5", "r6", "r7"].map(|record| format!("given {record}"));
    assert_eq!(messages, expected);
}

#[tokio::test]
async fn what_stops_a_flow_is_in_its_log_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let broker = on_folder(folder.path(), 2).await;
    populate(&broker, TOPICS, &["hostile"]).await;
    let mut spec = flood("1");
    spec.config = pairs(&[("do", "trap"), ("at", "bad")]);
    broker.create_flow(spec).await.unwrap();
    produce(&broker, "a", 0, batch(&["good", "bad"])).await;
    paused(&broker, "f").await;
    let said = |lines: &[Value]| {
        lines.iter().any(|line| {
            line["level"] == "error"
                && line["message"]
                    .as_str()
                    .unwrap()
                    .contains("paused at a/0@1 in hostile@1")
        })
    };
    let before = lines(&broker, 1).await;
    broker.shutdown().await;
    drop(broker);
    let broker = on_folder(folder.path(), 2).await;
    let after = lines(&broker, before.len()).await;
    assert!(said(&after), "{after:?}");
}

#[tokio::test]
async fn a_flow_does_not_read_its_own_log() {
    let broker = with(2, TOPICS, &["hostile"]).await;
    broker.create_topic("f.log", 1, pairs(&[])).await.unwrap();
    let mut spec = flood("1");
    spec.from = vec!["f.log".to_owned()];
    let error = broker.create_flow(spec).await.unwrap_err();
    assert!(error.message.contains("cycle"), "{error}");
}

/// A flood is cut at the plugin's log rate; what is left has room on the way to the topic, or is counted.
#[tokio::test]
async fn a_flood_is_bounded_and_stops_nobody() {
    let broker = with(2, TOPICS, &["hostile"]).await;
    broker.create_flow(flood("100000")).await.unwrap();
    produce(&broker, "a", 0, batch(&["say", "more"])).await;
    crate::support::wait_for_records(&broker, "b", 2).await;
    let lines = lines(&broker, 1).await;
    assert!(lines.len() < 50_000, "{} lines", lines.len());
}
