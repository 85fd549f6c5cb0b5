//! Counts records by their key, for ever: `{"key":"home","count":17}`, under the same key.
//!
//! | configuration | |
//! |---|---|
//! | `emit` | `record` (default): the count so far after each record; `batch`: once for each key of a batch |
//!
//! Records without a key are counted together, as those of an empty one. Each partition of the source counts for itself: where
//! the source is partitioned by key, that is the count of the key.

use std::collections::BTreeMap;
use std::io::Write;

use weir_plugin::{Config, Counters, Output, Record, Records, transform};

/// The transform, configured.
#[derive(Debug)]
pub struct CountByKey {
    counters: Counters,
    per_batch: bool,
    /// What the batch at hand has counted, if it is written at its end.
    counts: BTreeMap<Vec<u8>, i64>,
    value: Vec<u8>,
}

impl CountByKey {
    /// Reads `emit`.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong with it.
    pub fn configure(config: &Config) -> Result<Self, String> {
        config.only(&["emit"])?;
        let per_batch = match config.get("emit") {
            None | Some("record") => false,
            Some("batch") => true,
            Some(other) => return Err(format!("`emit` cannot be {other:?}: it is record or batch")),
        };
        Ok(Self {
            counters: Counters::new("count"),
            per_batch,
            counts: BTreeMap::new(),
            value: Vec::new(),
        })
    }

    /// Fetches the counts of all keys of a batch.
    pub fn begin(&mut self, records: Records<'_>) {
        self.counts.clear();
        let keys = records.into_iter().map(|record| record.key().unwrap_or_default());
        self.counters.prefetch(keys);
    }

    /// Counts a record.
    pub fn record(&mut self, record: &Record<'_>, out: &mut Output) {
        let key = record.key().unwrap_or_default();
        let count = self.counters.add(key, 1);
        if !self.per_batch {
            write_count(&mut self.value, key, count);
            return out.create().key(key).value(&self.value).emit();
        }
        match self.counts.get_mut(key) {
            Some(kept) => *kept = count,
            None => drop(self.counts.insert(key.to_vec(), count)),
        }
    }

    /// Writes what a batch has counted.
    pub fn end(&mut self, out: &mut Output) {
        for (key, count) in &self.counts {
            write_count(&mut self.value, key, *count);
            out.create().key(key).value(&self.value).emit();
        }
    }
}

fn write_count(value: &mut Vec<u8>, key: &[u8], count: i64) {
    value.clear();
    value.extend_from_slice(b"{\"key\":");
    weir_json::write_string(value, key);
    // Writing into a vector does not fail.
    let _ = write!(value, ",\"count\":{count}}}");
}

transform!(
    CountByKey,
    CountByKey::record,
    begin = CountByKey::begin,
    end = CountByKey::end
);

#[cfg(test)]
mod tests {
    use weir_batch::BatchBuilder;
    use weir_batch::frame::{Entry, Reader};
    use weir_plugin::{run_transform_with, testing};

    use super::*;

    fn counter(emit: &str) -> Result<CountByKey, String> {
        let entries = vec![("emit".to_owned(), emit.to_owned())];
        CountByKey::configure(&Config::new(entries, vec!["out".to_owned()]))
    }

    fn run(plugin: &mut CountByKey, keys: &[Option<&str>]) -> Vec<String> {
        let mut builder = BatchBuilder::new();
        for key in keys {
            builder.push(0, key.map(str::as_bytes), Some(b"x"), &[]).unwrap();
        }
        let batch = builder.finish().unwrap();
        let mut out = Output::new(vec!["out".to_owned()]);
        let frame = run_transform_with(
            plugin,
            &mut out,
            CountByKey::begin,
            CountByKey::record,
            CountByKey::end,
            &batch,
        );
        let reader = Reader::new(&frame, keys.len() as u32, 1).unwrap();
        let values = reader.entries().map(|entry| match entry {
            Entry::Emit { tail, .. } => String::from_utf8(tail.value().unwrap().to_vec()).unwrap(),
            other => panic!("{other:?}"),
        });
        values.collect()
    }

    #[test]
    fn each_record_gives_the_count_so_far() {
        testing::reset();
        let mut plugin = counter("record").unwrap();
        let got = run(&mut plugin, &[Some("a"), Some("b"), Some("a"), None]);
        assert_eq!(
            got,
            [
                r#"{"key":"a","count":1}"#,
                r#"{"key":"b","count":1}"#,
                r#"{"key":"a","count":2}"#,
                r#"{"key":"","count":1}"#
            ]
        );
        assert_eq!(testing::state_calls(), 2, "one call to read, one to write");
        let mut restarted = counter("record").unwrap();
        assert_eq!(run(&mut restarted, &[Some("a")]), [r#"{"key":"a","count":3}"#]);
    }

    #[test]
    fn a_batch_gives_each_key_once() {
        testing::reset();
        let mut plugin = counter("batch").unwrap();
        let got = run(&mut plugin, &[Some("b"), Some("a\""), Some("b")]);
        assert_eq!(got, [r#"{"key":"a\"","count":1}"#, r#"{"key":"b","count":2}"#]);
        assert_eq!(run(&mut plugin, &[Some("b")]), [r#"{"key":"b","count":3}"#]);
    }

    #[test]
    fn other_ways_are_refused() {
        assert!(counter("sometimes").unwrap_err().contains("record or batch"));
    }
}
