//! From the upload of a component to the first record that it made.

use std::time::Instant;

use weir_client::{Client, Record, Start};
use weir_runtime::{Runtime, RuntimeConfig};

use super::flow;
use crate::bench::place::Place;
use crate::bench::report::{Report, Row};
use crate::bench::{limits, load};
use crate::cli::{Failure, human_bytes};
use crate::guests;
use crate::process::BrokerProcess;
use crate::stats::median;

/// The plugin whose component is nearest to 100 KB.
const PLUGIN: &str = "count-by-key";

const MS_MAX: f64 = 300.0;

/// Milliseconds.
#[derive(Debug, Default)]
struct Times {
    first_output: Vec<f64>,
    uploaded: Vec<f64>,
}

pub(super) async fn run(place: &Place, rounds: u64) -> Result<Report, Failure> {
    let (mut times, mut compile) = (Times::default(), Vec::new());
    for round in 0..rounds {
        compile.push(limits::blocking(compile_ms).await?);
        // A folder of its own: nothing was compiled there before.
        let broker = BrokerProcess::start(&place.join(&format!("upload-{round}")), "127.0.0.1:0").await?;
        let client = broker.client().await?;
        measure(&client, &mut times).await?;
        client.close().await;
        broker.stop().await?;
    }
    let compile = median(compile);
    let size = human_bytes(guests::component(PLUGIN)?.len() as u64);
    let mut report = Report::default();
    report.row(
        Row::new(
            format!("upload of a component of {size} to its first output, uncached"),
            median(times.first_output),
            "ms",
        )
        .of("its compilation alone", compile)
        .at_most(MS_MAX),
    );
    report.row(
        Row::new(
            "of which until uploaded and compiled",
            median(times.uploaded),
            "ms",
        )
        .of("its compilation alone", compile),
    );
    Ok(report)
}

/// What compiling takes in this process.
fn compile_ms() -> Result<f64, Failure> {
    let failure = |error: &dyn std::fmt::Display| {
        Failure::new(
            format!("{PLUGIN} cannot be compiled: {error}"),
            "report this as a bug",
        )
    };
    let wasm = guests::component(PLUGIN)?;
    let runtime = Runtime::new(RuntimeConfig::default()).map_err(|error| failure(&error))?;
    let begun = Instant::now();
    runtime.load(&wasm).map_err(|error| failure(&error))?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// A topic with a record, and a consumer that waits for what becomes of it; then the clock runs.
async fn measure(client: &Client, times: &mut Times) -> Result<(), Failure> {
    for topic in ["in", "out"] {
        load::create(client, topic, 1).await?;
    }
    flow::feed(
        client,
        "in",
        std::iter::once(Record::value("a record").key("home")),
    )
    .await?;
    let mut consumer = client.consumer("out").start(Start::Earliest).build().await?;
    let begun = Instant::now();
    flow::upload(client, &[PLUGIN]).await?;
    let uploaded = begun.elapsed();
    client
        .admin()
        .create_flow(flow::spec("counter", "in", &[PLUGIN], "out", &[]))
        .await?;
    let output = flow::within("the first output", async {
        Ok(consumer.next().await.transpose()?)
    })
    .await?;
    let first_output = begun.elapsed();
    let value = output.as_ref().and_then(|record| record.value());
    if value != Some(br#"{"key":"home","count":1}"#.as_slice()) {
        return Err(Failure::new(
            format!("the first output is {:?}", value.map(String::from_utf8_lossy)),
            "report this as a bug: no figure counts with it",
        ));
    }
    times.uploaded.push(uploaded.as_secs_f64() * 1e3);
    times.first_output.push(first_output.as_secs_f64() * 1e3);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_first_output_comes_after_the_upload() {
        let (_broker, client) = flow::broker().await;
        let mut times = Times::default();
        measure(&client, &mut times).await.unwrap();
        assert!(times.first_output[0] > times.uploaded[0], "{times:?}");
    }

    #[test]
    fn the_component_has_about_100_kb() {
        let size = guests::component(PLUGIN).unwrap().len();
        assert!((80_000..130_000).contains(&size), "{size}");
    }
}
