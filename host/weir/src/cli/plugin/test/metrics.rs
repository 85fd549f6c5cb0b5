//! The metrics that the plugin under test records.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use weir_runtime::MetricsSink;

/// What was recorded: by the calls that count, and by the one under way. The runtime bounds the names.
#[derive(Debug, Default)]
pub(super) struct CallMetrics {
    kept: Mutex<Metrics>,
    call: Mutex<Metrics>,
}

/// Metrics by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Metrics {
    pub(super) counters: BTreeMap<String, u64>,
    pub(super) histograms: BTreeMap<String, Histogram>,
}

/// The samples of a histogram, in short.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Histogram {
    pub(super) count: u64,
    pub(super) sum: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl CallMetrics {
    /// What the last call recorded counts.
    pub(super) fn keep(&self) {
        let call = std::mem::take(&mut *lock(&self.call));
        let mut kept = lock(&self.kept);
        for (name, by) in call.counters {
            let counter = kept.counters.entry(name).or_default();
            *counter = counter.saturating_add(by);
        }
        for (name, samples) in call.histograms {
            kept.histograms
                .entry(name)
                .and_modify(|histogram| histogram.merge(samples))
                .or_insert(samples);
        }
    }

    /// What the last call recorded does not count.
    pub(super) fn forget(&self) {
        *lock(&self.call) = Metrics::default();
    }

    /// All that counts.
    pub(super) fn kept(&self) -> Metrics {
        lock(&self.kept).clone()
    }
}

impl Histogram {
    fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

impl MetricsSink for CallMetrics {
    fn counter_add(&self, name: &str, by: u64) {
        let mut call = lock(&self.call);
        let counter = call.counters.entry(name.to_owned()).or_default();
        *counter = counter.saturating_add(by);
    }

    fn histogram_record(&self, name: &str, value: f64) {
        let sample = Histogram {
            count: 1,
            sum: value,
            min: value,
            max: value,
        };
        lock(&self.call)
            .histograms
            .entry(name.to_owned())
            .and_modify(|histogram| histogram.merge(sample))
            .or_insert(sample);
    }
}

impl Metrics {
    pub(super) fn is_empty(&self) -> bool {
        self.counters.is_empty() && self.histograms.is_empty()
    }
}

fn lock(metrics: &Mutex<Metrics>) -> MutexGuard<'_, Metrics> {
    metrics.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failed_call_recorded_does_not_count() {
        let metrics = CallMetrics::default();
        metrics.counter_add("seen", 2);
        metrics.histogram_record("size", 4.0);
        metrics.histogram_record("size", 1.0);
        metrics.keep();
        metrics.counter_add("seen", 100);
        metrics.histogram_record("size", 1_000.0);
        metrics.forget();
        metrics.counter_add("seen", 3);
        metrics.histogram_record("size", 7.0);
        metrics.keep();
        let kept = metrics.kept();
        assert_eq!(kept.counters["seen"], 5);
        let expected = Histogram {
            count: 3,
            sum: 12.0,
            min: 1.0,
            max: 7.0,
        };
        assert_eq!(kept.histograms["size"], expected);
    }
}
