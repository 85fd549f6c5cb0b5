//! What a flow is asked to do.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{FlowLimits, Start};

/// A flow as somebody asks for it: which plugins run between which topics.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FlowSpec {
    /// The flow's name, by the rules for topics.
    pub name: String,
    /// The topics it reads, each for itself: nothing is ordered between them, and state is kept for each of them. Empty for an ingest
    /// flow, which takes what producers send, and for a flow with a schedule.
    #[serde(default, deserialize_with = "one_or_several")]
    pub from: Vec<String>,
    /// When its producer is polled; none for a flow that reads a topic or guards one.
    #[serde(default)]
    pub schedule: Option<Schedule>,
    /// The plugins a record goes through, in order: `name@version`, or `name` for the newest version at creation.
    pub plugins: Vec<String>,
    /// The topics it writes. The last transform of the chain chooses among them per record; a flow of filters alone
    /// writes what it keeps to every one. An ingest flow has one: the topic it guards.
    pub to: Vec<String>,
    /// What the plugins of the chain are set up with. A key `NAME.key`, where NAME is the name (without version) of a plugin
    /// of the chain, goes to that plugin alone, as `key`; every other key goes to every plugin as it is.
    pub config: BTreeMap<String, String>,
    /// Where in each source it begins; nowhere but at [`Start::Earliest`] for an ingest flow.
    pub start: Start,
    /// What happens to a record that a plugin cannot handle.
    pub on_error: OnError,
    /// Where in a record's life the plugins run.
    pub mode: Mode,
    /// To which partition of a sink a record goes for which no plugin chooses one.
    #[serde(default)]
    pub partition_by: PartitionBy,
    /// Whether it may close a cycle: its plugins see to it that no record goes round for ever.
    #[serde(default)]
    pub allow_cycle: bool,
    /// The hosts that its plugins may call over HTTP: `HOST[:PORT]` for HTTPS, `http://HOST[:PORT]` for plain HTTP, see
    /// [`HttpGrant`](weir_runtime::HttpGrant).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_http: Vec<String>,
    /// What its plugins may take, where that is not the broker's default.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: FlowLimits,
}

fn is_default(limits: &FlowLimits) -> bool {
    *limits == FlowLimits::default()
}

impl FlowSpec {
    /// An ingest flow `name` of `plugins` that guards `topic` and refuses what fails.
    pub fn ingest(
        name: impl Into<String>,
        plugins: impl IntoIterator<Item = impl Into<String>>,
        topic: impl Into<String>,
    ) -> Self {
        Self {
            mode: Mode::Ingest,
            ..Self::of_sources(name, Vec::new(), plugins, [topic])
        }
    }

    /// The topics it needs: all that it reads and writes.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &String> {
        self.to.iter().chain(&self.from)
    }

    /// The topics whose partitions its progress is shown for: its sources, or the one that an ingest flow guards.
    pub(crate) fn shown_topics(&self) -> &[String] {
        match self.mode {
            Mode::Stream => &self.from,
            Mode::Ingest => &self.to[..self.to.len().min(1)],
        }
    }

    /// The topic that an ingest flow guards.
    pub(crate) fn guarded_topic(&self) -> Option<&str> {
        let guarded = self.to.first().filter(|_| self.mode == Mode::Ingest);
        guarded.map(String::as_str)
    }

    /// A flow `name` in which the producer `plugin` is polled as `schedule` says.
    pub fn producing(
        name: impl Into<String>,
        schedule: Schedule,
        plugin: impl Into<String>,
        to: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            schedule: Some(schedule),
            ..Self::of_sources(name, Vec::new(), [plugin.into()], to)
        }
    }

    /// A flow `name` of `plugins` between topics, from the earliest record on, that pauses on an error.
    pub fn new(
        name: impl Into<String>,
        from: impl Into<String>,
        plugins: impl IntoIterator<Item = impl Into<String>>,
        to: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self::of_sources(name, vec![from.into()], plugins, to)
    }

    /// The same with several sources.
    pub fn of_sources(
        name: impl Into<String>,
        from: Vec<String>,
        plugins: impl IntoIterator<Item = impl Into<String>>,
        to: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            name: name.into(),
            from,
            schedule: None,
            plugins: plugins.into_iter().map(Into::into).collect(),
            to: to.into_iter().map(Into::into).collect(),
            config: BTreeMap::new(),
            start: Start::Earliest,
            on_error: OnError::Pause,
            mode: Mode::Stream,
            partition_by: PartitionBy::Key,
            allow_cycle: false,
            allow_http: Vec::new(),
            limits: FlowLimits::default(),
        }
    }
}

/// The sources as they are stored: a list, or, by earlier releases, the one that there is, empty for none.
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

/// When a producer is polled. It is polled again at once while it says that it has more.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Every so many milliseconds, from 1 up to 366 days.
    EveryMs(u64),
    /// At the times of a cron expression, in UTC: minute, hour, day of the month, month, day of the week, with seconds before them
    /// if there are six fields.
    Cron(String),
}

/// What happens to a record that a plugin cannot handle: the plugin says so, the call traps or breaks a limit, or what comes
/// out is too large for the sink.
///
/// An ingest flow never stops at a record. With `Pause` and `Retry` it refuses it, with the reason, and its producer hears of
/// that for this very record; after `Retry` it may send it again.
///
/// A plugin that asks for a record to go to the dead-letter topic, or to be tried again, gets that whatever is set here; this
/// is what happens when trying again does not help.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// The record is left out.
    Skip,
    /// The record goes to the topic `FLOW.dead-letter`, made when it is needed, as it was and with headers that say where it
    /// comes from and why it is there.
    DeadLetter,
    /// The record is tried again, with longer and longer pauses, and after [`flow_retries_max`](crate::Limits) times the flow
    /// pauses.
    Retry,
    /// The flow pauses in front of the record.
    Pause,
}

impl OnError {
    /// The name it has in requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::DeadLetter => "dead-letter",
            Self::Retry => "retry",
            Self::Pause => "pause",
        }
    }
}

/// To which partition of a sink a record goes for which no plugin chooses one.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionBy {
    /// By its key, as Kafka's default partitioner has it; a record without a key goes where its source came from.
    #[default]
    Key,
    /// To the partition with the number of the one that its source came from, modulo the sink's partitions.
    Source,
}

/// Where in a record's life the plugins run.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Between topics, after the record is stored.
    Stream,
    /// Before the record is stored.
    Ingest,
}

impl Mode {
    /// The name it has in requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Ingest => "ingest",
        }
    }
}
