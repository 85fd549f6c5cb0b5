//! From frames to a QUIC stream.

use std::time::Duration;

use bytes::Bytes;
use quinn::{SendStream, StoppedError, VarInt, WriteError};
use thiserror::Error;
use tokio::time::timeout;
use weir_protocol::{CloseCode, ControlError, ControlMessage, ErrorCode, WireError, encode_control};

/// The sending half of a stream.
#[derive(Debug)]
pub(crate) struct StreamWriter {
    stream: SendStream,
    /// How long the peer may take to make room for a control message, and to take in the last bytes.
    patience: Duration,
}

/// Why a control message was not sent.
#[derive(Debug, Error)]
pub(crate) enum SendError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Encode(#[from] ControlError),
    #[error("the peer does not read its answers")]
    Timeout,
}

impl StreamWriter {
    pub(crate) fn new(stream: SendStream, patience: Duration) -> Self {
        Self { stream, patience }
    }

    /// Sends a control message. A peer that does not read loses the stream.
    pub(crate) async fn send<M: ControlMessage>(&mut self, message: &M) -> Result<(), SendError> {
        let frame = encode_control(message)?;
        match timeout(self.patience, self.stream.write_chunk(frame)).await {
            Ok(written) => Ok(written?),
            Err(_) => {
                self.reset();
                Err(SendError::Timeout)
            }
        }
    }

    /// Sends bytes as they are, waiting for the peer for as long as it takes.
    pub(crate) async fn write(&mut self, chunks: &mut [Bytes]) -> Result<(), WriteError> {
        self.stream.write_all_chunks(chunks).await
    }

    /// Sends an error as the stream's last frame, and waits until the peer has it.
    pub(crate) async fn fail(mut self, error: &WireError) {
        match self.send(error).await {
            Ok(()) => self.finish().await,
            Err(SendError::Encode(cause)) => {
                tracing::error!("an error cannot be sent: {cause}");
                self.reset();
            }
            Err(SendError::Write(_) | SendError::Timeout) => {}
        }
    }

    /// Sends an answer as the stream's last frame, and waits until the peer has it.
    pub(crate) async fn answer<M: ControlMessage>(mut self, message: &M) {
        match self.send(message).await {
            Ok(()) => self.finish().await,
            Err(SendError::Encode(error)) => {
                let message = format!("the answer cannot be sent: {error}");
                self.fail(&WireError::new(ErrorCode::LimitExceeded, message))
                    .await;
            }
            Err(SendError::Write(_) | SendError::Timeout) => {}
        }
    }

    /// Ends the stream, and waits until the peer has all of it.
    pub(crate) async fn finish(mut self) {
        if self.stream.finish().is_ok() {
            // What has not arrived by then is still sent, unless the connection is closed.
            let _ = timeout(self.patience, self.stream.stopped()).await;
        }
    }

    /// Resolves when the peer wants nothing more, or is gone.
    pub(crate) fn stopped(
        &self,
    ) -> impl Future<Output = Result<Option<VarInt>, StoppedError>> + Send + use<> {
        self.stream.stopped()
    }

    fn reset(&mut self) {
        // It fails only for a stream that has ended.
        let _ = self.stream.reset(VarInt::from_u32(CloseCode::Timeout.number()));
    }
}
