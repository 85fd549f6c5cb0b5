//! Producing while a hostile flow loops, allocates or traps.

use weir_client::{Client, FlowSpec, OnError, Producer};

use super::flow;
use crate::bench::latency::in_turn;
use crate::bench::load;
use crate::bench::place::Place;
use crate::bench::report::{Report, Row};
use crate::bench::source::Source;
use crate::cli::Failure;
use crate::process::BrokerProcess;
use crate::stats::{Times, median};

const TOPIC: &str = "produced";
const FROM: &str = "hostile-in";
const TO: &str = "hostile-out";
const PLUGIN: &str = "hostile";
const BAD: &str = "bad";

/// What the plugin is told to do at a bad record, and what that is called.
const DEEDS: [(&str, &str); 3] = [("loop", "loops"), ("memory", "allocates"), ("trap", "traps")];

const RECORD_BYTES: usize = 1024;
/// Sent before the first round.
const WARM_RECORDS: usize = 200;
/// With the hostile flow, in what it is without.
const RATIO_MAX: f64 = 2.0;

/// The flow begins with small batches, so that it soon has skipped one: then it is known to be at work.
const SMALL_BATCHES: usize = 20;
const LARGE_BATCH_RECORDS: usize = 1_000;
const LARGE_BATCHES: usize = 1_000;

/// Records sent between two looks at the hostile flow.
const LOOK_EVERY: usize = 20;

/// p99 of one deed, in microseconds.
#[derive(Debug, Default)]
struct Deed {
    beside: Vec<f64>,
    without: Vec<f64>,
}

pub(super) async fn run(place: &Place, records: u32, rounds: u64) -> Result<Report, Failure> {
    let broker = BrokerProcess::start(&place.join("hostile"), "127.0.0.1:0").await?;
    let client = broker.client().await?;
    let deeds = measure(&client, records as usize, rounds, LARGE_BATCHES).await?;
    client.close().await;
    broker.stop().await?;
    Ok(report(deeds, records))
}

fn report(deeds: [Deed; 3], records: u32) -> Report {
    let mut report = Report::default();
    for ((_, what), deed) in DEEDS.iter().zip(deeds) {
        let row = Row::new(
            format!("produce one 1 KiB record at a time while a flow {what}: p99"),
            median(deed.beside),
            "us",
        )
        .of("without the flow", median(deed.without));
        report.row(row.share_at_most(RATIO_MAX));
    }
    report.note(format!(
        "hostile: every other record of the flow's topic is bad, policy skip; the flow has a backlog all the time; {records} records a round, in \
         turns with as many without the flow"
    ));
    report
}

async fn measure(
    client: &Client,
    records: usize,
    rounds: u64,
    large_batches: usize,
) -> Result<[Deed; 3], Failure> {
    flow::upload(client, &[PLUGIN]).await?;
    for topic in [TOPIC, FROM, TO] {
        load::create(client, topic, 1).await?;
    }
    backlog(client, large_batches).await?;
    let mut source = Source::new(RECORD_BYTES)?;
    let producer = client.producer(TOPIC).build().await?;
    in_turn(&producer, &mut source, WARM_RECORDS, &mut Times::new()).await?;
    let mut deeds: [Deed; 3] = Default::default();
    for round in 0..rounds {
        for ((deed, _), p99) in DEEDS.iter().zip(&mut deeds) {
            let mut without = Times::new();
            in_turn(&producer, &mut source, records, &mut without).await?;
            p99.without.push(without.quantile_us(0.99));
            let (mut beside, mut flows) = (Times::new(), 0);
            while beside.len() < records as u64 {
                let name = format!("{deed}-{round}-{flows}");
                client.admin().create_flow(spec(&name, deed)).await?;
                beside_flow(client, &name, &producer, &mut source, records, &mut beside).await?;
                client.admin().delete_flow(&name).await?;
                flows += 1;
            }
            p99.beside.push(beside.quantile_us(0.99));
        }
    }
    producer.close().await?;
    Ok(deeds)
}

/// Sends until there are `records` times, or the flow has half of its backlog behind it.
async fn beside_flow(
    client: &Client,
    name: &str,
    producer: &Producer,
    source: &mut Source,
    records: usize,
    times: &mut Times,
) -> Result<(), Failure> {
    flow::until(client, name, |flow| flow::total(flow, |p| p.skipped) > 0).await?;
    while let left @ 1.. = records as u64 - times.len() {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(LOOK_EVERY);
        in_turn(producer, source, count, times).await?;
        let flow = client.admin().describe_flow(name).await?;
        flow::refuse_paused(&flow)?;
        let (lag, end) = flow
            .partitions
            .first()
            .map_or((0, 0), |partition| (partition.lag, partition.end));
        if lag == 0 {
            // Nobody was harmed by a flow that had ended its work.
            return Err(Failure::new(
                format!("the flow {name} was through its backlog before {count} records were sent"),
                "choose a faster disk with --data-dir",
            ));
        }
        if lag < end / 2 {
            break;
        }
    }
    Ok(())
}

fn spec(name: &str, deed: &str) -> FlowSpec {
    let config = [("hostile.do", deed), ("hostile.at", BAD)];
    FlowSpec {
        on_error: OnError::Skip,
        ..flow::spec(name, FROM, &[PLUGIN], TO, &config)
    }
}

/// Fills the hostile flow's topic: good and bad records in turns, since a plugin that does nothing but fail is paused.
async fn backlog(client: &Client, large_batches: usize) -> Result<(), Failure> {
    let producer = client.producer(FROM).build().await?;
    let sizes =
        std::iter::repeat_n(2, SMALL_BATCHES).chain(std::iter::repeat_n(LARGE_BATCH_RECORDS, large_batches));
    for records in sizes {
        let values = (0..records).map(|index| if index % 2 == 0 { BAD } else { "good" }.to_owned());
        let batch = flow::batch(values)?;
        // What became of it is said by `close`.
        drop(producer.send_batch(0, batch).await?);
    }
    producer.close().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn records_are_sent_beside_a_flow_that_is_at_work() {
        let (_broker, client) = flow::broker().await;
        let deeds = measure(&client, 10, 1, 200).await.unwrap();
        for deed in deeds {
            assert!(deed.beside[0] > 0.0 && deed.without[0] > 0.0, "{deed:?}");
        }
        assert_eq!(load::records_in(&client, TOPIC).await.unwrap(), 200 + 3 * 2 * 10);
    }

    #[test]
    fn a_bar_is_a_ratio() {
        let deed = |beside| Deed {
            beside: vec![beside],
            without: vec![100.0],
        };
        let rows = report([deed(150.0), deed(200.0), deed(201.0)], 10).rows;
        let verdicts: Vec<_> = rows.iter().map(|row| row.meets_bar).collect();
        assert_eq!(verdicts, [Some(true), Some(true), Some(false)]);
    }
}
