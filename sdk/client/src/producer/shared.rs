use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use crate::Client;
use crate::producer::accumulator::Accumulator;
use crate::producer::obstacle::{Obstacle, Standing};

/// What a producer's handles and its driver share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) topic: String,
    pub(super) idempotent: bool,
    pub(super) delivery_timeout: Duration,
    accumulator: Mutex<Accumulator>,
    /// Why nothing is acknowledged, since something was.
    obstacle: Mutex<Option<Standing>>,
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
            obstacle: Mutex::default(),
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

    /// Something stands in the way, or no longer does.
    pub(super) fn set_obstacle(&self, reason: Option<String>) {
        let mut obstacle = self.obstacle.lock().unwrap_or_else(PoisonError::into_inner);
        let before = obstacle.take();
        *obstacle = reason.map(|reason| Standing::renewed(before, reason, Instant::now()));
    }

    /// What stands in the way of the oldest batch that is not resolved.
    pub(super) fn obstacle(&self) -> Option<Obstacle> {
        let until = self.accumulator().oldest()? + self.delivery_timeout;
        let obstacle = self.obstacle.lock().unwrap_or_else(PoisonError::into_inner);
        obstacle
            .as_ref()
            .map(|standing| standing.seen(Instant::now(), until))
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
