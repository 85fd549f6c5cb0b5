use std::collections::BTreeSet;
use std::sync::Arc;

/// Distinct names that one instance may record under.
const NAMES_MAX: usize = 64;
/// Bytes of a name.
const NAME_BYTES_MAX: usize = 64;

/// Where the metrics of an instance go. Names arrive checked, `[a-z][a-z0-9_]{0,63}`, and at most 64 distinct ones from an
/// instance.
pub trait MetricsSink: Send + Sync {
    /// Adds `by` to the counter `name`. Called on the thread that calls the guest: must not block.
    fn counter_add(&self, name: &str, by: u64);

    /// Records `value`, a finite number, in the histogram `name`. Called on the thread that calls the guest: must not block.
    fn histogram_record(&self, name: &str, value: f64);
}

/// Keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMetrics;

impl MetricsSink for NoMetrics {
    fn counter_add(&self, _name: &str, _by: u64) {}

    fn histogram_record(&self, _name: &str, _value: f64) {}
}

/// What a guest records.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sample {
    Count(u64),
    Value(f64),
}

/// One instance's way to its sink: bounds names, and counts what it leaves out.
#[derive(Default)]
pub(crate) struct Meter {
    /// None is nowhere.
    sink: Option<Arc<dyn MetricsSink>>,
    names: BTreeSet<String>,
    left_out: u64,
}

impl Meter {
    pub(crate) fn new(sink: Option<Arc<dyn MetricsSink>>) -> Self {
        Self {
            sink,
            ..Self::default()
        }
    }

    /// Samples left out so far.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Passes a sample on, or leaves it out; gives a warning for the first one left out.
    pub(crate) fn record(&mut self, name: &str, sample: Sample) -> Option<String> {
        if let Err(why) = self.admit(name, sample) {
            self.left_out = self.left_out.saturating_add(1);
            return (self.left_out == 1).then(|| {
                format!("a metric is left out, and others may be from now on without a word: {why}")
            });
        }
        if let Some(sink) = &self.sink {
            match sample {
                Sample::Count(by) => sink.counter_add(name, by),
                Sample::Value(value) => sink.histogram_record(name, value),
            }
        }
        None
    }

    fn admit(&mut self, name: &str, sample: Sample) -> Result<(), String> {
        if matches!(sample, Sample::Value(value) if !value.is_finite()) {
            return Err("a histogram takes finite numbers only".to_owned());
        }
        if self.names.contains(name) {
            return Ok(());
        }
        if !is_name(name) {
            let shown = crate::log::truncate(name, NAME_BYTES_MAX);
            return Err(format!(
                "{shown:?} is no name for one: it is a lower-case letter, then letters, digits and _, {NAME_BYTES_MAX} bytes at most"
            ));
        }
        if self.names.len() == NAMES_MAX {
            return Err(format!(
                "{name} would be more than the {NAMES_MAX} names that an instance has"
            ));
        }
        self.names.insert(name.to_owned());
        Ok(())
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for name in ["a", "records_seen", "p99", &"x".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "A", "9a", "_a", "a-b", "a b", "ä", &"x".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn names_are_bounded_and_one_warning_says_so() {
        let mut meter = Meter::default();
        for number in 0..NAMES_MAX {
            assert_eq!(meter.record(&format!("m{number}"), Sample::Count(1)), None);
        }
        let warning = meter.record("one_more", Sample::Count(1)).unwrap();
        assert!(
            warning.contains("one_more") && warning.contains("64"),
            "{warning}"
        );
        assert_eq!(meter.record("another", Sample::Value(1.0)), None);
        assert_eq!(meter.record("m0", Sample::Value(f64::NAN)), None);
        assert_eq!(meter.left_out(), 3);
        assert_eq!(meter.record("m63", Sample::Value(1.0)), None);
        assert_eq!(meter.left_out(), 3, "what is known passes");
    }
}
