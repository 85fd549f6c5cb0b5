//! Weir's native protocol, without I/O: frames, control messages, data headers and error codes.
//!
//! The client SDK and the broker's QUIC listener share this crate. It has no sockets, no clock and no tasks: bytes
//! go in, messages come out, and the other way round.
//!
//! # Transport
//!
//! QUIC version 1 (RFC 9000) with TLS 1.3 and the application protocol [`ALPN`] (`weir/1`). Only streams that the
//! client opens are used, all of them bidirectional. All integers are big-endian, lengths are in bytes.
//!
//! # Frames
//!
//! Both directions of every stream are a sequence of frames:
//!
//! ```text
//!  0        4      5       6            8
//! +--------+------+-------+------------+---------------------+
//! | length | kind | flags | reserved=0 | `length` bytes      |
//! | u32    | u8   | u8    | u16        |                     |
//! +--------+------+-------+------------+---------------------+
//! ```
//!
//! Flags are written as zero and ignored when read; reserved bytes that are not zero are an error.
//!
//! | kind | name | from | body |
//! |---|---|---|---|
//! | 1 | Hello | client | [`Hello`] |
//! | 2 | HelloOk | broker | [`HelloOk`] |
//! | 3 | Request | client | [`AdminRequest`] |
//! | 4 | Response | broker | [`AdminResponse`] |
//! | 5 | Error | broker | [`WireError`] |
//! | 6 | OpenProduce | client | [`OpenProduce`] |
//! | 7 | ProduceOpened | broker | [`ProduceOpened`] |
//! | 8 | Produce | client | data: [`ProduceHeader`], one batch |
//! | 9 | Ack | broker | data: [`Ack`] |
//! | 10 | OpenSubscribe | client | [`OpenSubscribe`] |
//! | 11 | SubscribeOpened | broker | [`SubscribeOpened`] |
//! | 12 | Records | broker | data: [`RecordsHeader`], batches |
//! | 13 | SubscribeControl | client | [`SubscribeControl`] |
//! | 14 | UploadChunk | client | data: the next bytes of a file |
//! | 15 | Goodbye | broker | [`Goodbye`] |
//! | 16 | SubscribeProgress | broker | [`SubscribeProgress`] |
//!
//! Bodies that are not marked as data are control messages: one CBOR item (RFC 8949), a map with the message's field
//! names as text keys; enumerations are a text (the variant's name in snake or kebab case) or a map of one entry from
//! that name to its fields. Unknown fields are ignored, fields with a default may be missing, nothing may follow the
//! item. A control body has at most [`MAX_CONTROL_BYTES`] towards the broker (which may take less), and
//! [`MAX_RESPONSE_BYTES`] towards the client.
//!
//! # Data frames
//!
//! Batches are Apache Kafka's record batches, magic 2, untouched. A data frame carries at most
//! [`MAX_BATCH_BYTES_CEILING`] of them.
//!
//! ```text
//! Produce      0         4            8
//!             +-----------+------------+------------+
//!             | partition | reserved=0 | one batch  |
//!             | u32       | u32        |            |
//!             +-----------+------------+------------+
//!
//! Ack          0       2       4           8             16                 24           32
//!             +-------+-------+-----------+-------------+------------------+------------+-----------+
//!             | error | flags | partition | base offset | log start offset | reserved=0 | WireError |
//!             | u16   | u16   | u32       | i64         | i64              | u64        | CBOR      |
//!             +-------+-------+-----------+-------------+------------------+------------+-----------+
//!             The WireError is there if and only if `error` is not 0. Flag bit 0: duplicate. Flag bit 1, never with an error:
//!             RecordResults follow in its place.
//!
//! Records      0           4       8                16                 24
//!             +-----------+-------+----------------+------------------+---------+
//!             | partition | flags | high watermark | log start offset | batches |
//!             | u32       | u32   | i64            | i64              |         |
//!             +-----------+-------+----------------+------------------+---------+
//!             Flag bit 0: the end of an `until_end` subscription is reached. Batches may be empty.
//! ```
//!
//! # Exchanges
//!
//! The first frame of a stream says what the stream is for.
//!
//! - **Connection.** On its first stream the client sends `Hello` and waits for `HelloOk` before it opens others. The
//!   stream stays open; a `Goodbye` on it announces that the broker will close the connection. Anything else
//!   than a `Hello` closes the connection with a [`CloseCode`] and a reason.
//! - **Produce.** `OpenProduce`, `ProduceOpened`, then any number of `Produce` frames, each answered by one `Ack`,
//!   in order. The client keeps at most the window of [`ProduceOpened`] unanswered. A batch that is refused has
//!   its error in its ack, and the stream goes on. Where the topic has an ingest flow, the ack says what became of each
//!   record ([`RecordResults`]), unless all are stored as they were sent; to a client that did not ask for that
//!   ([`OpenProduce::record_results`]) a batch with rejected records is answered by an error, although the others
//!   are stored. When the client finishes the stream, the broker answers what is in flight and
//!   finishes its side.
//! - **Subscribe.** `OpenSubscribe`, `SubscribeOpened`, then the broker pushes `Records` frames; flow
//!   control of the stream is the back-pressure. The client may send `SubscribeControl` at any time. An `Error` that names a partition
//!   ends that partition until it is sought again, the others go on. With a filter, batches come without the records that it
//!   does not keep: offset deltas have gaps, the header's last offset delta stays, and where nothing is kept a
//!   `SubscribeProgress` says how far the broker has got. A filter that fails ends the subscription with an `Error`
//!   ([`ErrorCode::PluginFailed`]).
//! - **Administration.** One `Request`, for an upload followed by `UploadChunk` frames; one `Response`.
//!
//! A request that fails is answered by an `Error` frame, after which the broker finishes its side of the stream. Whoever
//! breaks the protocol on a stream gets an `Error` frame ([`ErrorCode::ProtocolViolation`]) and loses this stream
//! only. QUIC application error codes of streams and connections are [`CloseCode`]s.
//!
//! # Example
//!
//! ```
//! use weir_protocol::{FrameDecoder, FrameLimits, Hello, encode_control};
//!
//! let mut bytes = encode_control(&Hello::new("example/1.0"))?;
//! let mut decoder = FrameDecoder::new(FrameLimits::CONTROL);
//! let frame = decoder.decode(&mut bytes)?.expect("the bytes hold one whole frame");
//! assert_eq!(frame.message::<Hello>()?.client, "example/1.0");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod admin;
mod control;
mod data;
mod decoder;
mod error;
mod frame;
pub mod tuning;

pub use admin::{
    AdminRequest, AdminResponse, BrokerInfo, DamagedOffsets, Difference, DryRun, DryRunFailure, FlowBackfill,
    FlowBounded, FlowBoundedKind, FlowCalls, FlowChange, FlowFaults, FlowGuestInfo, FlowHistogram, FlowInfo,
    FlowLimits, FlowMode, FlowPartitionInfo, FlowPlace, FlowProducingInfo, FlowReplay, FlowRevision,
    FlowSchedule, FlowSpec, FlowState, FlowStatePage, FlowStatePlace, FlowStateQuery, FlowStateRow,
    FlowStateSchema, FlowStateTotals, FlowUntil, OnError, PartitionBy, PartitionInfo, PluginInfo, PluginKind,
    TopicInfo, TopicSummary, Trial,
};
pub use control::{
    ControlError, ControlMessage, Goodbye, Hello, HelloOk, OpenProduce, OpenSubscribe, PartitionStart,
    ProduceOpened, Start, SubscribeControl, SubscribeOpened, SubscribeProgress, SubscribedPartition,
    SubscriptionFilter, decode_control, encode_control, encode_control_into,
};
pub use data::{
    ACK_LEN, Ack, DataError, PRODUCE_HEADER_LEN, ProduceHeader, RECORDS_HEADER_LEN, RecordResults, RecordRun,
    RecordsHeader, Rejection,
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
