use crate::PartitionId;

/// Figures of a log since it was opened.
#[derive(Clone, Debug, Default)]
pub struct LogStats {
    /// One for each shard.
    pub shards: Vec<ShardStats>,
}

/// Figures of a shard since it was opened.
#[derive(Clone, Debug, Default)]
pub struct ShardStats {
    /// Groups committed.
    pub groups: u64,
    /// Entries committed.
    pub entries: u64,
    /// Batches appended.
    pub batches: u64,
    /// Their bytes.
    pub batch_bytes: u64,
    /// Commits that waited for the disk.
    pub syncs: u64,
    /// Times that writing failed.
    pub failures: u64,
    /// Whether the shard can only be read at this moment.
    pub degraded: bool,
    /// Bytes that wait to be written or are being written.
    pub queued_bytes: u64,
    /// Segments, the active one and a prepared one included.
    pub segments: u64,
    /// Bytes of batches in them, live or not.
    pub segment_bytes: u64,
    /// The last group.
    pub last_group: u64,
}

/// Figures of a partition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PartitionStats {
    /// The partition.
    pub id: PartitionId,
    /// First offset.
    pub log_start_offset: i64,
    /// Offset that is written next.
    pub high_watermark: i64,
    /// Bytes of its batches, to some kilobytes.
    pub bytes: u64,
}
