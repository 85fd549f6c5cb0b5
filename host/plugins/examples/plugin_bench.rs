//! What plugins cost: nanoseconds a record in the guest call, beside the same code called natively; compiling, loading from the cache,
//! starting.
//!
//!     cargo run --release -p weir-runtime --example plugin_bench [SECONDS-PER-ROW]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use weir_batch::BatchBuilder;
use weir_plugin::{Config, Output, Record, run_filter, run_transform};
use weir_runtime::{Grants, Instance, InstanceOptions, Kind, Plugin, Runtime, RuntimeConfig};

type Error = Box<dyn std::error::Error>;

const BATCH_BYTES: usize = 64 << 10;

fn main() -> Result<(), Error> {
    let seconds: f64 = std::env::args().nth(1).map_or(Ok(0.5), |text| text.parse())?;
    let budget = Duration::from_secs_f64(seconds);
    starts()?;
    let runtime = Runtime::new(RuntimeConfig::default())?;
    println!(
        "\n{:<32} {:>6} {:>8} {:>10} {:>10} {:>7} {:>8}",
        "call, batches of 64 KiB", "bytes", "records", "ns/record", "native ns", "ratio", "MB/s"
    );
    for size in [100, 1_024, 16_384] {
        for row in rows() {
            let plugin = runtime.load(row.component)?;
            let (batch, records) = if row.lines { lines(size)? } else { batch(size)? };
            let mut instance = start(&plugin, row.config)?;
            let ns = measure(&mut instance, &batch, budget)? / records as f64;
            let native = best_of(budget, (row.native)(&config(row.config)), &batch) / records as f64;
            println!(
                "{:<32} {size:>6} {records:>8} {ns:>10.1} {native:>10.1} {:>7.2} {:>8.0}",
                row.label,
                ns / native,
                size as f64 / ns * 1_000.0
            );
        }
    }
    Ok(())
}

type Native = Box<dyn FnMut(&[u8])>;

/// One plugin, and the same code called natively.
struct Row {
    label: &'static str,
    component: &'static [u8],
    config: &'static [(&'static str, &'static str)],
    native: fn(&Config) -> Native,
    lines: bool,
}

fn rows() -> Vec<Row> {
    let row = |label, component, config, native| Row {
        label,
        component,
        config,
        native,
        lines: false,
    };
    vec![
        row("identity transform", weir_plugins::IDENTITY, &[], |_| {
            native_transform((), |(), record, out: &mut Output| out.forward(record))
        }),
        row("filter that keeps all", weir_plugins::HOSTILE_FILTER, &[], |_| {
            native_filter((), |(), _| true)
        }),
        row(
            "json-filter, first field",
            weir_plugins::JSON_FILTER,
            &[("field", "id"), ("op", "ge"), ("value", "10")],
            filter,
        ),
        row(
            "json-filter, last field",
            weir_plugins::JSON_FILTER,
            &[("field", "last"), ("value", "yes")],
            filter,
        ),
        row(
            "json-project, drop one field",
            weir_plugins::JSON_PROJECT,
            &[("drop", "id")],
            project,
        ),
        row(
            "json-project, keep two fields",
            weir_plugins::JSON_PROJECT,
            &[("keep", "id,last")],
            project,
        ),
        Row {
            lines: true,
            ..row(
                "lines-to-json, five columns",
                weir_plugins::LINES_TO_JSON,
                &[("columns", "a,b,c,d,e")],
                |config| {
                    let state = lines_to_json::LinesToJson::configure(config)
                        .expect("the row's configuration is right");
                    native_transform(state, lines_to_json::LinesToJson::line)
                },
            )
        },
    ]
}

fn filter(config: &Config) -> Native {
    let state = json_filter::JsonFilter::configure(config).expect("the row's configuration is right");
    native_filter(state, json_filter::JsonFilter::keep)
}

fn project(config: &Config) -> Native {
    let state = json_project::JsonProject::configure(config).expect("the row's configuration is right");
    native_transform(state, json_project::JsonProject::project)
}

fn native_filter<S: 'static>(mut state: S, keep: impl Fn(&mut S, &Record<'_>) -> bool + 'static) -> Native {
    Box::new(move |batch| drop(black_box(run_filter(&mut state, &keep, batch))))
}

fn native_transform<S: 'static>(
    mut state: S,
    transform: impl Fn(&mut S, &Record<'_>, &mut Output) + 'static,
) -> Native {
    let mut out = Output::new(vec!["out".to_owned()]);
    Box::new(move |batch| drop(black_box(run_transform(&mut state, &mut out, &transform, batch))))
}

/// Nanoseconds a batch, the least of ten parts.
fn best_of(budget: Duration, mut call: Native, batch: &[u8]) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..10 {
        let (started, mut calls) = (Instant::now(), 0_u32);
        while started.elapsed() < budget / 10 {
            call(black_box(batch));
            calls += 1;
        }
        best = best.min(started.elapsed().as_nanos() as f64 / f64::from(calls));
    }
    best
}

fn config(pairs: &[(&str, &str)]) -> Config {
    let entries = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    Config::new(entries, vec!["out".to_owned()])
}

/// A batch of lines of five columns, and their number.
fn lines(size: usize) -> Result<(Vec<u8>, usize), Error> {
    let mut builder = BatchBuilder::new();
    while builder.is_empty() || builder.encoded_len() + size < BATCH_BYTES {
        let line = format!("{},UA,-3.5,NA,{}", builder.len(), "word ".repeat(size / 5 - 3));
        builder.push(1_700_000_000_000, Some(b"key-0123"), Some(line.as_bytes()), &[])?;
    }
    let records = builder.len();
    Ok((builder.finish()?, records))
}

/// A batch of JSON records whose values have `size` bytes, and their number.
fn batch(size: usize) -> Result<(Vec<u8>, usize), Error> {
    let mut builder = BatchBuilder::new();
    while builder.is_empty() || builder.encoded_len() + size < BATCH_BYTES {
        let head = format!(r#"{{"id":{},"carrier":"UA","dep_delay":-3.5,"#, builder.len());
        let tail = r#","last":"yes"}"#;
        // Fields of some twenty bytes, as real records have them, rather than one long string.
        let mut value = head;
        let mut field = 0;
        while value.len() + tail.len() + 24 < size {
            value.push_str(&format!(r#""f{field}":"word{field}","#));
            field += 1;
        }
        let fill = size.saturating_sub(value.len() + tail.len() + 5);
        value.push_str(&format!(r#""x":"{}""#, "x".repeat(fill.saturating_sub(1))));
        value.push_str(tail);
        builder.push(1_700_000_000_000, Some(b"key-0123"), Some(value.as_bytes()), &[])?;
    }
    let records = builder.len();
    Ok((builder.finish()?, records))
}

fn start(plugin: &Plugin, config: &[(&str, &str)]) -> Result<Instance, Error> {
    let config: BTreeMap<_, _> = config
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let options = InstanceOptions {
        config,
        ..InstanceOptions::default()
    };
    // Some of the repository's plugins keep state, and starting is all that is measured of them.
    Ok(plugin.instantiate_with(options, Grants::none().state())?)
}

/// Nanoseconds of guest time a batch: the least of ten parts, as whatever else runs only ever adds.
fn measure(instance: &mut Instance, batch: &[u8], budget: Duration) -> Result<f64, Error> {
    let mut out = Vec::new();
    let mut best = f64::MAX;
    for _ in 0..10 {
        let (before, calls) = (instance.stats(), Instant::now());
        while calls.elapsed() < budget / 10 {
            match instance.plugin().kind() {
                Kind::Filter => instance.filter(batch, &mut out)?,
                _ => drop(instance.transform(batch, &mut out)?),
            }
        }
        let after = instance.stats();
        let ns =
            (after.guest_time - before.guest_time).as_nanos() as f64 / (after.calls - before.calls) as f64;
        best = best.min(ns);
    }
    black_box(&out);
    Ok(best)
}

fn starts() -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let config = || RuntimeConfig {
        cache_dir: Some(folder.path().to_owned()),
        ..RuntimeConfig::default()
    };
    println!(
        "{:<34} {:>8} {:>12} {:>12} {:>12}",
        "start", "bytes", "compile ms", "cached ms", "start us"
    );
    // Those with HTTP ask for hosts to be granted before they start.
    let plugins = weir_plugins::ALL
        .iter()
        .filter(|(name, _)| !name.contains("http"));
    for (name, component) in plugins {
        let (cold, compile_ms) = timed(|| Runtime::new(config())?.load(component).map_err(Error::from))?;
        drop(cold);
        let runtime = Runtime::new(config())?;
        let (plugin, cached_ms) = timed(|| runtime.load(component).map_err(Error::from))?;
        assert!(plugin.from_cache());
        let needs: &[(&str, &str)] = match *name {
            "json-filter" => &[("field", "a"), ("value", "1")],
            "json-project" => &[("drop", "a")],
            "lines-to-json" => &[("columns", "a,b")],
            _ => &[],
        };
        let (_, starts_ms) = timed(|| (0..200).try_for_each(|_| start(&plugin, needs).map(drop)))?;
        println!(
            "{name:<34} {:>8} {compile_ms:>12.1} {cached_ms:>12.2} {:>12.1}",
            component.len(),
            starts_ms * 1_000.0 / 200.0
        );
    }
    Ok(())
}

fn timed<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<(T, f64), Error> {
    let started = Instant::now();
    let done = work()?;
    Ok((done, started.elapsed().as_secs_f64() * 1_000.0))
}
