//! What a flow's plugins, and the broker about them, have to say.

mod plugin_log;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::flow::log_topic::{LogLine, LogQueue};
pub(crate) use plugin_log::PluginLog;
use plugin_log::Said;

/// Lines longer than this are cut. The runtime cuts as well, at a limit of its own.
const LINE_BYTES_MAX: usize = 1024;

/// A flow's log: the last lines in memory, and all of them on their way to the flow's topic of them.
///
/// The default keeps none.
#[derive(Debug, Default)]
pub(crate) struct FlowLog {
    flow: Arc<str>,
    lines_max: usize,
    lines: Mutex<VecDeque<String>>,
    topic: Option<LogQueue>,
    /// Lines that there was no room for on the way to the topic, not yet said.
    left_out: AtomicU64,
}

impl FlowLog {
    pub(crate) fn new(flow: &str, lines_max: usize, topic: LogQueue) -> Self {
        Self {
            flow: flow.into(),
            lines_max,
            lines: Mutex::default(),
            topic: Some(topic),
            left_out: AtomicU64::new(0),
        }
    }

    /// Adds a line of the broker's.
    pub(crate) fn push(&self, level: &'static str, line: &str) {
        self.add(&Said::now(level, line), None, None);
    }

    /// Adds a line, of a plugin if one is named.
    fn add(&self, said: &Said, plugin: Option<&Arc<str>>, place: Option<&LogPlace>) {
        let (level, line) = (said.level, said.line.as_str());
        if self.lines_max > 0 {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            // The oldest one makes room.
            if lines.len() >= self.lines_max {
                lines.pop_front();
            }
            lines.push_back(format!("{level} {line}"));
        }
        let Some(topic) = &self.topic else { return };
        let new = |level, message| LogLine {
            time_ms: said.time_ms,
            level,
            flow: Arc::clone(&self.flow),
            plugin: plugin.cloned(),
            topic: place.map(|place| Arc::clone(&place.topic)),
            partition: place.map(|place| place.partition),
            offset: place.map(|place| place.offset),
            last_offset: place
                .map(|place| place.last_offset)
                .filter(|last| place.is_some_and(|place| *last > place.offset)),
            message,
        };
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            let said = format!("{left_out} lines were left out: they came faster than they could be written");
            if !topic.push(new("warn", said)) {
                self.left_out.fetch_add(left_out, Ordering::Relaxed);
            }
        }
        if !topic.push(new(level, line.to_owned())) {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The last lines, oldest first.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }
}

/// Where the records are that a line was said about.
#[derive(Clone, Debug)]
struct LogPlace {
    topic: Arc<str>,
    partition: u32,
    /// The first and the last record of the call.
    offset: i64,
    last_offset: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::log_topic::queue;

    #[test]
    fn the_last_lines_are_kept_and_long_ones_cut() {
        let log = FlowLog::new("f", 2, queue().0);
        for line in ["a", "b", &"ü".repeat(2_000)] {
            log.push("info", line);
        }
        let lines = log.lines();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], "info b");
        assert!(lines[1].len() <= LINE_BYTES_MAX + 8);
    }
}
