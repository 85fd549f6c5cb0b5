//! Counting what is stored, once.

use std::sync::Arc;

use crate::flow::counters::{Counters, PassStats};

/// What a batch adds to its flow's counters when it is stored. It goes with the batch's answer: that it was there already, or could
/// not be stored, is known only then. Where nobody waits for the answer, it counts: what is handed to the log is stored.
#[derive(Debug)]
pub(crate) struct Tally {
    counters: Arc<Counters>,
    stats: PassStats,
    counts: bool,
}

impl Tally {
    pub(super) fn new(counters: &Arc<Counters>, stats: PassStats) -> Self {
        Self {
            counters: Arc::clone(counters),
            stats,
            counts: true,
        }
    }

    /// The batch is stored just now, or not.
    pub(crate) fn settle(mut self, stored: bool) {
        self.counts = stored;
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if self.counts {
            self.counters.add(&self.stats);
        }
    }
}
