//! `weir flow`.

mod bounded;
mod change;
mod describe;
mod dry_run;
mod logs;
mod schedule;
mod state;

use clap::Subcommand;
use serde_json::{Value, json};
use weir_client::{
    FlowInfo, FlowMode, FlowPartitionInfo, FlowSchedule, FlowSpec, FlowState, OnError, PartitionBy, Start,
};

use super::context::Context;
use super::output::table;
use super::{Failure, human_count, limit, number, start};
use describe::describe;

const EXAMPLES: &str = "\
Examples:
  weir flow create keeper --plugin keep --from lines --to kept
  weir flow create merge --plugin keep --from web --from mobile --to visits   # two sources, each from its earliest record on
  weir flow create clean --plugin lines-to-json --plugin json-filter@2 --from lines --to clean --set field=status
  weir flow create checked --mode ingest --plugin redact --to orders
  weir flow create ticks --plugin ticker --every 5s --to ticks
  weir flow create nightly --plugin fetch --cron '30 2 * * *' --to reports
  weir flow create priced --plugin enrich --from orders --to priced --set url='https://prices.example/{key}' --allow-http prices.example
  weir flow create large --plugin scripted --from lines --to out --limit memory=256MiB --limit call-time=5s
  weir flow describe keeper
  weir flow pause keeper && weir flow resume keeper
  weir flow dry-run keeper                          # what its newest versions would make of the last 1000 records
  weir flow upgrade keeper                          # every plugin at its newest version
  weir flow upgrade clean --plugin json-filter@1 --set field=code
  weir flow rollback clean
  weir flow backfill clean --plugin json-filter@3 --to clean-anew   # what is there already, beside the running flow
  weir flow replay clean                                            # its dead letters, once it can handle them

A flow's outputs and its position are written as one: what it writes is there exactly once, whatever happens.
A plugin that fails pauses its own flow; `weir flow describe` shows the reason, everything else goes on.
An ingest flow guards its topic: from now on everything that is sent there goes through it before it is stored. What it cannot
handle is refused, record by record, with the reason; while it does not run, nothing is taken.";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum Command {
    /// Bind plugins between topics and start
    Create(Create),
    /// List the flows
    List,
    /// Show how far a flow is, and why it stands still
    Describe {
        /// The flow
        name: String,
    },
    /// Stop a flow where it is
    Pause {
        /// The flow
        name: String,
    },
    /// Go on where a flow stopped
    Resume {
        /// The flow
        name: String,
    },
    /// Run other versions of its plugins, or other settings, from an exact offset on
    ///
    /// No record is lost, and none is processed by both. What runs goes on if the new versions do not start. What the plugins keep in
    /// their state stays.
    Upgrade(change::Upgrade),
    /// Try other versions of its plugins, or other settings, on the last records of its source; nothing is stored
    ///
    /// With nothing to change, the newest version of every plugin is tried. Shows what comes out, what fails, what it costs, and of which records
    /// something else comes out than now.
    DryRun(dry_run::DryRunArgs),
    /// Show what a flow's plugins log, and what the broker says about them
    Logs(logs::Logs),
    /// Go back to what a flow ran before; its position and its state stay
    ///
    /// Each rollback goes one revision further back: a revision that came about by a rollback counts as the one that it repeats. To go
    /// forward again, name the revision; `weir flow describe` lists them.
    Rollback {
        /// The flow
        name: String,
        /// The revision to go to; without it, the one before what runs now
        #[arg(long, value_name = "REVISION")]
        to: Option<u32>,
    },
    /// Process what a flow's sources hold once more, up to an end, beside the running flow
    ///
    /// Makes a new flow with a position and state of its own, and the plugins, settings, policy and topics of the other one, or those
    /// given.
    #[command(after_help = bounded::BACKFILL_EXAMPLES)]
    Backfill(bounded::Backfill),
    /// Send a flow's dead letters, or some records that it has read, through its plugins once more
    #[command(after_help = bounded::REPLAY_EXAMPLES)]
    Replay(bounded::Replay),
    /// Show what the plugins of a flow remember
    State(state::Args),
    /// Delete a flow with what its plugins remember; what it wrote stays
    Delete {
        /// The flow
        name: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Create {
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
enum OnErrorArg {
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
    fn policy(self) -> OnError {
        match self {
            Self::Pause => OnError::Pause,
            Self::Skip => OnError::Skip,
            Self::DeadLetter => OnError::DeadLetter,
            Self::Retry => OnError::Retry,
        }
    }
}

impl Create {
    fn into_spec(self) -> Result<FlowSpec, Failure> {
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

pub(super) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    let client = context.connect().await?;
    let admin = client.admin();
    let output = context.output;
    match command {
        Command::Create(create) => {
            let flow = admin.create_flow(create.into_spec()?).await?;
            output.answer(&view(&flow), || {
                format!("created {}: {}", flow.spec.name, route(&flow.spec))
            })
        }
        Command::List => {
            let flows = admin.list_flows().await?;
            let views: Vec<Value> = flows.iter().map(view).collect();
            output.answer(&views, || {
                let mut rows = vec![
                    ["FLOW", "STATE", "LAG", "IN", "OUT", "ROUTE"]
                        .map(str::to_owned)
                        .to_vec(),
                ];
                rows.extend(flows.iter().map(|flow| {
                    let sum = total(flow);
                    let (records_in, mut out) = (sum.records_in as f64, sum.records_out as f64);
                    if let Some(producing) = &flow.producing {
                        out = producing.records as f64;
                    }
                    vec![
                        flow.spec.name.clone(),
                        state(flow).0.to_owned(),
                        sum.lag.to_string(),
                        human_count(records_in),
                        human_count(out),
                        route(&flow.spec),
                    ]
                }));
                table(&rows)
            })
        }
        Command::Describe { name } => {
            let flow = admin.describe_flow(&name).await?;
            output.answer(&view(&flow), || describe(&flow))
        }
        Command::Pause { name } => {
            let flow = admin.pause_flow(&name).await?;
            output.answer(&view(&flow), || format!("paused {name}"))
        }
        Command::Resume { name } => {
            let flow = admin.resume_flow(&name).await?;
            output.answer(&view(&flow), || format!("resumed {name}"))
        }
        Command::Upgrade(upgrade) => {
            let name = upgrade.name.clone();
            let before = last_revision(&admin.describe_flow(&name).await?);
            let flow = admin.upgrade_flow(&name, upgrade.into_change()).await?;
            output.answer(&view(&flow), || change::changed(&flow, before))
        }
        Command::DryRun(args) => {
            let name = args.change.name.clone();
            let found = admin
                .dry_run_flow(name, args.change.into_change(), Some(args.records), args.call_out)
                .await?;
            output.answer(&json!(found), || dry_run::show(&found))
        }
        Command::Logs(args) => logs::run(&client, context, args).await,
        Command::Rollback { name, to } => {
            let before = last_revision(&admin.describe_flow(&name).await?);
            let flow = admin.rollback_flow(&name, to).await?;
            output.answer(&view(&flow), || change::changed(&flow, before))
        }
        Command::Backfill(args) => {
            let of = args.flow.clone();
            let flow = admin.backfill_flow(of, args.into_request()).await?;
            output.answer(&view(&flow), || bounded::begun(&flow))
        }
        Command::Replay(args) => {
            let of = args.flow.clone();
            let flow = admin.replay_flow(of, args.into_request()).await?;
            output.answer(&view(&flow), || bounded::begun(&flow))
        }
        Command::State(args) => state::run(args, &admin, output).await,
        Command::Delete { name } => {
            admin.delete_flow(&name).await?;
            output.answer(&json!({ "deleted": name }), || format!("deleted {name}"))
        }
    }
}

fn last_revision(flow: &FlowInfo) -> Option<u32> {
    flow.revisions.last().map(|revision| revision.number)
}

/// The state in one word, and the reason for standing still.
fn state(flow: &FlowInfo) -> (&'static str, Option<&str>) {
    match &flow.state {
        FlowState::Starting => ("starting", None),
        FlowState::Running => ("running", None),
        FlowState::Waiting { reason } => ("waiting", Some(reason)),
        FlowState::Paused { reason } => ("paused", Some(reason)),
        FlowState::Finished { reason } => ("finished", Some(reason)),
        _ => ("unknown", None),
    }
}

fn total(flow: &FlowInfo) -> FlowPartitionInfo {
    flow.partitions
        .iter()
        .fold(FlowPartitionInfo::default(), |mut sum, p| {
            sum.lag += p.lag;
            sum.records_in += p.records_in;
            sum.records_out += p.records_out;
            sum.dropped += p.dropped;
            sum.skipped += p.skipped;
            sum.dead_lettered += p.dead_lettered;
            sum.rejected += p.rejected;
            sum.retried += p.retried;
            sum.errors += p.errors;
            sum.guest_ns += p.guest_ns;
            sum
        })
}

/// One flat object: the words of the specification, `state` and `reason`, and the partitions.
fn view(flow: &FlowInfo) -> Value {
    let (state, reason) = state(flow);
    let mut view = json!(flow.spec);
    view["state"] = json!(state);
    view["reason"] = json!(reason);
    view["bounded"] = json!(flow.bounded);
    view["stopped_at"] = json!(flow.stopped_at);
    view["created_ms"] = json!(flow.created_ms);
    view["revisions"] = json!(flow.revisions);
    view["log"] = json!(flow.log);
    view["partitions"] = json!(flow.partitions);
    view["producing"] = json!(flow.producing);
    view["guests"] = json!(flow.guests);
    view
}

fn on_error(policy: OnError) -> &'static str {
    match policy {
        OnError::Skip => "skip",
        OnError::DeadLetter => "dead-letter",
        OnError::Retry => "retry",
        _ => "pause",
    }
}

fn route(spec: &FlowSpec) -> String {
    let from = match (spec.mode, &spec.schedule) {
        (FlowMode::Ingest, _) => "producers",
        (_, Some(schedule)) => &schedule::text(schedule),
        _ => &spec.from.join(", "),
    };
    format!(
        "{from} -> {} -> {}",
        spec.plugins.join(" -> "),
        spec.to.join(", ")
    )
}
