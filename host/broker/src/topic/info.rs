//! A topic as it is shown.

use std::collections::BTreeMap;

/// A topic and what it holds, at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// Its id, which no other topic of this broker ever has, not even of the same name.
    pub id: u32,
    /// Its partitions, by index.
    pub partitions: Vec<PartitionInfo>,
    /// Every configuration key with its effective value.
    pub config: BTreeMap<String, String>,
}

/// A partition, at one moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PartitionInfo {
    /// Its index in the topic.
    pub partition: u32,
    /// The first offset that can be read.
    pub log_start_offset: i64,
    /// The offset that the next record gets; everything below is committed.
    pub high_watermark: i64,
    /// Bytes of the batches it holds.
    pub bytes: u64,
}
