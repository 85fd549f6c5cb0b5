//! `weir bench start`.

use std::time::Duration;

use super::Failure;
use super::load::{self, LoadArgs, Until};
use super::place::PlaceArgs;
use super::report::{Report, Row};
use crate::cli::{human_bytes, number};
use crate::place::disk_bytes;
use crate::process::BrokerProcess;
use crate::stats::median;

/// How long there is load before the broker is killed under it.
const LOAD_BEFORE_KILL: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    /// Bytes stored before the broker is killed
    #[arg(long, value_name = "SIZE", default_value = "5GB", value_parser = number::bytes)]
    pub(super) stored: u64,
    /// How often it is started on an empty folder, and killed under load
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(super) rounds: u64,
}

pub(super) async fn run(args: Args) -> Result<Report, Failure> {
    let place = args.place.make()?;
    let mut empty = Vec::new();
    for round in 0..args.rounds {
        let broker = BrokerProcess::start(&place.join(&format!("empty-{round}")), "127.0.0.1:0").await?;
        empty.push(broker.ready_after().as_secs_f64() * 1e3);
        broker.stop().await?;
    }

    let load = LoadArgs {
        record_bytes: 1024,
        batch_bytes: 64 * 1024,
        partitions: 4,
        producers: 1,
    };
    let data = place.join("stored");
    let mut broker = BrokerProcess::start(&data, "127.0.0.1:0").await?;
    let sent = load::fill(&broker, "stored", &load, Until::Bytes(args.stored)).await?;
    let on_disk = disk_bytes(&data);
    let mut killed = Vec::new();
    for _ in 0..args.rounds {
        let addr = broker.addr().to_owned();
        // Killed in the middle of writing: the load ends with an error, or not at all, and is of no interest.
        let under_load = load::send(&broker, "stored", &load, Until::Elapsed(10 * LOAD_BEFORE_KILL));
        let _ = tokio::time::timeout(LOAD_BEFORE_KILL, under_load).await;
        broker.kill().await?;
        broker = BrokerProcess::start(&data, &addr).await?;
        killed.push(broker.ready_after().as_secs_f64() * 1e3);
        let client = broker.client().await?;
        let stored = load::records_in(&client, "stored").await?;
        client.close().await;
        if stored < sent.records {
            return Err(Failure::new(
                format!(
                    "{} records were acknowledged, {stored} are there after kill -9",
                    sent.records
                ),
                "report this as a bug: no figure counts with it",
            ));
        }
    }
    broker.stop().await?;

    let mut report = Report::default();
    report.row(Row::new("start to ready, empty folder", median(empty), "ms"));
    report.row(Row::new(
        format!(
            "start to ready, {} stored, after kill -9 under load",
            human_bytes(sent.bytes)
        ),
        median(killed),
        "ms",
    ));
    report.note(format!(
        "from before the process is made until it listens; {} on disk; every acknowledged record was there",
        human_bytes(on_disk)
    ));
    Ok(report)
}
