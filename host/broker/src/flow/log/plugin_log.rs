//! What one instance of a plugin logs.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_runtime::{Level, LogSink};

use super::{FlowLog, LINE_BYTES_MAX, LogPlace};
use crate::clock::now_ms;

/// Lines of one call that are held until it is settled; further ones are counted. The runtime has a rate for them as well.
const CALL_LINES_MAX: usize = 10_000;
/// Bytes of those lines.
const CALL_BYTES_MAX: usize = 1 << 20;

/// The log as one instance of a plugin writes to it: its lines say whose they are, and which records the call was about.
///
/// A call whose work is thrown away and done again in parts would say the same again. So the lines of a call are held until it is known
/// what becomes of it; those outside of any call, while the plugin is set up, pass at once.
#[derive(Debug)]
pub(crate) struct PluginLog {
    log: Arc<FlowLog>,
    plugin: Arc<str>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The source topic and partition of the calls; none where they have none.
    source: Option<(Arc<str>, u32)>,
    call: Option<Call>,
}

/// The call under way.
#[derive(Debug)]
struct Call {
    offsets: Range<i64>,
    lines: Vec<Said>,
    bytes: usize,
    left_out: u64,
}

/// A line and when it was said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) time_ms: i64,
    pub(super) level: &'static str,
    pub(super) line: String,
}

impl Said {
    /// A line of this moment, cut to what a line may have.
    pub(super) fn now(level: &'static str, line: &str) -> Self {
        Self {
            time_ms: now_ms(),
            level,
            line: line[..line.floor_char_boundary(LINE_BYTES_MAX)].to_owned(),
        }
    }
}

impl PluginLog {
    pub(crate) fn new(log: Arc<FlowLog>, plugin: &str) -> Self {
        Self {
            log,
            plugin: plugin.into(),
            state: Mutex::default(),
        }
    }

    /// The calls that follow are on records of this partition.
    pub(crate) fn at_source(&self, topic: &Arc<str>, partition: u32) {
        self.state().source = Some((Arc::clone(topic), partition));
    }

    /// A call on the records of these offsets begins. Its lines are held until [`settle`](Self::settle).
    pub(crate) fn begin(&self, offsets: Range<i64>) {
        self.state().call = Some(Call {
            offsets,
            lines: Vec::new(),
            bytes: 0,
            left_out: 0,
        });
    }

    /// The call is over: its lines are written, or forgotten.
    pub(crate) fn settle(&self, write: bool) {
        let mut state = self.state();
        let Some(call) = state.call.take().filter(|_| write) else {
            return;
        };
        let place = state.source.as_ref().map(|(topic, partition)| LogPlace {
            topic: Arc::clone(topic),
            partition: *partition,
            offset: call.offsets.start,
            last_offset: call.offsets.end - 1,
        });
        drop(state);
        for said in &call.lines {
            self.log.add(said, Some(&self.plugin), place.as_ref());
        }
        if call.left_out > 0 {
            let line = format!("{} more lines of this call were left out", call.left_out);
            self.log
                .add(&Said::now("warn", &line), Some(&self.plugin), place.as_ref());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogSink for PluginLog {
    fn log(&self, level: Level, line: &str) {
        let said = Said::now(level.name(), line);
        let mut state = self.state();
        let Some(call) = &mut state.call else {
            drop(state);
            return self.log.add(&said, Some(&self.plugin), None);
        };
        if call.lines.len() >= CALL_LINES_MAX || call.bytes + said.line.len() > CALL_BYTES_MAX {
            call.left_out += 1;
            return;
        }
        call.bytes += said.line.len();
        call.lines.push(said);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::log_topic::queue;

    fn log() -> (Arc<FlowLog>, PluginLog) {
        let log = Arc::new(FlowLog::new("f", 20_000, queue().0));
        (Arc::clone(&log), PluginLog::new(log, "p@1"))
    }

    #[test]
    fn lines_of_a_call_wait_for_its_end() {
        let (log, plugin) = log();
        plugin.log(Level::Info, "being set up");
        assert_eq!(log.lines(), ["info being set up"]);
        plugin.begin(0..4);
        plugin.log(Level::Info, "thrown away");
        plugin.settle(false);
        plugin.begin(0..2);
        plugin.log(Level::Warn, "kept");
        assert_eq!(log.lines().len(), 1);
        plugin.settle(true);
        plugin.settle(true);
        assert_eq!(log.lines(), ["info being set up", "warn kept"]);
    }

    #[test]
    fn a_call_that_says_too_much_is_cut_and_that_is_said() {
        let (log, plugin) = log();
        plugin.begin(0..1);
        for _ in 0..CALL_LINES_MAX + 7 {
            plugin.log(Level::Info, "x");
        }
        plugin.settle(true);
        let lines = log.lines();
        assert_eq!(lines.len(), CALL_LINES_MAX + 1);
        assert_eq!(
            lines[CALL_LINES_MAX],
            "warn 7 more lines of this call were left out"
        );
        plugin.begin(0..1);
        for _ in 0..2 * CALL_BYTES_MAX / LINE_BYTES_MAX {
            plugin.log(Level::Info, &"y".repeat(LINE_BYTES_MAX));
        }
        plugin.settle(true);
        let lines = log.lines();
        assert_eq!(lines.len(), CALL_LINES_MAX + 2 + CALL_BYTES_MAX / LINE_BYTES_MAX);
    }
}
