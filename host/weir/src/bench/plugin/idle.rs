//! What flows take that have nothing to do.

use weir_client::{Client, FlowSpec, FlowState, Record, Start};

use super::flow::{self, RECORD_BYTES};
use crate::bench::load;
use crate::bench::place::Place;
use crate::bench::report::{Report, Row};
use crate::cli::{Failure, human_bytes};
use crate::process::BrokerProcess;

const FROM: &str = "quiet";
const TO: &str = "quieter";
const PLUGIN: &str = "identity";
/// The flow that is there before: what every flow shares is not counted.
const FIRST: &str = "first";

/// So few that what is stored of them takes no memory to speak of.
const RECORDS: u64 = 10;

const KB_MAX: f64 = 200.0;

/// Bytes that are resident: before the flows are there, when they run, when each has passed on records.
struct Resident {
    before: u64,
    made: u64,
    worked: u64,
}

pub(super) async fn run(place: &Place, flows: u32) -> Result<Report, Failure> {
    let broker = BrokerProcess::start(&place.join("idle"), "127.0.0.1:0").await?;
    let client = broker.client().await?;
    let resident = measure(&client, || broker.memory().resident, flows).await?;
    client.close().await;
    broker.stop().await?;
    if resident.before == 0 {
        return Err(Failure::new(
            "this system does not say how much memory a process takes",
            "leave the row out: choose others with --rows",
        ));
    }
    Ok(report(&resident, flows))
}

fn report(resident: &Resident, flows: u32) -> Report {
    let per_flow = |bytes: u64| (bytes as f64 - resident.before as f64) / 1e3 / f64::from(flows);
    let mut report = Report::default();
    for (what, bytes) in [
        ("resident memory of an idle flow, just made", resident.made),
        (
            "resident memory of an idle flow that has passed on records",
            resident.worked,
        ),
    ] {
        report.row(Row::new(what, per_flow(bytes), "KB").at_most(KB_MAX));
    }
    report.note(format!(
        "idle: {flows} flows of the identity transform, {RECORDS} records through each; what the broker takes less the {} that it took before, \
         when one such flow had run, by {flows}",
        human_bytes(resident.before)
    ));
    report
}

/// `resident`: bytes that the broker takes now.
async fn measure(client: &Client, resident: impl Fn() -> u64, flows: u32) -> Result<Resident, Failure> {
    flow::upload(client, &[PLUGIN]).await?;
    for topic in [FROM, TO] {
        load::create(client, topic, 1).await?;
    }
    let spec = |name: &str| FlowSpec {
        start: Start::Latest,
        ..flow::spec(name, FROM, &[PLUGIN], TO, &[])
    };
    let running = |flow: &weir_client::FlowInfo| flow.state == FlowState::Running;
    client.admin().create_flow(spec(FIRST)).await?;
    flow::until(client, FIRST, running).await?;
    send(client).await?;
    flow::until_stored(client, FIRST, TO, RECORDS).await?;
    let before = resident();

    let names: Vec<String> = (0..flows).map(|flow| format!("idle-{flow}")).collect();
    for name in &names {
        client.admin().create_flow(spec(name)).await?;
    }
    for name in &names {
        flow::until(client, name, running).await?;
    }
    let made = resident();
    send(client).await?;
    flow::until_stored(client, FIRST, TO, RECORDS * (u64::from(flows) + 2)).await?;
    Ok(Resident {
        before,
        made,
        worked: resident(),
    })
}

async fn send(client: &Client) -> Result<(), Failure> {
    let value = [b'x'; RECORD_BYTES];
    flow::feed(
        client,
        FROM,
        (0..RECORDS).map(|_| Record::value(value.as_slice())),
    )
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn every_flow_is_there_and_works() {
        let (_broker, client) = flow::broker().await;
        let asked = Cell::new(0);
        let resident = || {
            asked.set(asked.get() + 1);
            asked.get()
        };
        let Resident { before, made, worked } = measure(&client, resident, 5).await.unwrap();
        assert_eq!((before, made, worked), (1, 2, 3));
        assert_eq!(client.admin().list_flows().await.unwrap().len(), 6);
        assert_eq!(load::records_in(&client, TO).await.unwrap(), 7 * RECORDS);
    }

    #[test]
    fn the_broker_before_is_not_counted() {
        let resident = Resident {
            before: 30_000_000,
            made: 50_000_000,
            worked: 70_100_000,
        };
        let rows = report(&resident, 200).rows;
        assert_eq!((rows[0].figure, rows[0].meets_bar), (100.0, Some(true)));
        assert_eq!((rows[1].figure, rows[1].meets_bar), (200.5, Some(false)));
    }
}
