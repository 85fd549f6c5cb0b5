//! Where reading begins.

use serde::{Deserialize, Serialize};

/// Where in a partition reading begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// At the first record that is still there.
    #[default]
    Earliest,
    /// After the last record: only what is yet to come.
    Latest,
    /// At this offset.
    Offset(i64),
    /// At the first record whose timestamp is at or after this one, in milliseconds since 1970; after the last
    /// record if there is none.
    Time(i64),
}
