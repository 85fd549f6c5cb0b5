//! Flows that come to an end: backfills and replays.

use serde::{Deserialize, Serialize};

use crate::Start;

/// What a flow that comes to an end was made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowBounded {
    /// The flow that it was made from.
    pub of: String,
    /// What it processes of it.
    pub kind: FlowBoundedKind,
}

/// What a flow that comes to an end processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FlowBoundedKind {
    /// The sources of the other flow, once more.
    Backfill,
    /// Its dead letters, as the records that they were.
    Letters,
    /// Some offsets of one partition of one of its sources, once more.
    Range,
}

/// What a backfill is to process, and with what. What is left empty is as with the flow that it is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowBackfill {
    /// The name of the flow that does it; `None` for `FLOW.backfill`, or `FLOW.backfill-2` and so on where that is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it begins in each partition of each source.
    pub start: Start,
    /// Where it ends in each.
    pub until: FlowUntil,
    /// The plugins, `name` or `name@version`.
    pub plugins: Vec<String>,
    /// The topics that it writes.
    pub to: Vec<String>,
}

/// Where in a partition a flow ends. An end beyond the last record is that record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FlowUntil {
    /// Behind the last record that is there when the flow is made.
    #[default]
    Now,
    /// In front of this offset.
    Offset(i64),
    /// In front of the first record whose timestamp is at or after this one, in milliseconds since 1970.
    Time(i64),
}

/// What is to be sent through a flow's plugins once more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FlowReplay {
    /// Its dead letters that were not yet replayed. The flow that does it is `FLOW.replay`, and goes on there the next time.
    Letters {
        /// From here on, whether they were replayed or not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start: Option<Start>,
    },
    /// Records of one of its sources, which it has read already: what comes out is there twice.
    Range {
        /// The source; `None` for the only one that the flow has.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        topic: Option<String>,
        /// The partition.
        partition: u32,
        /// The first offset.
        from: i64,
        /// The offset behind the last one.
        to: i64,
        /// The name of the flow that does it; `None` for `FLOW.replay-range`, or `FLOW.replay-range-2` and so on where that is taken.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
}
