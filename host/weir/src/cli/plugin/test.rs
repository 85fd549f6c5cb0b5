//! `weir plugin test`: a plugin over lines, in the broker's own engine and limits, without a broker.

mod guest;
mod input;
mod json;
mod log;
mod metrics;
mod print;
mod problem;
mod producer;
mod run;
mod schema;
mod state;
mod summary;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Instant;

use weir_runtime::{HttpAccess, Kind, Limits, Plugin, Runtime, RuntimeConfig};

use super::read;
use crate::cli::{Failure, Output, interrupted, limit, number};
use guest::Guest;
use input::Input;
use print::Printer;
use run::{Run, Stop};
use state::TestState;
use summary::Summary;

const EXAMPLES: &str = "\
Examples:
  weir plugin test errors.wasm --set contains=ERROR --input access.log
  printf 'UA,1545\\nAA,1714\\n' | weir plugin test keyed.wasm --set column=1 --key-separator :
  weir plugin test split.wasm --outputs good,bad --input all.csv --output json | jq 'select(.output == \"bad\")'
  weir consume lines --from earliest --exit-at-end --output json | weir plugin test keep.wasm --input-format json
  weir plugin test keep.wasm --input all.csv --repeat 20 --summary summary.json > /dev/null
  weir plugin test ticker.wasm --set per-poll=5 --polls 3 --cursor 100

Standard output is what comes out, in order. Plain: the value, behind the key and C with --key-separator C, and behind the output's name
and a tab if there are several. JSON: one object a line with line (of the input), output (of a transform), timestamp, key, value, headers; a
key or value that is not UTF-8 stands in base64 under key_base64 or value_base64. Such lines are input for --input-format json again.

Standard error is what is said about it: the plugin's log lines, each problem with the input's line and the reason, and a summary. With
--summary FILE the summary is one JSON object in FILE instead, with the problems' list: for jq, and for scripts.

Keyed state is in memory and gone at the end, unless --state FILE keeps it. What a failed call changed is forgotten. State of another version
than the plugin knows is migrated by it first, or refused.

A producer is polled instead: what a poll gives is printed, with poll for line in JSON, and standard error has the cursor after it. A poll that
fails is followed by one from the same cursor.

A call that fails is repeated on ever smaller parts of its batch until the record to blame is found. Exit status 0 says that nothing
failed: a trap, a limit, `fail` and `retry` are failures, a record for the dead-letter topic is none. Offsets count the input's lines.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The WebAssembly file, as `weir plugin build` makes it
    file: PathBuf,
    /// The records, one a line; `-` is standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    input: PathBuf,
    /// What a line of the input is
    #[arg(long, value_enum, default_value = "lines")]
    input_format: InputFormat,
    /// What stands between key and value in a line, in the input and in plain output; without it a record has no key
    #[arg(long, value_name = "C", value_parser = number::separator)]
    key_separator: Option<String>,
    /// A configuration key of the plugin; may be repeated
    #[arg(long = "set", value_name = "K=V", value_parser = number::key_value)]
    settings: Vec<(String, String)>,
    /// The names of the outputs of a transform or a producer
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_value = "out")]
    outputs: Vec<String>,
    /// What a record that fails means
    #[arg(long, value_enum, default_value = "report")]
    on_error: OnError,
    /// Call the plugin N times for each batch: steadier figures, and a check that the same batch gives the same answer
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    repeat: u32,
    /// Poll a producer N times, each time from the cursor that the last page ended with [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    polls: Option<u32>,
    /// The cursor that a producer's first poll is given
    #[arg(long, value_name = "TEXT")]
    cursor: Option<String>,
    /// Begin with the keyed state in FILE, if it is there, and write it back at the end: a JSON object with key and value a line
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Write the summary to FILE, as a JSON object
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Milliseconds that one call may take [default: the broker's, 1000]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    deadline_ms: Option<u64>,
    /// Memory that the plugin may have [default: the broker's, 64M]
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<u64>,
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = limit::parse, help = limit::HELP)]
    limits: Vec<limit::Limit>,
    /// A host that the plugin may call over HTTP; may be repeated. HOST[:PORT] is HTTPS, http://HOST[:PORT] plain HTTP
    #[arg(long, value_name = "HOST")]
    allow_http: Vec<weir_runtime::HttpGrant>,
}

/// What a line of the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum InputFormat {
    /// A value, or key and value with --key-separator, as for `weir produce`
    Lines,
    /// An object, as `weir consume --output json` prints it
    Json,
}

/// What becomes of the run when a record fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OnError {
    /// Report it, go on, and end with exit status 1
    Report,
    /// Report it and end there, as a flow pauses
    Stop,
    /// Report it, go on, and end with exit status 0
    Skip,
}

/// Memory that WebAssembly can address: 4 GiB.
const MEMORY_BYTES_MAX: u64 = 4 << 30;

fn memory(text: &str) -> Result<u64, String> {
    match number::bytes(text)? {
        bytes @ 65_536..=MEMORY_BYTES_MAX => Ok(bytes),
        _ => Err("a plugin has between 64K, which is one page of WebAssembly, and 4G".to_owned()),
    }
}

pub(crate) async fn run(args: Args, output: Output) -> Result<(), Failure> {
    let wasm = read(&args.file)?;
    let limits = limits(&args)?;
    let Loaded {
        plugin,
        compile_ms,
        http,
    } = load(&args, &wasm, &limits)?;
    check_outputs(&args, plugin.kind())?;
    if plugin.kind() == Kind::Producer {
        if args.state.is_some() {
            return Err(Failure::new(
                format!("{} is a producer, which has no keyed state", args.file.display()),
                "leave out --state; what a producer has to remember is its --cursor",
            ));
        }
        return producer::run(&args, &plugin, http, compile_ms, output).await;
    }
    if args.polls.is_some() || args.cursor.is_some() {
        return Err(Failure::new(
            format!(
                "{} is no producer: it is given records, and not polled",
                args.file.display()
            ),
            "leave out --polls and --cursor, and give it lines with --input",
        ));
    }
    let config: BTreeMap<String, String> = args.settings.iter().cloned().collect();
    let state = match &args.state {
        Some(file) => TestState::load(file)?,
        None => TestState::default(),
    };
    let guest = Guest::start(
        &plugin,
        config,
        args.outputs.clone(),
        args.repeat,
        state.clone(),
        http,
    )?;
    let mut input = Input::open(&args.input, args.input_format, args.key_separator.clone())?;
    let printer = Printer::new(&args, plugin.kind(), output);

    let mut run = Run::new(guest, printer, args.on_error);
    let ended = feed(&mut input, &mut run).await;
    if matches!(ended, Err(End::Stop(Stop::Failed))) {
        let (lines, at_least) = input.count().await;
        run.end(lines, at_least);
    }
    let (ended, failed) = match ended {
        Ok(()) => (Ok(()), run.failed()),
        Err(End::Stop(Stop::Failed)) => (Ok(()), run.failed()),
        // Who reads has seen enough.
        Err(End::Stop(Stop::Output(error))) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            (Ok(()), run.failed())
        }
        Err(End::Stop(Stop::Output(error))) => {
            let failure = Failure::new(
                format!("cannot write to standard output: {error}"),
                "check where the output goes",
            );
            (Err(failure), true)
        }
        Err(End::Input(failure)) => (Err(failure), true),
    };
    let summary = Summary::new(&plugin, compile_ms, &run, !failed);
    summary.deliver(args.summary.as_deref())?;
    if let Some(file) = &args.state {
        state.save(file)?;
    }
    ended?;
    match run.failed() {
        true => Err(Failure::new(
            format!("{} did not pass: {}", args.file.display(), summary.failures()),
            "mend the plugin, or the lines named above; with --on-error skip they are left out",
        )),
        false => Ok(()),
    }
}

/// Why the input was not fed to its end.
enum End {
    Stop(Stop),
    Input(Failure),
}

/// Runs batch after batch. An interrupt ends the input: what was read counts.
async fn feed(input: &mut Input, run: &mut Run) -> Result<(), End> {
    let mut interrupted = pin!(interrupted());
    loop {
        let batch = tokio::select! {
            biased;
            () = interrupted.as_mut() => return Ok(()),
            batch = input.next_batch() => batch.map_err(End::Input)?,
        };
        let Some(batch) = batch else { return Ok(()) };
        run.batch(&batch).map_err(End::Stop)?;
    }
}

fn limits(args: &Args) -> Result<Limits, Failure> {
    let mut limits = Limits::default();
    if let Some(deadline_ms) = args.deadline_ms {
        limits.deadline_ms = deadline_ms;
    }
    if let Some(memory) = args.memory {
        limits.memory_bytes_max = usize::try_from(memory).unwrap_or(usize::MAX);
    }
    let own = limit::collect(args.limits.clone());
    if own.state_bytes.is_some() {
        return Err(Failure::new(
            "a test keeps all of a plugin's state in memory, without a limit",
            "leave out --limit state: it is for flows",
        ));
    }
    limit::apply(&own, &mut limits);
    Ok(limits)
}

/// A plugin, ready to be started.
struct Loaded {
    plugin: Plugin,
    compile_ms: f64,
    /// Its way to the hosts that it is granted.
    http: Option<HttpAccess>,
}

/// The compiled plugin, and the milliseconds that took: nothing is cached.
fn load(args: &Args, wasm: &[u8], limits: &Limits) -> Result<Loaded, Failure> {
    let file = args.file.display();
    let runtime = Runtime::new(RuntimeConfig {
        limits: limits.clone(),
        ..RuntimeConfig::default()
    })
    .map_err(|error| {
        Failure::new(
            error.to_string(),
            "run it on another machine, or report this as a bug",
        )
    })?;
    let begun = Instant::now();
    let plugin = runtime
        .load(wasm)
        .map_err(|error| Failure::from_message(&error.to_string()).context(&file))?;
    let compile_ms = begun.elapsed().as_secs_f64() * 1e3;
    let http = match (plugin.imports_http(), args.allow_http.is_empty()) {
        (true, true) => {
            return Err(Failure::new(
                format!("{file} calls out over HTTP, and may call no host"),
                "give each host that it is to reach with --allow-http HOST[:PORT], http://HOST for plain HTTP",
            ));
        }
        (false, false) => {
            return Err(Failure::new(
                format!("{file} does not call out over HTTP"),
                "leave out --allow-http",
            ));
        }
        (false, true) => None,
        (true, false) => {
            let access = runtime.http(args.allow_http.clone());
            Some(access.map_err(|error| Failure::from_message(&error.to_string()))?)
        }
    };
    Ok(Loaded {
        plugin,
        compile_ms,
        http,
    })
}

fn check_outputs(args: &Args, kind: Kind) -> Result<(), Failure> {
    let names = &args.outputs;
    let refused = |what: String| {
        Failure::new(
            what,
            "name each output of a transform or a producer once, as in --outputs good,bad",
        )
    };
    if kind == Kind::Filter && names.as_slice() != ["out"] {
        return Err(refused("a filter has no outputs to name".to_owned()));
    }
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(refused("an output has an empty name".to_owned()));
        }
        if names[..index].contains(name) {
            return Err(refused(format!("two outputs are called {name:?}")));
        }
    }
    Ok(())
}
