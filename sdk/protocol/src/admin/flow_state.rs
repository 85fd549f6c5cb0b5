//! Keyed state of flows.

use serde::{Deserialize, Serialize};

use super::octets;

/// Which rows of a flow's state are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowStateQuery {
    /// The source whose partitions are meant; none for the only one that the flow has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Those of this source partition only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// Those of this plugin only: its name without a version, and `NAME#2` for the second one of that name in the chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Those whose keys begin with this.
    #[serde(with = "octets")]
    pub prefix: Vec<u8>,
    /// Those after this row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<FlowStatePlace>,
    /// At most so many. The broker may answer with fewer, and does after some bytes.
    pub rows_max: u32,
}

/// The place of a row in a flow's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowStatePlace {
    /// The source partition.
    pub partition: u32,
    /// The plugin, as in [`FlowStateQuery::plugin`].
    pub plugin: String,
    /// The key that the plugin gave it.
    #[serde(with = "octets")]
    pub key: Vec<u8>,
}

/// A row of a flow's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowStateRow {
    /// Where it is.
    pub place: FlowStatePlace,
    /// The value, or the beginning of it.
    #[serde(with = "octets")]
    pub value: Vec<u8>,
    /// Bytes of the whole value.
    pub value_bytes: u64,
    /// Record time, in milliseconds since 1970, from which on the plugin does not see it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
}

/// What the state of one source partition comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowStateTotals {
    /// The source partition.
    pub partition: u32,
    /// Rows, some whose time is over among them.
    pub rows: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

/// Which version the rows of a plugin are of in one source partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowStateSchema {
    /// The source partition.
    pub partition: u32,
    /// The plugin, as in [`FlowStateQuery::plugin`].
    pub plugin: String,
    /// The version; that before, while they are migrated.
    pub version: u32,
    /// The version to which they are migrated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migrating_to: Option<u32>,
}

/// Some rows of a flow's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowStatePage {
    /// The rows.
    pub rows: Vec<FlowStateRow>,
    /// Whether there may be more: they come after the last of these.
    pub more: bool,
    /// Of every source partition that was asked for.
    pub totals: Vec<FlowStateTotals>,
    /// The versions that are stored; a plugin that is missing has version 0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<FlowStateSchema>,
}
