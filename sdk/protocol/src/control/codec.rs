//! Control bodies to bytes and back: CBOR (RFC 8949) maps with text keys.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::{FRAME_HEADER_LEN, Frame, FrameHeader, FrameKind, MAX_RESPONSE_BYTES};

/// Deepest nesting of arrays, maps and tags that is decoded. The deepest message of this version needs 7.
const DEPTH_MAX: usize = 16;

/// A message that travels as the body of one kind of control frame.
pub trait ControlMessage: Serialize + DeserializeOwned {
    /// The frame's kind.
    const KIND: FrameKind;
}

macro_rules! control_messages {
    ($($message:ident => $kind:ident,)*) => {
        $(impl ControlMessage for crate::$message { const KIND: FrameKind = FrameKind::$kind; })*
    };
}

control_messages! {
    Hello => Hello,
    HelloOk => HelloOk,
    AdminRequest => Request,
    AdminResponse => Response,
    WireError => Error,
    OpenProduce => OpenProduce,
    ProduceOpened => ProduceOpened,
    OpenSubscribe => OpenSubscribe,
    SubscribeOpened => SubscribeOpened,
    SubscribeControl => SubscribeControl,
    SubscribeProgress => SubscribeProgress,
    Goodbye => Goodbye,
}

/// A control message that cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The frame is of another kind.
    #[error("a {expected:?} frame is expected here, not a {found:?} frame")]
    Kind {
        /// What the reader waits for.
        expected: FrameKind,
        /// What came.
        found: FrameKind,
    },
    /// The bytes are not CBOR, nested too deeply, or not this message.
    #[error("malformed control message: {reason}")]
    Malformed {
        /// What the decoder says.
        reason: String,
    },
    /// Bytes follow the message.
    #[error("{len} bytes follow the end of a control message")]
    Trailing {
        /// Bytes too many.
        len: usize,
    },
    /// The message is longer than a control frame may be.
    #[error("a control message of {length} bytes is over the limit of {limit} bytes")]
    TooLarge {
        /// Its length in bytes.
        length: usize,
        /// Most bytes that are allowed.
        limit: usize,
    },
}

impl Frame {
    /// The frame's control message.
    ///
    /// # Errors
    /// [`ControlError::Kind`] if it is a frame of another kind, otherwise as [`decode_control`].
    pub fn message<M: ControlMessage>(&self) -> Result<M, ControlError> {
        if self.kind() != M::KIND {
            return Err(ControlError::Kind {
                expected: M::KIND,
                found: self.kind(),
            });
        }
        decode_control(&self.body)
    }
}

/// Reads a control body. Unknown fields are ignored; missing ones take their default where the message has one.
///
/// # Errors
/// [`ControlError::Malformed`], [`ControlError::Trailing`], [`ControlError::TooLarge`].
pub fn decode_control<M: DeserializeOwned>(body: &[u8]) -> Result<M, ControlError> {
    let limit = MAX_RESPONSE_BYTES as usize;
    if body.len() > limit {
        return Err(ControlError::TooLarge {
            length: body.len(),
            limit,
        });
    }
    let mut rest = body;
    let message = ciborium::de::from_reader_with_recursion_limit(&mut rest, DEPTH_MAX).map_err(|error| {
        ControlError::Malformed {
            reason: describe(&error),
        }
    })?;
    if rest.is_empty() {
        Ok(message)
    } else {
        Err(ControlError::Trailing { len: rest.len() })
    }
}

/// The whole frame of a control message: header and body.
///
/// # Errors
/// [`ControlError::TooLarge`] if the body is longer than [`MAX_RESPONSE_BYTES`].
pub fn encode_control<M: ControlMessage>(message: &M) -> Result<Bytes, ControlError> {
    let mut out = BytesMut::with_capacity(256);
    encode_control_into(message, &mut out)?;
    Ok(out.freeze())
}

/// Appends the whole frame of a control message to `out`; after an error `out` is as before.
///
/// # Errors
/// As [`encode_control`].
pub fn encode_control_into<M: ControlMessage>(message: &M, out: &mut BytesMut) -> Result<(), ControlError> {
    let start = out.len();
    out.put_bytes(0, FRAME_HEADER_LEN);
    let length = match encode_body_into(message, out) {
        Ok(length) => length,
        Err(error) => {
            out.truncate(start);
            return Err(error);
        }
    };
    let header = FrameHeader::new(M::KIND, length).encode();
    out[start..start + FRAME_HEADER_LEN].copy_from_slice(&header);
    Ok(())
}

/// Appends a body to `out` and returns its length in bytes.
pub(crate) fn encode_body_into<M: Serialize>(message: &M, out: &mut BytesMut) -> Result<u32, ControlError> {
    let start = out.len();
    ciborium::into_writer(message, (&mut *out).writer()).map_err(|error| ControlError::Malformed {
        reason: error.to_string(),
    })?;
    let length = out.len() - start;
    match u32::try_from(length) {
        Ok(short) if short <= MAX_RESPONSE_BYTES => Ok(short),
        _ => Err(ControlError::TooLarge {
            length,
            limit: MAX_RESPONSE_BYTES as usize,
        }),
    }
}

fn describe<E: core::fmt::Debug>(error: &ciborium::de::Error<E>) -> String {
    match error {
        ciborium::de::Error::Io(_) => "it ends too early".to_owned(),
        ciborium::de::Error::Syntax(at) => format!("no CBOR at byte {at}"),
        ciborium::de::Error::Semantic(_, what) => what.clone(),
        ciborium::de::Error::RecursionLimitExceeded => format!("nested deeper than {DEPTH_MAX}"),
    }
}
