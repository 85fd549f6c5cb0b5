/// What one plugin may use. Every field has a default that suits a broker on a small machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Milliseconds one call may take, by the wall clock; instantiation with `configure` has the same time again.
    pub deadline_ms: u64,
    /// Bytes of linear memory of one instance, all memories together.
    pub memory_bytes_max: usize,
    /// Elements of all tables of one instance together.
    pub table_elements_max: usize,
    /// Bytes that one call may return.
    pub output_bytes_max: usize,
    /// Entries that one call of a transform may return for each record of its input.
    pub output_records_max_per_input: u32,
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
            output_records_max_per_input: 1_000,
            log_line_bytes_max: 4 << 10,
            log_bytes_per_s: 64 << 10,
            component_bytes_max: 32 << 20,
        }
    }
}
