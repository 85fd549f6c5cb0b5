use std::sync::Arc;
use std::time::Instant;

use weir_batch::BatchBuilder;

use crate::producer::batch_state::BatchState;

/// A batch that has not been finished: it may still grow, or waits for its turn.
#[derive(Debug)]
pub(super) struct OpenBatch {
    /// Its place in the order of creation.
    pub(super) number: u64,
    pub(super) partition: u32,
    pub(super) builder: BatchBuilder,
    pub(super) state: Arc<BatchState>,
    /// When its first record came: from here the delivery timeout runs.
    pub(super) created: Instant,
    /// What it counts for in the accumulator's memory.
    pub(super) charged_bytes: usize,
}
