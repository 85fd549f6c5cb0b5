//! What a flow may take.

use serde::{Deserialize, Serialize};

/// Limits of a flow's plugins. What is not there is as the broker has it by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowLimits {
    /// Milliseconds that one call of a plugin, over a whole batch, may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_ms: Option<u64>,
    /// Microseconds that a call may take for each record of its batch, if that is less; never less than 5 milliseconds a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_us: Option<u64>,
    /// Bytes of memory of one instance of a plugin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Bytes that one call may return.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// Bytes that one call may return for each record of its batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_output_bytes: Option<u64>,
    /// Records that one call may return.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_records: Option<u64>,
    /// Records that one call may return for each record of its batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_output_records: Option<u64>,
    /// Bytes of log lines a second, of each instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_bytes_per_s: Option<u64>,
    /// Log lines a second, of each instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_lines_per_s: Option<u64>,
    /// Bytes of keyed state for each source partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_bytes: Option<u64>,
}

impl FlowLimits {
    /// The names that people give them, in the order of [`values`](Self::values).
    pub const NAMES: [&str; 10] = [
        "call-time",
        "record-time",
        "memory",
        "output-bytes",
        "record-output-bytes",
        "output-records",
        "record-output-records",
        "log-bytes",
        "log-lines",
        "state",
    ];

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All of them, in the order of [`NAMES`](Self::NAMES).
    pub fn values(&self) -> [Option<u64>; 10] {
        [
            self.call_ms,
            self.record_us,
            self.memory_bytes,
            self.output_bytes,
            self.record_output_bytes,
            self.output_records,
            self.record_output_records,
            self.log_bytes_per_s,
            self.log_lines_per_s,
            self.state_bytes,
        ]
    }

    /// Sets the limit of this name; `false` if there is none.
    pub fn set(&mut self, name: &str, value: u64) -> bool {
        let slot = match name {
            "call-time" => &mut self.call_ms,
            "record-time" => &mut self.record_us,
            "memory" => &mut self.memory_bytes,
            "output-bytes" => &mut self.output_bytes,
            "record-output-bytes" => &mut self.record_output_bytes,
            "output-records" => &mut self.output_records,
            "record-output-records" => &mut self.record_output_records,
            "log-bytes" => &mut self.log_bytes_per_s,
            "log-lines" => &mut self.log_lines_per_s,
            "state" => &mut self.state_bytes,
            _ => return false,
        };
        *slot = Some(value);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_sets_its_own_value() {
        let mut limits = FlowLimits::default();
        for (index, name) in FlowLimits::NAMES.iter().enumerate() {
            assert!(limits.set(name, index as u64));
        }
        assert_eq!(limits.values(), std::array::from_fn(|index| Some(index as u64)));
        assert!(!limits.set("nonsense", 1));
    }
}
