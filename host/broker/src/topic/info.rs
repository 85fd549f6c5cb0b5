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
    /// What of it is lost, if anything is.
    pub damaged: Option<DamagedOffsets>,
}

/// Offsets of a partition whose records were lost with a damaged file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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

impl DamagedOffsets {
    /// What a partition has lost.
    pub(crate) fn of(partition: &weir_log::Partition) -> Option<Self> {
        let ranges = partition.damaged();
        let (first, last) = (ranges.first()?, ranges.last()?);
        Some(Self {
            from: first.from.max(partition.log_start_offset()),
            to: last.to,
            offsets: ranges.iter().map(|range| range.to - range.from).sum(),
            stretches: u32::try_from(ranges.len()).unwrap_or(u32::MAX),
        })
    }
}
