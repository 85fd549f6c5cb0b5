//! What becomes of a record that a plugin cannot handle.

use crate::flow::OnError;
use crate::flow::calls::Fault;

/// Records that may fail one after the other, with a trap or the like, before the flow pauses: a plugin that does nothing
/// but fail is no plugin.
const FAILURES_IN_ROW_MAX: u32 = 100;
/// What a call that ran into its deadline counts for: it took a second and more to find the record.
const SLOW_FAILURE: u32 = 10;

/// How a record failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// The plugin wants it in the dead-letter topic.
    DeadLetter,
    /// The plugin wants it tried again.
    Retry,
    /// The plugin says that it cannot handle it, or what it made of it does not fit into the sink.
    Fail,
    /// The call failed: a trap, a limit, an answer that is none.
    Trap,
}

impl Outcome {
    /// How it counts; a failed call has an error that says more.
    pub(crate) fn fault(self) -> Fault {
        match self {
            Self::DeadLetter => Fault::DeadLetter,
            Self::Retry => Fault::Retry,
            Self::Fail => Fault::Refused,
            Self::Trap => Fault::Trap,
        }
    }
}

/// What is done about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// The record is left out, the flow goes on.
    Skip,
    /// The record goes to the flow's dead-letter topic, the flow goes on.
    DeadLetter,
    /// The flow stops in front of the record, and tries again a little later.
    Retry,
    /// The flow stops in front of the record until it is resumed.
    Pause,
    /// The record is refused before it is stored, for good.
    Reject,
    /// The record is refused before it is stored; it may be sent again later.
    Defer,
}

/// What is done about records that plugins cannot handle.
pub(crate) trait Rules {
    /// What is done about a record that failed so, at this offset of its source.
    fn judge(&self, outcome: Outcome, offset: i64) -> Verdict;
}

impl Verdict {
    /// Whether nothing behind the record is done before it is.
    pub(crate) fn stops(self) -> bool {
        matches!(self, Self::Retry | Self::Pause)
    }
}

/// The flow's policy, for one pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) on_error: OnError,
    /// The offset of the record that was tried often enough.
    pub(crate) given_up: Option<i64>,
}

impl Rules for Policy {
    fn judge(&self, outcome: Outcome, offset: i64) -> Verdict {
        let given_up = self.given_up == Some(offset);
        match (outcome, self.on_error) {
            // What the plugin asks for itself, it gets, whatever the flow does about other failures.
            (Outcome::DeadLetter, _) => Verdict::DeadLetter,
            (Outcome::Retry, _) | (_, OnError::Retry) if !given_up => Verdict::Retry,
            (_, OnError::Skip) => Verdict::Skip,
            (_, OnError::DeadLetter) => Verdict::DeadLetter,
            (_, OnError::Retry | OnError::Pause) => Verdict::Pause,
        }
    }
}

/// Counts the records that failed one after the other.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct FailuresInRow(u32);

impl FailuresInRow {
    /// A record failed; `slow` if it ran into the deadline. Returns whether it is one too many.
    pub(crate) fn failed(&mut self, slow: bool) -> bool {
        self.0 = self.0.saturating_add(if slow { SLOW_FAILURE } else { 1 });
        self.0 >= FAILURES_IN_ROW_MAX
    }

    /// A call worked.
    pub(crate) fn worked(&mut self) {
        self.0 = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_what_the_flow_says_and_a_dead_letter_what_the_plugin_says() {
        let policy = |on_error| Policy {
            on_error,
            given_up: None,
        };
        for (on_error, verdict) in [
            (OnError::Skip, Verdict::Skip),
            (OnError::DeadLetter, Verdict::DeadLetter),
            (OnError::Retry, Verdict::Retry),
            (OnError::Pause, Verdict::Pause),
        ] {
            for outcome in [Outcome::Fail, Outcome::Trap] {
                assert_eq!(policy(on_error).judge(outcome, 7), verdict);
            }
            assert_eq!(
                policy(on_error).judge(Outcome::DeadLetter, 7),
                Verdict::DeadLetter
            );
            assert_eq!(policy(on_error).judge(Outcome::Retry, 7), Verdict::Retry);
        }
    }

    #[test]
    fn a_record_that_was_tried_often_enough_is_given_up() {
        let policy = |on_error| Policy {
            on_error,
            given_up: Some(7),
        };
        for (on_error, verdict) in [
            (OnError::Skip, Verdict::Skip),
            (OnError::DeadLetter, Verdict::DeadLetter),
            (OnError::Retry, Verdict::Pause),
            (OnError::Pause, Verdict::Pause),
        ] {
            assert_eq!(policy(on_error).judge(Outcome::Retry, 7), verdict);
            assert_eq!(
                policy(on_error).judge(Outcome::Retry, 8),
                Verdict::Retry,
                "another record"
            );
        }
        assert_eq!(policy(OnError::Retry).judge(Outcome::Trap, 7), Verdict::Pause);
    }

    #[test]
    fn failures_in_a_row_are_counted_until_a_call_works() {
        let mut row = FailuresInRow::default();
        assert!((1..FAILURES_IN_ROW_MAX).all(|_| !row.failed(false)));
        row.worked();
        assert!((1..FAILURES_IN_ROW_MAX / SLOW_FAILURE).all(|_| !row.failed(true)));
        assert!(row.failed(true));
    }
}
