//! Errors of the broker as peers see them.

use std::fmt::Display;

use weir_broker::{BrokerError, ErrorKind};
use weir_protocol::{ControlError, ErrorCode, FrameError, WireError};

/// The broker's error on the wire.
pub(crate) fn wire_error(error: BrokerError) -> WireError {
    let mut wire = WireError::new(code(error.kind), error.message);
    wire.partition = error.partition;
    wire.offset = error.offset;
    wire
}

fn code(kind: ErrorKind) -> ErrorCode {
    match kind {
        ErrorKind::OffsetOutOfRange => ErrorCode::OffsetOutOfRange,
        ErrorKind::CorruptMessage => ErrorCode::CorruptMessage,
        ErrorKind::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
        ErrorKind::MessageTooLarge => ErrorCode::MessageTooLarge,
        ErrorKind::InvalidTopic => ErrorCode::InvalidTopic,
        ErrorKind::TopicAlreadyExists => ErrorCode::TopicAlreadyExists,
        ErrorKind::InvalidPartitions => ErrorCode::InvalidPartitions,
        ErrorKind::InvalidConfig => ErrorCode::InvalidConfig,
        ErrorKind::InvalidRequest => ErrorCode::InvalidRequest,
        ErrorKind::OutOfOrderSequence => ErrorCode::OutOfOrderSequence,
        ErrorKind::DuplicateSequence => ErrorCode::DuplicateSequence,
        ErrorKind::InvalidProducerEpoch => ErrorCode::InvalidProducerEpoch,
        ErrorKind::InvalidRecord => ErrorCode::InvalidRecord,
        ErrorKind::UnsupportedCompression => ErrorCode::UnsupportedCompression,
        ErrorKind::Storage => ErrorCode::StorageError,
        ErrorKind::StorageFull => ErrorCode::StorageFull,
        ErrorKind::ShuttingDown => ErrorCode::ShuttingDown,
        ErrorKind::UnknownPlugin => ErrorCode::UnknownPlugin,
        ErrorKind::InvalidPlugin => ErrorCode::InvalidPlugin,
        ErrorKind::PluginTooLarge => ErrorCode::PluginTooLarge,
        ErrorKind::PluginInUse => ErrorCode::PluginInUse,
        ErrorKind::PluginFailed => ErrorCode::PluginFailed,
        ErrorKind::FlowNotRunning => ErrorCode::FlowNotRunning,
        ErrorKind::UnknownFlow => ErrorCode::UnknownFlow,
        ErrorKind::FlowAlreadyExists => ErrorCode::FlowAlreadyExists,
        ErrorKind::InvalidFlow => ErrorCode::InvalidFlow,
        ErrorKind::LimitExceeded => ErrorCode::LimitExceeded,
        // A kind that this listener does not know yet.
        _ => ErrorCode::Internal,
    }
}

/// The peer sent what has no place here.
pub(crate) fn violation(what: &impl Display) -> WireError {
    WireError::new(
        ErrorCode::ProtocolViolation,
        format!("{what}: check the client's implementation"),
    )
}

/// A frame that cannot be accepted.
pub(crate) fn bad_frame(error: &FrameError) -> WireError {
    match error {
        FrameError::TooLarge { .. } => {
            WireError::new(ErrorCode::FrameTooLarge, format!("{error}: send smaller frames"))
        }
        _ => violation(error),
    }
}

/// A control message that cannot be read.
pub(crate) fn undecodable(error: &ControlError) -> WireError {
    let message = format!("{error}: is the client newer than the broker?");
    WireError::new(ErrorCode::InvalidRequest, message)
}

/// The listener ends.
pub(crate) fn shutting_down() -> WireError {
    WireError::new(
        ErrorCode::ShuttingDown,
        "the broker is shutting down: reconnect later",
    )
}
