use std::time::Duration;

use weir_broker::{ErrorKind, Start};

use crate::support::{batch, config, in_memory, no_config, on_folder, pairs, produce, values};

#[tokio::test]
async fn a_topic_is_made_shown_changed_and_deleted() {
    let broker = in_memory().await;
    let made = broker
        .create_topic("orders", 2, pairs(&[("retention.ms", "1000")]))
        .await
        .unwrap();
    assert_eq!((made.name.as_str(), made.partitions.len()), ("orders", 2));
    assert_eq!(made.config["retention.ms"], "1000");
    assert_eq!(made.config["max.message.bytes"], "1048588");
    assert_eq!(broker.describe_topic("orders").unwrap(), made);
    assert_eq!(broker.list_topics(), std::slice::from_ref(&made));

    let changes = pairs(&[("retention.ms", ""), ("compression.type", "zstd")]);
    let altered = broker.alter_topic("orders", changes, Some(5)).await.unwrap();
    assert_eq!(
        altered.config["retention.ms"], "604800000",
        "an empty value is the default again"
    );
    assert_eq!(altered.config["compression.type"], "zstd");
    assert_eq!((altered.id, altered.partitions.len()), (made.id, 5));

    broker.delete_topic("orders").await.unwrap();
    assert_eq!(
        broker.describe_topic("orders").unwrap_err().kind,
        ErrorKind::UnknownTopicOrPartition
    );
    let again = broker.create_topic("orders", 1, no_config()).await.unwrap();
    assert_ne!(again.id, made.id);
    broker.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_changes_nothing() {
    let broker = in_memory().await;
    broker.create_topic("a", 3, no_config()).await.unwrap();
    let kind = |result: Result<_, weir_broker::BrokerError>| {
        result.map(|_: weir_broker::TopicInfo| ()).unwrap_err().kind
    };
    assert_eq!(
        kind(broker.create_topic("a", 1, no_config()).await),
        ErrorKind::TopicAlreadyExists
    );
    assert_eq!(
        kind(broker.create_topic("a/b", 1, no_config()).await),
        ErrorKind::InvalidTopic
    );
    assert_eq!(
        kind(broker.create_topic("__x", 1, no_config()).await),
        ErrorKind::InvalidTopic
    );
    assert_eq!(
        kind(broker.create_topic("b", 0, no_config()).await),
        ErrorKind::InvalidPartitions
    );
    assert_eq!(
        kind(broker.create_topic("b", 1_000_000, no_config()).await),
        ErrorKind::InvalidPartitions
    );
    let compact = pairs(&[("cleanup.policy", "compact")]);
    assert_eq!(
        kind(broker.create_topic("b", 1, compact).await),
        ErrorKind::InvalidConfig
    );
    assert_eq!(
        kind(broker.alter_topic("a", no_config(), Some(2)).await),
        ErrorKind::InvalidPartitions
    );
    assert_eq!(
        kind(broker.alter_topic("a", pairs(&[("x", "")]), None).await),
        ErrorKind::InvalidConfig
    );
    let missing = broker.alter_topic("b", no_config(), None).await;
    assert_eq!(kind(missing), ErrorKind::UnknownTopicOrPartition);
    assert_eq!(
        broker.delete_topic("b").await.unwrap_err().kind,
        ErrorKind::UnknownTopicOrPartition
    );
    assert_eq!(broker.list_topics().len(), 1);
    assert_eq!(broker.describe_topic("a").unwrap().partitions.len(), 3);
    broker.shutdown().await;
}

#[tokio::test]
async fn the_number_of_topics_and_partitions_is_bounded() {
    let mut config = config(weir_broker::Storage::Memory, 1);
    config.limits.topics_max = 2;
    config.limits.partitions_max = 10;
    config.limits.topic_partitions_max = 8;
    let broker = weir_broker::Broker::open(config).await.unwrap();
    broker.create_topic("a", 8, no_config()).await.unwrap();
    let error = broker.create_topic("b", 3, no_config()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::LimitExceeded);
    broker.create_topic("b", 2, no_config()).await.unwrap();
    let error = broker.create_topic("c", 1, no_config()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::LimitExceeded);
    let error = broker.alter_topic("b", no_config(), Some(3)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::LimitExceeded);
    broker.shutdown().await;
}

#[tokio::test]
async fn handles_of_a_deleted_topic_say_so_and_waiters_wake_up() {
    let broker = in_memory().await;
    broker.create_topic("a", 1, no_config()).await.unwrap();
    let topic = broker.topic("a").unwrap();
    let partition = topic.partition(0).unwrap();
    let waiting = partition.clone();
    let waiter = tokio::spawn(async move { waiting.wait_for(0).await });
    broker.delete_topic("a").await.unwrap();
    broker.create_topic("a", 1, no_config()).await.unwrap();
    let woken = tokio::time::timeout(Duration::from_secs(10), waiter)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(woken.unwrap_err().kind, ErrorKind::UnknownTopicOrPartition);
    assert!(topic.is_deleted());
    let unknown = ErrorKind::UnknownTopicOrPartition;
    assert_eq!(topic.produce(0, batch(&["x"])).await.unwrap_err().kind, unknown);
    assert_eq!(partition.fetch(0, 100).await.unwrap_err().kind, unknown);
    assert_eq!(
        partition.resolve(Start::Earliest).await.unwrap_err().kind,
        unknown
    );
    assert_eq!(topic.partition(0).unwrap_err().kind, unknown);
    broker.shutdown().await;
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let broker = on_folder(folder.path(), 3).await;
    let cluster_id = broker.cluster_id().to_owned();
    broker
        .create_topic("a", 4, pairs(&[("retention.ms", "-1")]))
        .await
        .unwrap();
    let deleted = broker.create_topic("b", 1, no_config()).await.unwrap();
    broker.delete_topic("b").await.unwrap();
    for partition in 0..4 {
        produce(&broker, "a", partition, batch(&[format!("v{partition}")])).await;
    }
    let id = broker.allocate_producer_id().await.unwrap().id;
    let info = broker.describe_topic("a").unwrap();
    broker.shutdown().await;
    let late = broker.create_topic("c", 1, no_config()).await.unwrap_err();
    assert_eq!(late.kind, ErrorKind::ShuttingDown);
    drop(broker);

    let broker = on_folder(folder.path(), 3).await;
    assert_eq!(broker.cluster_id(), cluster_id);
    let found = broker.list_topics();
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].config, found[0].id), (&info.config, info.id));
    for partition in 0..4 {
        assert_eq!(values(&broker, "a", partition).await, [format!("v{partition}")]);
    }
    assert!(broker.create_topic("b", 1, no_config()).await.unwrap().id > deleted.id);
    assert!(broker.allocate_producer_id().await.unwrap().id > id);
    broker.shutdown().await;
}
