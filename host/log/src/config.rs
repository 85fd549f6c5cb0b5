use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::volume::Volume;

/// Where a log keeps its files.
#[derive(Clone, Debug)]
pub enum Storage {
    /// In this folder, which is made if it is not there. One process at a time.
    Folder(PathBuf),
    /// In this process's memory. Gone when the log is closed.
    Memory,
    /// Behind a volume of the caller's. For tests that inject faults.
    #[doc(hidden)]
    Volume(Arc<dyn Volume>),
}

/// Sizes and bounds of a [`Log`](crate::Log). The defaults are what `examples/layout_bench.rs` decided.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Writer threads, each with partitions of its own. Taken when the storage is new and fixed from then on.
    pub shards: u16,
    /// Batch bytes after which a segment is full and the next one begins. It bounds how much a restart after a crash
    /// has to look at.
    pub segment_bytes: u64,
    /// Groups (commits) after which a segment is full even if it is small, for the same reason.
    pub segment_groups: u64,
    /// Most bytes written in one group, apart from a single entry that is larger.
    pub group_bytes_max: usize,
    /// Largest row that batches are stored in: a power of two, in bytes, 4 KiB at least.
    pub chunk_bytes_max: usize,
    /// redb's page cache of each segment that is written to, in bytes. Half of it buffers a group.
    pub write_cache_bytes: usize,
    /// redb's page cache of each sealed segment that is open, in bytes.
    pub read_cache_bytes: usize,
    /// Sealed segments that are kept open, all shards together.
    pub open_segments_max: usize,
    /// Bytes of recent batches kept in memory for consumers at the end, all shards together.
    pub tail_cache_bytes: usize,
    /// Bytes that wait or are being written, per shard; whoever submits more waits.
    pub queue_bytes_max: usize,
    /// Appends are refused while the file system has less than this free.
    pub free_space_min_bytes: u64,
    /// The longest that an entry of relaxed durability stays without an fsync.
    pub relaxed_flush_after: Duration,
    /// How often retention is looked at when nothing else asks for it.
    pub housekeeping_interval: Duration,
    /// Producers with an id that a shard remembers; the one that was silent longest is forgotten first.
    pub producers_max: usize,
    /// Whether commits write redb's allocator state, which makes opening after a crash a matter of microseconds and
    /// every commit two fsyncs instead of one.
    pub quick_repair: bool,
    /// What time it is, for retention.
    pub clock: Clock,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            shards: 2,
            segment_bytes: 256 << 20,
            segment_groups: 200_000,
            group_bytes_max: 4 << 20,
            chunk_bytes_max: 128 << 10,
            write_cache_bytes: 12 << 20,
            read_cache_bytes: 2 << 20,
            open_segments_max: 8,
            tail_cache_bytes: 48 << 20,
            queue_bytes_max: 16 << 20,
            free_space_min_bytes: 64 << 20,
            relaxed_flush_after: Duration::from_millis(100),
            housekeeping_interval: Duration::from_secs(15),
            producers_max: 50_000,
            quick_repair: false,
            clock: Clock::System,
        }
    }
}

/// What a partition keeps.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PartitionConfig {
    /// Records older than this many milliseconds may go. `None`: they stay.
    pub retention_ms: Option<u64>,
    /// The oldest records may go while the partition has more than this many bytes. `None`: they stay.
    pub retention_bytes: Option<u64>,
}

/// Wall clock, or a test's.
#[derive(Clone, Default)]
pub enum Clock {
    /// The machine's.
    #[default]
    System,
    /// Milliseconds since 1970, set by hand.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        match self {
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            Self::Manual(now) => now.load(Ordering::Acquire),
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Manual(_) => "Manual",
        })
    }
}
