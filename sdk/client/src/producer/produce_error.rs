use std::time::Duration;

use weir_protocol::{ErrorCode, WireError};

use crate::Error;

/// Why a record was not produced.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ProduceError {
    /// The record alone is larger than the topic, the broker or this producer's buffer allows.
    #[error(
        "a record of {bytes} bytes is over the limit of {limit} bytes; make it smaller or raise the topic's max.message.bytes"
    )]
    RecordTooLarge {
        /// Bytes the record would take in a batch of its own.
        bytes: usize,
        /// Most bytes that are allowed.
        limit: usize,
    },
    /// The record cannot be encoded, or a prebuilt batch is not valid.
    #[error("the record cannot be encoded: {0}")]
    InvalidRecord(String),
    /// The record names a partition that the topic does not have.
    #[error("the topic has no partition {partition}, only 0..{partitions}")]
    UnknownPartition {
        /// The partition asked for.
        partition: u32,
        /// Partitions of the topic.
        partitions: u32,
    },
    /// The buffer has no room: at once from [`Producer::try_send`](crate::Producer::try_send), after the delivery
    /// timeout from [`Producer::send`](crate::Producer::send).
    #[error(
        "the producer's buffer of {limit} bytes is full; wait for deliveries, or use `send`, which waits by itself"
    )]
    BufferFull {
        /// The configured bound, in bytes.
        limit: usize,
    },
    /// The broker did not acknowledge within the delivery timeout. The record may or may not have been stored.
    #[error("not acknowledged within the delivery timeout of {} ms ({last}); the record may or may not be stored", .after.as_millis())]
    Expired {
        /// The delivery timeout.
        after: Duration,
        /// The last thing that stood in the way.
        last: String,
    },
    /// The broker refused the batch the record was in, and no record of that batch was stored; or, with `RECORD_REJECTED` and
    /// `RECORD_DEFERRED`, the topic's ingest flow refused this record, whatever became of the others.
    #[error("{} ({}): {}", .0.name, .0.code, .0.message)]
    Broker(WireError),
    /// The producer's stream cannot be opened again, for a reason that waiting does not cure.
    #[error("the producer lost its broker: {0}")]
    Unavailable(String),
    /// The producer was closed before the record could be sent.
    #[error("the producer is closed; build a new one")]
    Closed,
}

impl ProduceError {
    /// Whether sending the record again may succeed. After [`Expired`](Self::Expired) sending again may store it twice.
    pub fn retriable(&self) -> bool {
        match self {
            Self::BufferFull { .. } | Self::Expired { .. } => true,
            Self::Broker(error) => error.retriable,
            Self::RecordTooLarge { .. }
            | Self::InvalidRecord(_)
            | Self::UnknownPartition { .. }
            | Self::Unavailable(_)
            | Self::Closed => false,
        }
    }

    /// The broker's stable error code; `None` for what went wrong on this side.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Broker(error) => error.error_code(),
            _ => None,
        }
    }
}

impl From<Error> for ProduceError {
    fn from(error: Error) -> Self {
        match error {
            Error::Broker(error) => Self::Broker(error),
            Error::Produce(error) => error,
            Error::Closed => Self::Closed,
            other => Self::Unavailable(other.to_string()),
        }
    }
}
