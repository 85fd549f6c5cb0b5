use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::ProduceError;
use crate::producer::batch_state::BatchState;

/// The fate of many records that were sent in one call: a future of their number, once all of them are stored, or of
/// the first failure.
#[derive(Debug)]
#[must_use = "deliveries say whether the records were stored; drop them if `flush` is to say so"]
pub struct Deliveries {
    /// Each batch that got some of the records; the same one may occur more than once, never twice in a row.
    batches: Vec<Arc<BatchState>>,
    done: usize,
    slot: Option<usize>,
    records: u64,
}

impl Deliveries {
    pub(crate) fn new() -> Self {
        Self {
            batches: Vec::new(),
            done: 0,
            slot: None,
            records: 0,
        }
    }

    pub(crate) fn add(&mut self, batch: Arc<BatchState>, records: u64) {
        self.records += records;
        if !self.batches.last().is_some_and(|last| Arc::ptr_eq(last, &batch)) {
            self.batches.push(batch);
        }
    }

    /// How many records it stands for.
    pub fn records(&self) -> u64 {
        self.records
    }
}

impl Future for Deliveries {
    type Output = Result<u64, ProduceError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        while let Some(batch) = this.batches.get(this.done) {
            if let Err(error) = ready!(batch.poll(&mut this.slot, context.waker())) {
                return Poll::Ready(Err(error.clone()));
            }
            this.slot = None;
            this.done += 1;
        }
        Poll::Ready(Ok(this.records))
    }
}
