//! What the demo showed, in figures.

use std::fmt;

use serde::Serialize;

use crate::cli::{human_bytes, human_count};

/// The figures of one run. Every count in it was checked.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// Lines that went in, all of them acknowledged after fsync.
    pub(super) records_in: u64,
    pub(super) bytes_in: u64,
    /// Of the lines sent at full speed, the time in which the broker was down included.
    pub(super) produce_seconds: f64,
    pub(super) records_in_per_s: f64,
    /// Flights that came out, each compared with what it must be.
    pub(super) records_out: u64,
    pub(super) delay_min: i64,
    /// Lines acknowledged when the broker was killed; all were there afterwards.
    pub(super) acknowledged_at_kill: u64,
    /// From the start of the process until it listened.
    pub(super) start_ms: f64,
    pub(super) restart_ms: f64,
    /// From a line's sending to its acknowledgement, one line at a time.
    pub(super) ack_p50_ms: f64,
    pub(super) ack_p99_ms: f64,
    /// From a line's sending to the arrival of what the flow made of it.
    pub(super) output_p50_ms: f64,
    pub(super) output_p99_ms: f64,
    pub(super) guest_ns_per_record: f64,
    pub(super) disk_bytes: u64,
    /// The folder is in memory, where fsync costs nothing.
    pub(super) folder_in_memory: bool,
    pub(super) seconds: f64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = 100.0 * self.records_out as f64 / self.records_in as f64;
        writeln!(f)?;
        writeln!(
            f,
            "Every count is right, and every record that came out is what it must be."
        )?;
        writeln!(f)?;
        writeln!(
            f,
            "  in        {} flights ({}), each acknowledged only when it was on disk (fsync)",
            grouped(self.records_in),
            human_bytes(self.bytes_in)
        )?;
        writeln!(
            f,
            "            {} records/s from one producer over QUIC, with a power cut in the middle",
            human_count(self.records_in_per_s)
        )?;
        writeln!(
            f,
            "  cut       killed with kill -9 when {} were acknowledged: all of them were there {:.0} ms later",
            grouped(self.acknowledged_at_kill),
            self.restart_ms
        )?;
        writeln!(
            f,
            "  out       {} flights an hour late or later ({share:.1} %), none twice, none missing; {} minutes in all",
            grouped(self.records_out),
            grouped(self.delay_min.unsigned_abs())
        )?;
        writeln!(
            f,
            "  plugins   three WebAssembly plugins in one pass: {:.0} ns a record",
            self.guest_ns_per_record
        )?;
        writeln!(
            f,
            "  latency   one record at a time: on disk and acknowledged {:.2} ms (p99 {:.2}),",
            self.ack_p50_ms, self.ack_p99_ms
        )?;
        writeln!(
            f,
            "            filtered, transformed, on disk again and consumed {:.2} ms (p99 {:.2})",
            self.output_p50_ms, self.output_p99_ms
        )?;
        let memory = if self.folder_in_memory {
            " (a folder in memory: fsync costs nothing there)"
        } else {
            ""
        };
        writeln!(f, "  disk      {}{memory}", human_bytes(self.disk_bytes))?;
        writeln!(f, "  time      {:.1} s", self.seconds)?;
        writeln!(f)?;
        writeln!(
            f,
            "Next: `weir serve` in one terminal, `weir topic create lines` and `weir --help` in another."
        )
    }
}

/// `166,158`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(166_158), "166,158");
        assert_eq!(grouped(1_000_000), "1,000,000");
    }
}
