//! What the plugins of a chain log, run by run.

use std::ops::Range;
use std::sync::Arc;

use crate::flow::calls::Fault;
use crate::flow::chain::ChainError;
use crate::flow::log::PluginLog;

/// The logs of a chain's plugins.
///
/// Finding the record to blame runs the same records more than once. Each is heard once: in the run that counts, or in the one that
/// names it.
#[derive(Default)]
pub(super) struct Logs {
    logs: Vec<Arc<PluginLog>>,
    /// Records whose lines are written although they run again next: those in front of one that stopped a run.
    heard: Option<Range<usize>>,
}

impl Logs {
    pub(super) fn of(logs: Vec<Arc<PluginLog>>) -> Self {
        Self { logs, heard: None }
    }

    /// What follows is of this source partition.
    pub(super) fn at_source(&self, topic: &Arc<str>, partition: u32) {
        for log in &self.logs {
            log.at_source(topic, partition);
        }
    }

    /// A run of these records, of a batch at `base_offset`, begins.
    pub(super) fn begin(&self, base_offset: i64, range: Range<usize>) {
        let offset = |index: usize| base_offset.saturating_add(index as i64);
        for log in &self.logs {
            log.begin(offset(range.start)..offset(range.end));
        }
    }

    /// It is over. `again`: should its call have failed, the very same follows.
    pub(super) fn settle(&mut self, range: Range<usize>, error: Option<&ChainError>, again: bool) {
        let heard = self.heard.take();
        let write = match error {
            Some(ChainError::Call { .. }) if again => false,
            // The flow was stopped in the middle: the same follows when it runs again.
            Some(ChainError::Call {
                fault: Fault::Stopped,
                ..
            }) => false,
            // Its parts follow, down to the one record.
            Some(ChainError::Call { .. }) => range.len() <= 1,
            // What could not go to a topic that is yet to be made runs again, all of it.
            Some(ChainError::Record(record)) if !record.verdict.stops() => false,
            Some(ChainError::Record(record)) => {
                let before = range.start..record.index;
                self.heard = (!before.is_empty()).then_some(before);
                true
            }
            None | Some(ChainError::Output(_)) => heard != Some(range),
        };
        for log in &self.logs {
            log.settle(write);
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_runtime::{Level, LogSink as _};

    use super::*;
    use crate::flow::chain::FailedRecord;
    use crate::flow::log::FlowLog;
    use crate::flow::log_topic::queue;
    use crate::flow::policy::Verdict;

    fn call_failed(fault: Fault) -> ChainError {
        ChainError::Call {
            plugin: None,
            reason: "why".to_owned(),
            fault,
        }
    }

    fn stopped_at(index: usize, verdict: Verdict) -> ChainError {
        ChainError::Record(FailedRecord {
            index,
            plugin: None,
            reason: "why".to_owned(),
            verdict,
        })
    }

    /// The runs of which the lines are written.
    fn heard(runs: &[(Range<usize>, Option<ChainError>)]) -> Vec<String> {
        let log = Arc::new(FlowLog::new("f", 100, queue().0));
        let plugin = Arc::new(PluginLog::new(Arc::clone(&log), "p@1"));
        let mut logs = Logs::of(vec![Arc::clone(&plugin)]);
        for (range, error) in runs {
            logs.begin(0, range.clone());
            plugin.log(Level::Info, &format!("{range:?}"));
            logs.settle(range.clone(), error.as_ref(), false);
        }
        log.lines()
    }

    #[test]
    fn of_a_search_only_the_runs_that_settle_something_are_heard() {
        let trap = || Some(call_failed(Fault::Trap));
        let runs = [
            (0..4, trap()),
            (0..2, None),
            (2..4, trap()),
            (2..3, trap()),
            (3..4, None),
        ];
        assert_eq!(heard(&runs), ["info 0..2", "info 2..3", "info 3..4"]);
        assert!(heard(&[(0..1, Some(call_failed(Fault::Stopped)))]).is_empty());
    }

    #[test]
    fn what_comes_before_a_record_that_stops_is_heard_once() {
        let runs = [
            (0..4, Some(stopped_at(2, Verdict::Pause))),
            (0..2, None),
            (0..2, None),
            (2..4, Some(stopped_at(2, Verdict::Retry))),
            (2..4, None),
        ];
        assert_eq!(
            heard(&runs),
            ["info 0..4", "info 0..2", "info 2..4", "info 2..4"],
            "the second run of 0..2 repeats nothing"
        );
    }

    #[test]
    fn a_run_that_wants_for_its_dead_letter_topic_is_heard_when_it_has_it() {
        let runs = [(0..4, Some(stopped_at(2, Verdict::DeadLetter))), (0..4, None)];
        assert_eq!(heard(&runs), ["info 0..4"]);
    }
}
