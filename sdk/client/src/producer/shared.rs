use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::Client;
use crate::producer::accumulator::Accumulator;

/// What a producer's handles and its driver share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) topic: String,
    pub(super) idempotent: bool,
    pub(super) delivery_timeout: Duration,
    accumulator: Mutex<Accumulator>,
    /// The driver has something to do.
    pub(super) work: Notify,
    /// There is room in the buffer, for the sender whose turn it is.
    pub(super) room: Notify,
    /// Senders that wait for room take turns.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Whether the driver has ended.
    pub(super) ended: watch::Sender<bool>,
}

impl Shared {
    pub(super) fn new(
        client: Client,
        topic: String,
        idempotent: bool,
        delivery_timeout: Duration,
        accumulator: Accumulator,
    ) -> Self {
        Self {
            client,
            topic,
            idempotent,
            delivery_timeout,
            accumulator: Mutex::new(accumulator),
            work: Notify::new(),
            room: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
            ended: watch::Sender::new(false),
        }
    }

    /// The accumulator. Held for moments only, never across an await.
    #[inline]
    pub(super) fn accumulator(&self) -> MutexGuard<'_, Accumulator> {
        self.accumulator.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sender whose turn it is waits for room: nobody overtakes it.
pub(super) struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        shared.accumulator().add_waiting();
        Self(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.accumulator().remove_waiting();
    }
}
