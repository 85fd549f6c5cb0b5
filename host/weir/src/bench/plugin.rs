//! `weir bench plugin`.

use std::time::{Duration, Instant};

use weir_batch::{Batch, BatchBuilder};
use weir_runtime::{InstanceOptions, Kind, NoLog, Runtime, RuntimeConfig};

use super::report::{Report, Row};
use super::source::Source;
use super::{Failure, limits};
use crate::cli::number;
use crate::stats::median;
use crate::{flights, guests};

/// What a batch of a producer has.
const BATCH_BYTES: usize = 64 * 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Bytes of a record's value, for the identity transform
    #[arg(long, value_name = "SIZE", default_value = "100", value_parser = number::bytes)]
    record_bytes: u64,
    /// Milliseconds of each plugin in each round
    #[arg(long, default_value = "300", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    millis: u64,
    /// Rounds; the median is reported
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: u64,
}

impl Args {
    /// The defaults.
    pub(super) fn for_all() -> Self {
        Self {
            record_bytes: 100,
            millis: 300,
            rounds: 5,
        }
    }
}

/// A plugin and the records it is called with.
struct Case {
    what: String,
    plugin: &'static str,
    config: Vec<(&'static str, String)>,
    batch: Vec<u8>,
}

pub(super) async fn run(args: Args) -> Result<Report, Failure> {
    let record_bytes = usize::try_from(args.record_bytes).unwrap_or(usize::MAX);
    let mut source = Source::new(record_bytes)?;
    let csv = flights::lines()?;
    let mut lines = csv.split(|byte| *byte == b'\n').cycle();
    let json = lines_as_json(&csv);
    let mut objects = json.iter().map(Vec::as_slice).cycle();
    let cases = vec![
        Case {
            what: format!("identity transform, {record_bytes} B records"),
            plugin: "identity",
            config: Vec::new(),
            batch: batch(|| source.next().to_vec())?,
        },
        Case {
            what: "lines-to-json, CSV lines of 92 B".to_owned(),
            plugin: "lines-to-json",
            config: vec![("columns", flights::HEADER.to_owned())],
            batch: batch(|| lines.next().unwrap_or_default().to_vec())?,
        },
        Case {
            what: "json-filter, objects of 19 fields".to_owned(),
            plugin: "json-filter",
            config: vec![
                ("field", "arr_delay".to_owned()),
                ("op", "ge".to_owned()),
                ("value", "60".to_owned()),
            ],
            batch: batch(|| objects.next().unwrap_or_default().to_vec())?,
        },
    ];
    let mut report = Report::default();
    for case in cases {
        let wasm = guests::component(case.plugin)?;
        let (time, rounds) = (Duration::from_millis(args.millis), args.rounds);
        let (what, ns, compile_ms) = limits::blocking(move || {
            let (ns, compile_ms) = measure(&case, &wasm, time, rounds)?;
            Ok((case.what, ns, compile_ms))
        })
        .await?;
        report.row(Row::new(format!("{what}: guest call"), ns, "ns/record"));
        report.row(Row::new(format!("{what}: compile"), compile_ms, "ms"));
    }
    report.note(
        "one call a batch of 64 KiB; the call alone, as the broker makes it, without the log around it",
    );
    Ok(report)
}

/// A batch of as many records as fit.
fn batch(mut record: impl FnMut() -> Vec<u8>) -> Result<Vec<u8>, Failure> {
    let failure = |error| Failure::new(format!("cannot build a batch: {error}"), "choose smaller records");
    let mut builder = BatchBuilder::new();
    while builder.encoded_len() < BATCH_BYTES {
        builder.push(0, None, Some(&record()), &[]).map_err(failure)?;
    }
    builder.finish().map_err(failure)
}

/// A thousand flights as objects.
fn lines_as_json(csv: &[u8]) -> Vec<Vec<u8>> {
    let object = |line: &[u8]| {
        let line = String::from_utf8_lossy(line).into_owned();
        let fields = flights::HEADER
            .split(',')
            .zip(line.split(','))
            .map(|(name, value)| {
                let value = value
                    .parse::<i64>()
                    .map_or_else(|_| serde_json::json!(value), |number| serde_json::json!(number));
                (name.to_owned(), value)
            });
        serde_json::Value::Object(fields.collect())
            .to_string()
            .into_bytes()
    };
    csv.split(|byte| *byte == b'\n').take(1000).map(object).collect()
}

/// Nanoseconds a record, and milliseconds to compile.
fn measure(case: &Case, wasm: &[u8], time: Duration, rounds: u64) -> Result<(f64, f64), Failure> {
    let failure = |error: &dyn std::fmt::Display| {
        Failure::new(format!("{}: {error}", case.plugin), "report this as a bug")
    };
    let runtime = Runtime::new(RuntimeConfig::default()).map_err(|error| failure(&error))?;
    let begun = Instant::now();
    let plugin = runtime.load(wasm).map_err(|error| failure(&error))?;
    let compile_ms = begun.elapsed().as_secs_f64() * 1e3;
    let mut options = InstanceOptions::new(std::sync::Arc::new(NoLog));
    options.config = case
        .config
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect();
    let mut instance = plugin.instantiate(options).map_err(|error| failure(&error))?;
    let records = Batch::parse(&case.batch).map_err(|error| failure(&error))?.len() as u64;
    let mut out = Vec::new();
    let mut figures = Vec::new();
    for _ in 0..rounds {
        let (begun, before) = (Instant::now(), instance.guest_time());
        let mut calls = 0;
        while begun.elapsed() < time {
            match plugin.kind() {
                Kind::Filter => instance.filter(&case.batch, &mut out),
                _ => instance.transform(&case.batch, &mut out),
            }
            .map_err(|error| failure(&error))?;
            calls += 1;
        }
        figures.push((instance.guest_time() - before).as_nanos() as f64 / (calls * records) as f64);
    }
    Ok((median(figures), compile_ms))
}
