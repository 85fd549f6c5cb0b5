//! Flows: plugins bound to topics.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::Start;
use crate::admin::{FlowBounded, FlowCalls, FlowGuestInfo, FlowLimits};

/// What a flow does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowSpec {
    /// Its name.
    pub name: String,
    /// The topics it reads, each for itself; empty for an ingest flow, which takes what producers send, and for a flow with a schedule.
    /// A single name, as earlier releases send it, is read as well.
    #[serde(default, deserialize_with = "one_or_several")]
    pub from: Vec<String>,
    /// When its producer is polled; none for a flow that reads a topic or guards one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<FlowSchedule>,
    /// The plugins it runs, in this order: `name` for the newest version when the flow is made, or `name@version`.
    pub plugins: Vec<String>,
    /// The topics it writes, by the plugins' output numbers; of an ingest flow the one topic that it guards.
    pub to: Vec<String>,
    /// Settings for the plugins.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// Where in each source it begins.
    #[serde(default)]
    pub start: Start,
    /// What happens when a plugin fails.
    #[serde(default)]
    pub on_error: OnError,
    /// When the plugins run.
    #[serde(default)]
    pub mode: FlowMode,
    /// To which partition of a topic a record goes for which no plugin chooses one.
    #[serde(default)]
    pub partition_by: PartitionBy,
    /// Whether it may close a cycle: its plugins see to it that no record goes round for ever.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_cycle: bool,
    /// The hosts that its plugins may call over HTTP: `HOST[:PORT]` for HTTPS, `http://HOST[:PORT]` for plain HTTP.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_http: Vec<String>,
    /// What its plugins may take, where that is not the broker's default.
    #[serde(default, skip_serializing_if = "FlowLimits::is_empty")]
    pub limits: FlowLimits,
}

impl FlowSpec {
    /// A flow `name` of `plugins` between topics, from the earliest record on, that pauses when a plugin fails. Without a name for the
    /// topic that it reads, it reads none.
    pub fn new(
        name: impl Into<String>,
        from: impl Into<String>,
        plugins: impl IntoIterator<Item = impl Into<String>>,
        to: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            name: name.into(),
            from: Some(from.into())
                .filter(|topic| !topic.is_empty())
                .into_iter()
                .collect(),
            schedule: None,
            plugins: plugins.into_iter().map(Into::into).collect(),
            to: to.into_iter().map(Into::into).collect(),
            config: BTreeMap::new(),
            start: Start::Earliest,
            on_error: OnError::Pause,
            mode: FlowMode::Stream,
            partition_by: PartitionBy::Key,
            allow_cycle: false,
            allow_http: Vec::new(),
            limits: FlowLimits::default(),
        }
    }
}

fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Sources {
        One(String),
        Several(Vec<String>),
    }
    Ok(match Sources::deserialize(deserializer)? {
        Sources::One(topic) if topic.is_empty() => Vec::new(),
        Sources::One(topic) => vec![topic],
        Sources::Several(topics) => topics,
    })
}

/// What to change about a flow. What is empty stays as it is; with nothing to change, every plugin goes to its newest version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowChange {
    /// Plugins of the flow: `name@version`, or `name` for the newest version.
    pub plugins: Vec<String>,
    /// Settings to make.
    pub set: BTreeMap<String, String>,
    /// Settings to take away.
    pub unset: Vec<String>,
    /// What happens when a plugin fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_error: Option<OnError>,
    /// All hosts that the plugins may call over HTTP from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_http: Option<Vec<String>>,
    /// Limits to set.
    #[serde(skip_serializing_if = "FlowLimits::is_empty")]
    pub limits: FlowLimits,
    /// Limits to leave to the broker again, by [name](FlowLimits::NAMES).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unset_limits: Vec<String>,
}

/// What a flow ran from some moment on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowRevision {
    /// 1 for what the flow was made with, and one more for each change.
    pub number: u32,
    /// The plugins, `name@version`.
    pub plugins: Vec<String>,
    /// Their settings.
    pub config: BTreeMap<String, String>,
    /// What happens when a plugin fails.
    pub on_error: OnError,
    /// The hosts that they may call over HTTP.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_http: Vec<String>,
    /// What they may take.
    #[serde(skip_serializing_if = "FlowLimits::is_empty")]
    pub limits: FlowLimits,
    /// When it took over, in milliseconds since 1970.
    pub since_ms: u64,
    /// By source, in the order of [`FlowSpec::from`], then by partition: the first offset that it processes.
    pub from: Vec<Vec<i64>>,
    /// The revision that it repeats, if it came about by going back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub back_to: Option<u32>,
}

/// When a producer is polled. It is polled again at once while it says that it has more; times that pass while it cannot be polled
/// are not made up for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FlowSchedule {
    /// Every so many milliseconds, from 1 up to 366 days.
    EveryMs(u64),
    /// At the times of a cron expression, in UTC: minute, hour, day of the month, month, day of the week, with seconds before them
    /// if there are six fields.
    Cron(String),
}

/// What a flow does when a plugin fails on a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OnError {
    /// The flow stops before the record until it is resumed.
    #[default]
    Pause,
    /// The record is left out.
    Skip,
    /// The record goes to the topic `FLOW.dead-letter`, with headers that say where it comes from and why it is there.
    DeadLetter,
    /// The record is tried again some times, then the flow stops before it.
    Retry,
}

/// To which partition of a topic a record goes for which no plugin chooses one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PartitionBy {
    /// By its key, as Kafka's default partitioner has it; a record without a key goes where its source came from.
    #[default]
    Key,
    /// To the partition with the number of the one that its source came from, modulo the topic's partitions.
    Source,
}

/// When the plugins of a flow run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FlowMode {
    /// On records that are stored, into other topics.
    #[default]
    Stream,
    /// On records before they are stored: everything that is sent to the topic goes through them.
    Ingest,
}

/// A flow and how far it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowInfo {
    /// What it does, with the plugins' versions.
    pub spec: FlowSpec,
    /// What it was made for, if it comes to an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounded: Option<FlowBounded>,
    /// Whether it runs.
    pub state: FlowState,
    /// The record at which a plugin failed, if that is why it does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<FlowPlace>,
    /// Its id, which no other flow ever gets.
    #[serde(default)]
    pub id: u32,
    /// When it was made, in milliseconds since 1970.
    #[serde(default)]
    pub created_ms: u64,
    /// What it has run, oldest first; the last one is what it runs. In a list only that one.
    #[serde(default)]
    pub revisions: Vec<FlowRevision>,
    /// What its plugins logged last, oldest first; empty in a list.
    #[serde(default)]
    pub log: Vec<String>,
    /// The topic of records that its plugins could not handle, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<String>,
    /// The partitions of its sources, or of the topic that an ingest flow guards.
    #[serde(default)]
    pub partitions: Vec<FlowPartitionInfo>,
    /// What its plugins have done and taken, by name; empty in a list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guests: Vec<FlowGuestInfo>,
    /// How far its producer is, for a flow with a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub producing: Option<FlowProducingInfo>,
}

/// How far a producer is. Pages and records count from the flow's creation, the rest from the start of the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowProducingInfo {
    /// Pages stored.
    pub pages: u64,
    /// Records of these pages.
    pub records: u64,
    /// The beginning of the cursor after the last page, as text; none before the first one.
    pub cursor: Option<String>,
    /// Polls, those without a page included.
    pub polls: u64,
    /// Polls to which the plugin said that it has nothing, with a reason.
    pub refused: u64,
    /// Polls that failed.
    pub failed: u64,
    /// Times the flow stopped on an error.
    pub errors: u64,
    /// Nanoseconds spent in polls.
    pub guest_ns: u64,
    /// All polls, and how they failed.
    pub calls: FlowCalls,
    /// When it was polled last, in milliseconds since 1970.
    pub last_poll_ms: Option<u64>,
    /// When it is polled next, in milliseconds since 1970; none while it stands still.
    pub next_poll_ms: Option<u64>,
}

/// Whether a flow runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FlowState {
    /// Its plugins are being loaded.
    Starting,
    /// It runs.
    Running,
    /// It tries again what may heal by itself, for example to write to a full disk.
    Waiting {
        /// What it waits for.
        #[serde(default)]
        reason: String,
    },
    /// It stands still until it is resumed.
    Paused {
        /// Why: a request, or what a plugin did.
        #[serde(default)]
        reason: String,
    },
    /// It has done all that it was made for.
    Finished {
        /// What that came to.
        #[serde(default)]
        reason: String,
    },
}

/// The record, or the batch, at which a flow stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowPlace {
    /// The source topic.
    pub topic: String,
    /// The source partition.
    pub partition: u32,
    /// Offset of the record, or of the batch's first record.
    pub offset: i64,
    /// Offset of the batch's last record, if no single record is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_offset: Option<i64>,
    /// The plugin that failed, `name@version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// The beginning of the record's value, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<String>,
}

/// How far a flow is in one partition of one of its sources. The counts begin when the broker starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowPartitionInfo {
    /// The source's place in [`FlowSpec::from`]; 0 for an ingest flow.
    pub source: u32,
    /// The partition.
    pub partition: u32,
    /// Offset of the next record to be read.
    pub cursor: i64,
    /// Offset after the last committed record, or where the flow ends if that is before it.
    pub end: i64,
    /// Where a flow ends that comes to an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// Records that wait: `end - cursor`.
    pub lag: i64,
    /// Records read.
    pub records_in: u64,
    /// Bytes of the batches read.
    pub bytes_in: u64,
    /// Records written to the flow's topics, dead letters not among them.
    pub records_out: u64,
    /// Bytes of the batches written.
    pub bytes_out: u64,
    /// Records that no plugin passed on.
    pub dropped: u64,
    /// Records that no plugin could handle and that were left out.
    pub skipped: u64,
    /// Records that no plugin could handle and that went to the dead-letter topic.
    pub dead_lettered: u64,
    /// Records that an ingest flow refused.
    pub rejected: u64,
    /// Times a record was tried again.
    pub retried: u64,
    /// Times the flow stopped on an error.
    pub errors: u64,
    /// Nanoseconds spent in the plugins, for the records read.
    pub guest_ns: u64,
    /// All calls of the plugins, and how records failed.
    pub calls: FlowCalls,
}
