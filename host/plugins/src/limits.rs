/// What one plugin may use. Every field has a default that suits a broker on a small machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Milliseconds one call may take, by the wall clock; instantiation with `configure` has the same time again.
    pub deadline_ms: u64,
    /// Microseconds that one call may take for each record of its batch, where that comes to less than [`deadline_ms`](Self::deadline_ms),
    /// but 5 milliseconds at least; no more than that if none.
    pub deadline_us_per_input: Option<u64>,
    /// Bytes of linear memory of one instance, all memories together.
    pub memory_bytes_max: usize,
    /// Elements of all tables of one instance together.
    pub table_elements_max: usize,
    /// Bytes that one call may return, and that one reading of keyed state may answer with.
    pub output_bytes_max: usize,
    /// Bytes that one call may return for each record of its batch; no more than [`output_bytes_max`](Self::output_bytes_max) if none.
    pub output_bytes_max_per_input: Option<usize>,
    /// Bytes of the cursor that a producer returns.
    pub cursor_bytes_max: usize,
    /// Entries that one call of a transform may return for each record of its input.
    pub output_records_max_per_input: u32,
    /// Entries that one call may return.
    pub output_records_max: u64,
    /// Bytes of a key of keyed state.
    pub state_key_bytes_max: usize,
    /// Bytes of a value of keyed state.
    pub state_value_bytes_max: usize,
    /// Keys and rows of keyed state that one call may read.
    pub state_reads_max: usize,
    /// Changes of keyed state that one call may make.
    pub state_changes_max: usize,
    /// Bytes of keys and values that the changes of one call may have together.
    pub state_change_bytes_max: usize,
    /// Bytes of one log line; what is longer is cut.
    pub log_line_bytes_max: usize,
    /// Bytes of log lines a second, with a burst of as much; further lines are counted and left out.
    pub log_bytes_per_s: u64,
    /// Log lines a second, with a burst of as many.
    pub log_lines_per_s: u64,
    /// Bytes of a component or core module that is uploaded. Looked at by [`Runtime::load`](crate::Runtime::load) only.
    pub component_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline_ms: 1_000,
            deadline_us_per_input: None,
            memory_bytes_max: 64 << 20,
            table_elements_max: 100_000,
            output_bytes_max: 16 << 20,
            output_bytes_max_per_input: None,
            cursor_bytes_max: 64 << 10,
            output_records_max_per_input: 1_000,
            output_records_max: 10_000_000,
            state_key_bytes_max: 1 << 10,
            state_value_bytes_max: 1 << 20,
            state_reads_max: 100_000,
            state_changes_max: 100_000,
            state_change_bytes_max: 16 << 20,
            log_line_bytes_max: 4 << 10,
            log_bytes_per_s: 64 << 10,
            log_lines_per_s: 4_096,
            component_bytes_max: 32 << 20,
        }
    }
}

/// The least time that a call is given: less than that is not measured.
const DEADLINE_MS_MIN: u64 = 5;

impl Limits {
    /// Milliseconds that a call over so many records may take, and whether it is their number that says so.
    pub(crate) fn deadline(&self, records: Option<u32>) -> (u64, bool) {
        let by_records = self.deadline_us_per_input.zip(records).map(|(us, records)| {
            let ms = us.saturating_mul(u64::from(records)) / 1_000;
            ms.max(DEADLINE_MS_MIN)
        });
        match by_records {
            Some(ms) if ms < self.deadline_ms => (ms, true),
            _ => (self.deadline_ms, false),
        }
    }

    /// Bytes that a call over so many records may return, and whether it is their number that says so.
    pub(crate) fn output_bytes(&self, records: u32) -> (usize, bool) {
        match self
            .output_bytes_max_per_input
            .map(|bytes| bytes.saturating_mul(records as usize))
        {
            Some(bytes) if bytes < self.output_bytes_max => (bytes, true),
            _ => (self.output_bytes_max, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lesser_of_two_limits_counts() {
        let mut limits = Limits::default();
        assert_eq!(limits.deadline(Some(1)), (1_000, false));
        limits.deadline_us_per_input = Some(2_000);
        assert_eq!(limits.deadline(Some(10)), (20, true));
        assert_eq!(
            limits.deadline(Some(1)),
            (5, true),
            "no less than can be measured"
        );
        assert_eq!(limits.deadline(Some(1_000_000)), (1_000, false));
        assert_eq!(limits.deadline(None), (1_000, false), "a poll has no records");
        limits.output_bytes_max_per_input = Some(100);
        assert_eq!(limits.output_bytes(3), (300, true));
        assert_eq!(limits.output_bytes(1_000_000), (16 << 20, false));
    }
}
