use std::sync::Arc;

use bytes::Bytes;
use weir_batch::{Batch, Record};

use crate::ConsumerRecord;

/// Records of one partition that were stored together, checked and uncompressed.
#[derive(Debug, Clone)]
pub struct RecordBatch {
    topic: Arc<str>,
    partition: u32,
    /// One whole uncompressed batch whose records are known to be sound.
    bytes: Bytes,
    /// The records from here...
    from: i64,
    /// ...to before here belong to the consumer.
    to: i64,
    high_watermark: i64,
}

impl RecordBatch {
    /// `bytes` must have been through [`Batch::parse`] or [`Batch::decompress`].
    pub(super) fn new(
        topic: Arc<str>,
        partition: u32,
        bytes: Bytes,
        from: i64,
        to: i64,
        high_watermark: i64,
    ) -> Self {
        Self {
            topic,
            partition,
            bytes,
            from,
            to,
            high_watermark,
        }
    }

    /// The topic the records are from.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition the records are from.
    pub fn partition(&self) -> u32 {
        self.partition
    }

    /// The offset at or before that of the first record.
    pub fn base_offset(&self) -> i64 {
        self.from
    }

    /// The offset to go on with after these records.
    pub fn next_offset(&self) -> i64 {
        self.to
    }

    /// The partition's high watermark when the batch was sent: the offset after its last committed record.
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// The records: those at or after the requested offset, in order of their offsets.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let (from, to) = (self.from, self.to);
        Batch::parse_trusted(&self.bytes)
            .and_then(|batch| batch.records())
            .ok()
            .into_iter()
            .flatten()
            .filter(move |record| (from..to).contains(&record.offset()))
    }

    /// The whole batch in Kafka's format (magic 2), uncompressed. It may hold records before the requested offset, which
    /// [`records`](Self::records) leaves out.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The records by themselves.
    pub(super) fn split(&self) -> Vec<ConsumerRecord> {
        self.records()
            .map(|record| ConsumerRecord::new(&self.topic, self.partition, &self.bytes, &record))
            .collect()
    }

    /// What follows the records before `next` is not for the consumer.
    pub(super) fn extend_to(&mut self, next: i64) {
        self.to = self.to.max(next);
    }

    /// The records from `offset` on.
    pub(super) fn after(mut self, offset: i64) -> Self {
        self.from = self.from.max(offset);
        self
    }
}
