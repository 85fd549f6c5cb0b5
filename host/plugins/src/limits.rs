/// What one plugin may use. Every field has a default that suits a broker on a small machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Milliseconds one call may take, by the wall clock; instantiation with `configure` has the same time again.
    pub deadline_ms: u64,
    /// Bytes of linear memory of one instance, all memories together.
    pub memory_bytes_max: usize,
    /// Elements of all tables of one instance together.
    pub table_elements_max: usize,
    /// Bytes that one call may return, and that one reading of keyed state may answer with.
    pub output_bytes_max: usize,
    /// Bytes of the cursor that a producer returns.
    pub cursor_bytes_max: usize,
    /// Entries that one call of a transform may return for each record of its input.
    pub output_records_max_per_input: u32,
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
    /// Bytes of a component or core module that is uploaded. Looked at by [`Runtime::load`](crate::Runtime::load) only.
    pub component_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline_ms: 1_000,
            memory_bytes_max: 64 << 20,
            table_elements_max: 100_000,
            output_bytes_max: 16 << 20,
            cursor_bytes_max: 64 << 10,
            output_records_max_per_input: 1_000,
            state_key_bytes_max: 1 << 10,
            state_value_bytes_max: 1 << 20,
            state_reads_max: 100_000,
            state_changes_max: 100_000,
            state_change_bytes_max: 16 << 20,
            log_line_bytes_max: 4 << 10,
            log_bytes_per_s: 64 << 10,
            component_bytes_max: 32 << 20,
        }
    }
}
