use std::cell::{Cell, RefCell};
use std::vec;

use weir_batch::frame::state as packed;

use crate::batch_hooks::Who;
use crate::host;
use crate::state_cache::Cache;
use crate::state_keys::Keys;

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
    static BATCH: Cell<u64> = const { Cell::new(0) };
}

/// Keyed state that outlives the plugin's memory: the broker stores what a batch changes in one step with the batch's output.
///
/// Make one in `configure`, and use it while records are processed. What is read is kept until the end of the batch, and what is
/// changed is written then, in one call of the host. A key that is not there yet is fetched when it is asked for;
/// [`prefetch`](Self::prefetch) fetches many at once, which is much cheaper.
///
/// All handles in a plugin see the same rows: keep them apart by what their keys begin with. Each partition that the flow reads has
/// rows of its own. Keys take up to 1 KiB and values up to 1 MiB, unless the broker says otherwise; what is over a limit stops the plugin.
///
/// ```
/// use weir_plugin::{Config, Output, Record, State, transform};
///
/// /// Forwards a record if its value differs from the last one of its key.
/// struct Changed { state: State }
///
/// impl Changed {
///     fn configure(config: &Config) -> Result<Self, String> {
///         config.only(&[])?;
///         Ok(Self { state: State::new() })
///     }
///
///     fn record(&mut self, record: &Record<'_>, out: &mut Output) -> Result<(), String> {
///         let (key, value) = (record.key().ok_or("there is no key")?, record.value().unwrap_or_default());
///         if self.state.read(key, |last| last != Some(value)) {
///             self.state.put(key, value);
///             out.forward(record);
///         }
///         Ok(())
///     }
/// }
///
/// transform!(Changed, Changed::record);
/// ```
#[derive(Clone, Debug)]
pub struct State {
    _made_by_new: (),
}

impl State {
    /// A handle. From now on, what is changed is written at the end of each batch.
    #[expect(
        clippy::new_without_default,
        reason = "it is more than a value: it has the state written from now on"
    )]
    pub fn new() -> Self {
        crate::batch_hooks::at_end(Who::State, end);
        Self { _made_by_new: () }
    }

    /// What is stored under `key`.
    pub fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.read(key, |value| value.map(<[u8]>::to_vec))
    }

    /// Shows `look` what is stored under `key`, without a copy. `look` must not use the state itself.
    ///
    /// # Panics
    ///
    /// When `look` uses a [`State`].
    pub fn read<T>(&self, key: &[u8], look: impl FnOnce(Option<&[u8]>) -> T) -> T {
        CACHE.with_borrow_mut(|cache| look(cache.get(key)))
    }

    /// Stores `value` under `key`.
    pub fn put(&self, key: &[u8], value: &[u8]) {
        CACHE.with_borrow_mut(|cache| cache.put(key, value, None));
    }

    /// Stores `value` under `key` until [`clock::now`](crate::clock::now) has moved by `ttl_ms`, milliseconds of record time.
    pub fn put_with_ttl(&self, key: &[u8], value: &[u8], ttl_ms: u64) {
        let ttl_ms = i64::try_from(ttl_ms).unwrap_or(i64::MAX);
        CACHE.with_borrow_mut(|cache| cache.put(key, value, Some(ttl_ms)));
    }

    /// Stores what `make` gives for what is stored under `key`, and gives it back: [`read`](Self::read) and [`put`](Self::put) with
    /// one search for the key. `make` must not use the state itself.
    ///
    /// # Panics
    ///
    /// When `make` uses a [`State`].
    pub fn update<const N: usize>(&self, key: &[u8], make: impl FnOnce(Option<&[u8]>) -> [u8; N]) -> [u8; N] {
        CACHE.with_borrow_mut(|cache| cache.update(key, make))
    }

    /// Removes what is stored under `key`.
    pub fn delete(&self, key: &[u8]) {
        CACHE.with_borrow_mut(|cache| cache.delete(key));
    }

    /// Fetches what is stored under `keys`, as far as it is not known, in one call of the host. `begin = …` of
    /// [`transform!`](crate::transform) and [`filter!`](crate::filter) is the place for it: it sees all records of a batch before the
    /// first is processed.
    pub fn prefetch<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) {
        CACHE.with_borrow_mut(|cache| cache.prefetch(keys));
    }

    /// [`prefetch`](Self::prefetch) of keys that begin with a name.
    pub(crate) fn prefetch_named<K: AsRef<[u8]>>(&self, names: &mut Keys, keys: impl IntoIterator<Item = K>) {
        CACHE.with_borrow_mut(|cache| cache.prefetch_named(names, keys));
    }

    /// The rows whose key begins with `prefix`, ascending by the bytes of their keys. What was changed before is written first; what is
    /// changed meanwhile may be among them or not.
    pub fn scan(&self, prefix: &[u8]) -> Scan {
        self.flush();
        Scan {
            prefix: prefix.to_vec(),
            after: None,
            page: Vec::new().into_iter(),
            more: true,
        }
    }

    /// Writes what was changed, now instead of at the end of the batch.
    pub fn flush(&self) {
        CACHE.with_borrow_mut(Cache::flush);
    }
}

fn end(keep: bool) {
    CACHE.with_borrow_mut(|cache| {
        if keep {
            cache.flush();
        }
        cache.clear();
    });
    BATCH.set(BATCH.get().wrapping_add(1));
}

/// Which batch it is, counted by those that this instance has seen the end of. What is known of the state belongs to one batch: the next
/// may be of another partition, whose rows are others.
pub(crate) fn batch_number() -> u64 {
    BATCH.get()
}

/// Lends what the batch knows of the state. `work` must not use a [`State`].
pub(crate) fn with_cache<T>(work: impl FnOnce(&mut Cache) -> T) -> T {
    CACHE.with_borrow_mut(work)
}

/// Drops what is not written: the stand-in starts anew.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn forget() {
    end(false);
}

/// Rows of [`State::scan`]: keys and values.
#[derive(Debug)]
pub struct Scan {
    prefix: Vec<u8>,
    after: Option<Vec<u8>>,
    page: vec::IntoIter<(Vec<u8>, Vec<u8>)>,
    more: bool,
}

/// Rows that one call of the host is asked for.
const PAGE_ROWS: u32 = 1_000;

impl Scan {
    fn next_page(&mut self) {
        let list = host::state::scan(&self.prefix, self.after.as_deref(), PAGE_ROWS);
        let (more, rows) = packed::rows(&list).unwrap_or_else(broken);
        let rows: Vec<_> = rows
            .map(|row| row.unwrap_or_else(broken))
            .map(|(key, value)| (key.to_vec(), value.to_vec()))
            .collect();
        self.more = more && !rows.is_empty();
        if let Some((key, _)) = rows.last() {
            self.after = Some(key.clone());
        }
        self.page = rows.into_iter();
    }
}

impl Iterator for Scan {
    type Item = (Vec<u8>, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.len() == 0 && self.more {
            self.next_page();
        }
        self.page.next()
    }
}

/// The host packs whole lists: anything else is its fault, and ends in a trap.
#[cold]
pub(crate) fn broken<T>(fault: packed::Malformed) -> T {
    panic!("the host gave no state: {fault}")
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
