//! One source batch on its way through the chain.

use std::ops::Range;
use std::time::Instant;

use weir_batch::Batch;

use super::{Halt, Pass, SLICE};
use crate::flow::bisect::{Bisect, Culprit};
use crate::flow::calls::Fault;
use crate::flow::chain::{Chain, ChainError, FailedRecord, Made};
use crate::flow::counters::PassStats;
use crate::flow::policy::Verdict;

/// The records of one source batch on their way through the chain.
pub(super) struct Run<'a> {
    pub(super) pass: &'a mut Pass,
    pub(super) chain: &'a mut Chain,
    pub(super) batch: Batch<'a>,
    /// The dead letters that the records were made of, if they were.
    pub(super) letters: Option<Batch<'a>>,
    pub(super) stats: &'a mut PassStats,
    pub(super) began: Instant,
}

impl Bisect for Run<'_> {
    type Halt = Halt;

    fn attempt(&mut self, range: Range<usize>) -> Result<Result<(), ChainError>, Halt> {
        let pass = &mut *self.pass;
        let first = range.start;
        if let Some(state) = &pass.state {
            let header = self.batch.header();
            state
                .lock()
                .begin_run(header.base_timestamp.min(header.max_timestamp));
        }
        let error = match self
            .chain
            .run(self.batch, range, &pass.policy, &mut pass.collector)
        {
            Ok(made) => {
                pass.failures.worked();
                return pass.settle(self.batch, self.letters, made, self.stats).map(Ok);
            }
            Err(error) => error,
        };
        if let Some(state) = &pass.state {
            let mut state = state.lock();
            state.roll_back();
            if let Some(fault) = state.take_fault() {
                return Err(Halt::State(fault));
            }
        }
        if let ChainError::Call {
            fault: Fault::Stopped,
            ..
        } = error
        {
            // Nothing is known of these records, and nothing is said about them.
            return Err(Halt::Enough(first));
        }
        Ok(Err(error))
    }

    fn blame(&mut self, culprit: Culprit) -> Result<(), Halt> {
        let index = culprit.index;
        let failed = self.pass.judge(&self.batch, culprit);
        let homeless = failed.verdict == Verdict::DeadLetter && !self.pass.collector.has_dead_letter();
        if failed.verdict.stops() || homeless {
            return Err(Halt::Failed(failed));
        }
        let mut made = Made::default();
        made.stats.records = 1;
        made.failed.push(failed);
        self.pass.settle(self.batch, self.letters, made, self.stats)?;
        let next = self.batch.header().base_offset + index as i64 + 1;
        let until = self.pass.until;
        if until.map_or(self.began.elapsed() >= SLICE, |until| next >= until) {
            // Finding records that fail takes time: the others have their turn.
            return Err(Halt::Enough(index + 1));
        }
        Ok(())
    }

    fn stop(&mut self, record: FailedRecord) -> Halt {
        Halt::Failed(record)
    }

    fn lost(&mut self, reason: String) -> Halt {
        Halt::Lost(reason)
    }
}
