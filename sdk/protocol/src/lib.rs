//! Weir's native protocol, without I/O: frames, control messages, data headers and error codes.

mod admin;
mod control;
mod data;
mod decoder;
mod error;
mod frame;
pub mod tuning;

pub use admin::{
    AdminRequest, AdminResponse, BrokerInfo, FlowInfo, FlowMode, FlowPartitionInfo, FlowSpec, FlowState,
    OnError, PartitionInfo, PluginInfo, PluginKind, TopicInfo, TopicSummary,
};
pub use control::{
    ControlError, ControlMessage, Goodbye, Hello, HelloOk, OpenProduce, OpenSubscribe, PartitionStart,
    ProduceOpened, Start, SubscribeControl, SubscribeOpened, SubscribedPartition, decode_control,
    encode_control, encode_control_into,
};
pub use data::{
    ACK_LEN, Ack, DataError, PRODUCE_HEADER_LEN, ProduceHeader, RECORDS_HEADER_LEN, RecordsHeader,
};
pub use decoder::{Frame, FrameDecoder, FrameLimits};
pub use error::{CloseCode, ErrorCode, WireError};
pub use frame::{FRAME_HEADER_LEN, FrameError, FrameHeader, FrameKind};

/// The TLS application protocol (ALPN) of this protocol. A peer that does not offer it is refused by TLS.
pub const ALPN: &[u8] = b"weir/1";

/// The oldest version of the messages that this crate speaks.
pub const VERSION_MIN: u16 = 1;

/// The newest version of the messages that this crate speaks.
pub const VERSION_MAX: u16 = 1;

/// Most bytes in the body of a control frame that is sent to a broker.
pub const MAX_CONTROL_BYTES: u32 = 1024 * 1024;

/// Most bytes in the body of a control frame that a broker sends: an answer may list thousands of objects.
pub const MAX_RESPONSE_BYTES: u32 = 16 * 1024 * 1024;

/// Most bytes of batches that any data frame may carry. A broker announces its own, lower maximum in
/// [`HelloOk::max_batch_bytes`].
pub const MAX_BATCH_BYTES_CEILING: u32 = 64 * 1024 * 1024;

/// Most bytes of a file that one [`FrameKind::UploadChunk`] carries.
pub const MAX_UPLOAD_CHUNK_BYTES: u32 = 1024 * 1024;
