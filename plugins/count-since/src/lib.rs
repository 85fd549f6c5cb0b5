//! Counts records by their key, for ever, and says since when: `{"key":"home","count":17,"since":1700000000000}`, under the same key.
//!
//! It is what `count-by-key` may become: uploaded as its next version, it takes over the counts that are there. Its state has version 1: a
//! row is the count and the timestamp of the first record, eight bytes each, little-endian. `count-by-key` knows no versions, which is
//! version 0, and its rows are counts alone; nobody knows since when, and `since` is left out for them.

use weir_plugin::{
    Config, Output, Record, Records, State, StateSchema, migrate_rows, state_schema, transform,
};

/// Rows are stored under this and the record's key, as `count-by-key` does.
const PREFIX: &[u8] = b"count/";
/// Stands for the time of a first record that nobody knows.
const UNKNOWN: i64 = i64::MIN;

/// The transform.
#[derive(Debug)]
pub struct CountSince {
    state: State,
    key: Vec<u8>,
    value: Vec<u8>,
}

/// A row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count {
    records: i64,
    since_ms: i64,
}

impl CountSince {
    /// Takes no settings.
    ///
    /// # Errors
    ///
    /// When there are some.
    pub fn configure(config: &Config) -> Result<Self, String> {
        config.only(&[])?;
        Ok(Self {
            state: State::new(),
            key: PREFIX.to_vec(),
            value: Vec::new(),
        })
    }

    /// Fetches the counts of all keys of a batch.
    pub fn begin(&mut self, records: Records<'_>) {
        let keys = records.map(|record| [PREFIX, record.key().unwrap_or_default()].concat());
        self.state.prefetch(keys);
    }

    /// Counts a record.
    ///
    /// # Errors
    ///
    /// When what is stored is no count.
    pub fn record(&mut self, record: &Record<'_>, out: &mut Output) -> Result<(), String> {
        let key = record.key().unwrap_or_default();
        self.key.truncate(PREFIX.len());
        self.key.extend_from_slice(key);
        let mut count = self.state.read(&self.key, |stored| match stored {
            Some(bytes) => Count::decode(bytes).ok_or("what is stored under its key is no count"),
            None => Ok(Count {
                records: 0,
                since_ms: record.timestamp(),
            }),
        })?;
        count.records = count.records.saturating_add(1);
        self.state.put(&self.key, &count.encode());
        self.value.clear();
        self.value.extend_from_slice(b"{\"key\":");
        weir_json::write_string(&mut self.value, key);
        let since = match count.since_ms {
            UNKNOWN => String::new(),
            since_ms => format!(",\"since\":{since_ms}"),
        };
        let rest = format!(",\"count\":{}{since}}}", count.records);
        self.value.extend_from_slice(rest.as_bytes());
        out.create().key(key).value(&self.value).emit();
        Ok(())
    }
}

impl Count {
    fn encode(self) -> Vec<u8> {
        [self.records.to_le_bytes(), self.since_ms.to_le_bytes()].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (records, since_ms) = bytes.split_first_chunk()?;
        Some(Self {
            records: i64::from_le_bytes(*records),
            since_ms: i64::from_le_bytes(since_ms.try_into().ok()?),
        })
    }
}

/// What it makes of the state of `count-by-key`.
#[derive(Debug)]
pub struct Counts;

impl StateSchema for Counts {
    const VERSION: u32 = 1;

    fn migrate(_from: u32, after: Option<&[u8]>) -> Result<Option<Vec<u8>>, String> {
        // Newer versions are refused by the SDK, and before this one there was only version 0.
        migrate_rows(PREFIX, after, |state, key, value| {
            let records = value.try_into().map_err(|_| {
                format!(
                    "the row {:?} has {} bytes, and a count of count-by-key has 8",
                    String::from_utf8_lossy(key),
                    value.len()
                )
            })?;
            let count = Count {
                records: i64::from_le_bytes(records),
                since_ms: UNKNOWN,
            };
            state.put(key, &count.encode());
            Ok(())
        })
    }
}

transform!(CountSince, CountSince::record, begin = CountSince::begin);
state_schema!(Counts);

#[cfg(test)]
mod tests {
    use weir_plugin::{run_migration, testing};

    use super::*;

    #[test]
    fn counts_of_before_are_taken_over() {
        testing::reset();
        let state = State::new();
        state.put(b"count/a", &7_i64.to_le_bytes());
        state.flush();
        assert_eq!(run_migration::<Counts>(0, None), Ok(None));
        let count = Count::decode(&testing::rows()[0].1);
        let wanted = Count {
            records: 7,
            since_ms: UNKNOWN,
        };
        assert_eq!(count, Some(wanted));
        state.put(b"count/b", b"seven");
        state.flush();
        let refused = run_migration::<Counts>(0, None).unwrap_err();
        assert!(refused.contains("has 16 bytes"), "{refused}");
        assert!(run_migration::<Counts>(2, None).unwrap_err().contains("up to 1"));
    }
}
