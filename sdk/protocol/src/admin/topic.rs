//! Topics.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A topic in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicSummary {
    /// Its name.
    pub name: String,
    /// Its id, which no other topic ever gets.
    pub id: u32,
    /// How many partitions it has.
    pub partitions: u32,
}

/// A topic in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// Its id, which no other topic ever gets.
    pub id: u32,
    /// Its partitions, by number.
    #[serde(default)]
    pub partitions: Vec<PartitionInfo>,
    /// Every setting with the value in effect.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
}

/// A partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionInfo {
    /// Its number.
    pub partition: u32,
    /// First offset that it still holds.
    pub log_start_offset: i64,
    /// Offset after the last committed record.
    pub high_watermark: i64,
    /// Bytes of the batches that it holds.
    #[serde(default)]
    pub bytes: u64,
    /// What of it is lost, if anything is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged: Option<DamagedOffsets>,
}

/// Offsets of a partition whose records were lost with a damaged file.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct DamagedOffsets {
    /// The first one.
    pub from: i64,
    /// The one after the last.
    pub to: i64,
    /// How many there are in between: they may be in several stretches.
    pub offsets: i64,
    /// How many stretches.
    pub stretches: u32,
}
