//! Opening and steering a subscription.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Start;

/// The first frame of a subscribe stream, from the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSubscribe {
    /// The topic to read.
    pub topic: String,
    /// The partitions to read, each with its start. Empty means all of them, from `start`.
    #[serde(default)]
    pub partitions: Vec<PartitionStart>,
    /// Where to begin if `partitions` is empty.
    #[serde(default)]
    pub start: Start,
    /// How many bytes of batches a `Records` frame should carry at most; 0 leaves it to the broker, which also
    /// caps it. A batch that is larger comes alone in its frame.
    #[serde(default)]
    pub max_bytes_per_frame: u32,
    /// Stop at the high watermark that each partition has now: the broker marks the end of each partition and
    /// then finishes the stream. Otherwise it goes on with what is yet to come.
    #[serde(default)]
    pub until_end: bool,
    /// A filter that the broker runs over what it would send: only the records that it keeps come. A broker that took it
    /// says so in [`SubscribeOpened::filter`]; one that does not know filters would send everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<SubscriptionFilter>,
}

/// A filter plugin for one subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionFilter {
    /// An uploaded plugin of kind filter: `name@version`, or `name` for the newest version.
    pub plugin: String,
    /// What the plugin is set up with.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
}

/// One partition and where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionStart {
    /// The partition.
    pub partition: u32,
    /// Where to begin.
    #[serde(default)]
    pub start: Start,
}

/// Where a subscription begins; later, on the same stream, where a seek went. `Records` frames of a partition that come
/// before this frame belong to the old position, those after it to the new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscribeOpened {
    /// The topic's id, which no other topic ever gets.
    pub topic_id: u32,
    /// The partitions concerned.
    #[serde(default)]
    pub partitions: Vec<SubscribedPartition>,
    /// The filter that runs, `name@version`, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// How far a filtered subscription has got in a partition where its filter keeps nothing: there is no batch that
/// would say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscribeProgress {
    /// The partition.
    pub partition: u32,
    /// Everything before this offset has been sent, or was left out by the filter.
    pub next_offset: i64,
    /// Offset after the last committed record.
    pub high_watermark: i64,
}

/// One partition of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscribedPartition {
    /// The partition.
    pub partition: u32,
    /// Offset of the first record to be delivered. The batch that contains it is sent whole: skip what is before.
    pub start_offset: i64,
    /// Offset after the last committed record.
    pub high_watermark: i64,
    /// First offset that the partition still holds.
    pub log_start_offset: i64,
}

/// Changes to an open subscription, from the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SubscribeControl {
    /// Go on from elsewhere. Answered by a [`SubscribeOpened`] with this one partition.
    Seek {
        /// The partition; it must belong to the subscription.
        partition: u32,
        /// Where to go on.
        start: Start,
    },
    /// Send nothing more from these partitions until they are resumed. What is on its way still arrives.
    Pause {
        /// The partitions.
        partitions: Vec<u32>,
    },
    /// Go on with these partitions.
    Resume {
        /// The partitions.
        partitions: Vec<u32>,
    },
}
