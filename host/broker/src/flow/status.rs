//! Whether a flow runs, and if not, why.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::now_ms;

/// Whether a flow runs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FlowStatus {
    /// It is being set up: plugins are loaded, cursors read.
    Starting,
    /// It processes what comes in.
    Running,
    /// It keeps trying something that can heal by itself, such as writing to a full disk.
    Waiting {
        /// What it waits for.
        reason: String,
    },
    /// It stands still until somebody resumes it, or for good, as it is [finished](Pause::finished).
    Paused(Pause),
}

impl FlowStatus {
    /// One word for it: `starting`, `running`, `waiting`, `paused` or `finished`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Waiting { .. } => "waiting",
            Self::Paused(pause) if pause.finished => "finished",
            Self::Paused(_) => "paused",
        }
    }
}

/// Why a flow stands still. Kept across restarts.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Pause {
    /// Why, in words; ends with what to do where that is not plain.
    pub reason: String,
    /// Whether somebody asked for it, as opposed to an error.
    pub requested: bool,
    /// Whether the flow has done all that it was made for. Then it counts as requested.
    #[serde(default)]
    pub finished: bool,
    /// Since when, in milliseconds since 1970.
    pub since_ms: i64,
    /// The record it stands in front of, where there is one.
    pub place: Option<Place>,
}

/// The record, or the batch that begins with it, at which a flow stopped.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Place {
    /// The source topic.
    pub topic: String,
    /// The source partition.
    pub partition: u32,
    /// The offset of the record, or of the first record of the batch.
    pub offset: i64,
    /// The last offset of the batch, where no single record is to blame.
    pub last_offset: Option<i64>,
    /// The plugin that failed, `name@version`.
    pub plugin: Option<String>,
    /// The beginning of the record's value.
    #[serde(default)]
    pub sample: Option<String>,
}

impl Pause {
    /// A pause from now on, of which nobody asked for, at no record.
    pub(crate) fn because(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            requested: false,
            finished: false,
            since_ms: now_ms(),
            place: None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)?;
        if let Some(last) = self.last_offset.filter(|last| *last != self.offset) {
            write!(f, "-{last}")?;
        }
        match &self.plugin {
            Some(plugin) => write!(f, " in {plugin}"),
            None => Ok(()),
        }
    }
}
