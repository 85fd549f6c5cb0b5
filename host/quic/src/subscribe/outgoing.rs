//! What a consumer is sent.

use bytes::Bytes;
use quinn::WriteError;
use tokio::sync::mpsc;
use weir_protocol::{ControlMessage, RecordsHeader, encode_control};

use crate::stream::StreamWriter;

/// A frame: its headers, and the batches as the log holds them. A second frame may come with it.
#[derive(Debug)]
pub(super) struct Outgoing([Bytes; 3]);

impl Outgoing {
    /// Batches of one partition. `None` if they are more than a frame can carry, which no limit of the broker allows.
    pub(super) fn records(header: RecordsHeader, batches: Bytes) -> Option<Self> {
        let head = header.encode(batches.len()).ok()?;
        Some(Self([Bytes::copy_from_slice(&head), batches, Bytes::new()]))
    }

    /// A control message. `None` if it does not fit into a frame, which no limit of the broker allows.
    pub(super) fn control<M: ControlMessage>(message: &M) -> Option<Self> {
        Some(Self([encode_control(message).ok()?, Bytes::new(), Bytes::new()]))
    }

    /// The same, followed by a control message.
    pub(super) fn then<M: ControlMessage>(mut self, message: &M) -> Option<Self> {
        self.0[2] = encode_control(message).ok()?;
        Some(self)
    }
}

/// Sends frames until no more come. Nothing is copied on the way to the transport.
pub(super) async fn pump(
    writer: &mut StreamWriter,
    mut frames: mpsc::Receiver<Outgoing>,
) -> Result<(), WriteError> {
    while let Some(Outgoing(mut chunks)) = frames.recv().await {
        writer.write(&mut chunks).await?;
    }
    Ok(())
}
