//! What a client may ask for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{FlowBackfill, FlowChange, FlowReplay, FlowSpec, FlowStateQuery, Start};

/// One request, the first frame of a stream of its own. The answer is one
/// [`AdminResponse`](crate::AdminResponse) or an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AdminRequest {
    /// Makes a topic. Answer: `Topic`.
    CreateTopic {
        /// 1 to 249 of the characters `a-z A-Z 0-9 . _ -`, and not `.` or `..`.
        name: String,
        /// How many partitions it gets; `None` leaves it to the broker.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partitions: Option<u32>,
        /// Settings that differ from the defaults, with Kafka's keys.
        #[serde(default)]
        config: BTreeMap<String, String>,
    },
    /// Answer: `Topics`.
    ListTopics,
    /// Answer: `Topic`.
    DescribeTopic {
        /// The topic.
        name: String,
    },
    /// Changes settings or adds partitions. Answer: `Topic`.
    AlterTopic {
        /// The topic.
        name: String,
        /// Settings to change; the others stay.
        #[serde(default)]
        config: BTreeMap<String, String>,
        /// New number of partitions, not lower than now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partitions: Option<u32>,
    },
    /// Deletes a topic and its records. Answer: `Done`.
    DeleteTopic {
        /// The topic.
        name: String,
    },
    /// Answer: `Offset`.
    ListOffsets {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The place whose offset is asked for.
        start: Start,
    },
    /// Stores a plugin under a name, as its next version. The file follows in `UploadChunk` frames, then the client
    /// finishes the stream. Answer: `Uploaded`.
    UploadPlugin {
        /// The plugin's name.
        name: String,
        /// Bytes that follow.
        size: u64,
        /// SHA-256 of the file in lower-case hexadecimal, to be checked by the broker.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
    },
    /// Answer: `Plugins`.
    ListPlugins,
    /// Answer: `Plugin`.
    DescribePlugin {
        /// `name` for the newest version, or `name@version`.
        name: String,
    },
    /// Answer: `Done`.
    DeletePlugin {
        /// `name` for all versions, or `name@version`.
        name: String,
    },
    /// Makes a flow and starts it. Answer: `Flow`.
    CreateFlow {
        /// What it does.
        spec: FlowSpec,
    },
    /// Answer: `Flows`.
    ListFlows,
    /// Answer: `Flow`.
    DescribeFlow {
        /// The flow.
        name: String,
    },
    /// Stops a flow where it is. Answer: `Flow`.
    PauseFlow {
        /// The flow.
        name: String,
    },
    /// Goes on where a flow stopped. Answer: `Flow`.
    ResumeFlow {
        /// The flow.
        name: String,
    },
    /// Has a flow run other versions of its plugins, or with other settings, from an exact offset on. Answer: `Flow`.
    UpgradeFlow {
        /// The flow.
        name: String,
        /// What to change.
        #[serde(default)]
        change: FlowChange,
    },
    /// Runs other versions of a flow's plugins, or other settings, over its source's last records, and stores nothing. Answer:
    /// `DryRun`.
    DryRunFlow {
        /// The flow.
        name: String,
        /// What to change.
        #[serde(default)]
        change: FlowChange,
        /// How many records; `None` leaves it to the broker.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        records: Option<u32>,
        /// Whether plugins that call out over HTTP may do so: what happens outside is real.
        #[serde(default)]
        call_out: bool,
    },
    /// Has a flow run what it ran before; its position and its state stay. Answer: `Flow`.
    RollbackFlow {
        /// The flow.
        name: String,
        /// The revision to go back to; `None` for the one before the last change.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<u32>,
    },
    /// Has a new flow process what a flow's sources hold once more, up to an end. Answer: `Flow`, the new one.
    BackfillFlow {
        /// The flow.
        name: String,
        /// From where to where, and with what.
        #[serde(default)]
        backfill: FlowBackfill,
    },
    /// Sends a flow's dead letters, or some records that it has read, through its plugins once more. Answer: `Flow`, the one that
    /// does it.
    ReplayFlow {
        /// The flow.
        name: String,
        /// What to send.
        replay: FlowReplay,
    },
    /// Answer: `Done`.
    DeleteFlow {
        /// The flow.
        name: String,
    },
    /// What the plugins of a flow keep. Answer: `FlowState`.
    FlowState {
        /// The flow.
        name: String,
        /// Which rows of it.
        query: FlowStateQuery,
    },
    /// Answer: `Broker`.
    DescribeBroker,
}
