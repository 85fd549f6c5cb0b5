//! What is kept of each object.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::PluginKind;
use crate::meta::FlowRow;

/// A topic.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct TopicRow {
    pub(crate) id: u32,
    pub(crate) partitions: u32,
    /// What differs from the defaults.
    pub(crate) config: BTreeMap<String, String>,
}

/// One version of a plugin.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct PluginRow {
    /// Of the stored component, lower-case hexadecimal: the name of its file.
    pub(crate) sha256: String,
    pub(crate) kind: PluginKind,
    /// Bytes of the stored component.
    pub(crate) size: u64,
    pub(crate) created_ms: i64,
    pub(crate) imports: Vec<String>,
}

/// All of it, as read at start.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) cluster_id: String,
    pub(crate) topics: Vec<(String, TopicRow)>,
    pub(crate) plugin_names: Vec<(String, u32)>,
    pub(crate) plugins: Vec<(String, u32, PluginRow)>,
    pub(crate) flows: Vec<(String, FlowRow)>,
}
