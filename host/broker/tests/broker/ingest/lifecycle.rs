//! When a guard is there, and what it does while its flow does not run.

use weir_broker::{FlowStatus, Start};

use super::*;
use crate::support::{no_config, on_folder, populate};

#[tokio::test]
async fn a_paused_flow_refuses_and_a_deleted_one_lets_everything_in() {
    let broker = with(1, &[("a", 1)], &["json-filter"]).await;
    below_ten(&broker).await;
    broker.pause_flow("f").await.unwrap();
    assert_not_running(&refusal(&broker, batch(&[number(1)])).await, "paused on request");
    broker.resume_flow("f").await.unwrap();
    let produced = send(&broker, 0, batch(&[number(1), number(20)])).await.unwrap();
    assert_eq!(results(&produced).runs, [stored(1, 0, 1), dropped(1)]);
    broker.delete_flow("f").await.unwrap();
    assert_eq!(
        send(&broker, 0, batch(&[number(20)])).await.unwrap().records,
        None
    );
    assert_eq!(values(&broker, "a", 0).await, [number(1), number(20)]);
    broker.shutdown().await;
}

#[tokio::test]
async fn after_a_restart_the_guard_is_there_at_once_paused_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let broker = on_folder(folder.path(), 2).await;
    populate(&broker, &[("a", 2)], &["json-filter"]).await;
    below_ten(&broker).await;
    broker.shutdown().await;
    drop(broker);
    let broker = on_folder(folder.path(), 2).await;
    let produced = send(&broker, 1, batch(&[number(1), number(20)])).await.unwrap();
    assert_eq!(results(&produced).runs, [stored(1, 0, 1), dropped(1)]);
    broker.pause_flow("f").await.unwrap();
    broker.shutdown().await;
    drop(broker);
    let broker = on_folder(folder.path(), 2).await;
    assert_not_running(&refusal(&broker, batch(&[number(1)])).await, "paused on request");
    broker.shutdown().await;
}

#[tokio::test]
async fn a_plugin_that_is_lost_refuses_instead_of_letting_by() {
    let folder = tempfile::tempdir().unwrap();
    let broker = on_folder(folder.path(), 1).await;
    populate(&broker, &[("a", 1), ("b", 1)], &["json-filter"]).await;
    below_ten(&broker).await;
    broker.shutdown().await;
    drop(broker);
    for file in std::fs::read_dir(folder.path().join("plugins")).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            std::fs::remove_file(path).unwrap();
        }
    }
    let broker = on_folder(folder.path(), 1).await;
    assert_not_running(
        &refusal(&broker, batch(&[number(1)])).await,
        "upload the plugin again",
    );
    let status = broker.describe_flow("f").await.unwrap().status;
    assert!(matches!(status, FlowStatus::Paused(pause) if pause.reason.contains("missing")));
    produce(&broker, "b", 0, batch(&["free"])).await;
    broker.shutdown().await;
}

#[tokio::test]
async fn a_topic_that_comes_back_comes_back_guarded() {
    let broker = with(1, &[("a", 1)], &["json-filter"]).await;
    below_ten(&broker).await;
    broker.delete_topic("a").await.unwrap();
    let paused = broker.wait_for_flow("f", |status| matches!(status, FlowStatus::Paused(_)));
    timely(paused).await.unwrap();
    assert!(broker.resume_flow("f").await.is_err(), "there is no topic");
    broker.create_topic("a", 1, no_config()).await.unwrap();
    assert_not_running(&refusal(&broker, batch(&[number(1)])).await, "paused");
    broker.resume_flow("f").await.unwrap();
    let produced = send(&broker, 0, batch(&[number(20), number(1)])).await.unwrap();
    assert_eq!(results(&produced).runs, [dropped(1), stored(1, 0, 1)]);
    broker.shutdown().await;
}

#[tokio::test]
async fn added_partitions_and_a_changed_configuration_are_guarded_too() {
    let broker = with(1, &[("a", 1)], &["json-filter"]).await;
    below_ten(&broker).await;
    let config = pairs(&[("compression.type", "zstd")]);
    broker.alter_topic("a", config, Some(3)).await.unwrap();
    let produced = send(&broker, 2, batch(&[number(20), number(1)])).await.unwrap();
    assert_eq!(results(&produced).runs, [dropped(1), stored(1, 0, 1)]);
    let partition = broker.topic("a").unwrap().partition(2).unwrap();
    let fetched = partition.fetch(0, 1 << 20).await.unwrap();
    assert_eq!(Batch::parse(&fetched.batches).unwrap().codec(), Codec::Zstd);
    broker.shutdown().await;
}

#[tokio::test]
async fn what_cannot_guard_is_refused_in_words() {
    let broker = with(
        1,
        &[("a", 1), ("b", 1), ("c", 1), ("s.dead-letter", 1)],
        &["json-filter", "hostile", "dedup"],
    )
    .await;
    // What keeps state has nowhere to keep it there.
    let mut keeper = FlowSpec::ingest("g", ["dedup"], "a");
    keeper.config = pairs(&[("ttl-ms", "1000")]);
    let error = broker.create_flow(keeper).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidFlow, "{error}");
    assert!(error.message.contains("dedup@1 keeps state"), "{error}");
    let config = pairs(&[("field", "n"), ("op", "exists")]);
    let create = async |spec: FlowSpec| {
        let config = config.clone();
        broker.create_flow(FlowSpec { config, ..spec }).await
    };
    let refused = async |spec: FlowSpec, part: &str| {
        let error = create(spec).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidFlow, "{error}");
        assert!(error.message.contains(part), "{error}");
    };
    let ingest = |name: &str, topic: &str| FlowSpec::ingest(name, ["json-filter"], topic);
    let stream = |name: &str, from: &str, to: &str| FlowSpec::new(name, from, ["json-filter"], [to]);
    let mut odd = ingest("g", "a");
    odd.from = vec!["b".to_owned()];
    refused(odd, "no source").await;
    let mut odd = ingest("g", "a");
    odd.to.push("b".to_owned());
    refused(odd, "guards one topic").await;
    let mut odd = ingest("g", "a");
    odd.start = Start::Latest;
    refused(odd, "no start").await;
    create(ingest("f", "a")).await.unwrap();
    refused(ingest("g", "a"), "has an ingest flow already, 'f'").await;
    refused(stream("s", "b", "a"), "which ingest flow 'f' guards").await;
    create(stream("s", "b", "c")).await.unwrap();
    refused(ingest("g", "c"), "flow 's' writes to topic 'c'").await;
    refused(ingest("g", "s.dead-letter"), "flow 's' writes").await;
    // It may be read by flows, and others be guarded.
    create(stream("t", "a", "c")).await.unwrap();
    create(ingest("g", "b")).await.unwrap();
    // A plugin that does not start makes no guard.
    let bad = FlowSpec {
        config: pairs(&[("do", "configure-error")]),
        ..FlowSpec::ingest("h", ["hostile"], "s.dead-letter")
    };
    broker.delete_flow("s").await.unwrap();
    let error = broker.create_flow(bad).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidFlow);
    produce(&broker, "s.dead-letter", 0, batch(&["free"])).await;
    broker.shutdown().await;
}

#[tokio::test]
async fn a_flow_that_is_stopped_over_a_slow_batch_answers_everybody() {
    let broker = with(1, &[("a", 1)], &["hostile"]).await;
    guard(&broker, "hostile", OnError::Pause, &[("do", "loop")]).await;
    let topic = broker.topic("a").unwrap();
    let mut tickets = Vec::new();
    for _ in 0..10 {
        tickets.push(timely(topic.produce(0, batch(&["x", "y", "z"]))).await.unwrap());
    }
    timely(broker.pause_flow("f")).await.unwrap();
    let mut refused = 0;
    for ticket in tickets {
        match timely(ticket).await {
            Ok(produced) => assert_eq!(results(&produced).rejected(), 3),
            Err(error) => {
                assert_not_running(&error, "is being stopped");
                refused += 1;
            }
        }
    }
    assert!(refused >= 8, "{refused}");
    assert!(values(&broker, "a", 0).await.is_empty());
    broker.shutdown().await;
}
