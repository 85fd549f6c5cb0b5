//! The eight bytes in front of every frame.

use thiserror::Error;

/// Bytes of a [`FrameHeader`].
pub const FRAME_HEADER_LEN: usize = 8;

/// What a frame carries. The numbers are part of the protocol and never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum FrameKind {
    /// Control, client: the first frame of a connection ([`crate::Hello`]).
    Hello = 1,
    /// Control, broker: accepts a `Hello` ([`crate::HelloOk`]).
    HelloOk = 2,
    /// Control, client: one administrative request ([`crate::AdminRequest`]).
    Request = 3,
    /// Control, broker: the answer to a `Request` ([`crate::AdminResponse`]).
    Response = 4,
    /// Control, broker: what went wrong ([`crate::WireError`]).
    Error = 5,
    /// Control, client: opens a produce stream ([`crate::OpenProduce`]).
    OpenProduce = 6,
    /// Control, broker: the produce stream is open ([`crate::ProduceOpened`]).
    ProduceOpened = 7,
    /// Data, client: one batch to append ([`crate::ProduceHeader`]).
    Produce = 8,
    /// Data, broker: the outcome of one `Produce`, in order ([`crate::Ack`]).
    Ack = 9,
    /// Control, client: opens a subscription ([`crate::OpenSubscribe`]).
    OpenSubscribe = 10,
    /// Control, broker: where a subscription, or a seek, begins ([`crate::SubscribeOpened`]).
    SubscribeOpened = 11,
    /// Data, broker: batches of one partition ([`crate::RecordsHeader`]).
    Records = 12,
    /// Control, client: changes a subscription ([`crate::SubscribeControl`]).
    SubscribeControl = 13,
    /// Data, client: the next bytes of the file that a `Request` announced.
    UploadChunk = 14,
    /// Control, broker: the connection will be closed soon ([`crate::Goodbye`]).
    Goodbye = 15,
    /// Control, broker: how far a filtered subscription has got ([`crate::SubscribeProgress`]).
    SubscribeProgress = 16,
}

impl FrameKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 16] = [
        Self::Hello,
        Self::HelloOk,
        Self::Request,
        Self::Response,
        Self::Error,
        Self::OpenProduce,
        Self::ProduceOpened,
        Self::Produce,
        Self::Ack,
        Self::OpenSubscribe,
        Self::SubscribeOpened,
        Self::Records,
        Self::SubscribeControl,
        Self::UploadChunk,
        Self::Goodbye,
        Self::SubscribeProgress,
    ];

    /// The kind with this number, if there is one.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// The number on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Whether the body is a fixed header and raw bytes; otherwise it is a CBOR map.
    pub fn is_data(self) -> bool {
        matches!(
            self,
            Self::Produce | Self::Ack | Self::Records | Self::UploadChunk
        )
    }
}

/// The header of a frame: `[length u32][kind u8][flags u8][reserved u16 = 0]`, big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes that follow the header.
    pub length: u32,
    /// What they are.
    pub kind: FrameKind,
    /// Bits for later versions: written as zero, ignored when read.
    pub flags: u8,
}

impl FrameHeader {
    /// A header without flags.
    pub fn new(kind: FrameKind, length: u32) -> Self {
        Self {
            length,
            kind,
            flags: 0,
        }
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`FrameError::UnknownKind`] and [`FrameError::ReservedBits`].
    pub fn decode(bytes: [u8; FRAME_HEADER_LEN]) -> Result<Self, FrameError> {
        let [l0, l1, l2, l3, kind, flags, r0, r1] = bytes;
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let kind = FrameKind::from_number(kind).ok_or(FrameError::UnknownKind { kind })?;
        let reserved = u16::from_be_bytes([r0, r1]);
        if reserved != 0 {
            return Err(FrameError::ReservedBits { reserved });
        }
        Ok(Self { length, kind, flags })
    }

    /// The header's bytes.
    pub fn encode(self) -> [u8; FRAME_HEADER_LEN] {
        let [l0, l1, l2, l3] = self.length.to_be_bytes();
        [l0, l1, l2, l3, self.kind.number(), self.flags, 0, 0]
    }
}

/// Bytes that are no frame, or a frame that is not acceptable here. The stream they came on is beyond repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// No frame has this kind.
    #[error("unknown frame kind {kind}")]
    UnknownKind {
        /// The number found.
        kind: u8,
    },
    /// The reserved field is not zero.
    #[error("reserved bits {reserved:#06x} of a frame header are not zero")]
    ReservedBits {
        /// The value found.
        reserved: u16,
    },
    /// The header announces more bytes than the receiver takes.
    #[error("a {kind:?} frame of {length} bytes is over the limit of {limit} bytes")]
    TooLarge {
        /// The frame's kind.
        kind: FrameKind,
        /// Bytes that the header announces.
        length: u32,
        /// Most bytes that are allowed.
        limit: u32,
    },
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame: {have} of {want} bytes arrived")]
    Truncated {
        /// Bytes of the frame, or of its header, that arrived.
        have: usize,
        /// Bytes that had to arrive.
        want: usize,
    },
}
