//! What is to happen at a time: rows of the state in the order of their times, and how far time has got.
//!
//! ```text
//! NAME/p                   how far time has got (`Progress`)
//! NAME/r TIME REST         what is due at TIME: i64 as u64 with the sign bit turned, big-endian, so that keys sort by time
//! ```

use std::collections::BTreeSet;

use crate::State;
use crate::event_time::{Progress, Rules, Seen};
use crate::state::{batch_number, with_cache};
use crate::state_keys::Keys;

/// Rows that the first look at what is due fetches; each further one of the same batch fetches four times as many.
const PAGE_ROWS_FIRST: u32 = 16;
const PAGE_ROWS_MAX: u32 = 1_000;

/// Rows ordered by time.
#[derive(Debug)]
pub(crate) struct Agenda {
    state: State,
    keys: Keys,
    pub(crate) rules: Rules,
    name: String,
    /// The batch that what follows belongs to: the next one may be of another partition.
    batch: Option<u64>,
    progress: Progress,
    /// Up to where the stored rows are in the cache.
    covered: Covered,
    /// Keys of rows that are there, as far as the batch knows of them.
    known: BTreeSet<Vec<u8>>,
    page_rows: u32,
}

#[derive(Debug)]
enum Covered {
    Nothing,
    /// Up to this key, which is covered too.
    To(Vec<u8>),
    All,
}

/// A row that is due.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) time_ms: i64,
    /// The key from the time on.
    pub(crate) rest: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

impl Agenda {
    pub(crate) fn new(name: &str, rules: Rules) -> Self {
        Self {
            state: State::new(),
            keys: Keys::new(name),
            progress: Progress::new(&rules),
            rules,
            name: name.to_owned(),
            batch: None,
            covered: Covered::Nothing,
            known: BTreeSet::new(),
            page_rows: PAGE_ROWS_FIRST,
        }
    }

    /// The key of how far time has got.
    pub(crate) fn progress_key(&self) -> Vec<u8> {
        self.keys.owned(b"p")
    }

    /// The key of a row.
    pub(crate) fn row_key(&self, time_ms: i64, rest: &[&[u8]]) -> Vec<u8> {
        let mut key = self.keys.owned(b"r");
        key.extend_from_slice(&sortable(time_ms));
        rest.iter().for_each(|part| key.extend_from_slice(part));
        key
    }

    /// Takes the timestamp of the next record.
    pub(crate) fn observe(&mut self, timestamp_ms: i64) -> Seen {
        self.open();
        self.progress.observe(&self.rules, timestamp_ms)
    }

    /// Up to where time has got; `i64::MIN` before the first record.
    pub(crate) fn watermark_ms(&mut self) -> i64 {
        self.open();
        self.progress.watermark_ms
    }

    /// Changes the value under a key of [`row_key`](Self::row_key) for `time_ms`.
    pub(crate) fn put(&mut self, time_ms: i64, key: &[u8], value: &[u8]) {
        self.open();
        self.state.put(key, value);
        self.progress.next_due_ms = self.progress.next_due_ms.min(time_ms);
        if !self.known.contains(key) {
            self.known.insert(key.to_vec());
        }
    }

    /// Removes the row under a key of [`row_key`](Self::row_key).
    pub(crate) fn delete(&mut self, key: &[u8]) {
        self.open();
        self.state.delete(key);
        self.known.remove(key);
    }

    /// Takes what is due, in the order of the rows' keys, as far as there is credit for it.
    pub(crate) fn due(&mut self) -> Vec<Due> {
        self.open();
        let mut taken = Vec::new();
        while self.progress.next_due_ms <= self.progress.watermark_ms {
            let Some((key, time_ms)) = self.first() else {
                self.progress.next_due_ms = i64::MAX;
                break;
            };
            self.progress.next_due_ms = time_ms;
            if time_ms > self.progress.watermark_ms || self.progress.credit == 0 {
                break;
            }
            self.progress.credit -= 1;
            taken.push(Due {
                time_ms,
                rest: key[self.prefix_len() + TIME_LEN..].to_vec(),
                value: self.state.get(&key).unwrap_or_default(),
            });
            self.state.delete(&key);
            self.known.remove(&key);
        }
        taken
    }

    /// Writes down how far time has got, with what else the batch has changed.
    pub(crate) fn save(&mut self) {
        let key = self.keys.of(b"p");
        self.state.put(key, &self.progress.encode());
    }

    /// Reads how far time has got, once for each batch.
    fn open(&mut self) {
        let batch = batch_number();
        if self.batch == Some(batch) {
            return;
        }
        let (rules, name) = (self.rules, &self.name);
        self.progress = self.state.read(self.keys.of(b"p"), |stored| match stored {
            None => Progress::new(&rules),
            Some(bytes) => Progress::decode(bytes).unwrap_or_else(|| {
                panic!("what is stored under {name:?} is not the time of windows or timers: give them another name")
            }),
        });
        self.progress.credit = self.progress.credit.min(rules.burst);
        self.batch = Some(batch);
        self.covered = Covered::Nothing;
        self.known.clear();
        self.page_rows = PAGE_ROWS_FIRST;
    }

    /// The first row, and its time.
    fn first(&mut self) -> Option<(Vec<u8>, i64)> {
        let prefix = self.keys.owned(b"r");
        loop {
            let first = self.known.first();
            let found = first.filter(|key| match &self.covered {
                Covered::Nothing => false,
                Covered::To(to) => *key <= to,
                Covered::All => true,
            });
            if let Some(key) = found {
                let time = key.get(prefix.len()..).and_then(|rest| rest.first_chunk());
                let Some(time) = time else {
                    panic!(
                        "a row under {:?} is none of windows or timers: give them another name",
                        self.name
                    );
                };
                return Some((key.clone(), unsorted(*time)));
            }
            let after = match &self.covered {
                Covered::All => return None,
                Covered::To(to) => Some(to.as_slice()),
                Covered::Nothing => None,
            };
            let known = &mut self.known;
            let reached = with_cache(|cache| {
                cache.load(&prefix, after, self.page_rows, |key| {
                    known.insert(key.to_vec());
                })
            });
            self.covered = reached.map_or(Covered::All, Covered::To);
            self.page_rows = (self.page_rows * 4).min(PAGE_ROWS_MAX);
        }
    }

    fn prefix_len(&self) -> usize {
        self.name.len() + "/r".len()
    }
}

const TIME_LEN: usize = 8;

/// Bytes that sort as the times do.
pub(crate) fn sortable(time_ms: i64) -> [u8; TIME_LEN] {
    (time_ms as u64 ^ 1 << 63).to_be_bytes()
}

/// The time whose [`sortable`] bytes these are.
pub(crate) fn unsorted(bytes: [u8; TIME_LEN]) -> i64 {
    (u64::from_be_bytes(bytes) ^ 1 << 63) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_sort_as_times_do() {
        let times = [i64::MIN, -2, -1, 0, 1, 255, 256, i64::MAX];
        assert!(times.map(sortable).is_sorted());
        assert_eq!(times.map(sortable).map(unsorted), times);
    }
}
