//! `weir flow`.

mod bounded;
mod change;
mod create;
mod describe;
mod dry_run;
mod logs;
mod schedule;
mod standing;
mod state;

use clap::Subcommand;
use serde_json::{Value, json};
use weir_client::{FlowInfo, FlowMode, FlowPartitionInfo, FlowSpec, FlowState, OnError};

use super::context::Context;
use super::output::table;
use super::{Failure, human_count, limit, number, start};
use create::{Create, OnErrorArg};
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
    /// Stop a flow where it is, until it is resumed
    Pause {
        /// The flow
        name: String,
    },
    /// Go on where a flow stopped
    ///
    /// Waits until the flow shows whether it gets on. Exit status 1 if it stops again at once.
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
    /// something else comes out than now. Exit status 0 says that no record failed; one for the dead letters is no failure.
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
    /// Delete a flow with what its plugins remember; what it wrote stays, and so do its log and its dead letters
    Delete {
        /// The flow
        name: String,
    },
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
                    ["FLOW", "STATE", "LAG", "IN", "OUT", "FAILED", "ROUTE"]
                        .map(str::to_owned)
                        .to_vec(),
                ];
                rows.extend(flows.iter().map(|flow| {
                    let sum = total(flow);
                    let (mut out, mut failures) = (sum.records_out, failed(&sum));
                    if let Some(producing) = &flow.producing {
                        (out, failures) = (producing.records, producing.failed);
                    }
                    vec![
                        flow.spec.name.clone(),
                        state(flow).0.to_owned(),
                        sum.lag.to_string(),
                        human_count(sum.records_in as f64),
                        human_count(out as f64),
                        human_count(failures as f64),
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
            let before = admin.describe_flow(&name).await?;
            let flow = admin.pause_flow(&name).await?;
            output.answer(&view(&flow), || standing::paused(&before))
        }
        Command::Resume { name } => {
            let before = admin.describe_flow(&name).await?;
            let flow = admin.resume_flow(&name).await?;
            output.answer(&view(&flow), || standing::resumed(&before, &flow))?;
            standing::gets_on(&flow)
        }
        Command::Upgrade(upgrade) => {
            let name = upgrade.name.clone();
            let before = last_revision(&admin.describe_flow(&name).await?);
            let flow = admin.upgrade_flow(&name, upgrade.into_change()).await?;
            output.answer(&view(&flow), || change::changed(&flow, before))
        }
        Command::DryRun(args) => {
            let flow = args.change.name.clone();
            let found = admin
                .dry_run_flow(
                    &flow,
                    args.change.into_change(),
                    Some(args.records),
                    args.call_out,
                )
                .await?;
            output.answer(&json!(found), || dry_run::show(&found))?;
            dry_run::verdict(&flow, &found)
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
            let left = standing::topics_left(&name, &admin.list_topics().await?);
            output.answer(&json!({ "deleted": name, "left": left }), || {
                standing::deleted(&name, &left)
            })
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

/// Records that the plugins could not handle and that the flow went on without.
fn failed(sum: &FlowPartitionInfo) -> u64 {
    sum.skipped + sum.dead_lettered + sum.rejected
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
