//! Reading key-value pairs page by page.

use std::ops::Bound;

use crate::applied::{Applied, KvChanges};
use crate::shard::{Shard, state_error};
use crate::{KvPairs, Log, ReadError};

/// Which key-value pairs of a shard are wanted.
#[derive(Clone, Copy, Debug)]
pub struct KvRange<'a> {
    /// What their keys begin with.
    pub prefix: &'a [u8],
    /// They come after this key; from the first on if there is none.
    pub after: Option<&'a [u8]>,
    /// At most so many of them.
    pub rows_max: usize,
    /// A page ends with the pair that brings it to so many bytes of keys and values, or more.
    pub bytes_max: usize,
}

/// Some of a shard's key-value pairs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KvPage {
    /// Ascending by key.
    pub pairs: KvPairs,
    /// Whether there may be more after the last of them.
    pub more: bool,
}

impl Log {
    /// The first pairs of a range of a shard, as far as they are committed. May read the disk.
    ///
    /// # Errors
    ///
    /// [`ReadError::CorruptState`], [`ReadError::Io`], [`ReadError::Closed`].
    pub fn kv_page(&self, shard: u16, range: KvRange<'_>) -> Result<KvPage, ReadError> {
        self.shard(shard)?.kv_page(range)
    }
}

impl Shard {
    fn kv_page(&self, range: KvRange<'_>) -> Result<KvPage, ReadError> {
        if self.is_closed() {
            return Err(ReadError::Closed);
        }
        let ((newer, cut), snapshot) = {
            // As in `kv_scan`: no checkpoint may come between the two.
            let applied = self.applied();
            (
                newest(&applied, &range),
                self.state.snapshot().map_err(state_error)?,
            )
        };
        let mut newer = newer.into_iter().peekable();
        let mut page = PageUnderWay::new(&range);
        let older = self.state.kv_range(&snapshot, range.start(), |key, value| {
            if !key.starts_with(range.prefix) {
                return Ok(false);
            }
            while let Some((changed, change)) = newer.next_if(|(changed, _)| changed.as_slice() < key) {
                if !page.push(changed, change) {
                    return Ok(false);
                }
            }
            match newer.next_if(|(changed, _)| changed == key) {
                Some((changed, change)) => Ok(page.push(changed, change)),
                None => Ok(page.push(key.to_vec(), Some(value()?))),
            }
        });
        older.map_err(state_error)?;
        for (key, change) in newer {
            if !page.push(key, change) {
                break;
            }
        }
        page.page.more |= cut;
        Ok(page.page)
    }
}

impl KvRange<'_> {
    fn start(&self) -> Bound<&[u8]> {
        match self.after {
            Some(after) if after >= self.prefix => Bound::Excluded(after),
            _ => Bound::Included(self.prefix),
        }
    }
}

/// A page that takes pairs until it is full.
struct PageUnderWay {
    page: KvPage,
    rows_max: usize,
    bytes_max: usize,
    bytes: usize,
}

impl PageUnderWay {
    fn new(range: &KvRange<'_>) -> Self {
        Self {
            page: KvPage::default(),
            rows_max: range.rows_max,
            bytes_max: range.bytes_max,
            bytes: 0,
        }
    }

    /// Takes a pair unless it is a deletion; `false` once there is no room for another.
    fn push(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> bool {
        let Some(value) = value else { return true };
        let full = self.page.pairs.len() >= self.rows_max || self.bytes >= self.bytes_max;
        if full {
            self.page.more = true;
            return false;
        }
        self.bytes += key.len() + value.len();
        self.page.pairs.push((key, value));
        true
    }
}

/// The changes of the range that the state database may not have, as many as a page can need, whatever the database holds;
/// and whether there may be more.
fn newest(applied: &Applied, range: &KvRange<'_>) -> (KvChanges, bool) {
    let none = KvChanges::new();
    let frozen = applied.kv_frozen.as_deref().unwrap_or(&none);
    let mut newer = KvChanges::new();
    let in_range = |key: &[u8]| key.starts_with(range.prefix);
    let mut old = frozen
        .range::<[u8], _>((range.start(), Bound::Unbounded))
        .take_while(|(key, _)| in_range(key))
        .peekable();
    let mut new = applied
        .kv
        .range::<[u8], _>((range.start(), Bound::Unbounded))
        .take_while(|(key, _)| in_range(key))
        .peekable();
    let (mut rows, mut bytes) = (0, 0);
    // Without deletions these alone fill a page.
    while rows <= range.rows_max && bytes <= range.bytes_max {
        let newest = match (old.peek(), new.peek()) {
            (Some((a, _)), Some((b, _))) if a < b => old.next(),
            (Some((a, _)), Some((b, _))) => {
                if a == b {
                    old.next();
                }
                new.next()
            }
            (Some(_), None) => old.next(),
            (None, _) => new.next(),
        };
        let Some((key, change)) = newest else {
            return (newer, false);
        };
        if let Some(value) = change {
            rows += 1;
            bytes += key.len() + value.len();
        }
        newer.insert(key.clone(), change.clone());
    }
    (newer, true)
}
