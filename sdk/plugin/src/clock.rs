//! The time of the records, not of the machine.
//!
//! ```
//! use weir_plugin::{Record, clock, filter};
//!
//! // Keeps what is at most a minute older than the newest record of its batch.
//! filter!(|record: &Record<'_>| clock::now() - record.timestamp() <= 60_000);
//! ```

/// Milliseconds since 1970: the newest timestamp of the batch at hand, in a producer the time of the poll. It does not move
/// during a call, and shows the same when the same records are processed again. 0 in `configure`.
#[inline]
pub fn now() -> i64 {
    crate::host::clock::now()
}
