//! `weir produce`: one record a line.

mod held_up;
pub(super) mod lines;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::mpsc;
use weir_client::{Codec, Delivery, ErrorCode, Producer, Record, RecordFate};

use super::context::Context;
use super::output::counted;
use super::{Failure, Progress, human_bytes, human_count, human_rate, number, signals};
use lines::{Line, LineError};

/// Groups of deliveries that wait for their acknowledgement; each is the lines of one chunk of input.
const GROUPS_WAITING_MAX: usize = 64;

/// Lines of one group at most.
const GROUP_LINES_MAX: usize = 4096;

const EXAMPLES: &str = "\
Examples:
  weir produce lines access.log
  tail -f access.log | weir produce lines
  weir produce flights flights.csv --key-separator ,        `UA,1545,...`: key `UA`, value `1545,...`
  weir produce lines access.log --compression zstd --output json

A line ends at `\\n` or `\\r\\n`. Exit status 0 says that every line is acknowledged, that is: on disk, or left out by the topic's
ingest flow. Lines that such a flow refuses do not stop the others; they are counted, and the exit status is 1.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The topic
    topic: String,
    /// The file; without it, or as `-`, standard input
    file: Option<PathBuf>,
    /// What stands between key and value in a line; without it a record has no key
    #[arg(long, value_name = "C", value_parser = number::separator)]
    key_separator: Option<String>,
    /// The partition for every record; without it by key, or in turns
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// How batches are compressed
    #[arg(long, value_enum, default_value = "none")]
    compression: Compression,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Compression {
    None,
    Lz4,
    Zstd,
    Snappy,
    Gzip,
}

impl Compression {
    pub(crate) fn codec(self) -> Codec {
        match self {
            Self::None => Codec::None,
            Self::Lz4 => Codec::Lz4,
            Self::Zstd => Codec::Zstd,
            Self::Snappy => Codec::Snappy,
            Self::Gzip => Codec::Gzip,
        }
    }
}

/// What was sent, or acknowledged.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    records: u64,
    bytes: u64,
    /// Left out by the topic's ingest flow.
    dropped: u64,
    /// Refused by it.
    rejected: u64,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let input = lines::open(args.file.as_deref())?;
    let client = context.connect().await?;
    let producer = client
        .producer(&args.topic)
        .compression(args.compression.codec())
        .linger(Duration::from_millis(2))
        .build()
        .await?;

    let started = Instant::now();
    let progress = Progress::bytes(input.len());
    let (groups, acknowledged) = acknowledge();
    let sending = async {
        let sent = tokio::select! {
            sent = send(&args, &producer, input, groups, &progress) => sent,
            () = signals::interrupted() => Err(Failure::new(
                "interrupted before the end of the input",
                "what is acknowledged stays; run it again from the line after",
            )),
        };
        // Everything that was sent is settled before anything is said about it.
        (sent, producer.close().await)
    };
    let (sent, flushed) = tokio::select! {
        done = sending => done,
        never = held_up::tell(&producer, &progress) => match never {},
    };
    let acknowledged = acknowledged
        .await
        .map_err(|error| Failure::new(error.to_string(), "report this as a bug"))?;
    drop(progress);
    let (tally, failed) = acknowledged;
    let elapsed = started.elapsed().as_secs_f64();

    if let Some((line, error)) = failed.as_ref().filter(|_| tally.rejected > 0) {
        sent.map_err(|failure| failure.context(acknowledged_lines(tally.records)))?;
        return Err(Failure::new(
            format!(
                "the topic's ingest flow refused {}, the first is line {line}: {error}",
                counted(tally.rejected, "line")
            ),
            format!(
                "mend them, or look at the flow; the {} others are acknowledged",
                tally.records
            ),
        ));
    }
    let done = format!("before it, {}", acknowledged_lines(tally.records));
    if let Some((line, error)) = failed {
        return Err(Failure::from(error).context(format_args!("line {line} ({done})")));
    }
    sent.map_err(|failure| failure.context(acknowledged_lines(tally.records)))?;
    flushed?;
    let answer = json!({
        "topic": args.topic,
        "records": tally.records,
        "dropped": tally.dropped,
        "bytes": tally.bytes,
        "seconds": elapsed,
        "records_per_s": tally.records as f64 / elapsed,
        "bytes_per_s": tally.bytes as f64 / elapsed,
    });
    context.output.answer(&answer, || {
        let dropped = match tally.dropped {
            0 => String::new(),
            dropped => format!(", of which the topic's ingest flow left out {dropped}"),
        };
        format!(
            "{}, {} in {elapsed:.2} s: {} records/s, {}; every one acknowledged{dropped}",
            counted(tally.records, "record"),
            human_bytes(tally.bytes),
            human_count(tally.records as f64 / elapsed),
            human_rate(tally.bytes, elapsed),
        )
    })
}

/// How far it got.
fn acknowledged_lines(lines: u64) -> String {
    let are = if lines == 1 { "is" } else { "are" };
    format!("{} {are} acknowledged", counted(lines, "line"))
}

/// The deliveries of consecutive lines, the first of which has number `first`.
struct Group {
    first: u64,
    deliveries: Vec<(u32, Delivery)>,
}

type Outcome = (Tally, Option<(u64, weir_client::ProduceError)>);

/// Awaits every delivery in order, off the sending path; ends when the sender is dropped, or at the first failure. Records that
/// an ingest flow refuses are counted, and the first is told, but they do not end it.
fn acknowledge() -> (mpsc::Sender<Group>, tokio::task::JoinHandle<Outcome>) {
    let (sender, mut groups) = mpsc::channel::<Group>(GROUPS_WAITING_MAX);
    let task = tokio::spawn(async move {
        let mut tally = Tally::default();
        let mut refused = None;
        while let Some(Group { first, deliveries }) = groups.recv().await {
            for (line, (bytes, delivery)) in (first..).zip(deliveries) {
                match delivery.await {
                    Ok(stored) => {
                        tally.records += 1;
                        tally.bytes += u64::from(bytes);
                        tally.dropped += u64::from(stored.fate == RecordFate::Dropped);
                    }
                    Err(error) if is_refusal(&error) => {
                        tally.rejected += 1;
                        refused.get_or_insert((line, error));
                    }
                    // Dropping the receiver tells the sending side.
                    Err(error) => {
                        tally.rejected = 0;
                        return (tally, Some((line, error)));
                    }
                }
            }
        }
        (tally, refused)
    });
    (sender, task)
}

/// Whether it is this very record that is refused.
fn is_refusal(error: &weir_client::ProduceError) -> bool {
    matches!(
        error.code(),
        Some(ErrorCode::RecordRejected | ErrorCode::RecordDeferred)
    )
}

async fn send(
    args: &Args,
    producer: &Producer,
    input: lines::Input,
    groups: mpsc::Sender<Group>,
    progress: &Progress,
) -> Result<(), Failure> {
    let mut lines = input.start();
    let mut number = 0;
    let mut read_bytes = 0;
    while let Some(chunk) = lines.next_chunk().await {
        let chunk = chunk.map_err(|error| read_failure(&error, number))?;
        read_bytes += chunk.len() as u64;
        let mut rest = lines::split(chunk);
        loop {
            let mut group = Group {
                first: number + 1,
                deliveries: Vec::new(),
            };
            for line in rest.by_ref().take(GROUP_LINES_MAX) {
                number += 1;
                let bytes = u32::try_from(line.len()).unwrap_or(u32::MAX);
                match send_line(args, producer, line).await {
                    Ok(delivery) => group.deliveries.push((bytes, delivery)),
                    Err(failure) => {
                        // What went before it is still to be accounted for.
                        let _ = groups.send(group).await;
                        return Err(failure.context(format_args!("line {number}")));
                    }
                }
            }
            if group.deliveries.is_empty() {
                break;
            }
            if groups.send(group).await.is_err() {
                return Ok(()); // a line failed: the other side knows which
            }
        }
        progress.set(read_bytes);
        progress.message(format!("{} records", human_count(number as f64)));
    }
    Ok(())
}

async fn send_line(args: &Args, producer: &Producer, line: Line) -> Result<Delivery, Failure> {
    Ok(producer.send(record(args, line)?).await?)
}

fn record(args: &Args, line: Line) -> Result<Record<'static>, Failure> {
    let (key, value) = match &args.key_separator {
        None => (None, line),
        Some(separator) => match memchr::memmem::find(&line, separator.as_bytes()) {
            Some(at) => (Some(line.slice(..at)), line.slice(at + separator.len()..)),
            None => {
                return Err(Failure::new(
                    format!("no key separator {separator:?}"),
                    "mend the line, or leave --key-separator out",
                ));
            }
        },
    };
    let mut record = Record::value(value);
    if let Some(key) = key {
        record = record.key(key);
    }
    if let Some(partition) = args.partition {
        record = record.partition(partition);
    }
    Ok(record)
}

pub(super) fn read_failure(error: &LineError, number: u64) -> Failure {
    match error {
        LineError::TooLong { bytes } => Failure::new(
            format!(
                "a line after line {number} is longer than {}",
                human_bytes(*bytes as u64)
            ),
            "check that the input is text with one record a line",
        ),
        LineError::Read(error) => Failure::new(
            format!("cannot read the input after line {number}: {error}"),
            "check the file or the pipe",
        ),
    }
}
