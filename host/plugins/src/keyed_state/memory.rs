use std::collections::BTreeMap;
use std::ops::Bound;

use super::{StateError, StateStore};

/// State in memory, gone with its owner: for dry runs and tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryState {
    rows: BTreeMap<Vec<u8>, Row>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    value: Vec<u8>,
    expires_ms: Option<i64>,
}

impl Row {
    fn at(&self, now_ms: i64) -> Option<&[u8]> {
        self.expires_ms
            .is_none_or(|expires_ms| now_ms < expires_ms)
            .then_some(&self.value)
    }
}

impl MemoryState {
    /// Nothing stored.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rows that are stored, those whose time is over too.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl StateStore for MemoryState {
    fn get(&mut self, key: &[u8], now_ms: i64) -> Result<Option<Vec<u8>>, StateError> {
        let found = self.rows.get(key).and_then(|row| row.at(now_ms));
        Ok(found.map(<[u8]>::to_vec))
    }

    fn put(&mut self, key: &[u8], value: &[u8], expires_ms: Option<i64>) -> Result<(), StateError> {
        let value = value.to_vec();
        self.rows.insert(key.to_vec(), Row { value, expires_ms });
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), StateError> {
        self.rows.remove(key);
        Ok(())
    }

    fn scan(
        &mut self,
        prefix: &[u8],
        after: Option<&[u8]>,
        now_ms: i64,
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StateError> {
        // What comes after a key that sorts before the prefix begins with the prefix.
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        for (key, row) in self.rows.range::<[u8], _>((from, Bound::Unbounded)) {
            if !key.starts_with(prefix) {
                break;
            }
            if let Some(value) = row.at(now_ms)
                && !each(key, value)
            {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(state: &mut MemoryState, prefix: &str, after: Option<&str>, now_ms: i64) -> Vec<String> {
        let mut keys = Vec::new();
        let after = after.map(str::as_bytes);
        let mut each = |key: &[u8], _: &[u8]| {
            keys.push(String::from_utf8(key.to_vec()).unwrap());
            keys.len() < 3
        };
        state.scan(prefix.as_bytes(), after, now_ms, &mut each).unwrap();
        keys
    }

    #[test]
    fn rows_are_there_until_their_time_is_over() {
        let mut state = MemoryState::new();
        state.put(b"a", b"1", Some(100)).unwrap();
        assert_eq!(state.get(b"a", 99), Ok(Some(b"1".to_vec())));
        assert_eq!(state.get(b"a", 100), Ok(None));
        assert!(scanned(&mut state, "", None, 100).is_empty());
        state.put(b"a", b"2", None).unwrap();
        assert_eq!(state.get(b"a", i64::MAX), Ok(Some(b"2".to_vec())));
        state.delete(b"a").unwrap();
        assert_eq!(state.get(b"a", 0), Ok(None));
        assert!(state.is_empty());
    }

    #[test]
    fn a_scan_keeps_to_its_prefix_and_its_end() {
        let mut state = MemoryState::new();
        for key in ["a", "b/1", "b/2", "b/3", "b/4", "c"] {
            state.put(key.as_bytes(), b"", None).unwrap();
        }
        assert_eq!(scanned(&mut state, "b/", None, 0), ["b/1", "b/2", "b/3"]);
        assert_eq!(scanned(&mut state, "b/", Some("b/3"), 0), ["b/4"]);
        assert_eq!(scanned(&mut state, "b/", Some("a"), 0), ["b/1", "b/2", "b/3"]);
        assert_eq!(scanned(&mut state, "b/", Some("c"), 0), [""; 0]);
        assert_eq!(scanned(&mut state, "", Some("b/4"), 0), ["c"]);
    }
}
