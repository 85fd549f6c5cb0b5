//! Counts records by their key and by windows of their time: `{"key":"home","start":60000,"end":120000,"count":17}`, under the same key,
//! once a window is over. `start` and `end` (which is not in the window) are milliseconds since 1970.
//!
//! | configuration | |
//! |---|---|
//! | `window` | how long a window is (default `60s`; units `ms`, `s`, `m`, `h`, `d`) |
//! | `advance` | a window begins so often; a record is in each that its time is in (default: as long as a window, one after the other) |
//! | `grace` | how far out of order records may be: windows end that much later (default `0s`) |
//! | `late` | what becomes of records that come when their windows are over: `drop` (default), `dead-letter`, or the name of an output |
//! | `max-ahead` | timestamps that are further ahead of the newest one so far are not believed, and such records treated as late ones (default: all are believed) |
//!
//! Time is that of the records: a partition into which nothing comes keeps its last windows open. Records without a key are counted
//! together, as those of an empty one. Each partition of the source counts for itself: where the source is partitioned by key, that
//! is the count of the key.

use weir_plugin::{Config, Fired, Late, Output, Record, Records, Windows, transform};

const MINUTE_MS: u64 = 60_000;

/// The transform, configured.
#[derive(Debug)]
pub struct WindowedCount {
    windows: Windows<u64>,
    value: Vec<u8>,
}

impl WindowedCount {
    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong with one of them.
    pub fn configure(config: &Config) -> Result<Self, String> {
        config.only(&["window", "advance", "grace", "late", "max-ahead"])?;
        let size_ms = config.duration_ms("window")?.unwrap_or(MINUTE_MS);
        let advance_ms = config.duration_ms("advance")?.unwrap_or(size_ms);
        let mut windows = Windows::sliding("count", size_ms, advance_ms)?
            .grace_ms(config.duration_ms("grace")?.unwrap_or(0))
            .late(Late::from_config(config, "late")?);
        if let Some(max_ahead_ms) = config.duration_ms("max-ahead")? {
            windows = windows.max_ahead_ms(max_ahead_ms);
        }
        Ok(Self {
            windows,
            value: Vec::new(),
        })
    }

    /// Fetches the windows of all records of a batch.
    pub fn begin(&mut self, records: Records<'_>) {
        let keys = records.map(|record| (record.timestamp(), record.key().unwrap_or_default()));
        self.windows.prefetch(keys);
    }

    /// Counts a record, and writes the windows that are over.
    pub fn record(&mut self, record: &Record<'_>, out: &mut Output) {
        let key = record.key().unwrap_or_default();
        for window in self.windows.add(record, key, |count| *count += 1, out) {
            write(&mut self.value, &window);
            out.create()
                .key(&window.key)
                .value(&self.value)
                .timestamp(window.timestamp_ms())
                .emit();
        }
    }
}

fn write(value: &mut Vec<u8>, window: &Fired<u64>) {
    value.clear();
    value.extend_from_slice(b"{\"key\":");
    weir_json::write_string(value, &window.key);
    let rest = format!(
        ",\"start\":{},\"end\":{},\"count\":{}}}",
        window.start_ms, window.end_ms, window.value
    );
    value.extend_from_slice(rest.as_bytes());
}

transform!(WindowedCount, WindowedCount::record, begin = WindowedCount::begin);

#[cfg(test)]
mod tests {
    use weir_batch::BatchBuilder;
    use weir_batch::frame::{Entry, Reader};
    use weir_plugin::{run_transform_with, testing};

    use super::*;

    fn plugin(settings: &[(&str, &str)]) -> Result<WindowedCount, String> {
        let entries = settings
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let outputs = vec!["counts".to_owned(), "rest".to_owned()];
        WindowedCount::configure(&Config::new(entries.collect(), outputs))
    }

    fn run(plugin: &mut WindowedCount, records: &[(i64, &str)]) -> Vec<(u32, String)> {
        let mut builder = BatchBuilder::new();
        for (timestamp_ms, key) in records {
            builder
                .push(*timestamp_ms, Some(key.as_bytes()), Some(b"x"), &[])
                .unwrap();
        }
        let batch = builder.finish().unwrap();
        let mut out = Output::new(vec!["counts".to_owned(), "rest".to_owned()]);
        let frame = run_transform_with(
            plugin,
            &mut out,
            WindowedCount::begin,
            WindowedCount::record,
            |_, _| {},
            &batch,
        );
        let reader = Reader::new(&frame, records.len() as u32, 2).unwrap();
        let emitted = reader.entries().map(|entry| match entry {
            Entry::Emit { output, tail, .. } => {
                (output, String::from_utf8(tail.value().unwrap().to_vec()).unwrap())
            }
            other => panic!("{other:?}"),
        });
        emitted.collect()
    }

    #[test]
    fn a_minute_is_counted_when_it_is_over() {
        testing::reset();
        let mut counts = plugin(&[("late", "rest")]).unwrap();
        assert_eq!(run(&mut counts, &[(0, "b"), (59_999, "a"), (10, "b")]), []);
        let wanted = [
            (0, r#"{"key":"a","start":0,"end":60000,"count":1}"#),
            (0, r#"{"key":"b","start":0,"end":60000,"count":2}"#),
            (1, "x"),
        ];
        let wanted = wanted.map(|(output, value)| (output, value.to_owned()));
        assert_eq!(run(&mut counts, &[(60_000, "a"), (59_000, "b")]), wanted);
    }

    #[test]
    fn windows_may_overlap_and_wait() {
        testing::reset();
        let settings = [("window", "10s"), ("advance", "5s"), ("grace", "1s")];
        let mut counts = plugin(&settings).unwrap();
        let got = run(
            &mut counts,
            &[(7_000, "k"), (10_500, "k"), (9_000, "k"), (11_000, "k")],
        );
        assert_eq!(
            got,
            [(0, r#"{"key":"k","start":0,"end":10000,"count":2}"#.to_owned())]
        );
    }

    #[test]
    fn settings_that_will_not_do_are_refused() {
        assert!(plugin(&[("window", "soon")]).unwrap_err().contains("as in 90s"));
        assert!(
            plugin(&[("window", "0")])
                .unwrap_err()
                .contains("cannot have 0 ms")
        );
        assert!(
            plugin(&[("advance", "2m")])
                .unwrap_err()
                .contains("by their size at most")
        );
        assert!(
            plugin(&[("late", "elsewhere")])
                .unwrap_err()
                .contains("counts, rest")
        );
        assert!(
            plugin(&[("size", "1s")])
                .unwrap_err()
                .contains("this plugin takes window")
        );
    }
}
