//! What comes out of the flow, as a consumer sees it.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Deserialize;
use tokio::sync::watch;
use weir_client::{Client, Start};

use super::expect;

/// What is shown of a value that is not as it should be.
const SHOWN_CHARS: usize = 200;

/// What was received so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    pub(super) records: u64,
    pub(super) last: Option<Instant>,
}

/// Everything that was received.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    /// Each flight in one line of its own words.
    pub(super) flights: Vec<String>,
    pub(super) delay_min: i64,
    /// What was not as it should be, the first of it.
    pub(super) wrong: Option<String>,
}

#[derive(Deserialize)]
struct Flight {
    arr_delay: i64,
    tailnum: String,
    #[serde(flatten)]
    others: BTreeMap<String, serde_json::Value>,
}

/// Consumes `topic` from its beginning until `wanted` records came; says how far it is while it goes.
pub(super) fn collect(
    client: Client,
    topic: &'static str,
    wanted: u64,
) -> (
    watch::Receiver<Progress>,
    tokio::task::JoinHandle<Result<Outputs, weir_client::Error>>,
) {
    let (sender, progress) = watch::channel(Progress::default());
    let task = tokio::spawn(async move {
        let mut outputs = Outputs::default();
        let mut records = 0;
        let mut consumer = client.consumer(topic).start(Start::Earliest).build().await?;
        while records < wanted {
            let Some(batch) = consumer.next_batch().await else {
                break;
            };
            let batch = batch?;
            for record in batch.records() {
                outputs.take(record.value().unwrap_or_default());
                records += 1;
            }
            // Nobody looks any more if the story was broken off.
            let _ = sender.send(Progress {
                records,
                last: Some(Instant::now()),
            });
        }
        Ok(outputs)
    });
    (progress, task)
}

impl Outputs {
    fn take(&mut self, value: &[u8]) {
        match self.check(value) {
            Ok(flight) => self.flights.push(flight),
            Err(what) => {
                self.wrong.get_or_insert_with(|| {
                    let shown: String = String::from_utf8_lossy(value).chars().take(SHOWN_CHARS).collect();
                    format!("{what}: {shown}")
                });
            }
        }
    }

    fn check(&mut self, value: &[u8]) -> Result<String, String> {
        let flight: Flight = serde_json::from_slice(value)
            .map_err(|error| format!("a record is not as it should be ({error})"))?;
        self.delay_min += flight.arr_delay;
        // Tail numbers begin with N and go on with digits and letters; a masked one has nothing of it.
        if flight.tailnum.bytes().any(|byte| byte.is_ascii_alphanumeric()) {
            return Err("a tail number is not masked".to_owned());
        }
        let columns = expect::KEPT.split(',').count();
        if flight.others.len() + 2 != columns {
            return Err(format!(
                "a record has {} fields instead of {columns}",
                flight.others.len() + 2
            ));
        }
        Ok(expect::one_line(|name| match flight.others.get(name) {
            _ if name == "arr_delay" => flight.arr_delay.to_string(),
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"month":6,"day":30,"carrier":"UA","flight":1545,"tailnum":"***","origin":"EWR","dest":"IAH","arr_delay":61}"#;

    #[test]
    fn a_good_record_is_written_down_and_a_bad_one_is_shown() {
        let mut outputs = Outputs::default();
        outputs.take(GOOD.as_bytes());
        assert_eq!(outputs.flights, ["6/30 UA 1545 EWR-IAH +61"]);
        assert_eq!((outputs.delay_min, &outputs.wrong), (61, &None));
        for (bad, what) in [
            (GOOD.replace("***", "N14228"), "not masked"),
            (GOOD.replace("\"dest\":\"IAH\",", ""), "7 fields"),
            ("2013,1,1".to_owned(), "not as it should be"),
        ] {
            let mut outputs = Outputs::default();
            outputs.take(bad.as_bytes());
            assert!(
                outputs.wrong.as_ref().is_some_and(|wrong| wrong.contains(what)),
                "{:?}",
                outputs.wrong
            );
        }
    }
}
