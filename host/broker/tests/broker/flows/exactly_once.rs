//! Every record comes out once, whatever happens.

use weir_batch::Codec;
use weir_broker::{Broker, FlowSpec};

use crate::support::{all_values, batch_with, on_folder, populate, produce, wait_for_records, with};

const SOURCES: u32 = 3;
const SINKS: u32 = 5;

/// Produces batch `n` to every source partition; keys spread the records over all sink partitions and shards.
async fn produce_round(broker: &Broker, n: u32) {
    for partition in 0..SOURCES {
        let texts: Vec<String> = (0..20)
            .map(|index| format!("{partition}-{n:04}-{index:02}"))
            .collect();
        let records = texts.iter().map(|text| (Some(text.as_str()), text.as_bytes()));
        produce(broker, "a", partition, batch_with(Codec::None, records)).await;
    }
}

fn expected(rounds: u32) -> Vec<String> {
    let mut all: Vec<String> = (0..SOURCES)
        .flat_map(|p| (0..rounds).flat_map(move |n| (0..20).map(move |i| format!("{p}-{n:04}-{i:02}"))))
        .collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_restarts_and_across_shards() {
    let folder = tempfile::tempdir().unwrap();
    let mut rounds = 0;
    for restart in 0..6 {
        let broker = on_folder(folder.path(), 3).await;
        if restart == 0 {
            populate(&broker, &[("a", SOURCES), ("b", SINKS)], &["identity"]).await;
            broker
                .create_flow(FlowSpec::new("f", "a", ["identity"], ["b"]))
                .await
                .unwrap();
        }
        for _ in 0..10 {
            produce_round(&broker, rounds).await;
            rounds += 1;
        }
        // In the midst of it, not at its end.
        broker.shutdown().await;
    }
    let broker = on_folder(folder.path(), 3).await;
    let records = expected(rounds);
    wait_for_records(&broker, "b", records.len() as i64).await;
    broker.pause_flow("f").await.unwrap();
    assert_eq!(all_values(&broker, "b").await, records);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_pauses_and_growing_sinks() {
    let broker = with(3, &[("a", SOURCES), ("b", 1)], &["identity"]).await;
    broker
        .create_flow(FlowSpec::new("f", "a", ["identity"], ["b"]))
        .await
        .unwrap();
    for n in 0..40 {
        produce_round(&broker, n).await;
        if n % 5 == 2 {
            broker
                .alter_topic("b", Default::default(), Some(1 + n / 5))
                .await
                .unwrap();
        }
        if n % 5 == 4 {
            broker.pause_flow("f").await.unwrap();
            broker.resume_flow("f").await.unwrap();
        }
    }
    let records = expected(40);
    wait_for_records(&broker, "b", records.len() as i64).await;
    broker.pause_flow("f").await.unwrap();
    assert_eq!(all_values(&broker, "b").await, records);
    broker.shutdown().await;
}
