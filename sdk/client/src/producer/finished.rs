use std::sync::Arc;

use crate::ProduceError;
use crate::producer::batch_state::{BatchResult, BatchState};
use crate::producer::sent_batch::SentBatch;

/// What a pipeline is done with: a batch that is resolved, memory that is free again, or both.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) number: u64,
    pub(super) state: Arc<BatchState>,
    /// Memory to be given back.
    pub(super) released_bytes: usize,
    /// The batch's result; `None` if it was known before.
    pub(super) result: Option<BatchResult>,
}

impl Finished {
    /// The batch is resolved and gone.
    pub(super) fn resolved(batch: SentBatch, result: BatchResult) -> Self {
        Self {
            number: batch.number,
            state: batch.state,
            released_bytes: batch.charged_bytes,
            result: Some(result),
        }
    }

    /// The batch was given up earlier and is gone now.
    pub(super) fn released(batch: SentBatch) -> Self {
        Self {
            number: batch.number,
            state: batch.state,
            released_bytes: batch.charged_bytes,
            result: None,
        }
    }

    /// The batch failed, but is still in flight.
    pub(super) fn failed_in_flight(batch: &SentBatch, error: ProduceError) -> Self {
        Self {
            number: batch.number,
            state: Arc::clone(&batch.state),
            released_bytes: 0,
            result: Some(Err(error)),
        }
    }
}
