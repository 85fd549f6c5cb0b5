//! Flows that come to an end: what they are made of another flow for.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::Start;

/// What a flow that comes to an end is for. It is finished once it has processed everything up to the offsets that were fixed
/// when it was made, and has a cursor and state of its own.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FlowBounded {
    /// The flow that it was made from. It lives on when that one is deleted.
    pub of: String,
    /// What it processes of it.
    pub kind: BoundedKind,
}

/// What a flow that comes to an end processes of the one that it was made from.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BoundedKind {
    /// Its sources, once more.
    Backfill,
    /// Its dead letters, as the records that they were.
    Letters,
    /// Some offsets of one partition of one of its sources, once more.
    Range,
}

impl FlowBounded {
    /// The flow whose dead-letter topic takes what fails; `None` for its own. What is replayed belongs to the flow that it was made
    /// from, and can be replayed once more.
    pub(crate) fn letters_of(&self) -> Option<&str> {
        match self.kind {
            BoundedKind::Backfill => None,
            BoundedKind::Letters | BoundedKind::Range => Some(&self.of),
        }
    }
}

impl fmt::Display for FlowBounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            BoundedKind::Backfill => "backfill",
            BoundedKind::Letters => "replay of the dead letters",
            BoundedKind::Range => "replay of offsets",
        };
        write!(f, "{what} of flow '{}'", self.of)
    }
}

/// What a backfill is to process, and with what.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Backfill {
    /// The name of the flow that does it; `None` for `FLOW.backfill`, or `FLOW.backfill-2` and so on where that is taken.
    pub name: Option<String>,
    /// Where it begins in each partition of each source.
    pub start: Start,
    /// Where it ends in each.
    pub until: Until,
    /// The plugins, `name@version` or `name` for the newest version; empty for those that the flow runs.
    pub plugins: Vec<String>,
    /// The topics that it writes; empty for those of the flow.
    pub to: Vec<String>,
}

/// Where in a partition a flow ends. An end that lies beyond the last record is that record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Until {
    /// Behind the last record that is there now.
    Now,
    /// In front of this offset.
    Offset(i64),
    /// In front of the first record whose timestamp is this or later, in milliseconds since 1970.
    Time(i64),
}

/// What is to be sent through a flow's plugins once more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Replay {
    /// Its dead letters that were not yet replayed.
    Letters {
        /// From here on, whether they were replayed or not.
        start: Option<Start>,
    },
    /// Records of one of its sources, which it has processed already: what comes out is there twice.
    Range {
        /// The source; `None` for the only one that the flow has.
        topic: Option<String>,
        /// The partition.
        partition: u32,
        /// From the first offset up to the last one, which is not among them.
        offsets: Range<i64>,
        /// The name of the flow that does it; `None` for `FLOW.replay-range`, or `FLOW.replay-range-2` and so on.
        name: Option<String>,
    },
}

impl Default for Backfill {
    /// Everything that is there, with what the flow runs.
    fn default() -> Self {
        Self {
            name: None,
            start: Start::Earliest,
            until: Until::Now,
            plugins: Vec::new(),
            to: Vec::new(),
        }
    }
}
