//! `weir bench latency`.

use std::time::Instant;

use weir_client::{Client, Producer, Record};

use super::disk::PlainFile;
use super::place::PlaceArgs;
use super::quic::{Packets, RawQuic};
use super::report::{Report, Row};
use super::source::Source;
use super::{Failure, limits, load};
use crate::process::BrokerProcess;
use crate::stats::{Times, median};

const TOPIC: &str = "one-by-one";
const RECORD_BYTES: usize = 1024;
const APPEND_BYTES: usize = 4096;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    /// Records of a round, one after the other
    #[arg(long, default_value = "2000", value_parser = clap::value_parser!(u64).range(10..=1_000_000))]
    pub(super) records: u64,
    /// Rounds; the median is reported
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(super) rounds: u64,
}

/// Quantiles of each round.
#[derive(Default)]
struct Rounds {
    p50: Vec<f64>,
    p99: Vec<f64>,
    p999: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, times: &Times) {
        self.p50.push(times.p50_us());
        self.p99.push(times.quantile_us(0.99));
        self.p999.push(times.quantile_us(0.999));
    }
}

pub(super) async fn run(args: Args) -> Result<Report, Failure> {
    let place = args.place.make()?;
    let quic = RawQuic::connect(Packets::Large).await?;
    let broker = BrokerProcess::start(&place.join("data"), "127.0.0.1:0").await?;
    let client = broker.client().await?;
    load::create(&client, TOPIC, 1).await?;
    let mut source = Source::new(RECORD_BYTES)?;
    let count = usize::try_from(args.records).unwrap_or(usize::MAX);

    let (mut weir, mut append, mut trips) = (Rounds::default(), Rounds::default(), Rounds::default());
    one_by_one(&client, &mut source, 200).await?; // warm
    for _ in 0..args.rounds {
        trips.add(&quic.round_trips(count).await?);
        let mut file = PlainFile::create(place.path(), APPEND_BYTES)?;
        append.add(
            &limits::blocking(move || {
                let mut times = Times::new();
                for _ in 0..count {
                    times.record(file.append()?);
                }
                Ok(times)
            })
            .await?,
        );
        weir.add(&one_by_one(&client, &mut source, count).await?);
    }
    client.close().await;
    broker.stop().await?;
    quic.close().await;

    let (append50, trip50) = (median(append.p50), median(trips.p50));
    let mut report = Report::default();
    report.row(
        Row::new(
            "one 1 KiB record acknowledged, batch of one, durable: p50",
            median(weir.p50),
            "us",
        )
        .of("append + fdatasync + round trip, p50", append50 + trip50),
    );
    report.row(Row::new("the same: p99", median(weir.p99), "us").of(
        "their p99",
        median(append.p99.clone()) + median(trips.p99.clone()),
    ));
    report.row(
        Row::new("the same: p999", median(weir.p999), "us")
            .of("their p999", median(append.p999) + median(trips.p999)),
    );
    report.row(Row::new("append of 4 KiB + fdatasync: p50", append50, "us"));
    report.row(Row::new("QUIC round trip of 64 bytes: p50", trip50, "us"));
    report.note(format!(
        "{} records a round, each sent when the one before was acknowledged; {} rounds",
        args.records, args.rounds
    ));
    Ok(report)
}

async fn one_by_one(client: &Client, source: &mut Source, count: usize) -> Result<Times, Failure> {
    let producer = client.producer(TOPIC).build().await?;
    let mut times = Times::new();
    in_turn(&producer, source, count, &mut times).await?;
    producer.close().await?;
    Ok(times)
}

/// Sends `count` records, each when the one before is acknowledged.
pub(super) async fn in_turn(
    producer: &Producer,
    source: &mut Source,
    count: usize,
    times: &mut Times,
) -> Result<(), Failure> {
    for _ in 0..count {
        let record = Record::value(source.next());
        let begun = Instant::now();
        let delivery = producer.send(record).await?;
        delivery.await?;
        times.record(begun.elapsed());
    }
    Ok(())
}
