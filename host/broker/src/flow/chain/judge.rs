//! What is done about the records of a call that a plugin could not handle.

use weir_batch::bitmap;
use weir_batch::frame::Entry;

use crate::flow::calls::FlowFaults;
use crate::flow::chain::{ChainError, FailedRecord};
use crate::flow::collector::Collector;
use crate::flow::policy::{Outcome, Rules, Verdict};

/// Judges the records that a plugin could not handle.
pub(super) struct Judge<'a> {
    pub(super) plugin: Option<&'a str>,
    pub(super) base_offset: i64,
    pub(super) policy: &'a dyn Rules,
    pub(super) out: &'a Collector,
}

impl Judge<'_> {
    /// Notes those the flow goes on without, each of them once. The first at which it stops is the error. Counts in `faults` all of the
    /// former, or the latter alone: what comes before it runs again. Where it only wants for a dead-letter topic, it runs again too.
    pub(super) fn all(
        &self,
        entries: impl Iterator<Item = (u32, Outcome, String)>,
        bits: &mut [u8],
        failed: &mut Vec<FailedRecord>,
        faults: &mut FlowFaults,
    ) -> Result<(), ChainError> {
        let mut stop: Option<(FailedRecord, FlowFaults)> = None;
        for (source, outcome, reason) in entries {
            let index = source as usize;
            if bitmap::get(bits, index) {
                continue;
            }
            let verdict = self.policy.judge(outcome, self.base_offset + i64::from(source));
            let record = FailedRecord {
                index,
                plugin: self.plugin.map(str::to_owned),
                reason,
                verdict,
            };
            let homeless = verdict == Verdict::DeadLetter && !self.out.has_dead_letter();
            if verdict.stops() || homeless {
                if stop.as_ref().is_none_or(|(stop, _)| index < stop.index) {
                    let mut only = FlowFaults::default();
                    if !homeless {
                        only.count(outcome.fault());
                    }
                    stop = Some((record, only));
                }
            } else {
                bitmap::set(bits, index);
                faults.count(outcome.fault());
                failed.push(record);
            }
        }
        let Some((record, only)) = stop else {
            return Ok(());
        };
        *faults = only;
        Err(ChainError::Record(record))
    }
}

/// What of the records may not fit their sinks.
#[derive(Clone, Copy)]
pub(super) struct LookAt {
    pub(super) sizes: bool,
    pub(super) partitions: bool,
}

/// How the record of an entry failed; `None` if it did not.
pub(super) fn failure(entry: &Entry<'_>, look_at: LookAt, out: &Collector) -> Option<(Outcome, String)> {
    let (outcome, reason, what) = match entry {
        Entry::Emit {
            output,
            partition,
            tail,
            ..
        } => {
            let output = *output as usize;
            let oversized = || out.oversized(output, tail.as_bytes().len());
            let misplaced = || out.misplaced(output, *partition);
            let error = look_at.sizes.then(oversized).flatten();
            let error = error.or_else(|| look_at.partitions.then(misplaced).flatten())?;
            return Some((Outcome::Fail, error.to_string()));
        }
        Entry::DeadLetter { reason, .. } => (
            Outcome::DeadLetter,
            reason,
            "wants a record to go to the dead-letter topic",
        ),
        Entry::Retry { reason, .. } => (Outcome::Retry, reason, "wants a record to be tried again"),
        Entry::Fail { reason, .. } => (Outcome::Fail, reason, "cannot handle a record"),
    };
    Some((outcome, format!("the plugin {what}: {}", clip(reason))))
}

/// A guest's own words, short enough for a message and without control characters.
fn clip(reason: &str) -> String {
    const CHARS_MAX: usize = 500;
    reason
        .chars()
        .take(CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
