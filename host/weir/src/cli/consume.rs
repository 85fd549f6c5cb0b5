//! `weir consume`: the records of a topic, one a line.

mod bounds;
pub(super) mod form;

use std::io::{self, Write};
use std::pin::pin;
use std::time::Duration;

use weir_client::Start;

use super::context::Context;
use super::output::counted;
use super::{Failure, Output, number, signals, start};
use form::Form;

/// Output collected before it is written.
const BUFFER_BYTES: usize = 64 * 1024;

/// How long a write that blocks may hold up an interrupted command.
const GRACE: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  weir consume lines                                      what comes from now on, until interrupted
  weir consume lines --from earliest --exit-at-end        all that is there, then end
  weir consume lines --from @2013-06-30T12:00:00Z -n 10   ten records from a time on
  weir consume lines --from 42 --partition 0 -n 1 --output json
  weir consume events --filter json-filter --filter-set field=status --filter-set value=500

Plain output is the value, and `\\n`. JSON output is one object a line: topic, partition, offset, timestamp, key, value, headers;
a key or value that is not UTF-8 stands in base64 under key_base64 or value_base64.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The topic
    topic: String,
    #[arg(long, value_name = "WHERE", default_value = "latest", value_parser = start::parse, help = start::HELP, allow_hyphen_values = true)]
    from: Start,
    /// End after N records
    #[arg(short = 'n', long = "max-records", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// End where the partitions end now, instead of waiting for more
    #[arg(long)]
    exit_at_end: bool,
    /// Only this partition; may be repeated
    #[arg(long, value_name = "N")]
    partition: Vec<u32>,
    /// Only what this filter plugin keeps, the newest version or NAME@VERSION; it runs in the broker
    #[arg(long, value_name = "NAME[@V]")]
    filter: Option<String>,
    /// A setting for the filter; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = number::key_value, requires = "filter")]
    filter_set: Vec<(String, String)>,
    /// Print the key and C before the value (plain output)
    #[arg(long, value_name = "C", value_parser = number::separator)]
    key_separator: Option<String>,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let client = context.connect().await?;
    if let Start::Offset(offset) = args.from {
        bounds::check(&client, &args.topic, &args.partition, offset).await?;
    }
    let mut builder = client
        .consumer(&args.topic)
        .start(args.from)
        .until_end(args.exit_at_end);
    if !args.partition.is_empty() {
        builder = builder.partitions(args.partition.iter().copied());
    }
    if let Some(plugin) = args.filter {
        builder = builder.filter(plugin, args.filter_set);
    }
    let mut consumer = builder.build().await?;
    let mut sink = Sink::new(match context.output {
        Output::Plain => Form::Plain {
            key_separator: args.key_separator.clone(),
        },
        Output::Json => Form::Json {
            topic: args.topic.clone(),
        },
    });

    let end = tokio::select! {
        end = copy(&mut consumer, &mut sink, args.limit.unwrap_or(u64::MAX)) => end,
        () = interrupted() => sink.flush(),
    };
    match end {
        // Who reads has seen enough.
        Err(End::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(End::Output(error)) => Err(Failure::new(
            format!("cannot write to standard output: {error}"),
            "check where the output goes",
        )),
        Err(End::Client(error)) => {
            let printed = sink.records;
            Err(Failure::from(error).context(format_args!("after {}", counted(printed, "record"))))
        }
        Ok(()) => Ok(()),
    }
}

/// Why copying ended early.
enum End {
    Output(io::Error),
    Client(weir_client::Error),
}

async fn copy(consumer: &mut weir_client::Consumer, sink: &mut Sink, limit: u64) -> Result<(), End> {
    let mut left = limit;
    while left > 0 {
        let batch = {
            let mut next = pin!(consumer.next_batch());
            match poll_once(next.as_mut()).await {
                Some(batch) => batch,
                None => {
                    // Nothing is there yet: what is collected must not wait for it.
                    sink.flush()?;
                    next.await
                }
            }
        };
        let Some(batch) = batch else { break };
        let batch = batch.map_err(End::Client)?;
        for record in batch.records() {
            sink.record(batch.partition(), &record)?;
            left -= 1;
            if left == 0 {
                break;
            }
        }
    }
    sink.flush()
}

/// The future's value if it is there already.
async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match future.as_mut().poll(cx) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

/// A reader of ours that stopped reading blocks the write, and with it the task that would see the signal.
async fn interrupted() {
    let watch = tokio::spawn(async {
        signals::interrupted().await;
        tokio::spawn(async {
            tokio::time::sleep(GRACE).await;
            std::process::exit(0);
        });
    });
    let _ = watch.await;
}

/// Standard output with a buffer.
struct Sink {
    form: Form,
    buffer: Vec<u8>,
    records: u64,
}

impl Sink {
    fn new(form: Form) -> Self {
        Self {
            form,
            buffer: Vec::with_capacity(2 * BUFFER_BYTES),
            records: 0,
        }
    }

    fn record(&mut self, partition: u32, record: &weir_batch::Record<'_>) -> Result<(), End> {
        self.form.write(partition, record, &mut self.buffer);
        self.records += 1;
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), End> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        let written = out.write_all(&self.buffer).and_then(|()| out.flush());
        self.buffer.clear();
        written.map_err(End::Output)
    }
}
