//! The command line: what is typed, understood, and handed to one module a command.

mod completions;
mod consume;
mod context;
mod failure;
mod flow;
mod limit;
pub(crate) mod number;
mod output;
mod plugin;
mod produce;
mod progress;
mod serve;
mod signals;
mod start;
mod topic;

use std::process::ExitCode;

use clap::{Parser as _, Subcommand};

use context::{Connection, Context};
pub(crate) use failure::Failure;
pub(crate) use output::{Output, human_bytes, human_count, human_rate, table};
pub(crate) use progress::Progress;
pub(crate) use signals::interrupted;

const EXAMPLES: &str = "\
Examples:
  weir demo                                        the whole story, on real data, in seconds
  weir serve --data ./weir-data                    a broker; clients on this machine find it and trust it by themselves
  weir topic create lines --partitions 4
  weir produce lines access.log                    one record a line
  tail -f access.log | weir produce lines          as they come
  weir consume lines --from earliest -n 10
  weir plugin new keep --kind filter && weir plugin build keep && weir plugin upload keep/keep.wasm --name keep
  weir flow create keeper --plugin keep --from lines --to kept
  weir --broker broker.example:9094 --ca ca.pem topic list";

/// A message broker: QUIC on the wire, redb on disk, WebAssembly plugins inside.
///
/// Records go into the partitions of topics and are acknowledged when they are on disk. Flows run plugins, uploaded as
/// WebAssembly, between topics. One binary is the broker (`weir serve`) and its tools.
#[derive(Debug, clap::Parser)]
#[command(name = "weir", version, after_help = EXAMPLES, max_term_width = 120, disable_help_subcommand = true)]
#[command(propagate_version = false)]
pub(crate) struct Cli {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole story on real data: broker, topics, plugins, a flow, and every count checked
    Demo(crate::demo::Args),
    /// Run a broker
    Serve(serve::Args),
    /// Make, list, describe, alter and delete topics
    #[command(subcommand)]
    Topic(topic::Command),
    /// Send lines to a topic, one record a line
    Produce(produce::Args),
    /// Print the records of a topic
    Consume(consume::Args),
    /// Make, build, test, upload, list, describe and delete plugins
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Bind plugins to topics, and watch, pause, resume and delete what was bound
    #[command(subcommand)]
    Flow(flow::Command),
    /// Measure this machine's limits, and how near the broker comes to them
    #[command(subcommand)]
    Bench(crate::bench::Command),
    /// Print a completion script for a shell
    Completions(completions::Args),
}

/// The whole command line of `weir`: parses the arguments, does what they say and returns the exit status. 0 when it is done,
/// 1 when it went wrong, 2 when it was not understood.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let context = Context::new(cli.connection);
    match cli.command {
        Command::Completions(args) => return completions::run(&args),
        Command::Serve(args) => return serve::run(args),
        _ => {}
    }
    init_client_log();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::new(
                format!("cannot start the runtime: {error}"),
                "free some threads and try again",
            )
        })?;
    let result = runtime.block_on(async {
        let result = match cli.command {
            Command::Demo(args) => crate::demo::run(args, context.output).await,
            Command::Topic(command) => topic::run(command, &context).await,
            Command::Produce(args) => produce::run(args, &context).await,
            Command::Consume(args) => consume::run(args, &context).await,
            Command::Plugin(command) => plugin::run(command, &context).await,
            Command::Flow(command) => flow::run(command, &context).await,
            Command::Bench(command) => crate::bench::run(command, context.output).await,
            Command::Completions(_) | Command::Serve(_) => Ok(()),
        };
        context.close().await;
        result
    });
    // What is still on the blocking pool (a read of standard input) must not hold the exit up.
    runtime.shutdown_background();
    result
}

/// The threads that serve connections. A broker's cores are shared by them, the log's writers and the flows; and a packet is
/// answered sooner by one thread than by several that wake each other.
fn serving_threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (cores / 2).max(1)
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(serving_threads())
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::new(
                format!("cannot start the runtime: {error}"),
                "free some threads and try again",
            )
        })
}

/// Clients are silent unless asked.
fn init_client_log() {
    init_log("error");
}

/// Logs to standard error; `WEIR_LOG` (for example `info`, `weir_log=debug`) decides what, else `default`.
fn init_log(default: &str) {
    use std::io::IsTerminal as _;

    let filter = tracing_subscriber::EnvFilter::try_from_env("WEIR_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    // A second call (an embedding test) keeps the first subscriber.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}

#[cfg(test)]
mod tests;
