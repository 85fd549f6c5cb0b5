//! What a flow has done and taken, and what its plugins record about themselves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use weir_runtime::{MetricsSink, Stats};

use crate::flow::counters::Counters;
use crate::flow::histogram::{FlowHistogram, Histogram};
use crate::flow::lane::Lane;

/// Counters, and histograms, that all instances of one plugin may have together, as many as one instance alone.
const NAMES_MAX: usize = 64;

/// What the instances of one plugin of a flow have done and taken since the broker started, in all of its versions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlowGuestInfo {
    /// The plugin's name.
    pub plugin: String,
    /// The most linear memory that one instance ever had, in bytes.
    pub memory_bytes_peak: u64,
    /// Times an instance was started anew, after an error or because its memory had grown.
    pub restarts: u64,
    /// Its own counters.
    pub counters: BTreeMap<String, u64>,
    /// Its own histograms.
    pub histograms: BTreeMap<String, FlowHistogram>,
    /// Times it recorded something that was left out: under a name that is none or one too many, or no finite number.
    pub metrics_left_out: u64,
}

/// What a flow has done and taken since the broker started. All of its revisions share it.
#[derive(Debug, Default)]
pub(crate) struct FlowMetrics {
    lanes: Mutex<BTreeMap<Lane, Arc<Counters>>>,
    /// By plugin, without version: a flow's plugins can change their versions and nothing else.
    guests: Mutex<BTreeMap<String, Arc<GuestMetrics>>>,
}

impl FlowMetrics {
    /// The counters for a lane.
    pub(crate) fn lane(&self, lane: Lane) -> Arc<Counters> {
        let mut lanes = lock(&self.lanes);
        Arc::clone(lanes.entry(lane).or_insert_with(|| Arc::new(Counters::new())))
    }

    /// Where the instances of a plugin of the flow record.
    pub(crate) fn guest(&self, plugin: &str) -> Arc<GuestMetrics> {
        Arc::clone(lock(&self.guests).entry(plugin.to_owned()).or_default())
    }

    /// All plugins, by name.
    pub(crate) fn guests(&self) -> Vec<FlowGuestInfo> {
        let guests = lock(&self.guests).clone();
        let info = |(plugin, metrics): (String, Arc<GuestMetrics>)| metrics.info(plugin);
        guests.into_iter().map(info).collect()
    }
}

/// What the instances of one plugin of a flow record, whatever thread they run on.
#[derive(Debug, Default)]
pub(crate) struct GuestMetrics {
    memory_bytes_peak: AtomicU64,
    restarts: AtomicU64,
    left_out: AtomicU64,
    counters: Named<AtomicU64>,
    histograms: Named<Mutex<Histogram>>,
}

impl GuestMetrics {
    /// Learns what an instance has done and taken since it was at `before`.
    pub(crate) fn learn(&self, before: &Stats, now: &Stats) {
        self.memory_bytes_peak
            .fetch_max(now.memory_bytes_peak as u64, Ordering::Relaxed);
        self.restarts
            .fetch_add(now.restarts.saturating_sub(before.restarts), Ordering::Relaxed);
        self.left_out.fetch_add(
            now.metrics_left_out.saturating_sub(before.metrics_left_out),
            Ordering::Relaxed,
        );
    }

    fn info(&self, plugin: String) -> FlowGuestInfo {
        FlowGuestInfo {
            plugin,
            memory_bytes_peak: self.memory_bytes_peak.load(Ordering::Relaxed),
            restarts: self.restarts.load(Ordering::Relaxed),
            counters: self.counters.all(|counter| counter.load(Ordering::Relaxed)),
            histograms: self.histograms.all(|histogram| lock(histogram).summary()),
            metrics_left_out: self.left_out.load(Ordering::Relaxed),
        }
    }

    fn leave_out_unless(&self, recorded: bool) {
        if !recorded {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl MetricsSink for GuestMetrics {
    fn counter_add(&self, name: &str, by: u64) {
        let recorded = self.counters.with(name, |counter| {
            // A guest says by how much: it must not turn the counter over.
            let _ = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sum| {
                Some(sum.saturating_add(by))
            });
        });
        self.leave_out_unless(recorded);
    }

    fn histogram_record(&self, name: &str, value: f64) {
        let recorded = self
            .histograms
            .with(name, |histogram| lock(histogram).record(value));
        self.leave_out_unless(recorded);
    }
}

/// Metrics of one kind by name, [`NAMES_MAX`] at most. Only a new name keeps others waiting.
#[derive(Debug, Default)]
struct Named<T>(RwLock<BTreeMap<String, T>>);

impl<T: Default> Named<T> {
    /// Does something to the metric `name`, a new one if need be. Returns whether there was room for it.
    fn with(&self, name: &str, change: impl FnOnce(&T)) -> bool {
        if let Some(metric) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            change(metric);
            return true;
        }
        let mut metrics = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have made it meanwhile.
        if metrics.len() >= NAMES_MAX && !metrics.contains_key(name) {
            return false;
        }
        change(metrics.entry(name.to_owned()).or_default());
        true
    }

    fn all<U>(&self, show: impl Fn(&T) -> U) -> BTreeMap<String, U> {
        let metrics = self.0.read().unwrap_or_else(PoisonError::into_inner);
        metrics
            .iter()
            .map(|(name, metric)| (name.clone(), show(metric)))
            .collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_share_names_and_there_are_not_too_many() {
        let flow = FlowMetrics::default();
        let (one, other) = (flow.guest("p"), flow.guest("p"));
        one.counter_add("n", 2);
        other.counter_add("n", 3);
        other.counter_add("full", u64::MAX);
        other.counter_add("full", 1);
        other.histogram_record("n", 0.5);
        for number in 0..NAMES_MAX {
            one.counter_add(&format!("m{number}"), 1);
        }
        flow.guest("q").counter_add("n", 7);
        let guests = flow.guests();
        let names: Vec<_> = guests.iter().map(|guest| guest.plugin.as_str()).collect();
        assert_eq!(names, ["p", "q"]);
        assert_eq!(guests[0].counters.len(), NAMES_MAX);
        assert_eq!(guests[0].metrics_left_out, 2);
        assert_eq!(
            (guests[0].counters["n"], guests[0].counters["full"]),
            (5, u64::MAX)
        );
        assert_eq!((guests[0].histograms["n"].count, guests[1].counters["n"]), (1, 7));
    }

    #[test]
    fn what_an_instance_did_before_is_not_counted_twice() {
        let metrics = GuestMetrics::default();
        let at = |restarts, memory_bytes_peak| Stats {
            restarts,
            memory_bytes_peak,
            ..Stats::default()
        };
        metrics.learn(&at(0, 0), &at(2, 200));
        metrics.learn(&at(2, 200), &at(3, 200));
        metrics.learn(&at(0, 0), &at(1, 100));
        let info = metrics.info("p".to_owned());
        assert_eq!((info.restarts, info.memory_bytes_peak), (4, 200));
    }
}
