//! From a trap to the next good record.

use std::time::Instant;

use weir_batch::BatchBuilder;
use weir_client::{Client, Consumer, FlowSpec, OnError, Producer, Start};

use super::flow::{self, RECORD_BYTES};
use crate::bench::load;
use crate::bench::place::Place;
use crate::bench::report::{Report, Row};
use crate::cli::Failure;
use crate::process::BrokerProcess;
use crate::stats::median;

const FROM: &str = "some-bad";
const TO: &str = "all-good";
const FLOW: &str = "trapping";
const PLUGIN: &str = "hostile";
const BAD: &str = "bad";

/// Records of a batch: 64 KiB or so, what a busy producer sends.
const RECORDS: usize = 600;
/// The record that the plugin traps at, in the middle.
const BAD_AT: usize = RECORDS / 2;

const ROUNDS: usize = 20;
const MS_MAX: f64 = 20.0;

pub(super) async fn run(place: &Place) -> Result<Report, Failure> {
    let broker = BrokerProcess::start(&place.join("trap"), "127.0.0.1:0").await?;
    let client = broker.client().await?;
    let (trapped, good) = measure(&client, ROUNDS).await?;
    client.close().await;
    broker.stop().await?;
    let mut report = Report::default();
    report.row(
        Row::new("a trap to the next good record processed", trapped, "ms")
            .of("the same without the trap", good)
            .at_most(MS_MAX),
    );
    report.note(format!(
        "trap: one record in the middle of a batch of {RECORDS}, policy skip; from the batch's acknowledgement until the output of the \
         record behind the bad one is with a consumer; median of {ROUNDS}"
    ));
    Ok(report)
}

/// Medians in milliseconds: with a bad record in the batch, and without.
async fn measure(client: &Client, rounds: usize) -> Result<(f64, f64), Failure> {
    flow::upload(client, &[PLUGIN]).await?;
    for topic in [FROM, TO] {
        load::create(client, topic, 1).await?;
    }
    let config = [("hostile.do", "trap"), ("hostile.at", BAD)];
    let spec = FlowSpec {
        on_error: OnError::Skip,
        ..flow::spec(FLOW, FROM, &[PLUGIN], TO, &config)
    };
    client.admin().create_flow(spec).await?;
    let producer = client.producer(FROM).build().await?;
    let mut consumer = client.consumer(TO).start(Start::Earliest).build().await?;
    // The first batch finds everything cold.
    one(&producer, &mut consumer, "warm", false).await?;
    let (mut trapped, mut good) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        good.push(one(&producer, &mut consumer, &format!("{round} good"), false).await?);
        trapped.push(one(&producer, &mut consumer, &format!("{round} trap"), true).await?);
    }
    producer.close().await?;
    // A plugin that did not trap would be quick.
    let wanted = rounds as u64;
    let flow = flow::until(client, FLOW, |flow| flow::total(flow, |p| p.skipped) >= wanted).await?;
    let skipped = flow::total(&flow, |p| p.skipped);
    if skipped != wanted {
        return Err(Failure::new(
            format!("{wanted} records were bad, {skipped} were skipped"),
            "report this as a bug: no figure counts with it",
        ));
    }
    Ok((median(trapped), median(good)))
}

/// Sends a batch and takes all its outputs. Returns milliseconds from its acknowledgement, which is sent when it is on disk, to
/// the output of the record after the one in the middle. What the acknowledgement takes to get here, the output takes, too.
async fn one(producer: &Producer, consumer: &mut Consumer, name: &str, bad: bool) -> Result<f64, Failure> {
    let sent = producer.send_batch(0, batch(name, bad)?).await?;
    let acknowledged = async {
        sent.await?;
        Ok(Instant::now())
    };
    let processed = async {
        let (next, last) = (value(name, BAD_AT + 1), value(name, RECORDS - 1));
        let mut at = None;
        loop {
            let Some(record) = consumer.next().await.transpose()? else {
                return Err(Failure::new("the consumer ended", "WEIR_LOG=debug tells more"));
            };
            let value = record.value().unwrap_or_default();
            if value == next.as_bytes() {
                at = Some(Instant::now());
            }
            if value == last.as_bytes() {
                return at.ok_or_else(|| Failure::new("an output is missing", "report this as a bug"));
            }
        }
    };
    let (acknowledged, processed) = flow::within("the outputs of a batch", async {
        tokio::try_join!(acknowledged, processed)
    })
    .await?;
    Ok(processed.saturating_duration_since(acknowledged).as_secs_f64() * 1e3)
}

fn batch(name: &str, bad: bool) -> Result<BatchBuilder, Failure> {
    flow::batch((0..RECORDS).map(|index| {
        let mut value = value(name, index);
        if bad && index == BAD_AT {
            value.push_str(BAD);
        }
        value
    }))
}

/// A good record's value.
fn value(name: &str, index: usize) -> String {
    format!("{:.<RECORD_BYTES$}", format!("{name} {index}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_bad_record_is_skipped_and_the_next_one_comes_out() {
        let (_broker, client) = flow::broker().await;
        let (trapped, good) = measure(&client, 2).await.unwrap();
        assert!(trapped > 0.0 && good >= 0.0, "{trapped} {good}");
        let records = load::records_in(&client, TO).await.unwrap();
        assert_eq!(records, 5 * RECORDS as u64 - 2);
    }
}
