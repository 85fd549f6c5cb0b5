//! `weir flow`.

mod state;

use clap::Subcommand;
use serde_json::{Value, json};
use weir_client::{FlowInfo, FlowMode, FlowPartitionInfo, FlowSpec, FlowState, OnError, Start};

use super::context::Context;
use super::output::table;
use super::{Failure, human_count, number, start};

const EXAMPLES: &str = "\
Examples:
  weir flow create keeper --plugin keep --from lines --to kept
  weir flow create clean --plugin lines-to-json --plugin json-filter@2 --from lines --to clean --set field=status
  weir flow describe keeper
  weir flow pause keeper && weir flow resume keeper

A flow's outputs and its position are written as one: what it writes is there exactly once, whatever happens.
A plugin that fails pauses its own flow; `weir flow describe` shows the reason, everything else goes on.";

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
    /// The topic it reads
    #[arg(long, value_name = "TOPIC")]
    from: String,
    /// The topic it writes; repeated for the outputs of a plugin that has several
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
    /// What happens to a record that a plugin fails on
    #[arg(long, value_enum, default_value = "pause")]
    on_error: OnErrorArg,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Mode {
    /// On records that are stored, into other topics
    Stream,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum OnErrorArg {
    /// The flow stops before the record, with the reason visible, until it is resumed
    Pause,
    /// The record is left out, and counted
    Skip,
    /// The record goes to the topic FLOW.dead-letter, with headers that say where it comes from and why
    DeadLetter,
    /// The record is tried again ten times, with longer and longer pauses, then the flow stops before it
    Retry,
}

impl Create {
    fn into_spec(self) -> FlowSpec {
        FlowSpec {
            name: self.name,
            from: self.from,
            plugins: self.plugins,
            to: self.to,
            config: self.config.into_iter().collect(),
            start: self.start,
            on_error: match self.on_error {
                OnErrorArg::Pause => OnError::Pause,
                OnErrorArg::Skip => OnError::Skip,
                OnErrorArg::DeadLetter => OnError::DeadLetter,
                OnErrorArg::Retry => OnError::Retry,
            },
            mode: match self.mode {
                Mode::Stream => FlowMode::Stream,
            },
        }
    }
}

pub(super) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    let client = context.connect().await?;
    let admin = client.admin();
    let output = context.output;
    match command {
        Command::Create(create) => {
            let flow = admin.create_flow(create.into_spec()).await?;
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
                    let (records_in, out) = (sum.records_in as f64, sum.records_out as f64);
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
        Command::State(args) => state::run(args, &admin, output).await,
        Command::Delete { name } => {
            admin.delete_flow(&name).await?;
            output.answer(&json!({ "deleted": name }), || format!("deleted {name}"))
        }
    }
}

/// The state in one word, and the reason for standing still.
fn state(flow: &FlowInfo) -> (&'static str, Option<&str>) {
    match &flow.state {
        FlowState::Starting => ("starting", None),
        FlowState::Running => ("running", None),
        FlowState::Waiting { reason } => ("waiting", Some(reason)),
        FlowState::Paused { reason } => ("paused", Some(reason)),
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
    view["stopped_at"] = json!(flow.stopped_at);
    view["created_ms"] = json!(flow.created_ms);
    view["log"] = json!(flow.log);
    view["partitions"] = json!(flow.partitions);
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
    format!(
        "{} -> {} -> {}",
        spec.from,
        spec.plugins.join(" -> "),
        spec.to.join(", ")
    )
}

fn describe(flow: &FlowInfo) -> String {
    let (state, reason) = state(flow);
    let mut text = format!("{}: {state}\n", flow.spec.name);
    if let Some(reason) = reason {
        text.push_str(&format!("reason: {reason}\n"));
    }
    if let Some(place) = &flow.stopped_at {
        let offsets = match place.last_offset {
            Some(last) => format!("offsets {} to {last}", place.offset),
            None => format!("offset {}", place.offset),
        };
        let plugin = place
            .plugin
            .as_ref()
            .map(|plugin| format!(", in {plugin}"))
            .unwrap_or_default();
        text.push_str(&format!(
            "stopped at: {} partition {}, {offsets}{plugin}\n",
            place.topic, place.partition
        ));
        if let Some(sample) = &place.sample {
            text.push_str(&format!("the record: {sample}\n"));
        }
    }
    text.push_str(&format!("route: {}\n", route(&flow.spec)));
    for (key, value) in &flow.spec.config {
        text.push_str(&format!("set: {key} = {value}\n"));
    }
    text.push_str(&format!("on error: {}\n", on_error(flow.spec.on_error)));
    if let Some(topic) = &flow.dead_letter {
        text.push_str(&format!("dead letters: topic {topic}\n"));
    }
    let sum = total(flow);
    if sum.records_in > 0 {
        let per_record = sum.guest_ns as f64 / sum.records_in as f64;
        text.push_str(&format!(
            "since the broker started: {} in, {} out, {} dropped, {} skipped, {} dead-lettered, {} retries, stopped {} times, \
             {per_record:.0} ns a record in the plugins\n",
            sum.records_in,
            sum.records_out,
            sum.dropped,
            sum.skipped,
            sum.dead_lettered,
            sum.retried,
            sum.errors
        ));
    }
    let heading = [
        "PARTITION",
        "CURSOR",
        "END",
        "LAG",
        "IN",
        "OUT",
        "DROPPED",
        "FAILED",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut rows = vec![heading];
    rows.extend(flow.partitions.iter().map(|p| {
        [
            i64::from(p.partition),
            p.cursor,
            p.end,
            p.lag,
            p.records_in.cast_signed(),
            p.records_out.cast_signed(),
            p.dropped.cast_signed(),
            (p.skipped + p.dead_lettered).cast_signed(),
        ]
        .map(|number| number.to_string())
        .to_vec()
    }));
    text.push('\n');
    text.push_str(&table(&rows));
    if !flow.log.is_empty() {
        text.push_str("\nwhat the plugins said last:\n");
        for line in &flow.log {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text
}
