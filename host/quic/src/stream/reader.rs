//! From a QUIC stream to frames.

use bytes::Bytes;
use quinn::{ReadError, RecvStream, VarInt};
use thiserror::Error;
use weir_protocol::{CloseCode, Frame, FrameDecoder, FrameError, FrameLimits};

/// Most bytes of a control frame from a client. Its largest messages are settings of flows and topics.
const CONTROL_BYTES_MAX: u32 = 256 * 1024;
/// Chunks taken from the transport at once, on a stream that has not said what it is for. One chunk is what one packet
/// carried.
const CHUNKS_FIRST: usize = 4;
/// The same on a stream that carries data.
const CHUNKS_DATA: usize = 64;

/// What is accepted on every stream.
pub(crate) const CONTROL: FrameLimits = FrameLimits {
    control_bytes_max: CONTROL_BYTES_MAX,
    data_bytes_max: 0,
    oversized_data_bytes_kept: None,
};

/// The receiving half of a stream, frame by frame.
#[derive(Debug)]
pub(crate) struct FrameReader {
    stream: RecvStream,
    decoder: FrameDecoder,
    chunks: Vec<Bytes>,
    /// Chunks that are still to be decoded: `chunks[next..end]`.
    next: usize,
    end: usize,
}

/// Why there is no next frame.
#[derive(Debug, Error)]
pub(crate) enum ReadFrameError {
    /// What came is no frame, or one that is not acceptable.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The peer reset the stream, or is gone.
    #[error(transparent)]
    Stream(#[from] ReadError),
}

impl FrameReader {
    /// A reader that takes control frames only.
    pub(crate) fn new(stream: RecvStream) -> Self {
        let chunks = vec![Bytes::new(); CHUNKS_FIRST];
        Self {
            stream,
            decoder: FrameDecoder::new(CONTROL),
            chunks,
            next: 0,
            end: 0,
        }
    }

    /// Prepares for a lot of data. To be called between two frames.
    pub(crate) fn expect_data(&mut self) {
        self.chunks
            .resize(CHUNKS_DATA.max(self.chunks.len()), Bytes::new());
    }

    /// Other limits, from the next frame on.
    pub(crate) fn set_limits(&mut self, limits: FrameLimits) {
        self.decoder.set_limits(limits);
    }

    /// The next frame; `None` where the stream ends between two frames. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, ReadFrameError> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(Some(frame));
            }
            match self.stream.read_chunks(&mut self.chunks).await? {
                Some(count) => (self.next, self.end) = (0, count),
                None => {
                    self.decoder.finish()?;
                    return Ok(None);
                }
            }
        }
    }

    /// Tells the peer to send nothing more.
    pub(crate) fn stop(mut self, code: CloseCode) {
        // It fails only for a stream that has ended.
        let _ = self.stream.stop(VarInt::from_u32(code.number()));
    }

    /// The stream, when its frames are of no more interest.
    pub(crate) fn into_stream(self) -> RecvStream {
        self.stream
    }

    fn buffered(&mut self) -> Result<Option<Frame>, FrameError> {
        while self.next < self.end {
            let chunk = &mut self.chunks[self.next];
            let frame = self.decoder.decode(chunk)?;
            if chunk.is_empty() {
                // Gives the packet's buffer back now, not when the next packets come.
                *chunk = Bytes::new();
                self.next += 1;
            }
            if frame.is_some() {
                return Ok(frame);
            }
        }
        Ok(None)
    }
}
