//! What the log's tests have in common.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "helpers: each test binary uses its own part of them"
)]

pub mod disk;

use bytes::BytesMut;
use weir_batch::{Batch, BatchBuilder, iter_batches};
use weir_log::{
    Append, AppendError, Appended, Committed, Durability, Entry, Log, LogConfig, Partition, PartitionConfig,
    PartitionId, ReadError, Receipt,
};

pub const P: PartitionId = PartitionId { topic: 1, index: 0 };
pub const Q: PartitionId = PartitionId { topic: 2, index: 1 };

/// A log of one shard whose segments are small, so that a test sees all of its life.
pub fn small() -> LogConfig {
    LogConfig {
        shards: 1,
        segment_bytes: 256 << 10,
        tail_cache_bytes: 0,
        free_space_min_bytes: 0,
        ..LogConfig::default()
    }
}

pub fn partition(log: &Log, id: PartitionId) -> Partition {
    log.ensure_partition(id, PartitionConfig::default()).unwrap()
}

/// A batch of records with these values, the n-th at time `timestamp` + n.
pub fn batch_at<V: AsRef<[u8]>>(timestamp: i64, values: impl IntoIterator<Item = V>) -> BytesMut {
    let mut builder = BatchBuilder::new();
    for (value, timestamp) in values.into_iter().zip(timestamp..) {
        builder.push(timestamp, None, Some(value.as_ref()), &[]).unwrap();
    }
    BytesMut::from(builder.finish().unwrap().as_slice())
}

pub fn batch<V: AsRef<[u8]>>(values: impl IntoIterator<Item = V>) -> BytesMut {
    batch_at(1_000, values)
}

/// A batch of a producer with an id.
pub fn sequenced(producer: i64, epoch: i16, sequence: i32, records: usize) -> BytesMut {
    let mut bytes = batch((0..records).map(|i| format!("{producer}/{epoch}/{}", sequence as usize + i)));
    weir_batch::set_producer(&mut bytes, producer, epoch, sequence).unwrap();
    bytes
}

pub fn entry(appends: impl IntoIterator<Item = (PartitionId, BytesMut)>) -> Entry {
    Entry {
        appends: appends
            .into_iter()
            .map(|(partition, batch)| Append { partition, batch })
            .collect(),
        puts: Vec::new(),
        durability: Durability::Fsync,
    }
}

pub fn submit(log: &Log, partition: PartitionId, batch: BytesMut) -> Receipt {
    log.submit_blocking(log.shard_of(partition), entry([(partition, batch)]))
        .unwrap()
}

pub fn write(log: &Log, entry: Entry) -> Result<Committed, AppendError> {
    let shard = entry
        .appends
        .first()
        .map_or(0, |append| log.shard_of(append.partition));
    log.submit_blocking(shard, entry)?.wait()
}

pub fn append(log: &Log, partition: PartitionId, batch: BytesMut) -> Result<Appended, AppendError> {
    Ok(submit(log, partition, batch).wait()?.appends[0])
}

/// The values from `offset` to the end, with their offsets.
pub fn values_from(
    partition: &Partition,
    offset: i64,
    max_bytes: usize,
) -> Result<Vec<(i64, Vec<u8>)>, ReadError> {
    let mut values = Vec::new();
    let mut next = offset;
    while next < partition.high_watermark() {
        let fetched = partition.read(next, max_bytes)?;
        assert!(fetched.next_offset > next);
        for batch in iter_batches(&fetched.batches) {
            let (_, bytes) = batch.unwrap();
            let batch = Batch::parse(bytes).unwrap();
            for record in batch
                .records()
                .unwrap()
                .filter(|record| record.offset() >= offset)
            {
                values.push((record.offset(), record.value().unwrap().to_vec()));
            }
        }
        next = fetched.next_offset;
    }
    Ok(values)
}

pub fn values(partition: &Partition) -> Vec<(i64, Vec<u8>)> {
    values_from(partition, partition.log_start_offset(), 1 << 20).unwrap()
}
