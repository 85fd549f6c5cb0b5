//! What a flow's plugins, and the broker about them, have to say.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use weir_runtime::{Level, LogSink};

use crate::clock::now_ms;
use crate::flow::log_topic::{LogLine, LogQueue};

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
        self.add(level, line, None, None);
    }

    fn add(&self, level: &'static str, line: &str, plugin: Option<&Arc<str>>, place: Option<LogPlace>) {
        let line = &line[..line.floor_char_boundary(LINE_BYTES_MAX)];
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
            time_ms: now_ms(),
            level,
            flow: Arc::clone(&self.flow),
            plugin: plugin.cloned(),
            topic: place.as_ref().map(|place| Arc::clone(&place.topic)),
            partition: place.as_ref().map(|place| place.partition),
            offset: place.as_ref().map(|place| place.offset),
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
pub(crate) struct LogPlace {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: u32,
    pub(crate) offset: i64,
}

/// The log as one instance of a plugin writes to it: its lines say whose they are, and where the plugin was.
#[derive(Debug)]
pub(crate) struct PluginLog {
    log: Arc<FlowLog>,
    plugin: Arc<str>,
    /// Where its calls are; none before the first one.
    place: Mutex<Option<LogPlace>>,
    offset: AtomicI64,
}

impl PluginLog {
    pub(crate) fn new(log: Arc<FlowLog>, plugin: &str) -> Self {
        Self {
            log,
            plugin: plugin.into(),
            place: Mutex::default(),
            offset: AtomicI64::new(-1),
        }
    }

    /// The calls that follow are on records of this partition.
    pub(crate) fn at_source(&self, topic: &Arc<str>, partition: u32) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(LogPlace {
            topic: Arc::clone(topic),
            partition,
            offset: 0,
        });
    }

    /// The call that follows begins there.
    pub(crate) fn at(&self, offset: i64) {
        self.offset.store(offset, Ordering::Relaxed);
    }
}

impl LogSink for PluginLog {
    fn log(&self, level: Level, line: &str) {
        let level = match level {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Critical => "critical",
        };
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let place = place.map(|place| LogPlace {
            offset: self.offset.load(Ordering::Relaxed),
            ..place
        });
        self.log.add(level, line, Some(&self.plugin), place);
    }
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
