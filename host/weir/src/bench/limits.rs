//! `weir bench limits`.

use std::time::Duration;

use super::disk::{PlainFile, RedbFile, Writes};
use super::quic::{self, Packets, RawQuic, Throughputs};
use super::report::{Report, Row};
use super::{Failure, PlaceArgs};
use crate::stats::median;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// Seconds of each measurement in each round
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Rounds; the median is reported
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: u64,
}

const KIB: usize = 1024;

/// Append sizes of plain files.
const APPENDS: [(&str, usize); 4] = [
    ("4 KiB", 4 * KIB),
    ("64 KiB", 64 * KIB),
    ("1 MiB", KIB * KIB),
    ("4 MiB", 4 * KIB * KIB),
];

/// Commits of redb: what, bytes of a value, values in a commit, quick repair.
const COMMITS: [(&str, usize, u64, bool); 5] = [
    ("1.1 kB row a commit", 1100, 1, false),
    ("1.1 kB row a commit, quick repair", 1100, 1, true),
    ("16 KiB values, 3.7 MiB a commit", 16_300, 240, true),
    ("60 KiB values, 3.7 MiB a commit", 61_000, 64, true),
    ("120 kB values, 3.7 MiB a commit", 120_000, 32, true),
];

#[derive(Default)]
struct Rounds {
    mb_per_s: Vec<f64>,
    p50_us: Vec<f64>,
    p99_us: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, writes: &Writes) {
        self.mb_per_s.push(writes.mb_per_s);
        self.p50_us.push(writes.times.p50_us());
        self.p99_us.push(writes.times.quantile_us(0.99));
    }

    fn report(self, what: &str, report: &mut Report) {
        report.row(Row::new(
            format!("{what}: throughput"),
            median(self.mb_per_s),
            "MB/s",
        ));
        report.row(Row::new(format!("{what}: p50"), median(self.p50_us), "us"));
        report.row(Row::new(format!("{what}: p99"), median(self.p99_us), "us"));
    }
}

pub(super) async fn run(args: Args) -> Result<Report, Failure> {
    let place = args.place.make()?;
    let time = Duration::from_secs(args.seconds);
    let quic = RawQuic::connect(Packets::Large).await?;
    let mut throughputs = Throughputs::new().await?;
    let (mut trips50, mut trips99) = (Vec::new(), Vec::new());
    let mut appends = APPENDS.map(|_| Rounds::default());
    let mut commits = COMMITS.map(|_| Rounds::default());
    for _ in 0..args.rounds {
        throughputs.measure(time).await?;
        let trips = quic.round_trips(5000).await?;
        trips50.push(trips.p50_us());
        trips99.push(trips.quantile_us(0.99));
        for ((_, bytes), rounds) in APPENDS.iter().zip(&mut appends) {
            let mut file = PlainFile::create(place.path(), *bytes)?;
            rounds.add(&blocking(move || file.append_for(time)).await?);
        }
        for ((_, bytes, values, quick), rounds) in COMMITS.iter().zip(&mut commits) {
            let fresh = tempfile::tempdir_in(place.path())?;
            let mut file = RedbFile::create(fresh.path(), *bytes, *values, *quick)?;
            rounds.add(&blocking(move || file.commit_for(time)).await?);
        }
    }
    quic.close().await;
    let (throughput, throughput_large) = throughputs.close().await;

    let mut report = Report::default();
    report.row(Row::new(
        "QUIC over loopback, one stream of 64 KiB chunks",
        throughput,
        "MB/s",
    ));
    report.row(quic::large_row(throughput_large));
    report.row(Row::new(
        "QUIC round trip of 64 bytes: p50",
        median(trips50),
        "us",
    ));
    report.row(Row::new(
        "QUIC round trip of 64 bytes: p99",
        median(trips99),
        "us",
    ));
    for ((what, _), rounds) in APPENDS.iter().zip(appends) {
        rounds.report(&format!("append of {what} + fdatasync"), &mut report);
    }
    for ((what, ..), rounds) in COMMITS.iter().zip(commits) {
        rounds.report(&format!("redb, {what}"), &mut report);
    }
    report.note(quic::note());
    report.note(format!(
        "medians of {} rounds of {} s each",
        args.rounds, args.seconds
    ));
    Ok(report)
}

/// Runs what blocks where it may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Failure::new(
            format!("a measuring thread ended: {error}"),
            "report this as a bug",
        )
    })?
}
