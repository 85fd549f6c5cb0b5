//! Numbers for whoever runs the flow.
//!
//! ```
//! use weir_plugin::{Output, Record, metrics, transform};
//!
//! transform!(|record: &Record<'_>, out: &mut Output| {
//!     match record.value() {
//!         Some(value) => metrics::record("value_bytes", value.len() as f64),
//!         None => metrics::count("tombstones", 1),
//!     }
//!     out.forward(record);
//! });
//! ```
//!
//! Each of these is a call of the host: a sum for a batch is cheaper than one call for each record. A name is a lower-case letter,
//! then letters, digits and `_`, 64 bytes at most, and a plugin has at most 64 of them: others are left out, with one warning in the
//! flow's log.

use std::cell::RefCell;

use crate::batch_hooks::{self, Who};

thread_local! {
    /// Counters that the batch has added to, in the order of their first use.
    static SUMS: RefCell<Vec<(&'static str, u64)>> = const { RefCell::new(Vec::new()) };
}

/// Adds `by` to the counter `name` at the end of the batch: one call of the host however often it happens.
pub(crate) fn count_at_end(name: &'static str, by: u64) {
    batch_hooks::at_end(Who::Metrics, end);
    SUMS.with_borrow_mut(|sums| match sums.iter_mut().find(|(known, _)| *known == name) {
        Some((_, sum)) => *sum += by,
        None => sums.push((name, by)),
    });
}

fn end(keep: bool) {
    SUMS.with_borrow_mut(|sums| {
        for (name, sum) in sums.drain(..).filter(|_| keep) {
            count(name, sum);
        }
    });
}

/// Adds `by` to the counter `name`.
#[inline]
pub fn count(name: &str, by: u64) {
    crate::host::metrics::counter_add(name, by);
}

/// Records `value` in the histogram `name`.
#[inline]
pub fn record(name: &str, value: f64) {
    crate::host::metrics::histogram_record(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn the_stand_in_remembers() {
        testing::reset();
        count("seen", 2);
        count("seen", 3);
        record("size", 1.5);
        assert_eq!(testing::counter("seen"), 5);
        assert_eq!(testing::counter("unseen"), 0);
        assert_eq!(testing::histogram("size"), [1.5]);
    }
}
