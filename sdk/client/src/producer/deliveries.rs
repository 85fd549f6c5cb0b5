use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::ProduceError;
use crate::producer::batch_state::BatchState;

/// The fate of many records that were sent in one call: a future of how many are stored, once all are acknowledged, or of
/// the first failure. All that were sent are stored, but for those that the topic's ingest flow leaves out.
#[derive(Debug)]
#[must_use = "deliveries say whether the records were stored; drop them if `flush` is to say so"]
pub struct Deliveries {
    /// The records, by batch; the same one may occur more than once.
    parts: Vec<Part>,
    done: usize,
    slot: Option<usize>,
    records: u64,
    stored: u64,
}

/// Records of one batch, one after the other.
#[derive(Debug)]
struct Part {
    batch: Arc<BatchState>,
    records: Range<u32>,
}

impl Deliveries {
    pub(crate) fn new() -> Self {
        Self {
            parts: Vec::new(),
            done: 0,
            slot: None,
            records: 0,
            stored: 0,
        }
    }

    /// `records` of a batch, from `index` on.
    pub(crate) fn add(&mut self, batch: Arc<BatchState>, index: u32, records: u32) {
        self.records += u64::from(records);
        match self.parts.last_mut() {
            Some(last) if Arc::ptr_eq(&last.batch, &batch) && last.records.end == index => {
                last.records.end += records;
            }
            _ => self.parts.push(Part {
                batch,
                records: index..index + records,
            }),
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
        while let Some(part) = this.parts.get(this.done) {
            let result = ready!(part.batch.poll(&mut this.slot, context.waker()));
            match result.as_ref().map_err(Clone::clone) {
                Ok(stored) => this.stored += stored.stored(part.records.clone())?,
                Err(error) => return Poll::Ready(Err(error)),
            }
            this.slot = None;
            this.done += 1;
        }
        Poll::Ready(Ok(this.stored))
    }
}
