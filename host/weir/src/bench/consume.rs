//! `weir bench consume`.

use std::time::{Duration, Instant};

use weir_client::{Client, Start};

use super::Failure;
use super::load::{self, LoadArgs, Until};
use super::place::PlaceArgs;
use super::quic::{self, Throughputs};
use super::report::{Report, Row};
use crate::cli::{human_bytes, number};
use crate::process::BrokerProcess;
use crate::stats::median;

const TOPIC: &str = "stored";

/// What is read again and again at the tail: less than the broker keeps in memory of a partition's end.
const TAIL_BYTES: u64 = 4 << 20;

/// How often it is read in one round.
const TAIL_READS: u32 = 40;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    #[command(flatten)]
    pub(super) load: LoadArgs,
    /// Bytes of values stored, and then read in every round
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = number::bytes)]
    pub(super) bytes: u64,
    /// Rounds; the median is reported
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(super) rounds: u64,
}

/// What a consumer got.
#[derive(Clone, Copy, Debug, Default)]
struct Received {
    records: u64,
    /// Of the batches, as they are stored.
    bytes: u64,
    time: Duration,
}

impl Received {
    fn mb_per_s(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.time.as_secs_f64()
    }
}

pub(super) async fn run(args: Args) -> Result<Report, Failure> {
    let place = args.place.make()?;
    let data = place.join("data");
    let mut quic = Throughputs::new().await?;
    let mut broker = BrokerProcess::start(&data, "127.0.0.1:0").await?;
    let sent = load::fill(&broker, TOPIC, &args.load, Until::Bytes(args.bytes)).await?;

    let (mut stored, mut tails, mut records) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..args.rounds {
        // A broker that was just started has nothing in its own memory.
        broker.stop().await?;
        broker = BrokerProcess::start(&data, "127.0.0.1:0").await?;
        quic.measure(Duration::from_secs(1)).await?;
        let client = broker.client().await?;
        let all = read(&client, TOPIC, Start::Earliest).await?;
        if all.records != sent.records {
            return Err(Failure::new(
                format!("{} records were stored, {} came out", sent.records, all.records),
                "report this as a bug: no figure counts with it",
            ));
        }
        stored.push(all.mb_per_s());
        records.push(all.records as f64 / all.time.as_secs_f64());
        client.close().await;
        tails.push(tail(&broker, round, &args.load).await?.mb_per_s());
    }
    broker.stop().await?;
    let (limit, limit_large) = quic.close().await;

    let mut report = Report::default();
    report.row(
        Row::new("consume from the start what is on disk", median(stored), "MB/s").of("raw QUIC", limit),
    );
    report.row(Row::new("records", median(records), "records/s"));
    report.row(quic::large_row(limit_large));
    report.row(Row::new("consume at the tail", median(tails), "MB/s").of("raw QUIC", limit));
    report.note(format!(
        "from the start: {} after a restart of the broker, every batch's checksum verified by the client (the file system may still hold pages of the files)",
        human_bytes(sent.bytes)
    ));
    report.note(format!(
        "at the tail: the last {} written, {TAIL_READS} times",
        human_bytes(TAIL_BYTES)
    ));
    report.note(quic::note());
    Ok(report)
}

/// Writes a little and reads it again and again.
async fn tail(broker: &BrokerProcess, round: u64, load: &LoadArgs) -> Result<Received, Failure> {
    let topic = format!("tail-{round}");
    let one = LoadArgs {
        partitions: 1,
        producers: 1,
        ..load.clone()
    };
    let sent = load::fill(broker, &topic, &one, Until::Bytes(TAIL_BYTES)).await?;
    let client = broker.client().await?;
    let mut sum = Received::default();
    for _ in 0..TAIL_READS {
        let received = read(&client, &topic, Start::Earliest).await?;
        if received.records != sent.records {
            return Err(Failure::new(
                "the tail was not read in full",
                "report this as a bug",
            ));
        }
        sum.bytes += received.bytes;
        sum.time += received.time;
        sum.records += received.records;
    }
    client.close().await;
    Ok(sum)
}

/// Reads to the end; the time begins when the subscription is asked for.
async fn read(client: &Client, topic: &str, start: Start) -> Result<Received, Failure> {
    let mut received = Received::default();
    let begun = Instant::now();
    let mut consumer = client
        .consumer(topic)
        .start(start)
        .until_end(true)
        .build()
        .await?;
    while let Some(batch) = consumer.next_batch().await {
        let batch = batch?;
        received.bytes += batch.bytes().len() as u64;
        // Walked, as a user would: a batch that nobody looks into is no record.
        received.records += batch.records().filter(|record| record.value().is_some()).count() as u64;
    }
    received.time = begun.elapsed();
    Ok(received)
}
