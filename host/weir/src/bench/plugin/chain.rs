//! A filter and two transforms in one pass, against one of them.

use weir_client::{Client, Record};

use super::cases;
use super::flow::{self, RECORD_BYTES};
use crate::bench::load;
use crate::bench::place::Place;
use crate::bench::report::{Report, Row};
use crate::cli::Failure;
use crate::process::BrokerProcess;
use crate::stats::median;

const FROM: &str = "objects";
const CHAIN: [&str; 3] = ["json-filter", "json-project", "identity"];

/// The filter keeps every record, so that every plugin has all of them to do.
const FILTER: [(&str, &str); 2] = [("json-filter.field", "delay"), ("json-filter.op", "exists")];
const PROJECT: (&str, &str) = ("json-project.keep", "n,delay");

/// What the chain may cost, in the cost of one plugin.
const COST_MAX: f64 = 1.6;

/// Objects that are made; they are sent again and again.
const OBJECTS: usize = 10_000;

pub(super) async fn run(place: &Place, records: u64, rounds: u64) -> Result<Report, Failure> {
    let broker = BrokerProcess::start(&place.join("chain"), "127.0.0.1:0").await?;
    let client = broker.client().await?;
    let (chain, one) = measure(&client, records, rounds).await?;
    client.close().await;
    broker.stop().await?;
    Ok(report(chain, one))
}

/// Records a second through the chain, and through the projection alone.
async fn measure(client: &Client, records: u64, rounds: u64) -> Result<(f64, f64), Failure> {
    flow::upload(client, &CHAIN).await?;
    load::create(client, FROM, 1).await?;
    let objects = cases::some_objects(RECORD_BYTES, OBJECTS)?;
    let count = usize::try_from(records).unwrap_or(usize::MAX);
    let sent = objects
        .iter()
        .cycle()
        .take(count)
        .map(|object| Record::value(object.as_slice()));
    flow::feed(client, FROM, sent).await?;
    let (mut chain, mut one) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let (name, to) = (format!("one-{round}"), format!("one-out-{round}"));
        let spec = flow::spec(&name, FROM, &CHAIN[1..2], &to, &[PROJECT]);
        one.push(flow::rate(client, spec, records).await?);
        let (name, to) = (format!("chain-{round}"), format!("chain-out-{round}"));
        let spec = flow::spec(&name, FROM, &CHAIN, &to, &[FILTER[0], FILTER[1], PROJECT]);
        chain.push(flow::rate(client, spec, records).await?);
    }
    Ok((median(chain), median(one)))
}

fn report(chain: f64, one: f64) -> Report {
    let mut report = Report::default();
    let what = "a flow of filter, projection and identity in one pass, 100 B records";
    let meets = one <= chain * COST_MAX;
    report.row(
        Row::new(what, chain, "records/s")
            .of("the projection alone", one)
            .bar(format!("at most {COST_MAX} x its cost"), meets),
    );
    report.note(
        "flows: one partition, so at most one core in guests at a time; everything is stored before the flow is made, and the time is from \
         then until its last output is on disk",
    );
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_chain_passes_every_record_on() {
        let (_broker, client) = flow::broker().await;
        let (chain, one) = measure(&client, 1_000, 1).await.unwrap();
        assert!(chain > 0.0 && one > 0.0, "{chain} {one}");
        assert_eq!(client.admin().list_flows().await.unwrap(), []);
    }

    #[test]
    fn the_bar_is_on_the_cost() {
        let verdict = |chain, one| report(chain, one).rows[0].meets_bar;
        assert_eq!(verdict(100.0, 159.0), Some(true));
        assert_eq!(verdict(100.0, 161.0), Some(false));
    }
}
