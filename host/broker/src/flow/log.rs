//! The last lines that a flow's plugins logged.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use weir_runtime::{Level, LogSink};

/// Lines longer than this are cut. The runtime cuts as well, at a limit of its own.
const LINE_BYTES_MAX: usize = 1024;

/// A ring of lines.
/// The default keeps none.
#[derive(Debug, Default)]
pub(crate) struct FlowLog {
    lines_max: usize,
    lines: Mutex<VecDeque<String>>,
}

impl FlowLog {
    pub(crate) fn new(lines_max: usize) -> Self {
        Self {
            lines_max,
            lines: Mutex::default(),
        }
    }

    /// Adds a line; the oldest one makes room for it.
    pub(crate) fn push(&self, level: &str, line: &str) {
        if self.lines_max == 0 {
            return;
        }
        let line = &line[..line.floor_char_boundary(LINE_BYTES_MAX)];
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= self.lines_max {
            lines.pop_front();
        }
        lines.push_back(format!("{level} {line}"));
    }

    /// The lines, oldest first.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }
}

impl LogSink for FlowLog {
    fn log(&self, level: Level, line: &str) {
        let level = match level {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Critical => "critical",
        };
        self.push(level, line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_long_ones_cut() {
        let log = FlowLog::new(2);
        for line in ["a", "b", &"ü".repeat(2_000)] {
            log.push("info", line);
        }
        let lines = log.lines();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], "info b");
        assert!(lines[1].len() <= LINE_BYTES_MAX + 8);
    }
}
