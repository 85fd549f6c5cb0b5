//! What a flow has done in one lane.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::flow::FlowPartitionInfo;
use crate::flow::calls::{Calls, FlowFaults};
use crate::flow::lane::Lane;

/// Counters of one flow and lane, since the broker started.
#[derive(Debug)]
pub(crate) struct Counters {
    /// -1 until the flow's cursors were read.
    cursor: watch::Sender<i64>,
    records_in: AtomicU64,
    bytes_in: AtomicU64,
    records_out: AtomicU64,
    bytes_out: AtomicU64,
    dropped: AtomicU64,
    skipped: AtomicU64,
    dead_lettered: AtomicU64,
    rejected: AtomicU64,
    retried: AtomicU64,
    errors: AtomicU64,
    guest_ns: AtomicU64,
    calls: Calls,
}

/// What one pass adds once it is committed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct PassStats {
    pub(crate) records_in: u64,
    pub(crate) bytes_in: u64,
    pub(crate) records_out: u64,
    pub(crate) bytes_out: u64,
    pub(crate) dropped: u64,
    pub(crate) skipped: u64,
    pub(crate) dead_lettered: u64,
    pub(crate) rejected: u64,
    pub(crate) guest_ns: u64,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            cursor: watch::Sender::new(-1),
            records_in: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            records_out: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            dead_lettered: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            guest_ns: AtomicU64::new(0),
            calls: Calls::default(),
        }
    }

    pub(crate) fn add(&self, pass: &PassStats) {
        self.records_in.fetch_add(pass.records_in, Ordering::Relaxed);
        self.bytes_in.fetch_add(pass.bytes_in, Ordering::Relaxed);
        self.records_out.fetch_add(pass.records_out, Ordering::Relaxed);
        self.bytes_out.fetch_add(pass.bytes_out, Ordering::Relaxed);
        self.dropped.fetch_add(pass.dropped, Ordering::Relaxed);
        self.skipped.fetch_add(pass.skipped, Ordering::Relaxed);
        self.dead_lettered
            .fetch_add(pass.dead_lettered, Ordering::Relaxed);
        self.rejected.fetch_add(pass.rejected, Ordering::Relaxed);
        self.guest_ns.fetch_add(pass.guest_ns, Ordering::Relaxed);
    }

    /// A call of the plugins took so long, and records of it failed so; whether anything of it is committed or not.
    pub(crate) fn called(&self, took_ns: u64, faults: &FlowFaults) {
        self.calls.add(took_ns, faults);
    }

    pub(crate) fn error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn retry(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn set_cursor(&self, cursor: i64) {
        self.cursor.send_replace(cursor);
    }

    /// The cursor, if it is known.
    pub(crate) fn cursor(&self) -> Option<i64> {
        Some(*self.cursor.borrow()).filter(|&cursor| cursor >= 0)
    }

    /// Learns of every change of the cursor, which is -1 until it is known.
    pub(crate) fn watch_cursor(&self) -> watch::Receiver<i64> {
        self.cursor.subscribe()
    }

    /// All of it, beside `cursor` and the `end` of what there is to read.
    pub(crate) fn info(&self, lane: Lane, cursor: i64, end: i64) -> FlowPartitionInfo {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        FlowPartitionInfo {
            source: lane.source,
            partition: lane.partition,
            cursor,
            end,
            until: None,
            lag: u64::try_from(end.saturating_sub(cursor)).unwrap_or(0),
            records_in: load(&self.records_in),
            bytes_in: load(&self.bytes_in),
            records_out: load(&self.records_out),
            bytes_out: load(&self.bytes_out),
            dropped: load(&self.dropped),
            skipped: load(&self.skipped),
            dead_lettered: load(&self.dead_lettered),
            rejected: load(&self.rejected),
            retried: load(&self.retried),
            errors: load(&self.errors),
            guest_ns: load(&self.guest_ns),
            calls: self.calls.info(),
        }
    }
}
