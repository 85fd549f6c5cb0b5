//! One flow that computes all the time, beside another and beside producers: all of them keep going.

use weir_broker::{Broker, FlowSpec, Storage};

use crate::support::{batch, config, pairs, populate, produce, values, wait_for_records};

/// A broker with one thread for guests, and a flow on it that has far more to do than this test lasts.
async fn with_a_hot_flow() -> Broker {
    let mut config = config(Storage::Memory, 1);
    config.limits.flow_threads = 1;
    let broker = Broker::open(config).await.unwrap();
    let topics = [("many", 4), ("hot", 1), ("few", 1), ("light", 1)];
    populate(&broker, &topics, &["hostile", "identity"]).await;
    for partition in 0..4 {
        for _ in 0..150 {
            produce(&broker, "many", partition, batch(&["x"; 10])).await;
        }
    }
    let mut hot = FlowSpec::new("hot", "many", ["hostile"], ["hot"]);
    // Some milliseconds a record.
    hot.config = pairs(&[("do", "busy"), ("n", "5000000")]);
    broker.create_flow(hot).await.unwrap();
    let light = FlowSpec::new("light", "few", ["identity"], ["light"]);
    broker.create_flow(light).await.unwrap();
    broker
}

async fn hot(broker: &Broker) -> (u64, u64) {
    let info = broker.describe_flow("hot").await.unwrap();
    let sum = |of: fn(&weir_broker::FlowPartitionInfo) -> u64| info.partitions.iter().map(of).sum();
    (
        sum(|partition| partition.records_in),
        sum(|partition| partition.lag),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hot_flow_starves_neither_another_flow_nor_producers() {
    let broker = with_a_hot_flow().await;
    wait_for_records(&broker, "hot", 1).await;
    let (before, _) = hot(&broker).await;
    // Each record is acknowledged, and has gone through the light flow, before the next is sent.
    for n in 0..10 {
        produce(&broker, "few", 0, batch(&[n.to_string()])).await;
        wait_for_records(&broker, "light", n + 1).await;
    }
    let (after, lag) = hot(&broker).await;
    assert!(lag > 0, "it has been busy all the time");
    assert!(after > before, "and has got on: {before} {after}");
    let expected: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    assert_eq!(values(&broker, "light", 0).await, expected);
    broker.shutdown().await;
}
