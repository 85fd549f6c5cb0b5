//! Producing into a topic that an ingest flow guards.

use weir_client::{FlowMode, FlowSpec};

use super::flow;
use crate::bench::load::{self, LoadArgs, Sent, Until};
use crate::bench::place::Place;
use crate::bench::report::{Report, Row};
use crate::cli::Failure;
use crate::process::BrokerProcess;
use crate::stats::median;

const SHARE_MIN: f64 = 0.85;

/// The filter that guards the topic. It lets everything pass, so that as much is stored as without it.
const FILTER: &str = "identity-filter";

const LOAD: LoadArgs = LoadArgs {
    record_bytes: 1024,
    batch_bytes: 64 << 10,
    partitions: 1,
    producers: 1,
};

pub(super) async fn run(place: &Place, bytes: u64, rounds: u64) -> Result<Report, Failure> {
    let broker = BrokerProcess::start(&place.join("ingest"), "127.0.0.1:0").await?;
    let (plain, guarded) = measure(&broker, bytes, rounds).await?;
    broker.stop().await?;
    let mut report = Report::default();
    report.row(
        Row::new(
            "durable produce of 1 KiB records through a filter on ingest",
            guarded,
            "MB/s",
        )
        .of("without it", plain)
        .at_least(SHARE_MIN),
    );
    report.note("ingest: every record acknowledged after fsync, and counted in the broker afterwards; the filter keeps all");
    Ok(report)
}

/// Megabytes of values a second without and with the filter: medians of rounds that take turns.
async fn measure(broker: &BrokerProcess, bytes: u64, rounds: u64) -> Result<(f64, f64), Failure> {
    let (mut plain, mut guarded) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        plain.push(
            send(broker, &format!("plain-{round}"), false, bytes)
                .await?
                .mb_per_s(),
        );
        guarded.push(
            send(broker, &format!("guarded-{round}"), true, bytes)
                .await?
                .mb_per_s(),
        );
    }
    Ok((median(plain), median(guarded)))
}

/// Fills a topic that is made for it, and deleted afterwards.
async fn send(broker: &BrokerProcess, topic: &str, guard: bool, bytes: u64) -> Result<Sent, Failure> {
    let client = broker.client().await?;
    load::create(&client, topic, LOAD.partitions).await?;
    if guard {
        flow::upload(&client, &[FILTER]).await?;
        let spec = FlowSpec {
            mode: FlowMode::Ingest,
            ..FlowSpec::new(topic, "", [FILTER], [topic])
        };
        client.admin().create_flow(spec).await?;
    }
    let sent = load::send(broker, topic, &LOAD, Until::Bytes(bytes)).await?;
    let stored = load::records_in(&client, topic).await?;
    if stored != sent.records {
        return Err(Failure::new(
            format!(
                "{} records were acknowledged, the broker has {stored}",
                sent.records
            ),
            "report this as a bug: no figure counts with it",
        ));
    }
    if guard {
        client.admin().delete_flow(topic).await?;
    }
    client.admin().delete_topic(topic).await?;
    client.close().await;
    Ok(sent)
}
