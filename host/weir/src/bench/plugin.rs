//! `weir bench plugin`: what plugins cost, alone and in a broker.

pub(super) mod calls;
mod cases;
mod chain;
mod counter;
mod flow;
mod hostile;
mod idle;
mod ingest;
mod native;
mod trap;
mod upload;

use super::Failure;
use super::place::PlaceArgs;
use super::report::Report;
use crate::cli::number;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// What is measured; several, comma-separated; everything unless given
    #[arg(long, value_name = "ROWS,...", value_delimiter = ',', value_enum)]
    rows: Vec<Rows>,
    #[command(flatten)]
    calls: calls::CallArgs,
    /// Bytes of values sent through a filter on ingest, and again without it, in a round
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = number::bytes)]
    ingest_bytes: u64,
    /// Records, of 100 bytes, that a flow has to pass on in a round
    #[arg(long, value_name = "N", default_value = "2000000", value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    flow_records: u64,
    /// Flows that stand idle
    #[arg(long, value_name = "N", default_value = "200", value_parser = clap::value_parser!(u32).range(1..=900))]
    idle_flows: u32,
    /// Records sent one at a time beside a hostile flow, in a round
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(10..=100_000))]
    hostile_records: u32,
}

/// A family of rows.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Rows {
    /// Calls of plugins, against native code
    Calls,
    /// Producing through a filter on ingest
    Ingest,
    /// A flow with a filter and two transforms
    Chain,
    /// A flow that counts by key, with state
    Counter,
    /// From an upload to the first output
    Upload,
    /// From a trap to the next good record
    Trap,
    /// Memory of flows that have nothing to do
    Idle,
    /// Producing beside a flow that loops, allocates or traps
    Hostile,
}

pub(super) async fn run(args: Args) -> Result<Report, Failure> {
    let wanted = |rows| args.rows.is_empty() || args.rows.contains(&rows);
    let step = |what: &str| eprintln!("measuring: {what}");
    let (place, rounds) = (args.place.make()?, args.calls.rounds);
    let mut report = Report::default();
    if wanted(Rows::Calls) {
        step("calls of plugins, and of the same code natively");
        report.absorb(calls::run(&args.calls).await?);
    }
    if wanted(Rows::Ingest) {
        step("produce through a filter on ingest");
        report.absorb(ingest::run(&place, args.ingest_bytes, rounds).await?);
    }
    if wanted(Rows::Chain) {
        step("a flow of three plugins, and of one");
        report.absorb(chain::run(&place, args.flow_records, rounds).await?);
    }
    if wanted(Rows::Counter) {
        step("a flow that counts by key");
        report.absorb(counter::run(&place, args.flow_records, rounds).await?);
    }
    if wanted(Rows::Upload) {
        step("upload to first output");
        report.absorb(upload::run(&place, rounds).await?);
    }
    if wanted(Rows::Trap) {
        step("trap to next good record");
        report.absorb(trap::run(&place).await?);
    }
    if wanted(Rows::Idle) {
        step("memory of idle flows");
        report.absorb(idle::run(&place, args.idle_flows).await?);
    }
    if wanted(Rows::Hostile) {
        step("produce beside a hostile flow");
        report.absorb(hostile::run(&place, args.hostile_records, rounds).await?);
    }
    Ok(report)
}
