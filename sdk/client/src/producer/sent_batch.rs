use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::producer::batch_state::BatchState;

/// A finished batch, kept until it is acknowledged.
#[derive(Debug)]
pub(super) struct SentBatch {
    /// Its place in the order of creation; within a partition also the order of its sequence numbers.
    pub(super) number: u64,
    pub(super) partition: u32,
    /// The batch as it goes over the wire.
    pub(super) bytes: Bytes,
    pub(super) records: i32,
    pub(super) state: Arc<BatchState>,
    pub(super) created: Instant,
    /// When it was last handed to the stream.
    pub(super) sent: Instant,
    pub(super) charged_bytes: usize,
    /// It was given up while it was in flight: whatever the ack says comes too late.
    pub(super) given_up: bool,
}
