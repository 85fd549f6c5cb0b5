use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Poll, Waker};

use crate::ProduceError;

/// What became of a batch.
pub(crate) type BatchResult = Result<Stored, ProduceError>;

/// Where a batch was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Offset of the batch's first record; -1 if the broker knows that it has the batch but no longer where.
    pub(crate) base_offset: i64,
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
