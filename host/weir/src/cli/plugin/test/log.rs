//! The plugin's log lines, on standard error.

use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use weir_runtime::{Level, LogSink};

use crate::cli::output::indented;

/// Lines of the call under way. They are shown when it is settled: a call that is repeated on parts of its batch says the same
/// again. The runtime's log rate and deadline bound them.
#[derive(Debug, Default)]
pub(super) struct CallLog {
    lines: Mutex<Vec<u8>>,
}

impl CallLog {
    /// Shows the lines.
    pub(super) fn show(&self) {
        let mut lines = self.lines();
        // Standard error may be closed: then nobody wants to know.
        let _ = io::stderr().write_all(&lines);
        lines.clear();
    }

    /// Forgets the lines.
    pub(super) fn forget(&self) {
        self.lines().clear();
    }

    fn lines(&self) -> MutexGuard<'_, Vec<u8>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogSink for CallLog {
    fn log(&self, level: Level, line: &str) {
        // The last words before a trap: they are its reason, and shown as such.
        if level == Level::Critical {
            return;
        }
        // Writing into memory cannot fail.
        let _ = writeln!(self.lines(), "log {}: {}", level.name(), indented(line, 4));
    }
}
