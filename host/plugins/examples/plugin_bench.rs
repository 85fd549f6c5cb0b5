//! What plugins cost: nanoseconds a record in the guest call, beside a copy of the same bytes; compiling, loading from the cache, starting.
//!
//!     cargo run --release -p weir-runtime --example plugin_bench [SECONDS-PER-ROW]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use weir_batch::BatchBuilder;
use weir_runtime::{Instance, InstanceOptions, Kind, Plugin, Runtime, RuntimeConfig};

type Error = Box<dyn std::error::Error>;

const BATCH_BYTES: usize = 64 << 10;

fn main() -> Result<(), Error> {
    let seconds: f64 = std::env::args().nth(1).map_or(Ok(0.5), |text| text.parse())?;
    let budget = Duration::from_secs_f64(seconds);
    starts()?;
    let runtime = Runtime::new(RuntimeConfig::default())?;
    println!(
        "\n{:<34} {:>8} {:>8} {:>12} {:>12} {:>12}",
        "call, batches of 64 KiB", "bytes", "records", "ns/record", "MB/s", "copy ns/rec"
    );
    for size in [100, 1_024, 16_384] {
        for (label, component, config) in rows() {
            let plugin = runtime.load(component)?;
            let (batch, records) = batch(size)?;
            let mut instance = start(&plugin, config)?;
            let ns = measure(&mut instance, &batch, budget)? / records as f64;
            let copy = copied(&batch, budget / 4) / records as f64;
            println!(
                "{label:<34} {size:>8} {records:>8} {ns:>12.1} {:>12.0} {copy:>12.1}",
                size as f64 / ns * 1_000.0
            );
        }
    }
    Ok(())
}

type Row = (
    &'static str,
    &'static [u8],
    &'static [(&'static str, &'static str)],
);

fn rows() -> [Row; 6] {
    [
        ("identity transform", weir_plugins::IDENTITY, &[]),
        ("filter, keeps all", weir_plugins::HOSTILE_FILTER, &[]),
        (
            "json-filter, first field",
            weir_plugins::JSON_FILTER,
            &[("field", "id"), ("op", "ge"), ("value", "10")],
        ),
        (
            "json-filter, last field",
            weir_plugins::JSON_FILTER,
            &[("field", "last"), ("value", "yes")],
        ),
        (
            "json-project, drop one field",
            weir_plugins::JSON_PROJECT,
            &[("drop", "id")],
        ),
        (
            "json-project, keep two fields",
            weir_plugins::JSON_PROJECT,
            &[("keep", "id,last")],
        ),
    ]
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
    Ok(plugin.instantiate(InstanceOptions {
        config,
        ..InstanceOptions::default()
    })?)
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
                _ => instance.transform(batch, &mut out)?,
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

/// Nanoseconds to copy a batch: what no plugin that forwards can do without.
fn copied(batch: &[u8], budget: Duration) -> f64 {
    let mut out = Vec::with_capacity(batch.len());
    let (started, mut calls) = (Instant::now(), 0_u32);
    while started.elapsed() < budget {
        out.clear();
        out.extend_from_slice(black_box(batch));
        black_box(&out);
        calls += 1;
    }
    started.elapsed().as_nanos() as f64 / f64::from(calls)
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
    for (name, component) in weir_plugins::ALL {
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
