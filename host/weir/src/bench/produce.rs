//! `weir bench produce`.

use std::path::Path;
use std::time::{Duration, Instant};

use weir_client::{FlowInfo, FlowSpec, FlowState};

use super::Failure;
use super::load::{self, LoadArgs, Sent, Until};
use super::place::PlaceArgs;
use super::quic::{self, Throughputs};
use super::report::{Report, Row};
use crate::cli::{human_bytes, human_count, number};
use crate::place::disk_bytes;
use crate::process::BrokerProcess;
use crate::stats::median;

/// How often the broker is asked how far it is.
const POLL: Duration = Duration::from_millis(20);

/// Longest that a flow may take after the last record was acknowledged.
const DRAIN_MAX: Duration = Duration::from_secs(300);

/// The disk is measured when it has not changed for so long.
const QUIET: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    #[command(flatten)]
    pub(super) load: LoadArgs,
    /// Bytes of values sent in a round
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = number::bytes, conflicts_with = "seconds")]
    pub(super) bytes: u64,
    /// Seconds of a round, instead of --bytes
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(super) seconds: Option<u64>,
    /// Rounds; the median is reported
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(super) rounds: u64,
    /// Also with a flow that passes every record through a plugin into a second topic
    #[arg(long, value_name = "PLUGIN", num_args = 0..=1, default_missing_value = "identity", value_parser = ["identity"])]
    pub(super) flow: Option<String>,
}

/// One round with a flow behind the topic.
struct Flowed {
    acknowledged: Sent,
    /// Until the flow had passed on the last record, and it was on disk.
    drained: Duration,
    guest_ns_per_record: f64,
}

/// Everything the rounds gave.
#[derive(Default)]
struct Rounds {
    mb_per_s: Vec<f64>,
    records_per_s: Vec<f64>,
    flow_mb_per_s: Vec<f64>,
    flow_acknowledged: Vec<f64>,
    guest_ns: Vec<f64>,
    bytes: u64,
    disk: u64,
}

pub(super) async fn run(args: Args) -> Result<Report, Failure> {
    let place = args.place.make()?;
    let until = match args.seconds {
        Some(seconds) => Until::Elapsed(Duration::from_secs(seconds)),
        None => Until::Bytes(args.bytes),
    };
    let mut quic = Throughputs::new().await?;
    let data = place.join("data");
    let broker = BrokerProcess::start(&data, "127.0.0.1:0").await?;
    let idle = broker.memory();
    let mut rounds = Rounds::default();
    for round in 0..args.rounds {
        quic.measure(Duration::from_secs(1)).await?;
        // Every round has the disk, and the memory that the system caches it in, as the first one found it.
        drop_topics(&broker).await?;
        let sent = load::fill(&broker, &format!("plain-{round}"), &args.load, until).await?;
        rounds.mb_per_s.push(sent.mb_per_s());
        rounds.records_per_s.push(sent.records_per_s());
        rounds.bytes = sent.bytes;
    }
    rounds.disk = quiet_disk_bytes(&data).await;
    let loaded = broker.memory();
    if args.flow.is_some() {
        for round in 0..args.rounds {
            drop_topics(&broker).await?;
            quic.measure(Duration::from_secs(1)).await?;
            let flowed = with_flow(&broker, round, &args.load, until).await?;
            rounds.flow_acknowledged.push(flowed.acknowledged.mb_per_s());
            rounds
                .flow_mb_per_s
                .push(flowed.acknowledged.bytes as f64 / 1e6 / flowed.drained.as_secs_f64());
            rounds.guest_ns.push(flowed.guest_ns_per_record);
        }
    }
    broker.stop().await?;
    let limits = quic.close().await;
    Ok(report(&args, rounds, limits, idle.resident, loaded.resident_max))
}

fn report(args: &Args, rounds: Rounds, limits: (f64, f64), idle: u64, loaded: u64) -> Report {
    let load = &args.load;
    let shape = format!(
        "{} records, {} batches, {} partition(s), {} producer(s)",
        human_bytes(load.record_bytes),
        human_bytes(load.batch_bytes),
        load.partitions,
        load.producers
    );
    let plain = median(rounds.mb_per_s);
    let mut report = Report::default();
    report.row(Row::new(format!("durable produce: {shape}"), plain, "MB/s").of("raw QUIC", limits.0));
    report.row(Row::new("records", median(rounds.records_per_s), "records/s"));
    report.row(quic::large_row(limits.1));
    if !rounds.flow_mb_per_s.is_empty() {
        let with = Row::new(
            "the same with a flow, until its last output is on disk",
            median(rounds.flow_mb_per_s),
            "MB/s",
        );
        report.row(with.of("without the flow", plain));
        let acknowledged = Row::new(
            "the same with a flow, until acknowledged",
            median(rounds.flow_acknowledged),
            "MB/s",
        );
        report.row(acknowledged.of("without the flow", plain));
        report.row(Row::new(
            "identity transform, guest call",
            median(rounds.guest_ns),
            "ns/record",
        ));
    }
    report.row(
        Row::new("disk used after the load stopped", rounds.disk as f64 / 1e6, "MB")
            .of("bytes of values", rounds.bytes as f64 / 1e6),
    );
    report.row(Row::new(
        "broker's resident memory, idle",
        idle as f64 / 1e6,
        "MB",
    ));
    report.row(Row::new(
        "broker's resident memory, most under load",
        loaded as f64 / 1e6,
        "MB",
    ));
    report.note(format!(
        "every record acknowledged after fsync, and counted in the broker afterwards; {} rounds of {}",
        args.rounds,
        human_bytes(rounds.bytes)
    ));
    report.note(quic::note());
    report.note(format!(
        "{} values a second is the median; client and broker are two processes on this machine",
        human_count(median_records(&report))
    ));
    report
}

fn median_records(report: &Report) -> f64 {
    report
        .rows
        .iter()
        .find(|row| row.unit == "records/s")
        .map_or(0.0, |row| row.figure)
}

/// Sends through a flow and waits until the flow has passed on everything.
async fn with_flow(
    broker: &BrokerProcess,
    round: u64,
    load: &LoadArgs,
    until: Until,
) -> Result<Flowed, Failure> {
    let client = broker.client().await?;
    let admin = client.admin();
    let (from, to, name) = (
        format!("from-{round}"),
        format!("to-{round}"),
        format!("flow-{round}"),
    );
    for topic in [&from, &to] {
        load::create(&client, topic, load.partitions).await?;
    }
    admin
        .upload_plugin("identity", crate::guests::component("identity")?, None)
        .await?;
    let spec = FlowSpec::new(name.clone(), from.clone(), ["identity"], [to.clone()]);
    admin.create_flow(spec).await?;
    let begun = Instant::now();
    let acknowledged = load::send(broker, &from, load, until).await?;
    let flow = loop {
        let flow = admin.describe_flow(&name).await?;
        if let FlowState::Paused { reason } = &flow.state {
            return Err(Failure::new(
                format!("the flow paused: {reason}"),
                "report this as a bug",
            ));
        }
        if passed_on(&flow) >= acknowledged.records
            && load::records_in(&client, &to).await? >= acknowledged.records
        {
            break flow;
        }
        if begun.elapsed() > acknowledged.time + DRAIN_MAX {
            return Err(Failure::new(
                "the flow did not come to its end",
                "WEIR_LOG=debug tells more",
            ));
        }
        tokio::time::sleep(POLL).await;
    };
    let drained = begun.elapsed();
    let out = load::records_in(&client, &to).await?;
    if out != acknowledged.records {
        return Err(Failure::new(
            format!("{} records went in, {out} came out", acknowledged.records),
            "report this as a bug: no figure counts with it",
        ));
    }
    let guest_ns: u64 = flow.partitions.iter().map(|p| p.guest_ns).sum();
    admin.delete_flow(&name).await?;
    client.close().await;
    Ok(Flowed {
        acknowledged,
        drained,
        guest_ns_per_record: guest_ns as f64 / passed_on(&flow).max(1) as f64,
    })
}

fn passed_on(flow: &FlowInfo) -> u64 {
    flow.partitions.iter().map(|p| p.records_in).sum()
}

async fn drop_topics(broker: &BrokerProcess) -> Result<(), Failure> {
    let client = broker.client().await?;
    for topic in client.admin().list_topics().await? {
        client.admin().delete_topic(topic.name).await?;
    }
    client.close().await;
    Ok(())
}

/// What the folder takes once the broker has come to rest.
async fn quiet_disk_bytes(data: &Path) -> u64 {
    let deadline = Instant::now() + 10 * QUIET;
    let mut bytes = disk_bytes(data);
    loop {
        tokio::time::sleep(QUIET).await;
        let now = disk_bytes(data);
        if now == bytes || Instant::now() > deadline {
            return now;
        }
        bytes = now;
    }
}
