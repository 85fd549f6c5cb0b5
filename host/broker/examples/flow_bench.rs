//! What a flow costs, without a network: durable produce alone, then with a flow behind the topic until its last output is on
//! disk: one that copies, one that keeps, one that counts by key.
//!
//! `cargo run --release -p weir-broker --example flow_bench [FOLDER]`; without a folder, in a temporary one.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use weir_batch::BatchBuilder;
use weir_broker::{Broker, BrokerConfig, DataFolder, FlowSpec, ProduceTicket, Storage};

const RECORD_BYTES: usize = 100;
const BATCH_BYTES: usize = 64 * 1024;
const TOTAL_BYTES: usize = 384 * 1024 * 1024;
/// Distinct keys of the records that are counted.
const KEYS: usize = 1_000;
const BATCHES_IN_FLIGHT: usize = 64;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let temporary = tempfile::tempdir()?;
    let folder = std::env::args()
        .nth(1)
        .map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    for plugin in [
        None,
        Some("identity"),
        Some("hostile-filter"),
        Some("count-by-key"),
    ] {
        for partitions in [1, 4] {
            let data = folder.join(format!("{}-{partitions}", plugin.unwrap_or("none")));
            measure(&data, partitions, plugin).await?;
            std::fs::remove_dir_all(&data)?;
        }
    }
    Ok(())
}

async fn measure(folder: &std::path::Path, partitions: u32, plugin: Option<&str>) -> Outcome<()> {
    let broker = Broker::open(BrokerConfig::new(Storage::Folder(DataFolder::open(folder)?))).await?;
    for name in ["a", "b"] {
        broker.create_topic(name, partitions, BTreeMap::new()).await?;
    }
    if let Some(plugin) = plugin {
        let wasm = weir_plugins::component(plugin).ok_or("no such plugin")?;
        broker.upload_plugin(plugin, wasm).await?;
        broker
            .create_flow(FlowSpec::new("f", "a", [plugin], ["b"]))
            .await?;
    }
    let batch = batch(plugin == Some("count-by-key"))?;
    let count = TOTAL_BYTES / batch.len();
    let began = Instant::now();
    let topic = broker.topic("a")?;
    let mut in_flight: VecDeque<ProduceTicket> = VecDeque::new();
    for n in 0..count {
        if in_flight.len() == BATCHES_IN_FLIGHT
            && let Some(oldest) = in_flight.pop_front()
        {
            oldest.await?;
        }
        in_flight.push_back(topic.produce(n as u32 % partitions, batch.clone()).await?);
    }
    for ticket in in_flight {
        ticket.await?;
    }
    let acknowledged = began.elapsed();
    let name = plugin.unwrap_or("no flow");
    let rate = |took: Duration| (count * batch.len()) as f64 / 1e6 / took.as_secs_f64();
    print!(
        "{name:>15}, {partitions} partitions: acknowledged {:6.0} MB/s",
        rate(acknowledged)
    );
    if plugin.is_some() {
        for index in 0..partitions {
            let end = topic.partition(index)?.high_watermark();
            broker.topic("b")?.partition(index)?.wait_for(end - 1).await?;
        }
        let drained = began.elapsed();
        let info = broker.pause_flow("f").await?;
        let records: u64 = info.partitions.iter().map(|p| p.records_in).sum();
        let guest_ns: u64 = info.partitions.iter().map(|p| p.guest_ns).sum();
        let ns = guest_ns as f64 / records as f64;
        print!(
            ", through the flow {:6.0} MB/s, {:.2} million records/s, guest {ns:5.1} ns a record",
            rate(drained),
            records as f64 / 1e6 / drained.as_secs_f64()
        );
    }
    println!();
    broker.shutdown().await;
    Ok(())
}

fn batch(keyed: bool) -> Outcome<BytesMut> {
    let mut builder = BatchBuilder::new();
    let value = [b'v'; RECORD_BYTES];
    while builder.encoded_len() + RECORD_BYTES + 20 < BATCH_BYTES {
        let key = format!("key-{:04}", builder.len() % KEYS);
        let key = keyed.then_some(key.as_bytes());
        builder.push(4_000_000_000_000, key, Some(&value), &[])?;
    }
    Ok(BytesMut::from(builder.finish()?.as_slice()))
}
