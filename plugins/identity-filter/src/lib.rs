//! Keeps every record.

use weir_plugin::{Record, filter};

/// The whole plugin.
#[inline]
pub fn keep_all(_: &Record<'_>) -> bool {
    true
}

filter!(keep_all);
