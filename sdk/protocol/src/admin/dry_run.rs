//! Dry runs of flows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a dry run found out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DryRun {
    /// What was tried.
    pub tried: Trial,
    /// What the flow runs now made of the same records; `None` if that is the very same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Trial>,
    /// Records of which both made the same.
    pub same: u64,
    /// Records of which they made different things.
    pub different: u64,
    /// The first of those.
    pub differences: Vec<Difference>,
    /// Why not all the records that were asked for were taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_short: Option<String>,
}

/// What came of the records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trial {
    /// The plugins, `name@version`.
    pub plugins: Vec<String>,
    /// Records that went in.
    pub records_in: u64,
    /// Bytes of their batches, as stored.
    pub bytes_in: u64,
    /// Records that came out, by topic.
    pub records_out: BTreeMap<String, u64>,
    /// Bytes of keys, values and headers that came out.
    pub bytes_out: u64,
    /// Records of which nothing came out.
    pub dropped: u64,
    /// Records that a plugin could not handle.
    pub failed: u64,
    /// Records that a plugin wanted among the dead letters.
    pub dead_lettered: u64,
    /// The first of both.
    pub failures: Vec<DryRunFailure>,
    /// Nanoseconds in the plugins' calls.
    pub guest_ns: u64,
    /// The most memory that one of the plugins had, in bytes.
    pub memory_bytes_peak: u64,
}

/// A record that a plugin could not handle, or wanted among the dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DryRunFailure {
    /// The source topic.
    pub topic: String,
    /// The source partition.
    pub partition: u32,
    /// The record's offset.
    pub offset: i64,
    /// The plugin, `name@version`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Why, in words.
    pub reason: String,
    /// The beginning of the record's value, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<String>,
    /// Whether the plugin wanted it among the dead letters.
    pub dead_letter: bool,
}

/// A record of which different things were made: the topic and the beginning of the value of each record that comes out, and what else
/// about it is different.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Difference {
    /// The source topic.
    pub topic: String,
    /// The source partition.
    pub partition: u32,
    /// The record's offset.
    pub offset: i64,
    /// What the flow makes of it now.
    pub running: Vec<String>,
    /// What was tried makes of it.
    pub tried: Vec<String>,
}
