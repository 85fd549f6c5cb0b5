//! Finding the records that a call fails at.

use std::ops::Range;

use crate::flow::calls::Fault;
use crate::flow::chain::{ChainError, FailedRecord};

/// Work over the records of a batch that may fail as a whole because of one of them.
pub(crate) trait Bisect {
    /// Why the rest of the batch is left alone.
    type Halt;

    /// Does the records of `range`. What fails has done nothing.
    fn attempt(&mut self, range: Range<usize>) -> Result<Result<(), ChainError>, Self::Halt>;

    /// The call fails at this record, even if it is the only one.
    fn blame(&mut self, culprit: Culprit) -> Result<(), Self::Halt>;

    /// The work does not go beyond this record; everything before it is done.
    fn stop(&mut self, record: FailedRecord) -> Self::Halt;

    /// What was made cannot be finished.
    fn lost(&mut self, reason: String) -> Self::Halt;
}

/// A record that a call fails at.
#[derive(Debug)]
pub(crate) struct Culprit {
    pub(crate) index: usize,
    /// The plugin, `name@version`.
    pub(crate) plugin: Option<String>,
    pub(crate) reason: String,
    /// The call ran into its deadline.
    pub(crate) slow: bool,
}

/// Does the records of `range` in order. Where a call fails, one half after the other, down to the record to blame.
pub(crate) fn bisect<W: Bisect>(work: &mut W, range: Range<usize>) -> Result<(), W::Halt> {
    if range.is_empty() {
        return Ok(());
    }
    match work.attempt(range.clone())? {
        Ok(()) => Ok(()),
        Err(ChainError::Record(record)) => {
            // What comes before it is done first.
            bisect(work, range.start..record.index)?;
            Err(work.stop(record))
        }
        Err(ChainError::Output(reason)) => Err(work.lost(reason)),
        Err(ChainError::Call { .. }) if range.len() > 1 => {
            let middle = range.start + range.len() / 2;
            bisect(work, range.start..middle)?;
            bisect(work, middle..range.end)
        }
        Err(ChainError::Call {
            plugin,
            reason,
            fault,
        }) => work.blame(Culprit {
            index: range.start,
            plugin,
            reason,
            slow: fault == Fault::Deadline,
        }),
    }
}
