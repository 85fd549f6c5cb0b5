//! Error codes: stable numbers and names.

use core::fmt;

use serde::{Deserialize, Serialize};

/// Defines the codes in one table, so that number, name and retriability cannot drift apart.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, $retriable:literal;)*) => {
        /// What went wrong, as a stable number.
        ///
        /// Up to 999 a number means what it means in Apache Kafka; from 1000 on it is Weir's own. A code can be
        /// retried when the same request may succeed later without the caller changing anything.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        #[non_exhaustive]
        pub enum ErrorCode { $($(#[$doc])* $variant = $number,)* }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code with this number, if this version knows it.
            pub fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }

            /// The stable name, for example `MESSAGE_TOO_LARGE`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Whether the same request may succeed later.
            pub fn is_retriable(self) -> bool {
                match self { $(Self::$variant => $retriable,)* }
            }
        }
    };
}

error_codes! {
    /// The offset is below the log start offset or above the high watermark.
    OffsetOutOfRange = 1, "OFFSET_OUT_OF_RANGE", false;
    /// A batch does not match its checksum, on the way in or on disk.
    CorruptMessage = 2, "CORRUPT_MESSAGE", false;
    /// There is no such topic, or the topic has no such partition. Unlike in Kafka not retriable: there is no
    /// metadata that could lag behind.
    UnknownTopicOrPartition = 3, "UNKNOWN_TOPIC_OR_PARTITION", false;
    /// It took too long; it may or may not have happened.
    RequestTimedOut = 7, "REQUEST_TIMED_OUT", true;
    /// A batch or record is larger than the topic's `max.message.bytes`.
    MessageTooLarge = 10, "MESSAGE_TOO_LARGE", false;
    /// A topic cannot have this name.
    InvalidTopic = 17, "INVALID_TOPIC_EXCEPTION", false;
    /// The peers have no version of the protocol in common.
    UnsupportedVersion = 35, "UNSUPPORTED_VERSION", false;
    /// A topic of this name exists already.
    TopicAlreadyExists = 36, "TOPIC_ALREADY_EXISTS", false;
    /// The number of partitions is not allowed.
    InvalidPartitions = 37, "INVALID_PARTITIONS", false;
    /// A configuration key or value is not allowed.
    InvalidConfig = 40, "INVALID_CONFIG", false;
    /// The request makes no sense.
    InvalidRequest = 42, "INVALID_REQUEST", false;
    /// The batch does not follow the producer's last one on this partition.
    OutOfOrderSequence = 45, "OUT_OF_ORDER_SEQUENCE_NUMBER", false;
    /// The batch is older than the producer's batches that the broker remembers.
    DuplicateSequence = 46, "DUPLICATE_SEQUENCE_NUMBER", false;
    /// A newer epoch of the producer exists.
    InvalidProducerEpoch = 47, "INVALID_PRODUCER_EPOCH", false;
    /// The disk failed.
    StorageError = 56, "KAFKA_STORAGE_ERROR", true;
    /// The broker does not know this compression, or cannot decompress the batch.
    UnsupportedCompression = 76, "UNSUPPORTED_COMPRESSION_TYPE", false;
    /// A batch or a record in it is malformed.
    InvalidRecord = 87, "INVALID_RECORD", false;

    /// No space left for records; reads go on.
    StorageFull = 1000, "STORAGE_FULL", true;
    /// The broker is shutting down.
    ShuttingDown = 1001, "SHUTTING_DOWN", true;
    /// Bytes that are not in this protocol: a malformed frame, or one that has no place here.
    ProtocolViolation = 1002, "PROTOCOL_VIOLATION", false;
    /// A frame is longer than the broker takes.
    FrameTooLarge = 1003, "FRAME_TOO_LARGE", false;
    /// The broker has too much to do at the moment.
    Overloaded = 1004, "OVERLOADED", true;
    /// The peer did not go on in time.
    IdleTimeout = 1005, "IDLE_TIMEOUT", true;
    /// The broker ran into a defect of its own.
    Internal = 1006, "INTERNAL", false;
    /// There is no plugin of this name, or not in this version.
    UnknownPlugin = 1010, "UNKNOWN_PLUGIN", false;
    /// The upload is not a plugin that can run here.
    InvalidPlugin = 1011, "INVALID_PLUGIN", false;
    /// The upload is larger than the broker takes.
    PluginTooLarge = 1012, "PLUGIN_TOO_LARGE", false;
    /// A flow uses the plugin.
    PluginInUse = 1013, "PLUGIN_IN_USE", false;
    /// A plugin failed on a record.
    PluginFailed = 1014, "PLUGIN_FAILED", false;
    /// There is no flow of this name.
    UnknownFlow = 1020, "UNKNOWN_FLOW", false;
    /// A flow of this name exists already.
    FlowAlreadyExists = 1021, "FLOW_ALREADY_EXISTS", false;
    /// A flow cannot be made like this.
    InvalidFlow = 1022, "INVALID_FLOW", false;
    /// The topic has an ingest flow, which everything sent to it goes through, and that does not run.
    FlowNotRunning = 1023, "FLOW_NOT_RUNNING", true;
    /// The topic's ingest flow refuses this record; others of its batch may be stored.
    RecordRejected = 1024, "RECORD_REJECTED", false;
    /// The topic's ingest flow refuses this record for now: it may be sent again later.
    RecordDeferred = 1025, "RECORD_DEFERRED", true;
    /// The connection has as many streams as it may have.
    TooManyStreams = 1030, "TOO_MANY_STREAMS", true;
    /// A limit of the broker is reached: of topics, partitions, plugins or flows.
    LimitExceeded = 1031, "LIMIT_EXCEEDED", false;
}

impl ErrorCode {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        self as u16
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An error as it travels: in an `Error` frame, and behind the header of an ack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireError {
    /// Number of an [`ErrorCode`], or of one that a later version added.
    pub code: u16,
    /// The code's name.
    #[serde(default)]
    pub name: String,
    /// Whether the same request may succeed later.
    #[serde(default)]
    pub retriable: bool,
    /// What went wrong and what to do, in one or two sentences.
    #[serde(default)]
    pub message: String,
    /// The partition concerned. On a subscription the other partitions go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// The offset concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
}

impl WireError {
    /// An error that concerns no partition in particular. `message` says what went wrong and what to do.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code: code.number(),
            name: code.name().to_owned(),
            retriable: code.is_retriable(),
            message: message.into(),
            partition: None,
            offset: None,
        }
    }

    /// The same error, of this partition.
    #[must_use]
    pub fn at(mut self, partition: u32, offset: Option<i64>) -> Self {
        self.partition = Some(partition);
        self.offset = offset;
        self
    }

    /// The code, if this version knows it.
    pub fn error_code(&self) -> Option<ErrorCode> {
        ErrorCode::from_number(self.code)
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.name, self.code, self.message)
    }
}

impl core::error::Error for WireError {}

/// Why a connection or a stream was closed: the QUIC application error code of `CONNECTION_CLOSE`, `RESET_STREAM`
/// and `STOP_SENDING` frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[non_exhaustive]
pub enum CloseCode {
    /// Nothing is wrong: the peer is done.
    Done = 0,
    /// The broker is shutting down.
    ShuttingDown = 1,
    /// The peer broke the protocol; the reason says how.
    ProtocolViolation = 2,
    /// No version in common.
    UnsupportedVersion = 3,
    /// The peer did not say in time what it wants.
    Timeout = 4,
    /// The broker has as many connections as it takes.
    TooManyConnections = 5,
    /// The stream failed; an `Error` frame on it said why.
    Failed = 6,
}

impl CloseCode {
    /// The number on the wire.
    pub fn number(self) -> u32 {
        self as u32
    }
}
