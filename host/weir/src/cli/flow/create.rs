//! `weir flow create`.

use weir_client::{FlowMode, FlowSchedule, FlowSpec, OnError, PartitionBy, Start};

use super::{limit, number, schedule, start};
use crate::cli::Failure;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Create {
    /// Its name
    name: String,
    /// A plugin, the newest version or NAME@VERSION; repeated, they run one after the other in one pass
    #[arg(long = "plugin", value_name = "NAME[@V]", required = true)]
    plugins: Vec<String>,
    /// The topic it reads; repeated for several, which it reads side by side. None for an ingest flow, and for a producer
    #[arg(long, value_name = "TOPIC", conflicts_with_all = ["every", "cron"])]
    from: Vec<String>,
    /// Poll a producer so often: 500ms, 5s, 10m, 1h
    #[arg(long, value_name = "TIME", value_parser = schedule::every, conflicts_with = "cron")]
    every: Option<u64>,
    /// Poll a producer at these times, in UTC: minute, hour, day of the month, month, day of the week
    #[arg(long, value_name = "EXPRESSION")]
    cron: Option<String>,
    /// The topic it writes; repeated for the outputs of a plugin that has several. The topic that an ingest flow guards
    #[arg(long, value_name = "TOPIC", required = true)]
    to: Vec<String>,
    /// A setting for the plugins; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = number::key_value)]
    config: Vec<(String, String)>,
    #[arg(long, value_name = "WHERE", default_value = "earliest", value_parser = start::parse, help = start::HELP)]
    start: Start,
    /// When the plugins run
    #[arg(long, value_enum, default_value = "stream")]
    mode: Mode,
    /// A host that its plugins may call over HTTP; may be repeated. HOST[:PORT] is HTTPS, http://HOST[:PORT] plain HTTP; *.NAME stands for
    /// all hosts below a name
    #[arg(long, value_name = "HOST")]
    allow_http: Vec<String>,
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = limit::parse, help = limit::HELP)]
    limits: Vec<limit::Limit>,
    /// What happens to a record that a plugin fails on
    #[arg(long, value_enum, default_value = "pause")]
    on_error: OnErrorArg,
    /// Which partition a record goes to, unless a plugin chooses one
    #[arg(long, value_enum, default_value = "key")]
    partition_by: PartitionByArg,
    /// Let it write what leads back to what it reads; its plugins have to let records out
    #[arg(long)]
    allow_cycle: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum PartitionByArg {
    /// The one that its key stands for, as in Kafka; without a key, as for source
    Key,
    /// The one with the number of the partition that it comes from
    Source,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Mode {
    /// On records that are stored, into other topics
    Stream,
    /// On everything that is sent to the topic, before it is stored
    Ingest,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum OnErrorArg {
    /// The flow stops before the record, with the reason visible, until it is resumed; an ingest flow refuses the record
    Pause,
    /// The record is left out, and counted
    Skip,
    /// The record goes to the topic FLOW.dead-letter, with headers that say where it comes from and why
    DeadLetter,
    /// The record is tried again ten times, with longer and longer pauses, then the flow stops before it; an ingest flow
    /// refuses the record, and its producer may send it again
    Retry,
}

impl OnErrorArg {
    pub(super) fn policy(self) -> OnError {
        match self {
            Self::Pause => OnError::Pause,
            Self::Skip => OnError::Skip,
            Self::DeadLetter => OnError::DeadLetter,
            Self::Retry => OnError::Retry,
        }
    }
}

impl Create {
    pub(super) fn into_spec(self) -> Result<FlowSpec, Failure> {
        let every = self.every.map(FlowSchedule::EveryMs);
        let schedule = every.or(self.cron.map(FlowSchedule::Cron));
        if matches!(self.mode, Mode::Stream) && self.from.is_empty() && schedule.is_none() {
            return Err(Failure::new(
                "a flow between topics needs a topic to read, and a producer a schedule",
                "give a topic with --from, a schedule with --every or --cron, or make it an ingest flow with --mode ingest",
            ));
        }
        Ok(FlowSpec {
            name: self.name,
            from: self.from,
            schedule,
            plugins: self.plugins,
            to: self.to,
            config: self.config.into_iter().collect(),
            start: self.start,
            on_error: self.on_error.policy(),
            allow_http: self.allow_http,
            limits: limit::collect(self.limits),
            mode: match self.mode {
                Mode::Stream => FlowMode::Stream,
                Mode::Ingest => FlowMode::Ingest,
            },
            allow_cycle: self.allow_cycle,
            partition_by: match self.partition_by {
                PartitionByArg::Key => PartitionBy::Key,
                PartitionByArg::Source => PartitionBy::Source,
            },
        })
    }
}
