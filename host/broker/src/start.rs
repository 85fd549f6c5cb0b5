//! Where reading begins.

use serde::{Deserialize, Serialize};

/// A place in a partition, named by what one knows of it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// The first record that is still there.
    Earliest,
    /// Behind the last record: only what comes from now on.
    Latest,
    /// The record at this offset.
    Offset(i64),
    /// The first record whose timestamp is this or later, in milliseconds since 1970; the end where there is none.
    Time(i64),
}
