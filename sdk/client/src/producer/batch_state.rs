use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Poll, Waker};

use crate::ProduceError;
use crate::producer::record_fates::RecordFates;

/// What became of a batch.
pub(crate) type BatchResult = Result<Stored, ProduceError>;

/// Where a batch was stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// Offset of the first record that is stored; -1 if the broker knows that it has the batch but no longer where.
    pub(crate) base_offset: i64,
    /// What became of each record, if not all are stored as they were sent.
    pub(crate) records: Option<Arc<RecordFates>>,
}

impl Stored {
    /// All of it, as it was sent.
    pub(crate) fn whole(base_offset: i64) -> Self {
        Self {
            base_offset,
            records: None,
        }
    }

    /// How many of these records of the batch are stored.
    ///
    /// # Errors
    /// Why the first of them is not that the broker refuses.
    pub(crate) fn stored(&self, range: Range<u32>) -> Result<u64, ProduceError> {
        match &self.records {
            None => Ok(u64::from(range.end - range.start)),
            Some(records) => records.stored(range),
        }
    }

    /// The first record of the batch that the broker refuses.
    pub(crate) fn failure(&self) -> Option<ProduceError> {
        self.stored(0..u32::MAX).err()
    }
}

/// The fate of one batch, shared by the deliveries of its records: set once, and whoever waits is woken.
#[derive(Debug)]
pub(crate) struct BatchState {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: u32,
    result: OnceLock<BatchResult>,
    waiting: Mutex<Vec<Waker>>,
}

impl BatchState {
    pub(crate) fn new(topic: Arc<str>, partition: u32) -> Self {
        Self {
            topic,
            partition,
            result: OnceLock::new(),
            waiting: Mutex::new(Vec::new()),
        }
    }

    /// The result, once there is one.
    pub(crate) fn result(&self) -> Option<&BatchResult> {
        self.result.get()
    }

    /// Sets the result, unless there is one already, and wakes all waiters.
    pub(crate) fn complete(&self, result: BatchResult) {
        if self.result.set(result).is_err() {
            return;
        }
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for waker in waiting {
            waker.wake();
        }
    }

    /// The result, or the waker is kept. `slot` is the caller's place among the waiters, `None` at first.
    pub(crate) fn poll(&self, slot: &mut Option<usize>, waker: &Waker) -> Poll<&BatchResult> {
        if let Some(result) = self.result.get() {
            return Poll::Ready(result);
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at again under the lock: `complete` sets the result before it takes the wakers.
        if let Some(result) = self.result.get() {
            return Poll::Ready(result);
        }
        match slot.and_then(|slot| waiting.get_mut(slot)) {
            Some(kept) => kept.clone_from(waker),
            None => {
                *slot = Some(waiting.len());
                waiting.push(waker.clone());
            }
        }
        Poll::Pending
    }
}
