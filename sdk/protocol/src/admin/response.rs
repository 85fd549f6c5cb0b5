//! What the broker answers.

use serde::{Deserialize, Serialize};

use crate::{DryRun, FlowInfo, FlowStatePage, PluginInfo, TopicInfo, TopicSummary};

/// The answer to one [`AdminRequest`](crate::AdminRequest).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AdminResponse {
    /// It is done, and there is nothing more to say.
    Done,
    /// One topic.
    Topic(TopicInfo),
    /// All topics, by name.
    Topics(Vec<TopicSummary>),
    /// The offset that was asked for.
    Offset {
        /// The offset.
        offset: i64,
    },
    /// One plugin in one version.
    Plugin(PluginInfo),
    /// The plugin version that holds the uploaded bytes.
    Uploaded {
        /// The version.
        plugin: PluginInfo,
        /// Whether the plugin had these bytes already, so that no new version was made.
        #[serde(default)]
        already_present: bool,
    },
    /// All plugins, by name and version.
    Plugins(Vec<PluginInfo>),
    /// One flow.
    Flow(Box<FlowInfo>),
    /// All flows, by name.
    Flows(Vec<FlowInfo>),
    /// What a dry run found out.
    DryRun(Box<DryRun>),
    /// Some rows of a flow's state.
    FlowState(FlowStatePage),
    /// The broker.
    Broker(BrokerInfo),
}

/// What the broker says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BrokerInfo {
    /// Its version.
    pub version: String,
    /// Which installation this is.
    pub cluster_id: String,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Open connections.
    pub connections: u64,
    /// Topics.
    pub topics: u64,
    /// Partitions of all topics.
    pub partitions: u64,
    /// Versions of plugins.
    pub plugins: u64,
    /// Flows.
    pub flows: u64,
    /// Bytes on disk.
    pub storage_bytes: u64,
}
