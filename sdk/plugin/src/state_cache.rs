use std::hash::BuildHasher;
use std::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use smallvec::SmallVec;
use weir_batch::frame::state::{Change, Found, put_bytes, put_change, rows};

use crate::host;
use crate::state::broken;
use crate::state_keys::Keys;

/// Memory for keys that stays from batch to batch, in bytes.
const KEPT_KEY_BYTES_MAX: usize = 1 << 20;
/// Memory for slots that stays from batch to batch, in slots.
const KEPT_SLOTS_MAX: usize = 1 << 14;

/// What a batch knows of the state, and what it has changed of it.
///
/// A batch has about as many keys as records, and looks up each several times: that is a hash table, and keys lie one behind the
/// other in one piece of memory. The hash has no secret. Keys that were made to collide make a batch slow; when it runs into its
/// deadline, the host finds the records that are to blame.
#[derive(Default)]
pub(crate) struct Cache {
    /// Indices of `slots`.
    index: HashTable<u32>,
    /// In the order in which their keys were named first.
    slots: Vec<Slot>,
    /// The keys of all slots.
    keys: Vec<u8>,
    changed: usize,
}

struct Slot {
    hash: u64,
    /// Where its key is in `keys`.
    key: Range<usize>,
    value: Option<SmallVec<[u8; 16]>>,
    pending: Pending,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pending {
    Nothing,
    /// The value, with its time to live in milliseconds.
    Put(Option<i64>),
    Delete,
}

impl Cache {
    pub(crate) fn get(&mut self, key: &[u8]) -> Option<&[u8]> {
        let slot = self.fetched(key);
        self.slots[slot].value.as_deref()
    }

    pub(crate) fn put(&mut self, key: &[u8], value: &[u8], ttl_ms: Option<i64>) {
        if ttl_ms == Some(0) {
            return self.delete(key);
        }
        let slot = self.named(key).0;
        self.set(slot, value, ttl_ms);
    }

    /// Puts what `make` gives for the value under `key` there, and gives it back.
    pub(crate) fn update<const N: usize>(
        &mut self,
        key: &[u8],
        make: impl FnOnce(Option<&[u8]>) -> [u8; N],
    ) -> [u8; N] {
        let slot = self.fetched(key);
        let value = make(self.slots[slot].value.as_deref());
        self.set(slot, &value, None);
        value
    }

    pub(crate) fn delete(&mut self, key: &[u8]) {
        let slot = self.named(key).0;
        self.change(slot, Pending::Delete).value = None;
    }

    pub(crate) fn prefetch<K: AsRef<[u8]>>(&mut self, keys: impl IntoIterator<Item = K>) {
        let first = self.slots.len();
        for key in keys {
            self.named(key.as_ref());
        }
        self.fetch_from(first);
    }

    pub(crate) fn prefetch_named<K: AsRef<[u8]>>(
        &mut self,
        names: &mut Keys,
        keys: impl IntoIterator<Item = K>,
    ) {
        let first = self.slots.len();
        for key in keys {
            self.named(names.of(key.as_ref()));
        }
        self.fetch_from(first);
    }

    /// Fetches the stored rows whose keys begin with `prefix`, after `after`: at most `limit` of them. What is known already is as new
    /// or newer, and stays. `each` is given the keys of those that are there. The last key that was fetched; none if there are no
    /// further rows.
    pub(crate) fn load(
        &mut self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: u32,
        mut each: impl FnMut(&[u8]),
    ) -> Option<Vec<u8>> {
        let page = host::state::scan(prefix, after, limit);
        let (more, rows) = rows(&page).unwrap_or_else(broken);
        let mut last = None;
        for row in rows {
            let (key, value) = row.unwrap_or_else(broken);
            let (slot, known) = self.named(key);
            let slot = &mut self.slots[slot];
            if !known {
                slot.value = Some(SmallVec::from_slice(value));
            }
            if slot.value.is_some() {
                each(key);
            }
            last = Some(key);
        }
        last.filter(|_| more).map(<[u8]>::to_vec)
    }

    /// Writes what was changed.
    pub(crate) fn flush(&mut self) {
        if self.changed == 0 {
            return;
        }
        let mut list = Vec::with_capacity(self.keys.len() + self.changed * 16);
        for slot in &mut self.slots {
            let key = &self.keys[slot.key.clone()];
            let change = match slot.pending {
                Pending::Nothing => continue,
                Pending::Put(ttl_ms) => Change::Put {
                    key,
                    value: slot.value.as_deref().unwrap_or_default(),
                    ttl_ms,
                },
                Pending::Delete => Change::Delete { key },
            };
            put_change(&mut list, &change);
            slot.pending = Pending::Nothing;
        }
        self.changed = 0;
        host::state::change(&list);
    }

    /// Forgets everything, written or not.
    pub(crate) fn clear(&mut self) {
        if self.slots.len() > KEPT_SLOTS_MAX || self.keys.len() > KEPT_KEY_BYTES_MAX {
            *self = Self::default();
        }
        self.index.clear();
        self.slots.clear();
        self.keys.clear();
        self.changed = 0;
    }

    /// The slot of `key`, and whether it was there before. A new one knows of no value.
    fn named(&mut self, key: &[u8]) -> (usize, bool) {
        let hash = FixedState::default().hash_one(key);
        let is_it = |&index: &u32| {
            let slot = &self.slots[index as usize];
            slot.hash == hash && self.keys[slot.key.clone()] == *key
        };
        if let Some(&index) = self.index.find(hash, is_it) {
            return (index as usize, true);
        }
        let index = self.slots.len();
        let begin = self.keys.len();
        self.keys.extend_from_slice(key);
        self.slots.push(Slot {
            hash,
            key: begin..self.keys.len(),
            value: None,
            pending: Pending::Nothing,
        });
        let slots = &self.slots;
        self.index
            .insert_unique(hash, index as u32, |&index| slots[index as usize].hash);
        (index, false)
    }

    /// The slot of `key`, with its value.
    fn fetched(&mut self, key: &[u8]) -> usize {
        let (slot, known) = self.named(key);
        if !known {
            self.fetch_from(slot);
        }
        slot
    }

    /// Fetches the values of all slots from this one on.
    fn fetch_from(&mut self, first: usize) {
        if first == self.slots.len() {
            return;
        }
        let mut list = Vec::with_capacity(self.keys.len() + self.slots.len() - first);
        for slot in &self.slots[first..] {
            put_bytes(&mut list, &self.keys[slot.key.clone()]);
        }
        let found = host::state::get_many(&list);
        let mut found = Found::new(&found);
        for slot in &mut self.slots[first..] {
            let value = match found.next() {
                Some(value) => value.unwrap_or_else(broken),
                None => panic!("the host gave less state than it was asked for"),
            };
            slot.value = value.map(SmallVec::from_slice);
        }
    }

    fn set(&mut self, slot: usize, value: &[u8], ttl_ms: Option<i64>) {
        let slot = self.change(slot, Pending::Put(ttl_ms));
        // The memory of the value before is used again.
        let kept = slot.value.get_or_insert_default();
        kept.clear();
        kept.extend_from_slice(value);
    }

    fn change(&mut self, slot: usize, pending: Pending) -> &mut Slot {
        let slot = &mut self.slots[slot];
        if slot.pending == Pending::Nothing {
            self.changed += 1;
        }
        slot.pending = pending;
        slot
    }
}
