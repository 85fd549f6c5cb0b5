//! `weir bench`: this machine's limits, and how near the broker comes to them.
//!
//! A figure alone says little: a disk or a core more and it is another one. So every benchmark measures the limit that
//! binds it anew, in turns with its own rounds, and prints its figure as a share of that limit. Rounds are reported by
//! their median.

mod all;
mod consume;
mod disk;
mod latency;
mod limits;
mod load;
mod place;
mod plugin;
mod produce;
mod quic;
mod report;
mod source;
mod start;

use clap::Subcommand;

use crate::cli::{Failure, Output};
use place::PlaceArgs;
use report::Report;

const EXAMPLES: &str = "\
Examples:
  weir bench limits                                      raw QUIC, redb and plain files on this machine
  weir bench produce                                     1 GiB of 1 KiB records a round, durable, one partition
  weir bench produce --partitions 16 --producers 4
  weir bench produce --record-bytes 100 --flow           with and without a plugin between two topics
  weir bench plugin --rows counter,hostile               two of the families of rows about plugins
  weir bench start --stored 5G                           time to ready after kill -9
  weir bench all --output json                           every figure, with its bar and the verdict

A benchmark starts a broker of its own in a process of its own, on a folder under --data-dir that it removes at the end.";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// What the machine can do: QUIC over loopback, redb commits, appends with fdatasync
    Limits(limits::Args),
    /// Durable produce: throughput, disk used, memory
    Produce(produce::Args),
    /// Consume what is on disk, and at the tail
    Consume(consume::Args),
    /// One record at a time, acknowledged when it is on disk
    Latency(latency::Args),
    /// What plugins cost: calls against native code; flows, state, uploads, traps and hostile guests in a broker
    Plugin(plugin::Args),
    /// Time to ready: on an empty folder, and after kill -9
    Start(start::Args),
    /// All of the above, as one table with bars and verdicts
    All(all::Args),
}

pub(crate) async fn run(command: Command, output: Output) -> Result<(), Failure> {
    if cfg!(debug_assertions) {
        eprintln!("note: this is a debug build: its figures say nothing (cargo build --release)");
    }
    let report = tokio::select! {
        report = measure(command) => report?,
        // Dropping what was under way removes its folder and ends its broker.
        () = crate::cli::interrupted() => {
            return Err(Failure::new("interrupted", "what was made for the benchmark is removed"));
        }
    };
    output.answer(&report, || report.to_string())
}

async fn measure(command: Command) -> Result<Report, Failure> {
    match command {
        Command::Limits(args) => limits::run(args).await,
        Command::Produce(args) => produce::run(args).await,
        Command::Consume(args) => consume::run(args).await,
        Command::Latency(args) => latency::run(args).await,
        Command::Plugin(args) => plugin::run(args).await,
        Command::Start(args) => start::run(args).await,
        Command::All(args) => all::run(args).await,
    }
}
