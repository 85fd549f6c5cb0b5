//! Frames over QUIC streams.

use bytes::{Buf, Bytes};
use quinn::{ConnectionError, ReadError, RecvStream, SendStream, WriteError};
use weir_protocol::{ControlMessage, Frame, FrameDecoder, FrameKind, FrameLimits, WireError, encode_control};

use crate::Error;

/// Chunks taken from the transport at once. One chunk is what one packet carried.
const CHUNKS: usize = 64;

/// The receiving half of a stream, frame by frame.
#[derive(Debug)]
pub(crate) struct FrameReader {
    stream: RecvStream,
    decoder: FrameDecoder,
    chunks: [Bytes; CHUNKS],
    /// The chunks that are still to be decoded: `chunks[next..end]`.
    next: usize,
    end: usize,
    broker: std::sync::Arc<str>,
}

impl FrameReader {
    pub(crate) fn new(stream: RecvStream, broker: std::sync::Arc<str>) -> Self {
        Self {
            stream,
            decoder: FrameDecoder::new(FrameLimits::CLIENT),
            chunks: std::array::from_fn(|_| Bytes::new()),
            next: 0,
            end: 0,
            broker,
        }
    }

    /// The next frame; `None` where the stream ends between two frames. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::ConnectionLost`] and [`Error::Protocol`].
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(Some(frame));
            }
            match self.stream.read_chunks(&mut self.chunks).await {
                Ok(Some(count)) => (self.next, self.end) = (0, count),
                Ok(None) => {
                    self.decoder
                        .finish()
                        .map_err(|error| Error::Protocol(error.to_string()))?;
                    return Ok(None);
                }
                Err(error) => return Err(read_error(&self.broker, &error)),
            }
        }
    }

    /// The next frame, if it has arrived whole and was taken from the transport already.
    pub(crate) fn buffered(&mut self) -> Result<Option<Frame>, Error> {
        while self.next < self.end {
            let chunk = &mut self.chunks[self.next];
            let frame = self
                .decoder
                .decode(chunk)
                .map_err(|error| Error::Protocol(error.to_string()))?;
            if !chunk.has_remaining() {
                *chunk = Bytes::new();
                self.next += 1;
            }
            if frame.is_some() {
                return Ok(frame);
            }
        }
        Ok(None)
    }

    /// The next frame as a message; an `Error` frame is an error.
    pub(crate) async fn message<M: ControlMessage>(&mut self) -> Result<M, Error> {
        match self.next().await? {
            Some(frame) => message(&frame),
            None => Err(Error::ConnectionLost {
                broker: self.broker.to_string(),
                reason: "the broker ended the stream without an answer".to_owned(),
            }),
        }
    }
}

/// The message of a frame; an `Error` frame is an error.
pub(crate) fn message<M: ControlMessage>(frame: &Frame) -> Result<M, Error> {
    let malformed = |error: weir_protocol::ControlError| Error::Protocol(error.to_string());
    if frame.kind() == FrameKind::Error && M::KIND != FrameKind::Error {
        return Err(Error::Broker(frame.message::<WireError>().map_err(malformed)?));
    }
    frame.message().map_err(malformed)
}

/// Sends one control message.
pub(crate) async fn send<M: ControlMessage>(
    stream: &mut SendStream,
    broker: &str,
    message: &M,
) -> Result<(), Error> {
    let frame = encode_control(message).map_err(|error| Error::InvalidArgument(error.to_string()))?;
    stream
        .write_chunk(frame)
        .await
        .map_err(|error| write_error(broker, &error))
}

pub(crate) fn read_error(broker: &str, error: &ReadError) -> Error {
    match error {
        ReadError::ConnectionLost(lost) => connection_error(broker, lost),
        other => Error::ConnectionLost {
            broker: broker.to_owned(),
            reason: other.to_string(),
        },
    }
}

pub(crate) fn write_error(broker: &str, error: &WriteError) -> Error {
    match error {
        WriteError::ConnectionLost(lost) => connection_error(broker, lost),
        other => Error::ConnectionLost {
            broker: broker.to_owned(),
            reason: other.to_string(),
        },
    }
}

/// What ended an established connection.
pub(crate) fn connection_error(broker: &str, error: &ConnectionError) -> Error {
    match error {
        // By the client's end, which the next attempt to connect finds out, or by the watch over its peer.
        ConnectionError::LocallyClosed => Error::ConnectionLost {
            broker: broker.to_owned(),
            reason: "the client has closed the connection, or has not heard from the broker for a while"
                .to_owned(),
        },
        other => Error::ConnectionLost {
            broker: broker.to_owned(),
            reason: other.to_string(),
        },
    }
}
