use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use weir_batch::{Record, Tail};

/// A record that was consumed.
///
/// It keeps the memory that it came in alive, together with its neighbours; copy what is to be kept for long.
#[derive(Clone)]
pub struct ConsumerRecord {
    topic: Arc<str>,
    partition: u32,
    offset: i64,
    timestamp_ms: i64,
    /// The record from its key's length on.
    tail: Bytes,
    key: Option<Range<u32>>,
    value: Option<Range<u32>>,
}

impl ConsumerRecord {
    /// `record` must lie in `bytes`.
    pub(super) fn new(topic: &Arc<str>, partition: u32, bytes: &Bytes, record: &Record<'_>) -> Self {
        let tail = bytes.slice_ref(record.tail());
        let start = tail.as_ptr() as usize;
        // Lengths in a batch have 31 bits.
        let range = |part: &[u8]| {
            let from = (part.as_ptr() as usize - start) as u32;
            from..from + part.len() as u32
        };
        Self {
            topic: Arc::clone(topic),
            partition,
            offset: record.offset(),
            timestamp_ms: record.timestamp(),
            key: record.key().map(range),
            value: record.value().map(range),
            tail,
        }
    }

    /// The topic it is from.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition it is from.
    pub fn partition(&self) -> u32 {
        self.partition
    }

    /// Its offset in the partition.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// Its timestamp, in milliseconds since 1970.
    pub fn timestamp(&self) -> i64 {
        self.timestamp_ms
    }

    /// Its key, if it has one.
    pub fn key(&self) -> Option<&[u8]> {
        self.key.as_ref().map(|range| &self.tail[usize_range(range)])
    }

    /// Its value; a record without one is a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        self.value.as_ref().map(|range| &self.tail[usize_range(range)])
    }

    /// The key as a share of the memory that the record came in; nothing is copied.
    pub fn key_bytes(&self) -> Option<Bytes> {
        self.key.as_ref().map(|range| self.tail.slice(usize_range(range)))
    }

    /// The value as a share of the memory that the record came in; nothing is copied.
    pub fn value_bytes(&self) -> Option<Bytes> {
        self.value
            .as_ref()
            .map(|range| self.tail.slice(usize_range(range)))
    }

    /// Its headers, in order: name and value.
    pub fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        Tail::parse(&self.tail)
            .ok()
            .into_iter()
            .flat_map(|tail| tail.headers())
    }
}

impl std::fmt::Debug for ConsumerRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsumerRecord")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("offset", &self.offset)
            .field("timestamp", &self.timestamp_ms)
            .field("key", &self.key_bytes())
            .field("value", &self.value_bytes())
            .finish_non_exhaustive()
    }
}

fn usize_range(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}
