//! What the tasks of one listener share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use quinn::Endpoint;
use tokio::sync::Semaphore;
use weir_broker::Broker;

use crate::ListenerLimits;
use crate::shutdown::Drain;

/// Least bytes of batches in a frame to a consumer, however many consumers there are.
const RECORDS_FRAME_BYTES_MIN: u64 = 16 * 1024;
/// Frames that a subscription holds at most: one is being sent, one waits, one is being read.
const FRAMES_HELD: u64 = 3;
/// Least bytes that a connection may have sent before they are read.
const RECEIVE_WINDOW_MIN: u64 = 256 * 1024;

/// What the tasks of one listener share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) broker: Broker,
    pub(crate) limits: ListenerLimits,
    pub(crate) endpoint: Endpoint,
    pub(crate) drain: Drain,
    pub(crate) started: Instant,
    /// One permit for each stream that may still be opened.
    pub(crate) streams: Arc<Semaphore>,
    subscriptions: AtomicUsize,
}

impl Context {
    pub(crate) fn new(broker: Broker, limits: ListenerLimits, endpoint: Endpoint, drain: Drain) -> Self {
        Self {
            streams: Arc::new(Semaphore::new(limits.streams_max)),
            broker,
            limits,
            endpoint,
            drain,
            started: Instant::now(),
            subscriptions: AtomicUsize::new(0),
        }
    }

    /// Counts a subscription for as long as the guard lives.
    pub(crate) fn subscribed(self: &Arc<Self>) -> Subscribed {
        self.subscriptions.fetch_add(1, Ordering::Relaxed);
        Subscribed(Arc::clone(self))
    }

    /// Bytes of batches in one frame to a consumer, at the moment.
    pub(crate) fn records_frame_bytes(&self) -> u32 {
        let subscriptions = self.subscriptions.load(Ordering::Relaxed).max(1) as u64;
        let share = (self.limits.read_ahead_bytes / FRAMES_HELD / subscriptions).max(RECORDS_FRAME_BYTES_MIN);
        u32::try_from(share).map_or(self.limits.records_frame_bytes, |share| {
            share.min(self.limits.records_frame_bytes)
        })
    }

    /// Bytes that a new connection may have sent before they are read.
    pub(crate) fn receive_window(&self) -> u32 {
        let connections = self.endpoint.open_connections().max(1) as u64;
        let share = (self.limits.receive_bytes / connections).max(RECEIVE_WINDOW_MIN);
        let most = weir_protocol::tuning::CONNECTION_RECEIVE_WINDOW;
        u32::try_from(share).map_or(most, |share| share.min(most))
    }
}

/// See [`Context::subscribed`].
#[derive(Debug)]
pub(crate) struct Subscribed(Arc<Context>);

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.0.subscriptions.fetch_sub(1, Ordering::Relaxed);
    }
}
