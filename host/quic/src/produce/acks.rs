//! Answers in the order of the questions.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use bytes::BytesMut;
use quinn::WriteError;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{self, error::TryRecvError};
use weir_broker::{BrokerError, ProduceTicket};
use weir_protocol::{ACK_LEN, Ack, FRAME_HEADER_LEN, WireError};

use crate::error::wire_error;
use crate::stream::StreamWriter;

/// Acks that are written at once.
const ACKS_PER_WRITE: usize = 128;
const WRITE_BYTES: usize = ACKS_PER_WRITE * (FRAME_HEADER_LEN + ACK_LEN);

/// A batch that waits for its answer.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) partition: u32,
    pub(super) outcome: Outcome,
    /// Its bytes' share of the window.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// What became of a batch.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is on its way to the disk.
    Ticket(ProduceTicket),
    /// It was not accepted.
    Refused(WireError),
}

/// Answers every batch in order until no more come. Answers that are known at the same time go out in one write.
pub(super) async fn write(
    writer: &mut StreamWriter,
    mut pending: mpsc::Receiver<Pending>,
) -> Result<(), WriteError> {
    let mut out = BytesMut::with_capacity(WRITE_BYTES);
    loop {
        let next = match pending.try_recv() {
            Ok(next) => next,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                flush(&mut out, writer).await?;
                match pending.recv().await {
                    Some(next) => next,
                    None => break,
                }
            }
        };
        let ack = match next.outcome {
            Outcome::Refused(error) => Ack::refused(next.partition, error),
            Outcome::Ticket(mut ticket) => {
                let known = poll_fn(|cx| Poll::Ready(Pin::new(&mut ticket).poll(cx))).await;
                let result = match known {
                    Poll::Ready(result) => result,
                    Poll::Pending => {
                        flush(&mut out, writer).await?;
                        ticket.await
                    }
                };
                ack(next.partition, result)
            }
        };
        drop(next.permit);
        append(&ack, &mut out);
        if out.len() >= WRITE_BYTES {
            flush(&mut out, writer).await?;
        }
    }
    flush(&mut out, writer).await
}

fn ack(partition: u32, result: Result<weir_broker::Appended, BrokerError>) -> Ack {
    match result {
        Ok(appended) => Ack {
            partition,
            base_offset: appended.base_offset,
            log_start_offset: appended.log_start_offset,
            duplicate: appended.duplicate,
            error: None,
        },
        Err(error) => Ack::refused(partition, wire_error(error)),
    }
}

fn append(ack: &Ack, out: &mut BytesMut) {
    if let Err(cause) = ack.encode_into(out) {
        // An error's text is far below the limit of a control message.
        tracing::error!("an ack cannot be encoded: {cause}");
    }
}

async fn flush(out: &mut BytesMut, writer: &mut StreamWriter) -> Result<(), WriteError> {
    if out.is_empty() {
        return Ok(());
    }
    writer.write(&mut [out.split().freeze()]).await
}
