//! What a producer waits for.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;
use weir_log::{AppendError, Appended, Committed, Receipt};

use crate::error::append_error;
use crate::ingest::Submitted;
use crate::{BrokerError, RecordResults};

/// A batch on its way into the log. Resolves once it is stored (on disk, unless the topic is
/// [`Relaxed`](crate::Durability::Relaxed)), with its offsets. Where the topic has an ingest flow, that judges it first.
///
/// # Errors
/// [`OutOfOrderSequence`](crate::ErrorKind::OutOfOrderSequence),
/// [`DuplicateSequence`](crate::ErrorKind::DuplicateSequence) and
/// [`InvalidProducerEpoch`](crate::ErrorKind::InvalidProducerEpoch) for a batch with a producer id;
/// [`UnknownTopicOrPartition`](crate::ErrorKind::UnknownTopicOrPartition) if the topic was deleted meanwhile;
/// [`FlowNotRunning`](crate::ErrorKind::FlowNotRunning) if the topic's ingest flow cannot judge it;
/// [`MessageTooLarge`](crate::ErrorKind::MessageTooLarge) if what that makes of it cannot be stored;
/// [`StorageFull`](crate::ErrorKind::StorageFull), [`Storage`](crate::ErrorKind::Storage),
/// [`ShuttingDown`](crate::ErrorKind::ShuttingDown).
///
/// Dropping the ticket does not take the batch back.
#[derive(Debug)]
#[must_use = "whether the batch is stored is what the ticket tells"]
pub struct ProduceTicket {
    stage: Stage,
    partition: u32,
}

/// Where a batch is that was produced.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Produced {
    /// Offset of the first record that is stored of it. If none is, the end of the partition, or -1; -1 also if it is known
    /// that the batch was there, but no longer where.
    pub base_offset: i64,
    /// Offset of the last record; less than the first if nothing is stored, or if the batch was there already and an ingest
    /// flow made something else of it.
    pub last_offset: i64,
    /// The batch was there already: a producer with an id sent it again.
    pub duplicate: bool,
    /// First offset of the partition at that moment; -1 if it is not known.
    pub log_start_offset: i64,
    /// What became of each record, if an ingest flow has not let all of them in as they were sent, in their order. For a batch
    /// that was there already, this is what the flow would make of it now.
    pub records: Option<Box<RecordResults>>,
}

#[derive(Debug)]
enum Stage {
    /// An ingest flow judges it.
    Guarded(oneshot::Receiver<Result<Submitted, BrokerError>>),
    /// It is on its way to the disk.
    Submitted(Submitted),
}

impl ProduceTicket {
    pub(crate) fn new(receipt: Receipt, partition: u32) -> Self {
        let submitted = Submitted::Entry {
            receipt,
            batches: 1,
            records: None,
            tally: None,
        };
        Self {
            stage: Stage::Submitted(submitted),
            partition,
        }
    }

    /// The ticket of a batch that a flow answers for.
    pub(crate) fn guarded(answer: oneshot::Receiver<Result<Submitted, BrokerError>>, partition: u32) -> Self {
        Self {
            stage: Stage::Guarded(answer),
            partition,
        }
    }

    /// The partition that the batch goes to.
    pub fn partition(&self) -> u32 {
        self.partition
    }

    fn poll_submitted(&mut self, context: &mut Context<'_>) -> Poll<Result<Produced, BrokerError>> {
        loop {
            match &mut self.stage {
                Stage::Guarded(answer) => {
                    let answer = ready!(Pin::new(answer).poll(context));
                    // The lane is gone without an answer only when the broker ends.
                    let submitted = answer.unwrap_or_else(|_| Err(BrokerError::shutting_down()))?;
                    self.stage = Stage::Submitted(submitted);
                }
                Stage::Submitted(Submitted::Nothing(produced)) => return Poll::Ready(Ok(produced.clone())),
                Stage::Submitted(Submitted::Entry {
                    receipt,
                    batches,
                    records,
                    tally,
                }) => {
                    let committed = ready!(Pin::new(receipt).poll(context));
                    let produced = produced(committed, *batches, records.take());
                    if let Some(tally) = tally.take() {
                        tally.settle(produced.as_ref().is_ok_and(|produced| !produced.duplicate));
                    }
                    return Poll::Ready(produced);
                }
            }
        }
    }
}

impl Future for ProduceTicket {
    type Output = Result<Produced, BrokerError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let partition = self.partition;
        self.poll_submitted(context)
            .map_err(|error| error.at_partition(partition))
    }
}

/// The place of nothing.
const NOWHERE: Appended = Appended {
    base_offset: -1,
    last_offset: -1,
    duplicate: false,
    log_start_offset: -1,
};

/// Where the first `batches` of an entry are, as one.
fn produced(
    committed: Result<Committed, AppendError>,
    batches: usize,
    records: Option<Box<RecordResults>>,
) -> Result<Produced, BrokerError> {
    let committed = match committed {
        Ok(committed) => committed,
        // Each of the records has its answer all the same.
        Err(AppendError::DuplicateOutOfWindow { .. }) if records.is_some() => {
            return Ok(Produced {
                base_offset: -1,
                last_offset: -1,
                duplicate: true,
                log_start_offset: -1,
                records,
            });
        }
        Err(error) => return Err(append_error(error)),
    };
    let own = committed.appends.get(..batches).unwrap_or_default();
    let (first, last) = match (&committed.sequence, own) {
        (Some(sequence), _) => (sequence, sequence),
        (None, [first, .., last]) => (first, last),
        (None, [only]) => (only, only),
        // Dead letters alone: their place is none of the producer's business.
        (None, []) if batches == 0 => (&NOWHERE, &NOWHERE),
        (None, []) => {
            return Err(BrokerError::storage(
                "the log answered for another entry than the one it was given",
            ));
        }
    };
    Ok(Produced {
        base_offset: first.base_offset,
        last_offset: last.last_offset,
        duplicate: first.duplicate,
        log_start_offset: first.log_start_offset,
        records,
    })
}
