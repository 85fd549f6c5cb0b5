//! What the tests have in common.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use weir_batch::{Batch, BatchBuilder, Codec, iter_batches};
use weir_broker::{Broker, BrokerConfig, DataFolder, FlowStatus, Limits, Pause, Storage};

/// The timestamp of the first record of every batch; far enough in the future that retention leaves it alone.
pub(crate) const TIME_0: i64 = 4_000_000_000_000;
/// Sixteen times what any batch here unpacks to.
const UNPACKED_BYTES_MAX: usize = 16 << 20;

pub(crate) fn config(storage: Storage, shards: u16) -> BrokerConfig {
    let mut config = BrokerConfig::new(storage);
    config.log.shards = shards;
    config.limits = Limits {
        flow_threads: 2,
        ..Limits::default()
    };
    config
}

pub(crate) async fn in_memory() -> Broker {
    Broker::open(config(Storage::Memory, 1)).await.unwrap()
}

pub(crate) async fn on_folder(path: &Path, shards: u16) -> Broker {
    let folder = DataFolder::open(path).unwrap();
    Broker::open(config(Storage::Folder(folder), shards))
        .await
        .unwrap()
}

pub(crate) fn no_config() -> BTreeMap<String, String> {
    BTreeMap::new()
}

pub(crate) fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// A batch of records with these values.
pub(crate) fn batch<V: AsRef<[u8]>>(values: &[V]) -> BytesMut {
    batch_with(Codec::None, values.iter().map(|value| (None, value.as_ref())))
}

/// A batch of records with these keys and values.
pub(crate) fn batch_with<'a>(
    codec: Codec,
    records: impl IntoIterator<Item = (Option<&'a str>, &'a [u8])>,
) -> BytesMut {
    let mut builder = BatchBuilder::new().codec(codec);
    for (index, (key, value)) in records.into_iter().enumerate() {
        builder
            .push(TIME_0 + index as i64, key.map(str::as_bytes), Some(value), &[])
            .unwrap();
    }
    BytesMut::from(Bytes::from(builder.finish().unwrap()))
}

/// Produces a batch and waits until it is stored; its base offset.
pub(crate) async fn produce(broker: &Broker, topic: &str, partition: u32, batch: BytesMut) -> i64 {
    let topic = broker.topic(topic).unwrap();
    topic
        .produce(partition, batch)
        .await
        .unwrap()
        .await
        .unwrap()
        .base_offset
}

/// The values in a partition, from the first to the high watermark.
pub(crate) async fn values(broker: &Broker, topic: &str, partition: u32) -> Vec<String> {
    let partition = broker.topic(topic).unwrap().partition(partition).unwrap();
    let mut offset = partition.log_start_offset();
    let mut values = Vec::new();
    while offset < partition.high_watermark() {
        let fetched = partition.fetch(offset, 1 << 20).await.unwrap();
        for item in iter_batches(&fetched.batches) {
            let (header, bytes) = item.unwrap();
            let mut scratch = Vec::new();
            let batch = Batch::parse(bytes)
                .unwrap()
                .decompress(&mut scratch, UNPACKED_BYTES_MAX)
                .unwrap();
            for record in batch
                .records()
                .unwrap()
                .filter(|record| record.offset() >= offset)
            {
                values.push(String::from_utf8(record.value().unwrap().to_vec()).unwrap());
            }
            offset = header.next_offset();
        }
    }
    values
}

/// The values in all partitions, sorted.
pub(crate) async fn all_values(broker: &Broker, topic: &str) -> Vec<String> {
    let mut all = Vec::new();
    for partition in 0..broker.topic(topic).unwrap().partitions() {
        all.extend(values(broker, topic, partition).await);
    }
    all.sort();
    all
}

/// Waits until the topic holds `count` records in all.
pub(crate) async fn wait_for_records(broker: &Broker, topic: &str, count: i64) {
    timely(reach_records(broker, topic, count)).await;
}

async fn reach_records(broker: &Broker, topic: &str, count: i64) {
    let topic = broker.topic(topic).unwrap();
    let mut watches: Vec<_> = (0..topic.partitions())
        .map(|index| topic.partition(index).unwrap().watch())
        .collect();
    loop {
        let have: i64 = watches.iter_mut().map(|watch| *watch.borrow_and_update()).sum();
        if have >= count {
            return;
        }
        let mut changes = tokio::task::JoinSet::new();
        for mut watch in watches.iter().cloned() {
            changes.spawn(async move { watch.changed().await });
        }
        changes.join_next().await.unwrap().unwrap().unwrap();
    }
}

/// A guest of weir-plugins, built if need be.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    weir_plugins::component(name)
        .expect("a plugin of this repository")
        .to_vec()
}

/// Waits until the flow is paused; why.
pub(crate) async fn paused(broker: &Broker, flow: &str) -> Pause {
    let status = broker.wait_for_flow(flow, |status| matches!(status, FlowStatus::Paused(_)));
    match timely(status).await.unwrap() {
        FlowStatus::Paused(pause) => pause,
        other => panic!("{other:?}"),
    }
}

/// Waits until the flow is running.
pub(crate) async fn running(broker: &Broker, flow: &str) {
    let status = broker.wait_for_flow(flow, |status| {
        assert!(!matches!(status, FlowStatus::Paused(_)), "{status:?}");
        *status == FlowStatus::Running
    });
    timely(status).await.unwrap();
}

/// What does not come within a minute never comes.
pub(crate) async fn timely<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("it comes within a minute")
}

/// A broker in memory with topics (name and partitions) and plugins of weir-plugins under their own names.
pub(crate) async fn with(shards: u16, topics: &[(&str, u32)], guests: &[&str]) -> Broker {
    let broker = Broker::open(config(Storage::Memory, shards)).await.unwrap();
    populate(&broker, topics, guests).await;
    broker
}

pub(crate) async fn populate(broker: &Broker, topics: &[(&str, u32)], guests: &[&str]) {
    for (name, partitions) in topics {
        broker.create_topic(name, *partitions, no_config()).await.unwrap();
    }
    for name in guests {
        broker.upload_plugin(name, &guest(name)).await.unwrap();
    }
}
