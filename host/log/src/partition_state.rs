use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;

use crate::descriptor::BatchOp;
use crate::segment::Segment;
use crate::tail::Tail;
use crate::{DamagedRange, PartitionConfig, PartitionId};

/// What is known of a partition. The shard's writer (and, before it runs, recovery) changes the offsets and adds
/// ranges; housekeeping takes ranges away.
#[derive(Debug)]
pub(crate) struct PartitionState {
    pub(crate) id: PartitionId,
    config: Mutex<PartitionConfig>,
    log_start: AtomicI64,
    /// The high watermark: everything below is committed.
    end: AtomicI64,
    watch: Mutex<Option<watch::Sender<i64>>>,
    ranges: RwLock<Vec<Range>>,
    /// Stretches that are lost, by offset.
    damaged: RwLock<Vec<DamagedRange>>,
    pub(crate) tail: Tail,
    gone: AtomicBool,
}

/// What a segment holds of a partition: a stretch of offsets without gaps.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    pub(crate) segment: Arc<Segment>,
    pub(crate) base: i64,
    pub(crate) end: i64,
    pub(crate) bytes: u64,
    /// Of those, about how many lie below the log start.
    pub(crate) dead_bytes: u64,
    /// The log start for which that was found out; 0 if it never was.
    pub(crate) dead_at: i64,
    pub(crate) max_timestamp: i64,
}

impl Range {
    pub(crate) fn live_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.dead_bytes)
    }
}

impl PartitionState {
    pub(crate) fn new(id: PartitionId, log_start: i64, end: i64) -> Self {
        Self {
            id,
            config: Mutex::default(),
            log_start: AtomicI64::new(log_start),
            end: AtomicI64::new(end),
            watch: Mutex::new(Some(watch::Sender::new(end))),
            ranges: RwLock::default(),
            damaged: RwLock::default(),
            tail: Tail::default(),
            gone: AtomicBool::new(false),
        }
    }

    pub(crate) fn config(&self) -> MutexGuard<'_, PartitionConfig> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn log_start(&self) -> i64 {
        self.log_start.load(Ordering::Acquire)
    }

    pub(crate) fn set_log_start(&self, offset: i64) {
        self.log_start.store(offset, Ordering::Release);
    }

    pub(crate) fn end(&self) -> i64 {
        self.end.load(Ordering::Acquire)
    }

    /// Lets everybody see what is below `end`.
    pub(crate) fn publish(&self, end: i64) {
        self.end.store(end, Ordering::Release);
        if let Some(watch) = &*self.watch.lock().unwrap_or_else(PoisonError::into_inner) {
            watch.send_replace(end);
        }
    }

    /// Follows the high watermark. The sender is gone once the partition is.
    pub(crate) fn watch(&self) -> watch::Receiver<i64> {
        match &*self.watch.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(watch) => watch.subscribe(),
            None => watch::channel(self.end()).1,
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// The topic was deleted: nothing is served any more and everybody who waits is woken.
    pub(crate) fn forget(&self) {
        self.gone.store(true, Ordering::Release);
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.ranges_mut().clear();
        self.tail.clear();
    }

    /// Wakes everybody who waits for records: there will be none.
    pub(crate) fn close_watch(&self) {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(crate) fn ranges(&self) -> RwLockReadGuard<'_, Vec<Range>> {
        self.ranges.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ranges_mut(&self) -> RwLockWriteGuard<'_, Vec<Range>> {
        self.ranges.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a batch that is committed to `segment`. It is not seen before it is published.
    pub(crate) fn note_batch(&self, segment: &Arc<Segment>, batch: &BatchOp) {
        let len = u64::from(batch.len);
        segment.note_batch(self.id, batch.base_offset, len, batch.max_timestamp);
        let mut ranges = self.ranges_mut();
        match ranges.last_mut() {
            Some(last) if Arc::ptr_eq(&last.segment, segment) => {
                last.end = batch.next_offset();
                last.bytes += len;
                last.max_timestamp = last.max_timestamp.max(batch.max_timestamp);
            }
            _ => ranges.push(Range {
                segment: segment.clone(),
                base: batch.base_offset,
                end: batch.next_offset(),
                bytes: len,
                dead_bytes: 0,
                dead_at: 0,
                max_timestamp: batch.max_timestamp,
            }),
        }
    }

    /// The range that holds `offset`.
    pub(crate) fn range_at(&self, offset: i64) -> Option<Range> {
        let ranges = self.ranges();
        let found = ranges.partition_point(|range| range.end <= offset);
        ranges.get(found).filter(|range| range.base <= offset).cloned()
    }

    /// The stretches from the log start on that are lost, by offset.
    pub(crate) fn damaged(&self) -> Vec<DamagedRange> {
        let log_start = self.log_start();
        let damaged = self.damaged.read().unwrap_or_else(PoisonError::into_inner);
        damaged
            .iter()
            .filter(|range| range.to > log_start)
            .cloned()
            .collect()
    }

    /// Adds stretches that are lost.
    pub(crate) fn note_damaged(&self, ranges: impl IntoIterator<Item = DamagedRange>) {
        let mut damaged = self.damaged.write().unwrap_or_else(PoisonError::into_inner);
        damaged.extend(ranges);
        damaged.sort_unstable_by_key(|range| range.from);
    }

    /// The lost stretch that `offset` is in.
    pub(crate) fn damaged_at(&self, offset: i64) -> Option<DamagedRange> {
        let damaged = self.damaged.read().unwrap_or_else(PoisonError::into_inner);
        let found = damaged.partition_point(|range| range.to <= offset);
        damaged.get(found).filter(|range| range.from <= offset).cloned()
    }

    /// Bytes of the batches from the log start on, about.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.ranges().iter().map(Range::live_bytes).sum()
    }
}
