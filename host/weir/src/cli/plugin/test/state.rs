//! Keyed state of the plugin under test: in memory, and in a file if that is wanted.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, Write as _};
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use weir_runtime::{StateError, StateStore};

use super::json::JsonRecord;
use crate::cli::Failure;
use crate::cli::consume::form::{Key, Value};

/// Most bytes of keys and values together.
const BYTES_MAX: usize = 256 << 20;
/// Longest line of a state file, in bytes.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// The state, shared by the instance that changes it and the test that keeps or forgets what a call changed.
#[derive(Clone, Debug, Default)]
pub(super) struct TestState(Arc<Mutex<Rows>>);

#[derive(Debug, Default)]
struct Rows {
    /// The version that the rows are of.
    version: u32,
    rows: BTreeMap<Vec<u8>, Row>,
    bytes: usize,
    /// What was there before the call under way changed it, latest last.
    undo: Vec<(Vec<u8>, Option<Row>)>,
}

#[derive(Clone, Debug)]
struct Row {
    value: Vec<u8>,
    expires_ms: Option<i64>,
}

impl TestState {
    /// Reads what [`save`](Self::save) wrote; nothing if there is no such file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or a line is no row.
    pub(super) fn load(file: &Path) -> Result<Self, Failure> {
        let todo = "name a file that --state wrote, or one that is not there yet";
        let failure = |error: io::Error| {
            Failure::new(
                format!("cannot read the state in {}: {error}", file.display()),
                todo,
            )
        };
        let mut rows = Rows::default();
        let mut input = match std::fs::File::open(file) {
            Ok(file) => io::BufReader::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failure(error)),
        };
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let limited = &mut io::Read::take(&mut input, LINE_BYTES_MAX);
            if limited.read_until(b'\n', &mut line).map_err(failure)? == 0 {
                break;
            }
            let bad = |what: String| {
                Failure::new(
                    format!("{} line {number} is no row of state: {what}", file.display()),
                    todo,
                )
            };
            if let Ok(of) = serde_json::from_slice::<VersionLine>(&line) {
                rows.version = of.state_version;
                continue;
            }
            let record = JsonRecord::parse(&line).map_err(|error| bad(error.to_string()))?;
            let expiry: Expiry = serde_json::from_slice(&line).map_err(|error| bad(error.to_string()))?;
            let (Some(key), Some(value)) = (record.key(), record.value()) else {
                return Err(bad("it has no key or no value".to_owned()));
            };
            let row = Row {
                value: value.to_vec(),
                expires_ms: expiry.expires_ms,
            };
            rows.set(key.to_vec(), Some(row))
                .map_err(|error| bad(error.reason))?;
        }
        rows.undo.clear();
        Ok(Self(Arc::new(Mutex::new(rows))))
    }

    /// Writes all rows to `file`, one JSON object a line, by key.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub(super) fn save(&self, file: &Path) -> Result<(), Failure> {
        let write = || {
            let mut out = io::BufWriter::new(std::fs::File::create(file)?);
            let state_version = self.version();
            // Of version 0 is what does not say.
            if state_version > 0 {
                serde_json::to_writer(&mut out, &VersionLine { state_version })?;
                out.write_all(b"\n")?;
            }
            for (key, row) in &self.rows().rows {
                let object = Object {
                    key: Some(key.as_slice()).into(),
                    value: Some(row.value.as_slice()).into(),
                    expires_ms: row.expires_ms,
                };
                serde_json::to_writer(&mut out, &object)?;
                out.write_all(b"\n")?;
            }
            out.flush()
        };
        write().map_err(|error: io::Error| {
            Failure::new(
                format!("cannot write the state to {}: {error}", file.display()),
                "name a file in a folder that takes one",
            )
        })
    }

    /// What the last call changed stays.
    pub(super) fn keep(&self) {
        self.rows().undo.clear();
    }

    /// What the last call changed is as it was before.
    pub(super) fn forget(&self) {
        let mut rows = self.rows();
        let Rows {
            rows, bytes, undo, ..
        } = &mut *rows;
        for (key, before) in undo.drain(..).rev() {
            replace(rows, bytes, key, before);
        }
    }

    /// The version that the rows are of.
    pub(super) fn version(&self) -> u32 {
        self.rows().version
    }

    /// The rows are of this version now.
    pub(super) fn set_version(&self, version: u32) {
        self.rows().version = version;
    }

    /// Rows that are there, those whose time is over too.
    pub(super) fn len(&self) -> usize {
        self.rows().rows.len()
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The line of a state file that says which version the rows are of.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct VersionLine {
    state_version: u32,
}

impl Rows {
    fn set(&mut self, key: Vec<u8>, row: Option<Row>) -> Result<(), StateError> {
        let more = row.as_ref().map_or(0, |row| key.len() + row.value.len());
        if self.bytes.saturating_add(more) > BYTES_MAX {
            return Err(StateError::new(
                "the state has more than 256 MiB, the most that a test keeps",
            ));
        }
        let before = replace(&mut self.rows, &mut self.bytes, key.clone(), row);
        self.undo.push((key, before));
        Ok(())
    }
}

/// Puts a row, or none, in the place of what there is, which is returned.
fn replace(
    rows: &mut BTreeMap<Vec<u8>, Row>,
    bytes: &mut usize,
    key: Vec<u8>,
    row: Option<Row>,
) -> Option<Row> {
    let key_bytes = key.len();
    let size = |row: &Option<Row>| row.as_ref().map_or(0, |row| key_bytes + row.value.len());
    *bytes += size(&row);
    let before = match row {
        Some(row) => rows.insert(key, row),
        None => rows.remove(&key),
    };
    *bytes -= size(&before);
    before
}

impl StateStore for TestState {
    fn get(&mut self, key: &[u8], now_ms: i64) -> Result<Option<Vec<u8>>, StateError> {
        let rows = self.rows();
        let row = rows.rows.get(key).filter(|row| row.is_there(now_ms));
        Ok(row.map(|row| row.value.clone()))
    }

    fn put(&mut self, key: &[u8], value: &[u8], expires_ms: Option<i64>) -> Result<(), StateError> {
        let row = Row {
            value: value.to_vec(),
            expires_ms,
        };
        self.rows().set(key.to_vec(), Some(row))
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), StateError> {
        self.rows().set(key.to_vec(), None)
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
        let rows = self.rows();
        let matching = rows
            .rows
            .range::<[u8], _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix));
        for (key, row) in matching.filter(|(_, row)| row.is_there(now_ms)) {
            if !each(key, &row.value) {
                break;
            }
        }
        Ok(())
    }
}

impl Row {
    fn is_there(&self, now_ms: i64) -> bool {
        self.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms)
    }
}

/// A row as an object.
#[derive(Serialize)]
struct Object<'a> {
    #[serde(flatten)]
    key: Key<'a>,
    #[serde(flatten)]
    value: Value<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_ms: Option<i64>,
}

/// What of a row a record does not have.
#[derive(Deserialize)]
struct Expiry {
    expires_ms: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(state: &mut TestState, prefix: &[u8], after: Option<&[u8]>) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        let mut each = |key: &[u8], _: &[u8]| {
            keys.push(key.to_vec());
            true
        };
        state.scan(prefix, after, 10, &mut each).unwrap();
        keys
    }

    #[test]
    fn what_a_call_changed_is_kept_or_forgotten() {
        let mut state = TestState::default();
        state.put(b"a/1", b"one", None).unwrap();
        state.put(b"a/2", b"two", Some(10)).unwrap();
        state.put(b"b", b"", None).unwrap();
        state.keep();
        assert_eq!(
            keys(&mut state, b"a/", None),
            [b"a/1"],
            "the other one's time is over"
        );
        state.put(b"a/1", b"changed", None).unwrap();
        state.put(b"a/1", b"again", None).unwrap();
        state.delete(b"b").unwrap();
        state.put(b"c", b"new", None).unwrap();
        assert_eq!(state.get(b"a/1", 0).unwrap().unwrap(), b"again");
        let bytes = state.rows().bytes;
        state.forget();
        assert_eq!(state.get(b"a/1", 0).unwrap().unwrap(), b"one");
        assert_eq!(keys(&mut state, b"", Some(b"a/1")), [b"b"]);
        assert_eq!((bytes, state.rows().bytes), (18, 13));
        state.forget();
        assert_eq!(state.len(), 3, "it is over with once");
    }

    #[test]
    fn a_file_holds_all_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.jsonl");
        let mut state = TestState::load(&file).unwrap();
        assert_eq!(state.len(), 0);
        state.put(b"text", b"value", None).unwrap();
        state.put(&[0xff, 0], &[0xfe], Some(77)).unwrap();
        state.set_version(3);
        state.save(&file).unwrap();
        let mut again = TestState::load(&file).unwrap();
        assert_eq!((again.version(), again.len()), (3, 2));
        assert_eq!(again.get(b"text", 0).unwrap().unwrap(), b"value");
        assert_eq!(again.get(&[0xff, 0], 76).unwrap().unwrap(), [0xfe]);
        assert_eq!(again.get(&[0xff, 0], 77).unwrap(), None);
        for bad in [
            "x",
            "{\"key\":\"a\"}",
            "{\"key\":null,\"value\":\"a\"}",
            "{\"value\":\"a\"}",
        ] {
            std::fs::write(&file, bad).unwrap();
            let refused = TestState::load(&file).unwrap_err().to_string();
            assert!(refused.contains("line 1"), "{bad}: {refused}");
        }
    }

    #[test]
    fn it_is_bounded() {
        let mut state = TestState::default();
        let value = vec![0; 100 << 20];
        state.put(b"a", &value, None).unwrap();
        state.put(b"b", &value, None).unwrap();
        let refused = state.put(b"c", &value, None).unwrap_err();
        assert!(refused.reason.contains("256 MiB"));
    }
}
