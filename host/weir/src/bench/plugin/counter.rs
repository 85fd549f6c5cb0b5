//! A keyed counter with state.

use weir_client::{Client, Record};

use super::flow::{self, RECORD_BYTES};
use crate::bench::load;
use crate::bench::place::Place;
use crate::bench::report::{Report, Row};
use crate::bench::source::Source;
use crate::cli::Failure;
use crate::process::BrokerProcess;
use crate::stats::median;

const FROM: &str = "keyed";
const PLUGIN: &str = "count-by-key";
const KEYS: usize = 1_000;
/// Shares no factor with [`KEYS`]: neighbours have other keys, and all keys come equally often.
const STRIDE: usize = 389;
const RECORDS_PER_S_MIN: f64 = 500e3;

pub(super) async fn run(place: &Place, records: u64, rounds: u64) -> Result<Report, Failure> {
    let broker = BrokerProcess::start(&place.join("counter"), "127.0.0.1:0").await?;
    let client = broker.client().await?;
    let (counter, identity) = measure(&client, records, rounds).await?;
    client.close().await;
    broker.stop().await?;
    let mut report = Report::default();
    report.row(
        Row::new(
            "a keyed counter with state, 1,000 keys, 100 B records, an output each",
            counter,
            "records/s",
        )
        .of("identity, without state", identity)
        .bar("at least 500 k records/s", counter >= RECORDS_PER_S_MIN),
    );
    Ok(report)
}

/// Records a second through the counter, and through the identity transform.
async fn measure(client: &Client, records: u64, rounds: u64) -> Result<(f64, f64), Failure> {
    flow::upload(client, &[PLUGIN, "identity"]).await?;
    load::create(client, FROM, 1).await?;
    let keys: Vec<String> = (0..KEYS).map(|key| format!("key-{key:04}")).collect();
    let mut source = Source::new(RECORD_BYTES)?;
    let count = usize::try_from(records).unwrap_or(usize::MAX);
    let sent = (0..count).map(|n| Record::value(source.next()).key(keys[n % KEYS * STRIDE % KEYS].as_str()));
    flow::feed(client, FROM, sent).await?;
    let (mut counter, mut identity) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        for (plugin, rates) in [("identity", &mut identity), (PLUGIN, &mut counter)] {
            // State goes with its flow: each round begins to count at one.
            let (name, to) = (format!("{plugin}-{round}"), format!("{plugin}-out-{round}"));
            let spec = flow::spec(&name, FROM, &[plugin], &to, &[]);
            rates.push(flow::rate(client, spec, records).await?);
        }
    }
    Ok((median(counter), median(identity)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn records_are_counted() {
        let (_broker, client) = flow::broker().await;
        let (counter, identity) = measure(&client, 3_000, 1).await.unwrap();
        assert!(counter > 0.0 && identity > 0.0, "{counter} {identity}");
    }

    #[test]
    fn all_keys_come_equally_often() {
        let mut seen = vec![0; KEYS];
        (0..3 * KEYS).for_each(|n| seen[n % KEYS * STRIDE % KEYS] += 1);
        assert!(seen.iter().all(|times| *times == 3));
    }
}
