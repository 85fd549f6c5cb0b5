//! A flow's log: in a topic of its own.

use serde_json::Value;
use weir_broker::{Broker, FlowSpec};

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
        assert_eq!(line["offset"], 0, "where the call began");
        assert!(line["time_ms"].as_i64().unwrap() > 1_700_000_000_000);
    }
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
                    .contains("paused at a/0 offset 1")
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
