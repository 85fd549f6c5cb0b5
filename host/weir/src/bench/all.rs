//! `weir bench all`: every figure that has a bar.

use super::load::LoadArgs;
use super::place::PlaceArgs;
use super::report::{Report, Row};
use super::{Failure, consume, latency, plugin, produce, start};
use crate::cli::number;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// Rounds of each benchmark; medians are reported
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: u64,
    /// Bytes sent, and read, in a round
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = number::bytes)]
    bytes: u64,
    /// Bytes stored before the broker is killed
    #[arg(long, value_name = "SIZE", default_value = "5GB", value_parser = number::bytes)]
    stored: u64,
}

impl Args {
    fn load(&self, record_bytes: u64, partitions: u32, producers: u32) -> LoadArgs {
        LoadArgs {
            record_bytes,
            batch_bytes: 64 * 1024,
            partitions,
            producers,
        }
    }

    fn produce(&self, load: LoadArgs, flow: bool) -> produce::Args {
        // Small records are many: a quarter of the bytes takes as long.
        let bytes = if load.record_bytes < 512 {
            self.bytes / 4
        } else {
            self.bytes
        };
        produce::Args {
            place: self.place.clone(),
            load,
            bytes,
            seconds: None,
            rounds: self.rounds,
            flow: flow.then(|| "identity".to_owned()),
        }
    }
}

pub(super) async fn run(args: Args) -> Result<Report, Failure> {
    let mut report = Report::default();
    let step = |what: &str| eprintln!("measuring: {what}");

    step("durable produce, 1 KiB records, one producer, one partition");
    let one = produce::run(args.produce(args.load(1024, 1, 1), false)).await?;
    let one_mb_per_s = one.rows[0].figure;
    let (disk, idle, loaded) = (
        row(&one, "disk used"),
        row(&one, "memory, idle"),
        row(&one, "most under load"),
    );
    report.row(row(&one, "durable produce").at_least(0.5));
    report.row(row(&one, "large packets"));

    step("the same, 16 partitions, 4 producers");
    let many = produce::run(args.produce(args.load(1024, 16, 4), false)).await?;
    report.row(
        row(&many, "durable produce")
            .of("the row above", one_mb_per_s)
            .at_least(0.9),
    );
    let loaded_most = if row(&many, "most under load").figure > loaded.figure {
        row(&many, "most under load")
    } else {
        loaded
    };

    step("durable produce, 100 B records, without and with a flow");
    let small = produce::run(args.produce(args.load(100, 1, 1), true)).await?;
    let (records, bytes) = (row(&small, "records"), row(&small, "durable produce"));
    let share = bytes.share.unwrap_or(0.0);
    let meets = records.figure >= 1.5e6 || share >= 0.35;
    report.row(bytes);
    report.row(records.bar("1.5 M/s, or 35 % of raw QUIC", meets));

    step("consume, from the start and at the tail");
    let load = args.load(1024, 1, 1);
    let consumed = consume::run(consume::Args {
        place: args.place.clone(),
        load,
        bytes: args.bytes,
        rounds: args.rounds,
    })
    .await?;
    report.row(row(&consumed, "from the start").at_least(0.7));
    report.row(row(&consumed, "at the tail").at_least(0.7));

    step("latency, one record at a time");
    let one_by_one = latency::run(latency::Args {
        place: args.place.clone(),
        records: 2000,
        rounds: args.rounds,
    })
    .await?;
    let p50 = row(&one_by_one, "p50");
    report.row(p50.share_at_most(2.0));

    let calls = plugin::calls::run(&plugin::calls::CallArgs::for_all()).await?;
    report.row(row(&calls, "identity").at_most(60.0));
    report.row(row(&small, "guest call").at_most(60.0));
    report.row(row(&small, "until its last output").at_least(0.5));

    step("start to ready");
    let starts = start::run(start::Args {
        place: args.place.clone(),
        stored: args.stored,
        rounds: args.rounds,
    })
    .await?;
    report.row(row(&starts, "empty folder").at_most(100.0));
    report.row(row(&starts, "after kill -9").at_most(1000.0));

    report.row(idle.at_most(40.0));
    report.row(loaded_most.at_most(400.0));
    let meets = disk.share.is_some_and(|share| share <= 1.3);
    report.row(disk.bar("at most 130 %", meets));
    for part in [one, many, small, consumed, one_by_one, calls, starts] {
        report.absorb(Report {
            rows: Vec::new(),
            notes: part.notes,
        });
    }
    Ok(report)
}

/// The first row that speaks of `what`.
fn row(report: &Report, what: &str) -> Row {
    let row = report.rows.iter().find(|row| row.what.contains(what)).cloned();
    row.unwrap_or_else(|| Row::new(format!("{what}: not measured"), f64::NAN, ""))
}
