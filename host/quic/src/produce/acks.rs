//! Answers in the order of the questions.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use bytes::BytesMut;
use quinn::WriteError;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{self, error::TryRecvError};
use weir_broker::{BrokerError, ProduceTicket, Produced};
use weir_protocol::{
    ACK_LEN, Ack, ErrorCode, FRAME_HEADER_LEN, RecordResults, RecordRun, Rejection, WireError,
};

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

/// Answers every batch in order until no more come. Answers that are known at the same time go out in one write. With
/// `record_results` the client wants to know about single records.
pub(super) async fn write(
    writer: &mut StreamWriter,
    mut pending: mpsc::Receiver<Pending>,
    record_results: bool,
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
                ack(next.partition, result, record_results)
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

fn ack(partition: u32, result: Result<Produced, BrokerError>, record_results: bool) -> Ack {
    let produced = match result {
        Ok(produced) => produced,
        Err(error) => return Ack::refused(partition, wire_error(error)),
    };
    if let Some(results) = &produced.records
        && !record_results
        && results.rejected() > 0
    {
        return Ack::refused(partition, unheard_rejections(results));
    }
    let records = produced.records.filter(|_| record_results);
    Ack {
        partition,
        base_offset: produced.base_offset,
        log_start_offset: produced.log_start_offset,
        duplicate: produced.duplicate,
        records: records.map(|results| Box::new(wire_results(*results))),
        error: None,
    }
}

/// For a client that does not know that single records can be refused: it must not believe that all are stored.
fn unheard_rejections(results: &weir_broker::RecordResults) -> WireError {
    let first = results
        .rejections
        .first()
        .map_or("", |rejection| &rejection.reason);
    let message = format!(
        "the topic's ingest flow refuses {} records of the batch, the others are stored; the first reason: {first}",
        results.rejected()
    );
    WireError::new(ErrorCode::RecordRejected, message)
}

fn wire_results(results: weir_broker::RecordResults) -> RecordResults {
    let run = |run| match run {
        weir_broker::RecordRun::Stored { records, first, each } => RecordRun::Stored { records, first, each },
        weir_broker::RecordRun::Dropped { records } => RecordRun::Dropped { records },
        weir_broker::RecordRun::Rejected { records, rejection } => RecordRun::Rejected { records, rejection },
    };
    let rejection = |rejection: weir_broker::Rejection| {
        let code = match rejection.retriable {
            true => ErrorCode::RecordDeferred,
            false => ErrorCode::RecordRejected,
        };
        Rejection {
            code: code.number(),
            retriable: rejection.retriable,
            reason: rejection.reason,
        }
    };
    RecordResults {
        runs: results.runs.into_iter().map(run).collect(),
        rejections: results.rejections.into_iter().map(rejection).collect(),
    }
}

fn append(ack: &Ack, out: &mut BytesMut) {
    if let Err(cause) = ack.encode_into(out) {
        // An error's text is far below the limit of a control message, and results are bounded by the batch.
        tracing::error!("an ack cannot be encoded: {cause}");
    }
}

async fn flush(out: &mut BytesMut, writer: &mut StreamWriter) -> Result<(), WriteError> {
    if out.is_empty() {
        return Ok(());
    }
    writer.write(&mut [out.split().freeze()]).await
}
