//! The state of one flow and source partition while a runner is at work.

mod walk;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_log::{KvOp, Log, ReadError};
use weir_runtime::StateError;

use crate::flow::state::StateKeys;
use crate::flow::state::row::Row;
use crate::flow::state::totals::Totals;

/// Bytes of rows that are kept in memory beside those that are on their way to the disk.
const KEPT_BYTES_MAX: usize = 16 << 20;
/// What a row in memory takes beside its key and value, roughly.
const SLOT_BYTES: usize = 96;
/// A partition's state, for the stages of a chain and the pass that runs it. One pass at a time uses it.
#[derive(Clone)]
pub(crate) struct SharedState(Arc<Mutex<PartitionState>>);

impl SharedState {
    pub(crate) fn new(state: PartitionState) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, PartitionState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is stored, with what the passes have changed of it: those on their way to the disk, and the one under way.
///
/// Keys are those of the plugins with the stage's label and a slash before them.
pub(crate) struct PartitionState {
    log: Log,
    /// The state shard.
    shard: u16,
    prefix: Vec<u8>,
    totals_key: Vec<u8>,
    bytes_max: u64,
    totals: Totals,
    /// Rows that are known. Those that a pass on its way has changed stay until it is committed; the others are what is stored.
    slots: BTreeMap<Arc<[u8]>, Slot>,
    kept_bytes: usize,
    /// The pass under way, counted from 1.
    pass: u64,
    /// The last pass that is committed.
    settled: u64,
    /// Keys that the pass under way changed first; some of them may be as they were again.
    changed: Vec<Arc<[u8]>>,
    changed_bytes: usize,
    /// What the run under way has changed, as it was before: oldest first.
    undo: Vec<Slot>,
    /// The earliest time of the runs of this pass.
    time_ms: Option<i64>,
    /// Why the log could not be read.
    fault: Option<ReadError>,
}

#[derive(Clone, Debug)]
struct Slot {
    /// As in the map: whoever keeps a list of keys takes it from here.
    key: Arc<[u8]>,
    row: Option<Row>,
    /// The last pass that changed it; 0 if it is as stored.
    pass: u64,
}

impl PartitionState {
    /// What is stored of the state. Blocks.
    ///
    /// # Errors
    /// Those of [`Log::kv_read`].
    pub(crate) fn open(log: Log, shard: u16, keys: StateKeys, bytes_max: u64) -> Result<Self, ReadError> {
        let totals_key = keys.totals();
        let totals = match log.kv_read(shard, &totals_key)? {
            Some(bytes) => Totals::decode(&bytes).ok_or_else(|| unknown_format("the totals"))?,
            None => Totals::default(),
        };
        Ok(Self {
            log,
            shard,
            prefix: keys.rows(),
            totals_key,
            bytes_max,
            totals,
            slots: BTreeMap::new(),
            kept_bytes: 0,
            pass: 1,
            settled: 0,
            changed: Vec::new(),
            changed_bytes: 0,
            undo: Vec::new(),
            time_ms: None,
            fault: None,
        })
    }

    /// A pass begins, while `in_flight` others before it are not committed yet.
    pub(crate) fn begin_pass(&mut self, in_flight: usize) {
        self.settled = (self.pass - 1).saturating_sub(in_flight as u64);
        self.time_ms = None;
        if self.kept_bytes > KEPT_BYTES_MAX {
            let (settled, mut kept_bytes) = (self.settled, 0);
            self.slots.retain(|_, slot| {
                let kept = slot.pass > settled;
                kept_bytes += if kept { slot.bytes() } else { 0 };
                kept
            });
            self.kept_bytes = kept_bytes;
        }
    }

    /// A run of the chain begins, over records that are not older than `time_ms`.
    pub(crate) fn begin_run(&mut self, time_ms: i64) {
        self.undo.clear();
        self.time_ms = Some(self.time_ms.map_or(time_ms, |before| before.min(time_ms)));
    }

    /// The run failed: everything is as it was before.
    pub(crate) fn roll_back(&mut self) {
        while let Some(before) = self.undo.pop() {
            let key = Arc::clone(&before.key);
            self.replace(&key, before.row, before.pass);
        }
    }

    /// Bytes that the runs of this pass have changed.
    pub(crate) fn changed_bytes(&self) -> usize {
        self.changed_bytes
    }

    /// Why the log could not be read, if it could not: then no call is to blame for its failure.
    pub(crate) fn take_fault(&mut self) -> Option<ReadError> {
        self.fault.take()
    }

    /// The pass ends: what it has changed, to be written in one entry.
    ///
    /// # Errors
    /// Those of [`Log::kv_page`]: rows whose time is over could not be looked for.
    pub(crate) fn finish_pass(&mut self) -> Result<Vec<KvOp>, ReadError> {
        let swept_before = self.totals.swept.clone();
        self.sweep()?;
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        let mut ops = Vec::with_capacity(changed.len() + 1);
        for key in changed {
            let Some(slot) = self.slots.get(&key).filter(|slot| slot.pass == self.pass) else {
                continue;
            };
            let key = [self.prefix.as_slice(), &key].concat();
            ops.push(match &slot.row {
                Some(row) => KvOp::Put {
                    key,
                    value: row.encode(),
                },
                None => KvOp::Delete { key },
            });
        }
        if !ops.is_empty() || self.totals.swept != swept_before {
            ops.push(KvOp::Put {
                key: self.totals_key.clone(),
                value: self.totals.encode(),
            });
        }
        self.changed_bytes = 0;
        self.undo.clear();
        self.pass += 1;
        Ok(ops)
    }

    /// The value under `key` at `now_ms`.
    pub(crate) fn get(&mut self, key: &[u8], now_ms: i64) -> Result<Option<Vec<u8>>, StateError> {
        let value = |slot: &Slot| {
            let row = slot.row.as_ref().filter(|row| row.is_there(now_ms));
            row.map(|row| row.value.clone())
        };
        if let Some(slot) = self.slots.get(key) {
            return Ok(value(slot));
        }
        self.load(key).map_err(|error| self.failed(error))?;
        Ok(self.slots.get(key).and_then(value))
    }

    pub(crate) fn put(
        &mut self,
        key: &[u8],
        value: &[u8],
        expires_ms: Option<i64>,
    ) -> Result<(), StateError> {
        let row = Row {
            expires_ms: expires_ms.unwrap_or(i64::MAX),
            value: value.to_vec(),
        };
        self.change(key, Some(row))
    }

    pub(crate) fn delete(&mut self, key: &[u8]) -> Result<(), StateError> {
        self.change(key, None)
    }

    /// Gives `each` the keys that begin with `prefix` and come after `after`, ascending, with their values at `now_ms`, until it
    /// says `false`.
    pub(crate) fn scan(
        &mut self,
        prefix: &[u8],
        after: Option<&[u8]>,
        now_ms: i64,
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StateError> {
        let walked = self.walk(prefix, after, &mut |key, row| {
            !row.is_there(now_ms) || each(key, &row.value)
        });
        walked.map_err(|error| self.failed(error))
    }

    fn change(&mut self, key: &[u8], row: Option<Row>) -> Result<(), StateError> {
        // Looked up once where it is known, which it is after it was read.
        let slot = match self.slots.get_mut(key) {
            Some(slot) => slot,
            None => {
                self.load(key).map_err(|error| self.failed(error))?;
                self.slots.get_mut(key).expect("it was put there just now")
            }
        };
        if row.is_none() && slot.row.is_none() {
            return Ok(());
        }
        let counted = self.totals.bytes;
        self.totals.exchange(key.len(), slot.row.as_ref(), row.as_ref());
        if self.totals.bytes > self.bytes_max && self.totals.bytes > counted {
            let wanted = self.totals.bytes;
            self.totals.exchange(key.len(), row.as_ref(), slot.row.as_ref());
            return Err(StateError::new(format!(
                "the flow's state in this partition would have {wanted} bytes, and may have {} (limit state): have the plugin delete rows or \
                 give them a time to live, or raise it with --limit state=SIZE",
                self.bytes_max
            )));
        }
        self.changed_bytes += key.len() + row.as_ref().map_or(0, |row| row.value.len());
        let before = slot.exchange(row, self.pass, &mut self.kept_bytes);
        if before.pass != self.pass {
            self.changed.push(Arc::clone(&before.key));
        }
        self.undo.push(before);
        Ok(())
    }

    /// Puts a row where another one is and counts it; what was there.
    fn replace(&mut self, key: &[u8], row: Option<Row>, pass: u64) -> Slot {
        let slot = self
            .slots
            .get_mut(key)
            .expect("what is changed was looked up before");
        self.totals.exchange(key.len(), slot.row.as_ref(), row.as_ref());
        slot.exchange(row, pass, &mut self.kept_bytes)
    }

    /// Reads the row under `key`, which is not known.
    fn load(&mut self, key: &[u8]) -> Result<(), ReadError> {
        let stored = self
            .log
            .kv_read(self.shard, &[self.prefix.as_slice(), key].concat())?;
        let slot = Slot {
            key: key.into(),
            row: stored.map(|bytes| decode(&bytes)).transpose()?,
            pass: 0,
        };
        self.kept_bytes += slot.bytes();
        self.slots.insert(Arc::clone(&slot.key), slot);
        Ok(())
    }

    /// The log could not be read: that is for whoever runs the pass.
    fn failed(&mut self, error: ReadError) -> StateError {
        let reason = format!("the flow's state cannot be read: {error}");
        self.fault = Some(error);
        StateError::new(reason)
    }
}

impl Slot {
    /// Takes this row instead of its own, which is given back, and has `kept_bytes` know.
    fn exchange(&mut self, row: Option<Row>, pass: u64, kept_bytes: &mut usize) -> Self {
        let key = Arc::clone(&self.key);
        let before = std::mem::replace(self, Self { key, row, pass });
        *kept_bytes = *kept_bytes + self.bytes() - before.bytes();
        before
    }

    fn bytes(&self) -> usize {
        self.key.len() + self.row.as_ref().map_or(0, |row| row.value.len()) + SLOT_BYTES
    }
}

fn decode(bytes: &[u8]) -> Result<Row, ReadError> {
    Row::decode(bytes).ok_or_else(|| unknown_format("a row"))
}

fn unknown_format(what: &str) -> ReadError {
    ReadError::CorruptState {
        what: format!("{what} of a flow's state has a format that this version does not know"),
    }
}

#[cfg(test)]
mod tests;
