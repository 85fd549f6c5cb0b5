//! Account of what a chain's calls take and how they fail.

use std::ops::Range;
use std::sync::Arc;

use weir_batch::Batch;

use crate::flow::calls::{Fault, FlowFaults};
use crate::flow::chain::{Chain, ChainError};
use crate::flow::counters::Counters;

impl Chain {
    /// The runs that follow count here.
    pub(crate) fn count_in(&mut self, counters: Arc<Counters>) {
        self.counters = Some(counters);
    }

    /// Accounts for what the instances have done and taken since the last time.
    pub(crate) fn account(&mut self) {
        for stage in &mut self.stages {
            stage.account();
        }
    }

    /// One run, of the records `range` of `batch`: counts it, settles what the plugins log in it, and counts the records that have failed for
    /// good when it is over. A call that fails as a whole is no fault of a record's until it has only one. `again`: should it fail, it is
    /// to be run again as it is.
    pub(super) fn metered<T>(
        &mut self,
        batch: &Batch<'_>,
        range: Range<usize>,
        again: bool,
        run: impl FnOnce(&mut Self) -> Result<T, ChainError>,
    ) -> Result<T, ChainError> {
        self.took_ns = 0;
        self.faults = FlowFaults::default();
        self.logs.begin(batch.header().base_offset, range.clone());
        let ran = run(self);
        self.logs.settle(range.clone(), ran.as_ref().err(), again);
        let lost = match &ran {
            Ok(_) | Err(ChainError::Record(_)) => None,
            Err(ChainError::Call { fault, .. }) => Some((*fault, range.len() == 1)),
            Err(ChainError::Output(_)) => Some((Fault::Output, true)),
        };
        if let Some((fault, counts)) = lost {
            self.faults = FlowFaults::default();
            if counts {
                self.faults.count(fault);
            }
        }
        if let Some(counters) = &self.counters {
            counters.called(self.took_ns, &self.faults);
        }
        ran
    }
}
