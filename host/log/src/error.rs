use std::path::PathBuf;

use crate::PartitionId;

/// Why a log does not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open.
    #[error("{} is in use by another process: stop that one, or use another folder", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A newer release wrote it. Nothing was touched.
    #[error(
        "the data is of format {found}, this release knows formats up to {known}: use a newer release, or another folder"
    )]
    NewerFormat {
        /// Format version found.
        found: u64,
        /// Newest format version known.
        known: u64,
    },
    /// A file cannot be understood. Nothing of it was changed.
    #[error("{file} is damaged ({what}): restore it from a copy, or move the data folder away to begin anew")]
    Corrupt {
        /// The file, as the volume names it.
        file: String,
        /// What is wrong with it.
        what: String,
    },
    /// The operating system refused something.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// What it said.
        error: String,
    },
    /// The configuration makes no sense.
    #[error("{0}")]
    Config(&'static str),
}

/// Why an entry was not written. Nothing of it was.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// There is no such partition in this shard, or its topic was deleted.
    #[error("there is no such partition")]
    UnknownPartition,
    /// The disk has no room. It can be tried again.
    #[error("the disk has no room left: make room, then try again")]
    StorageFull,
    /// A batch of the producer between its last one and this one is missing.
    #[error("sequence {found} does not follow: {expected} was expected next")]
    OutOfOrderSequence {
        /// The sequence that would follow.
        expected: i32,
        /// The batch's base sequence.
        found: i32,
    },
    /// A newer epoch of the same producer has written to the partition.
    #[error("producer epoch {found} is fenced: epoch {current} has written since")]
    InvalidProducerEpoch {
        /// The newest epoch known.
        current: i16,
        /// The batch's.
        found: i16,
    },
    /// The batch was written before, too long ago to say at which offset.
    #[error("the batch with base sequence {found} is written already, its offset is no longer known")]
    DuplicateOutOfWindow {
        /// The batch's base sequence.
        found: i32,
    },
    /// A [`KvOp::Expect`](crate::KvOp::Expect) did not hold.
    #[error("a key does not have the value that was expected")]
    ExpectFailed,
    /// The bytes are not exactly one batch with at least one record.
    #[error("not one whole batch: {what}")]
    InvalidBatch {
        /// What is wrong.
        what: String,
    },
    /// The log is closed or closing.
    #[error("the log is closed")]
    Closed,
    /// Writing failed. The shard tries to go on by itself with the next entry, so it can be tried again.
    #[error("writing failed: {what}")]
    Failed {
        /// What the storage said.
        what: String,
    },
}

impl AppendError {
    /// Whether the very same entry can succeed later.
    pub fn retriable(&self) -> bool {
        matches!(self, Self::StorageFull | Self::Failed { .. } | Self::Closed)
    }
}

/// Why a read gives no records.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The offset is not, or no longer, there.
    #[error(
        "offset {requested} is out of range: there are {log_start} up to, and not including, {high_watermark}"
    )]
    OffsetOutOfRange {
        /// What was asked for.
        requested: i64,
        /// The first offset there is.
        log_start: i64,
        /// The offset that is written next.
        high_watermark: i64,
    },
    /// Stored data is damaged.
    #[error("partition {partition} is damaged at offset {offset}: {what}")]
    Corrupt {
        /// The partition.
        partition: PartitionId,
        /// The first offset that cannot be read.
        offset: i64,
        /// What is wrong.
        what: String,
    },
    /// The key-value store is damaged.
    #[error("the shard's key-value store is damaged: {what}")]
    CorruptState {
        /// What is wrong.
        what: String,
    },
    /// The partition's topic was deleted.
    #[error("there is no such partition")]
    UnknownPartition,
    /// The operating system refused something.
    #[error("reading failed: {what}")]
    Io {
        /// What it said.
        what: String,
    },
    /// The log is closed.
    #[error("the log is closed")]
    Closed,
}

/// Why a change to the log itself (not an append) failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The entry that carries the change was not written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// What it needed to read could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Housekeeping (sealing, checkpoints, giving disk back) failed. It is tried again later.
    #[error("housekeeping failed: {what}")]
    Housekeeping {
        /// What went wrong.
        what: String,
    },
}
