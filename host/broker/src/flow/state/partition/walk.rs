//! Going over a partition's rows, by key: what is stored, with what is known to be newer.

use std::ops::Bound;

use weir_log::{KvRange, ReadError};

use crate::flow::state::partition::{PartitionState, decode};
use crate::flow::state::row::Row;

/// Rows that are read from the log at once, and bytes of them.
const PAGE_ROWS: usize = 256;
const PAGE_BYTES: usize = 256 << 10;
/// Rows that each pass looks at in search for those whose time is over, beside two for each row that it changed: however many
/// rows come in, more are looked at.
const SWEEP_ROWS: usize = 64;

impl PartitionState {
    /// Gives `each` the rows whose keys begin with `prefix` and come after `after`, ascending, until it says `false`.
    pub(super) fn walk(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        each: &mut dyn FnMut(&[u8], &Row) -> bool,
    ) -> Result<(), ReadError> {
        let stored_prefix = [self.prefix.as_slice(), prefix].concat();
        let mut after = after.filter(|after| *after >= prefix).map(<[u8]>::to_vec);
        loop {
            let stored_after = after
                .as_ref()
                .map(|after| [&self.prefix, after.as_slice()].concat());
            let page = self.log.kv_page(
                self.shard,
                KvRange {
                    prefix: &stored_prefix,
                    after: stored_after.as_deref(),
                    rows_max: PAGE_ROWS,
                    bytes_max: PAGE_BYTES,
                },
            )?;
            let last = page
                .pairs
                .last()
                .map(|(key, _)| key[self.prefix.len()..].to_vec());
            let from = after.as_deref().map_or(Bound::Included(prefix), Bound::Excluded);
            let to = match &last {
                Some(last) if page.more => Bound::Included(last.as_slice()),
                _ => Bound::Unbounded,
            };
            let mut known = self
                .slots
                .range::<[u8], _>((from, to))
                .take_while(|(key, _)| key.starts_with(prefix))
                .peekable();
            let mut show = |key: &[u8], row: Option<&Row>| row.is_none_or(|row| each(key, row));
            for (key, value) in &page.pairs {
                let key = &key[self.prefix.len()..];
                while let Some((known, slot)) = known.next_if(|(known, _)| known.as_ref() < key) {
                    if !show(known, slot.row.as_ref()) {
                        return Ok(());
                    }
                }
                let goes_on = match known.next_if(|(known, _)| known.as_ref() == key) {
                    Some((_, slot)) => show(key, slot.row.as_ref()),
                    None => show(key, Some(&decode(value)?)),
                };
                if !goes_on {
                    return Ok(());
                }
            }
            if known.any(|(key, slot)| !show(key, slot.row.as_ref())) || !page.more || last.is_none() {
                return Ok(());
            }
            after = last;
        }
    }

    /// Looks at some rows, from where the last sweep ended, and removes those whose time was over before all runs of this pass.
    pub(super) fn sweep(&mut self) -> Result<(), ReadError> {
        let Some(time_ms) = self.time_ms.filter(|_| self.totals.expiring > 0) else {
            return Ok(());
        };
        let mut rows_left = SWEEP_ROWS + 2 * self.changed.len();
        let swept = std::mem::take(&mut self.totals.swept);
        let (mut over, mut reached) = (Vec::new(), Vec::new());
        let after = Some(swept.as_slice()).filter(|swept| !swept.is_empty());
        self.walk(b"", after, &mut |key, row| {
            if !row.is_there(time_ms) {
                over.push(key.to_vec());
            }
            rows_left -= 1;
            if rows_left == 0 {
                reached = key.to_vec();
            }
            rows_left > 0
        })?;
        for key in over {
            if !self.slots.contains_key(key.as_slice()) {
                self.load(&key)?;
            }
            let before = self.replace(&key, None, self.pass);
            if before.pass != self.pass {
                self.changed.push(before.key);
            }
        }
        self.totals.swept = reached;
        Ok(())
    }
}
