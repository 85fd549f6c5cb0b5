//! Keeps the first of several records with the same key, and leaves out the others for a while.
//!
//! | configuration | |
//! |---|---|
//! | `ttl-ms` | milliseconds of record time that a key is remembered (default 86,400,000: a day) |
//! | `by` | `key` (default) or `value`: what makes records the same |
//!
//! Records without a key (or value) are all kept. Values are remembered by themselves, so `by value` is for small ones. Each
//! partition of the source remembers for itself.

use weir_plugin::{Config, Dedup, Record, Records, filter};

const DAY_MS: u64 = 86_400_000;

/// The filter, configured.
#[derive(Debug)]
pub struct DedupFilter {
    seen: Dedup,
    by_value: bool,
}

impl DedupFilter {
    /// Reads `ttl-ms` and `by`.
    ///
    /// # Errors
    ///
    /// A sentence that says which of them is wrong.
    pub fn configure(config: &Config) -> Result<Self, String> {
        config.only(&["ttl-ms", "by"])?;
        let by_value = match config.get("by") {
            None | Some("key") => false,
            Some("value") => true,
            Some(other) => return Err(format!("`by` cannot be {other:?}: it is key or value")),
        };
        let ttl_ms = config.parse("ttl-ms")?.unwrap_or(DAY_MS);
        Ok(Self {
            seen: Dedup::new("seen", ttl_ms),
            by_value,
        })
    }

    /// Fetches what is known of a batch.
    pub fn begin(&mut self, records: Records<'_>) {
        let by_value = self.by_value;
        let ids = records.into_iter().filter_map(|record| id(&record, by_value));
        self.seen.prefetch(ids);
    }

    /// Whether the record is the first of its kind.
    pub fn keep(&mut self, record: &Record<'_>) -> bool {
        id(record, self.by_value).is_none_or(|id| self.seen.first(id))
    }
}

fn id<'a>(record: &Record<'a>, by_value: bool) -> Option<&'a [u8]> {
    if by_value { record.value() } else { record.key() }
}

filter!(DedupFilter, DedupFilter::keep, begin = DedupFilter::begin);

#[cfg(test)]
mod tests {
    use weir_batch::{BatchBuilder, bitmap};
    use weir_plugin::{run_filter_with, testing};

    use super::*;

    fn configure(pairs: &[(&str, &str)]) -> Result<DedupFilter, String> {
        let pairs = pairs.iter();
        let entries = pairs.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        DedupFilter::configure(&Config::new(entries.collect(), Vec::new()))
    }

    /// Which of the records, all of the time `now_ms`, are kept.
    fn kept(filter: &mut DedupFilter, now_ms: i64, records: &[(Option<&str>, &str)]) -> Vec<usize> {
        let mut builder = BatchBuilder::new();
        for (key, value) in records {
            let key = key.map(str::as_bytes);
            builder.push(now_ms, key, Some(value.as_bytes()), &[]).unwrap();
        }
        let batch = builder.finish().unwrap();
        let bits = run_filter_with(filter, DedupFilter::begin, DedupFilter::keep, &batch);
        (0..records.len())
            .filter(|index| bitmap::get(&bits, *index))
            .collect()
    }

    #[test]
    fn the_first_of_a_key_is_kept_for_its_time() {
        testing::reset();
        let mut filter = configure(&[("ttl-ms", "1000")]).unwrap();
        let records = [
            (Some("a"), "1"),
            (Some("b"), "1"),
            (Some("a"), "2"),
            (None, "1"),
            (None, "1"),
        ];
        assert_eq!(kept(&mut filter, 5_000, &records), [0, 1, 3, 4]);
        assert_eq!(testing::state_calls(), 2, "one call to read, one to write");
        assert_eq!(kept(&mut filter, 5_999, &records[..1]), [0; 0]);
        assert_eq!(kept(&mut filter, 6_000, &records[..1]), [0]);
    }

    #[test]
    fn values_can_be_what_counts() {
        testing::reset();
        let mut filter = configure(&[("by", "value")]).unwrap();
        let records = [(Some("a"), "1"), (Some("b"), "1"), (None, "2")];
        assert_eq!(kept(&mut filter, 0, &records), [0, 2]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(
            configure(&[("by", "colour")])
                .unwrap_err()
                .contains("key or value")
        );
        assert!(configure(&[("ttl-ms", "-1")]).unwrap_err().contains("ttl-ms"));
    }
}
