use std::time::{Duration, Instant};

use wasmtime::component::{ComponentType, Lift};

/// How much a line matters, as in the WIT interface `weir:plugin/log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
pub enum Level {
    /// Finest.
    #[component(name = "trace")]
    Trace,
    /// For who looks for a bug.
    #[component(name = "debug")]
    Debug,
    /// What happens.
    #[component(name = "info")]
    Info,
    /// What should not happen.
    #[component(name = "warn")]
    Warn,
    /// What went wrong.
    #[component(name = "error")]
    Error,
    /// The last words before a trap.
    #[component(name = "critical")]
    Critical,
}

impl Level {
    /// Its name, as WIT has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// Where the lines of an instance go. They arrive truncated and within the log rate.
pub trait LogSink: Send + Sync {
    /// One line without its end. Called on the thread that calls the guest: must not block.
    fn log(&self, level: Level, line: &str);
}

/// Keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLog;

impl LogSink for NoLog {
    fn log(&self, _level: Level, _line: &str) {}
}

/// Passes lines on to `tracing`, target `weir::plugin`.
#[derive(Clone, Debug)]
pub struct TracingLog {
    source: String,
}

impl TracingLog {
    /// `source` says whose lines they are, for example the flow's name.
    pub fn new(source: impl Into<String>) -> Self {
        Self {
            source: source.into(),
        }
    }
}

impl LogSink for TracingLog {
    fn log(&self, level: Level, line: &str) {
        let source = self.source.as_str();
        match level {
            Level::Trace => tracing::trace!(target: "weir::plugin", source, "{line}"),
            Level::Debug => tracing::debug!(target: "weir::plugin", source, "{line}"),
            Level::Info => tracing::info!(target: "weir::plugin", source, "{line}"),
            Level::Warn => tracing::warn!(target: "weir::plugin", source, "{line}"),
            Level::Error | Level::Critical => tracing::error!(target: "weir::plugin", source, "{line}"),
        }
    }
}

/// A token bucket over the bytes of log lines, and one over the lines: a burst of one second's worth, refilled evenly.
#[derive(Debug)]
pub(crate) struct LogRate {
    bytes: Bucket,
    lines: Bucket,
    left_out: u64,
}

#[derive(Debug)]
struct Bucket {
    per_s: u64,
    tokens: u64,
    /// Since it was full, or last earned something: what is less than one token is not lost.
    filled: Instant,
}

impl Bucket {
    fn new(per_s: u64, now: Instant) -> Self {
        Self {
            per_s,
            tokens: per_s,
            filled: now,
        }
    }

    fn refill(&mut self, now: Instant) {
        let passed = now
            .saturating_duration_since(self.filled)
            .min(Duration::from_secs(1));
        let earned = (passed.as_micros() as u64).saturating_mul(self.per_s) / 1_000_000;
        if earned > 0 {
            self.tokens = self.tokens.saturating_add(earned).min(self.per_s);
            self.filled = now;
        }
    }
}

impl LogRate {
    pub(crate) fn new(bytes_per_s: u64, lines_per_s: u64, now: Instant) -> Self {
        Self {
            bytes: Bucket::new(bytes_per_s, now),
            lines: Bucket::new(lines_per_s, now),
            left_out: 0,
        }
    }

    /// Whether a line of `bytes` may pass at `now`; if so, how many lines were left out since the last that passed.
    pub(crate) fn admit(&mut self, bytes: usize, now: Instant) -> Option<u64> {
        self.bytes.refill(now);
        self.lines.refill(now);
        // A line costs at least as much as its place in a list: empty lines are not free.
        let cost = (bytes as u64).max(16);
        if self.bytes.tokens < cost || self.lines.tokens < 1 {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.bytes.tokens -= cost;
        self.lines.tokens -= 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

/// At most `limit` bytes of `text`, cut at a character's border.
pub(crate) fn truncate(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let start = Instant::now();
        let mut rate = LogRate::new(100, 1_000, start);
        assert_eq!(rate.admit(60, start), Some(0));
        assert_eq!(rate.admit(60, start), None);
        assert_eq!(rate.admit(60, start), None);
        assert_eq!(
            rate.admit(60, start + Duration::from_millis(300)),
            Some(2),
            "two lines were left out"
        );
        assert_eq!(rate.admit(60, start + Duration::from_millis(300)), None);
        assert_eq!(
            rate.admit(100, start + Duration::from_secs(60)),
            Some(1),
            "a long pause refills one second's worth"
        );
        assert_eq!(rate.admit(16, start + Duration::from_secs(60)), None);
    }

    #[test]
    fn lines_have_a_rate_of_their_own() {
        let start = Instant::now();
        let mut rate = LogRate::new(1 << 20, 2, start);
        assert_eq!(rate.admit(1, start), Some(0));
        assert_eq!(rate.admit(1, start), Some(0));
        assert_eq!(rate.admit(1, start), None);
        assert_eq!(rate.admit(1, start + Duration::from_millis(500)), Some(1));
        assert_eq!(rate.admit(1, start + Duration::from_millis(500)), None);
    }

    #[test]
    fn lines_are_cut_between_characters() {
        assert_eq!(truncate("größe", 4), "grö");
        assert_eq!(truncate("größe", 3), "gr");
        assert_eq!(truncate("abc", 10), "abc");
    }
}
