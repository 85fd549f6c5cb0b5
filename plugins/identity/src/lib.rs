//! Forwards every record as it is.

use weir_plugin::{Output, Record, transform};

/// The whole plugin.
#[inline]
pub fn forward(record: &Record<'_>, out: &mut Output) {
    out.forward(record);
}

transform!(forward);
