use std::collections::BTreeMap;
use std::ops::Bound;

use weir_batch::frame::state::{Change, Found, put_bytes, put_change, rows};

use crate::host;
use crate::state::broken;

/// What a batch knows of the state, and what it has changed of it. Sorted by key, so that the host is given changes in the order in
/// which it stores them.
#[derive(Default)]
pub(crate) struct Cache {
    slots: BTreeMap<Vec<u8>, Slot>,
    changed: usize,
}

struct Slot {
    value: Option<Vec<u8>>,
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
        if !self.slots.contains_key(key) {
            self.prefetch([key]);
        }
        self.slots.get(key).and_then(|slot| slot.value.as_deref())
    }

    pub(crate) fn put(&mut self, key: &[u8], value: &[u8], ttl_ms: Option<i64>) {
        if ttl_ms == Some(0) {
            return self.delete(key);
        }
        let slot = self.change(key, Pending::Put(ttl_ms));
        // The memory of the value before is used again.
        let kept = slot.value.get_or_insert_default();
        kept.clear();
        kept.extend_from_slice(value);
    }

    pub(crate) fn delete(&mut self, key: &[u8]) {
        self.change(key, Pending::Delete).value = None;
    }

    pub(crate) fn prefetch<K: AsRef<[u8]>>(&mut self, keys: impl IntoIterator<Item = K>) {
        let mut wanted: Vec<K> = keys
            .into_iter()
            .filter(|key| !self.slots.contains_key(key.as_ref()))
            .collect();
        wanted.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
        wanted.dedup_by(|a, b| (*a).as_ref() == (*b).as_ref());
        if wanted.is_empty() {
            return;
        }
        let mut list = Vec::new();
        for key in &wanted {
            put_bytes(&mut list, key.as_ref());
        }
        let found = host::state::get_many(&list);
        let mut found = Found::new(&found);
        for key in wanted {
            let value = match found.next() {
                Some(value) => value.unwrap_or_else(broken),
                None => panic!("the host gave less state than it was asked for"),
            };
            let slot = Slot {
                value: value.map(<[u8]>::to_vec),
                pending: Pending::Nothing,
            };
            self.slots.insert(key.as_ref().to_vec(), slot);
        }
    }

    /// Fetches the stored rows whose keys begin with `prefix`, after `after`: at most `limit` of them. What is known already is as new
    /// or newer, and stays. The last key that was fetched; none if there are no further rows.
    pub(crate) fn load(&mut self, prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Option<Vec<u8>> {
        let page = host::state::scan(prefix, after, limit);
        let (more, rows) = rows(&page).unwrap_or_else(broken);
        let mut last = None;
        for row in rows {
            let (key, value) = row.unwrap_or_else(broken);
            if !self.slots.contains_key(key) {
                let slot = Slot {
                    value: Some(value.to_vec()),
                    pending: Pending::Nothing,
                };
                self.slots.insert(key.to_vec(), slot);
            }
            last = Some(key);
        }
        last.filter(|_| more).map(<[u8]>::to_vec)
    }

    /// The first key from `from` on, up to `to` if there is one, that begins with `prefix` and has a value, as far as it is known.
    pub(crate) fn first_in(&self, from: Bound<&[u8]>, to: Option<&[u8]>, prefix: &[u8]) -> Option<Vec<u8>> {
        let known = self.slots.range::<[u8], _>((from, Bound::Unbounded));
        let mut within =
            known.take_while(|(key, _)| key.starts_with(prefix) && to.is_none_or(|to| key.as_slice() <= to));
        let (key, _) = within.find(|(_, slot)| slot.value.is_some())?;
        Some(key.clone())
    }

    /// Writes what was changed.
    pub(crate) fn flush(&mut self) {
        if self.changed == 0 {
            return;
        }
        let mut list = Vec::new();
        for (key, slot) in &mut self.slots {
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
        self.slots.clear();
        self.changed = 0;
    }

    fn change(&mut self, key: &[u8], pending: Pending) -> &mut Slot {
        // Looked up by the borrowed key first: most keys of a batch are there already.
        if !self.slots.contains_key(key) {
            let slot = Slot {
                value: None,
                pending: Pending::Nothing,
            };
            self.slots.insert(key.to_vec(), slot);
        }
        let Some(slot) = self.slots.get_mut(key) else {
            unreachable!("it was inserted above");
        };
        if slot.pending == Pending::Nothing {
            self.changed += 1;
        }
        slot.pending = pending;
        slot
    }
}
