use weir_batch::frame::state::{Change, Changes, Keys, Malformed, put_bytes, put_found};

use super::StateStore;
use crate::Limits;
use crate::refusal::Refusal;

/// Bytes of rows that one scan answers with, beyond its first row.
const SCAN_BYTES: usize = 1 << 20;

/// What one call of a guest has used of its state so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    reads: usize,
    changes: usize,
    change_bytes: usize,
}

/// One call into keyed state: the packed lists taken apart, every limit held.
pub(crate) struct Access<'a> {
    pub(crate) store: &'a mut dyn StateStore,
    pub(crate) usage: &'a mut Usage,
    pub(crate) limits: &'a Limits,
    pub(crate) now_ms: i64,
}

impl Access<'_> {
    /// `keys` to `found`.
    pub(crate) fn get_many(&mut self, keys: &[u8]) -> wasmtime::Result<Vec<u8>> {
        let mut found = Vec::new();
        for key in Keys::new(keys) {
            let key = key.map_err(|fault| malformed("keys", fault))?;
            self.check_key(key)?;
            self.count_read()?;
            let value = self.store.get(key, self.now_ms)?;
            put_found(&mut found, value.as_deref());
            if found.len() > self.limits.output_bytes_max {
                return Err(refuse(format!(
                    "state.get-many would answer with more than {} bytes: ask for fewer keys at once",
                    self.limits.output_bytes_max
                )));
            }
        }
        Ok(found)
    }

    /// Makes `changes`, in their order. The first that breaks a limit fails the guest's call; what was made before it goes with it.
    pub(crate) fn change(&mut self, changes: &[u8]) -> wasmtime::Result<()> {
        for change in Changes::new(changes) {
            let change = change.map_err(|fault| malformed("changes", fault))?;
            self.check_change(&change)?;
            match change {
                Change::Put { key, value, ttl_ms } => {
                    let expires_ms = ttl_ms.map(|ttl_ms| self.now_ms.saturating_add(ttl_ms));
                    self.store.put(key, value, expires_ms)?;
                }
                Change::Delete { key } => self.store.delete(key)?,
            }
        }
        Ok(())
    }

    /// `rows` from `prefix` on, or after `after`.
    pub(crate) fn scan(
        &mut self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: u32,
    ) -> wasmtime::Result<Vec<u8>> {
        self.check_key(prefix)?;
        self.check_key(after.unwrap_or_default())?;
        self.count_read()?;
        let room = self.limits.state_reads_max - self.usage.reads;
        let rows_max = room.min(limit as usize);
        let mut rows = vec![0];
        let mut count = 0;
        let mut more = false;
        self.store.scan(prefix, after, self.now_ms, &mut |key, value| {
            let full = count > 0 && rows.len() + key.len() + value.len() > SCAN_BYTES;
            more = full || count == rows_max;
            if !more {
                count += 1;
                put_bytes(&mut rows, key);
                put_bytes(&mut rows, value);
            }
            !more
        })?;
        if more && count == 0 && limit > 0 {
            return Err(self.too_many_reads());
        }
        self.usage.reads += count;
        rows[0] = u8::from(more);
        Ok(rows)
    }

    fn check_key(&self, key: &[u8]) -> wasmtime::Result<()> {
        let limit = self.limits.state_key_bytes_max;
        if key.len() > limit {
            return Err(refuse(format!(
                "a key of the plugin's state has {} bytes, and may have {limit}",
                key.len()
            )));
        }
        Ok(())
    }

    fn check_change(&mut self, change: &Change<'_>) -> wasmtime::Result<()> {
        self.check_key(change.key())?;
        if let Change::Put { value, .. } = change
            && value.len() > self.limits.state_value_bytes_max
        {
            return Err(refuse(format!(
                "a value of the plugin's state has {} bytes, and may have {}",
                value.len(),
                self.limits.state_value_bytes_max
            )));
        }
        self.usage.changes += 1;
        if self.usage.changes > self.limits.state_changes_max {
            return Err(refuse(format!(
                "the plugin changed its state more than {} times in one call",
                self.limits.state_changes_max
            )));
        }
        self.usage.change_bytes += change.payload_len();
        if self.usage.change_bytes > self.limits.state_change_bytes_max {
            return Err(refuse(format!(
                "the plugin changed more than {} bytes of its state in one call",
                self.limits.state_change_bytes_max
            )));
        }
        Ok(())
    }

    fn count_read(&mut self) -> wasmtime::Result<()> {
        if self.usage.reads >= self.limits.state_reads_max {
            return Err(self.too_many_reads());
        }
        self.usage.reads += 1;
        Ok(())
    }

    fn too_many_reads(&self) -> wasmtime::Error {
        refuse(format!(
            "the plugin read more than {} keys of its state in one call",
            self.limits.state_reads_max
        ))
    }
}

fn refuse(reason: String) -> wasmtime::Error {
    wasmtime::Error::new(Refusal(reason))
}

fn malformed(list: &str, fault: Malformed) -> wasmtime::Error {
    refuse(format!("the plugin gave state malformed {list}: {fault}"))
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
