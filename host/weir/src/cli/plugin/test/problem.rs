//! What went wrong, and with which lines.

use std::fmt;
use std::ops::RangeInclusive;

use serde::Serialize;
use weir_runtime::{CallError, CallFault};

/// What can become of a record beside being kept or dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ProblemKind {
    /// The plugin wants it in the dead-letter topic.
    DeadLetter,
    /// The plugin wants it again later.
    Retry,
    /// The plugin cannot process it.
    Fail,
    /// The plugin trapped.
    Trap,
    /// The call took too long.
    Deadline,
    /// The plugin wanted too much memory.
    Memory,
    /// The answer is too large or malformed.
    Output,
    /// The plugin could not be started again.
    Start,
    /// The same batch had another answer.
    Unstable,
}

impl ProblemKind {
    /// As it is written.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::DeadLetter => "dead-letter",
            Self::Retry => "retry",
            Self::Fail => "fail",
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Output => "output",
            Self::Start => "start",
            Self::Unstable => "unstable",
        }
    }

    /// Whether a plugin with such a problem does not pass.
    pub(super) fn is_failure(self) -> bool {
        self != Self::DeadLetter
    }

    pub(super) fn of(error: &CallError) -> Self {
        match error.fault() {
            CallFault::Trap => Self::Trap,
            CallFault::Deadline => Self::Deadline,
            CallFault::Memory => Self::Memory,
            CallFault::Output => Self::Output,
            CallFault::Refused => Self::Fail,
            CallFault::Stopped | CallFault::Other => Self::Start,
        }
    }
}

/// One of them.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    pub(super) kind: ProblemKind,
    /// The input's lines, from 1. More than one where no record alone is to blame.
    pub(super) line: u64,
    pub(super) last_line: u64,
    pub(super) reason: String,
}

impl Problem {
    pub(super) fn new(kind: ProblemKind, lines: &RangeInclusive<u64>, reason: impl Into<String>) -> Self {
        Self {
            kind,
            line: *lines.start(),
            last_line: *lines.end(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == self.last_line {
            write!(f, "line {}", self.line)?;
        } else {
            write!(f, "lines {} to {}", self.line, self.last_line)?;
        }
        // Reasons are the plugin's words: they must not pretend to be further lines.
        let reason = self.reason.split_whitespace().collect::<Vec<_>>().join(" ");
        write!(f, ": {}: {reason}", self.kind.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line() {
        let problem = Problem::new(ProblemKind::Trap, &(7..=7), "it trapped:\nline 9: trap");
        assert_eq!(problem.to_string(), "line 7: trap: it trapped: line 9: trap");
        let problem = Problem::new(ProblemKind::Output, &(1..=3), "too much");
        assert_eq!(problem.to_string(), "lines 1 to 3: output: too much");
    }

    #[test]
    fn a_kind_has_one_name() {
        for kind in [ProblemKind::DeadLetter, ProblemKind::Fail, ProblemKind::Unstable] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
