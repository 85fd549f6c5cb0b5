//! What a call on the broker can fail with.

use std::fmt;

use weir_log::{AppendError, ReadError};

/// What went wrong, in the closed vocabulary that listeners map one to one to their wire codes.
///
/// The names are Kafka's where the meaning is Kafka's.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The offset lies below the log start offset or above the high watermark.
    OffsetOutOfRange,
    /// A batch that came in fails its CRC or its lengths, or a stored batch is damaged.
    CorruptMessage,
    /// No such topic, or the topic has no such partition.
    UnknownTopicOrPartition,
    /// A batch is larger than the topic's `max.message.bytes`.
    MessageTooLarge,
    /// A topic name that Kafka's rules do not allow, or a reserved one.
    InvalidTopic,
    /// A topic of that name exists.
    TopicAlreadyExists,
    /// A number of partitions that cannot be.
    InvalidPartitions,
    /// A topic configuration key or value that is not known.
    InvalidConfig,
    /// A request that makes no sense by itself (a bad name, contradictory arguments).
    InvalidRequest,
    /// The batch's base sequence leaves a gap after the producer's last one.
    OutOfOrderSequence,
    /// The batch was written before, too long ago to say at which offset.
    DuplicateSequence,
    /// A newer epoch of the same producer has written since.
    InvalidProducerEpoch,
    /// A batch that parses but may not be written: control or transactional, empty, with contradictory fields.
    InvalidRecord,
    /// The batch is compressed with a codec this broker does not have.
    UnsupportedCompression,
    /// Reading or writing the disk failed. It can be tried again: what cannot heal by itself is in the broker's log.
    Storage,
    /// The disk has no room left. It can be tried again once there is room.
    StorageFull,
    /// The broker is shutting down. It can be tried again, elsewhere or later.
    ShuttingDown,
    /// No plugin of that name or version.
    UnknownPlugin,
    /// The uploaded bytes are no plugin that can run here.
    InvalidPlugin,
    /// The uploaded bytes are more than the broker takes.
    PluginTooLarge,
    /// A flow runs the plugin that should be deleted.
    PluginInUse,
    /// A plugin fails at a record, and nothing else is to be done about that.
    PluginFailed,
    /// The topic has an ingest flow that does not run, for the reason that is given. It can be tried again once it runs.
    FlowNotRunning,
    /// No flow of that name.
    UnknownFlow,
    /// A flow of that name exists.
    FlowAlreadyExists,
    /// A flow that cannot run as it is described.
    InvalidFlow,
    /// One of the broker's own bounds (number of topics, partitions, flows, ...) is reached.
    LimitExceeded,
}

impl ErrorKind {
    /// Whether the very same call can succeed later without anybody changing it.
    pub fn retriable(self) -> bool {
        matches!(
            self,
            Self::Storage | Self::StorageFull | Self::ShuttingDown | Self::FlowNotRunning
        )
    }
}

/// A failed call: its kind, what happened and what to do, and the place where there is one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BrokerError {
    /// The kind, for machines.
    pub kind: ErrorKind,
    /// What went wrong and what to do, for people.
    pub message: String,
    /// The partition concerned, where there is one.
    pub partition: Option<u32>,
    /// The offset concerned, where there is one.
    pub offset: Option<i64>,
}

impl BrokerError {
    /// An error of `kind` without a place.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            partition: None,
            offset: None,
        }
    }

    /// The same error at `partition`.
    #[must_use]
    pub fn at_partition(mut self, partition: u32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// The same error at `offset`.
    #[must_use]
    pub fn at_offset(mut self, offset: i64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Whether the very same call can succeed later, see [`ErrorKind::retriable`].
    pub fn retriable(&self) -> bool {
        self.kind.retriable()
    }

    pub(crate) fn shutting_down() -> Self {
        Self::new(
            ErrorKind::ShuttingDown,
            "the broker is shutting down: try again later",
        )
    }

    pub(crate) fn unknown_topic(name: &str) -> Self {
        Self::new(
            ErrorKind::UnknownTopicOrPartition,
            format!("there is no topic '{name}': create it first, or see what there is (weir topic list)"),
        )
    }

    pub(crate) fn storage(what: impl fmt::Display) -> Self {
        Self::new(
            ErrorKind::Storage,
            format!("{what}: check the data folder and the broker's log"),
        )
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match (self.partition, self.offset) {
            (Some(partition), Some(offset)) => write!(f, " (partition {partition}, offset {offset})"),
            (Some(partition), None) => write!(f, " (partition {partition})"),
            (None, Some(offset)) => write!(f, " (offset {offset})"),
            (None, None) => Ok(()),
        }
    }
}

impl std::error::Error for BrokerError {}

/// What the writing side of the log says, in the broker's words.
pub(crate) fn append_error(error: AppendError) -> BrokerError {
    let kind = match &error {
        AppendError::UnknownPartition => ErrorKind::UnknownTopicOrPartition,
        AppendError::StorageFull => ErrorKind::StorageFull,
        AppendError::OutOfOrderSequence { .. } => ErrorKind::OutOfOrderSequence,
        AppendError::InvalidProducerEpoch { .. } => ErrorKind::InvalidProducerEpoch,
        AppendError::DuplicateOutOfWindow { .. } => ErrorKind::DuplicateSequence,
        AppendError::InvalidBatch { .. } => ErrorKind::CorruptMessage,
        AppendError::Closed => return BrokerError::shutting_down(),
        _ => ErrorKind::Storage,
    };
    BrokerError::new(kind, error.to_string())
}

/// What the reading side of the log says about `partition` of `topic`, in the broker's words.
pub(crate) fn read_error(error: ReadError, topic: &str, partition: u32) -> BrokerError {
    let (kind, offset) = match &error {
        ReadError::OffsetOutOfRange { requested, .. } => (ErrorKind::OffsetOutOfRange, Some(*requested)),
        ReadError::Corrupt { offset, .. } => (ErrorKind::CorruptMessage, Some(*offset)),
        ReadError::UnknownPartition => return BrokerError::unknown_topic(topic).at_partition(partition),
        ReadError::Closed => return BrokerError::shutting_down(),
        _ => (ErrorKind::Storage, None),
    };
    let message = match &error {
        ReadError::Corrupt { offset, what, .. } => format!(
            "partition {partition} of topic '{topic}' is damaged at offset {offset} ({what}): \
             restore its files from a copy, or read on behind the damage"
        ),
        _ => format!("topic '{topic}': {error}"),
    };
    BrokerError {
        kind,
        message,
        partition: Some(partition),
        offset,
    }
}
