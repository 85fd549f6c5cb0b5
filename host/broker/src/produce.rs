//! What a producer waits for.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use weir_log::{Appended, Receipt};

use crate::BrokerError;
use crate::error::append_error;

/// A batch on its way into the log. Resolves once it is stored (on disk, unless the topic is
/// [`Relaxed`](crate::Durability::Relaxed)), with its offsets.
///
/// # Errors
/// [`OutOfOrderSequence`](crate::ErrorKind::OutOfOrderSequence),
/// [`DuplicateSequence`](crate::ErrorKind::DuplicateSequence) and
/// [`InvalidProducerEpoch`](crate::ErrorKind::InvalidProducerEpoch) for a batch with a producer id;
/// [`UnknownTopicOrPartition`](crate::ErrorKind::UnknownTopicOrPartition) if the topic was deleted meanwhile;
/// [`StorageFull`](crate::ErrorKind::StorageFull), [`Storage`](crate::ErrorKind::Storage),
/// [`ShuttingDown`](crate::ErrorKind::ShuttingDown).
///
/// Dropping the ticket does not take the batch back.
#[derive(Debug)]
#[must_use = "whether the batch is stored is what the ticket tells"]
pub struct ProduceTicket {
    receipt: Receipt,
    partition: u32,
}

impl ProduceTicket {
    pub(crate) fn new(receipt: Receipt, partition: u32) -> Self {
        Self { receipt, partition }
    }

    /// The partition that the batch goes to.
    pub fn partition(&self) -> u32 {
        self.partition
    }
}

impl Future for ProduceTicket {
    type Output = Result<Appended, BrokerError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let partition = self.partition;
        Pin::new(&mut self.receipt)
            .poll(context)
            .map(|result| match result {
                Ok(committed) => committed.appends.into_iter().next().ok_or_else(|| {
                    BrokerError::storage("the log answered for another entry than the one it was given")
                }),
                Err(error) => Err(append_error(error).at_partition(partition)),
            })
    }
}
