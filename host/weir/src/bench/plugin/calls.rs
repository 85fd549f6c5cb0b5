//! What a call of a plugin costs, against the same code without WebAssembly around it.

use std::time::{Duration, Instant};

use weir_batch::Batch;
use weir_runtime::{Instance, InstanceOptions, Kind, NoLog, Runtime, RuntimeConfig};

use super::cases::{self, Case};
use super::native::Native;
use crate::bench::limits;
use crate::bench::report::{Report, Row};
use crate::cli::{Failure, number};
use crate::guests;
use crate::stats::median;

/// A filter's call, in that of its native twin.
const FILTER_RATIO_MAX: f64 = 1.5;
/// A transform's call, which copies the records, in that of its native twin.
const COPYING_RATIO_MAX: f64 = 2.0;
/// What the call takes for a record of 100 bytes beside what the plugin does.
const PACKED_CALL_NS_MAX: f64 = 25.0;

#[derive(Debug, clap::Args)]
pub(crate) struct CallArgs {
    /// Bytes of a record's value; several, comma-separated, one after the other
    #[arg(long, value_name = "SIZE,...", value_delimiter = ',', default_value = "100,1K,16K", value_parser = number::bytes)]
    record_bytes: Vec<u64>,
    /// Milliseconds of each plugin, and again of its native twin, in each round
    #[arg(long, default_value = "100", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    millis: u64,
    /// Rounds, of these and of what goes through the broker; the median is reported
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(super) rounds: u64,
}

impl CallArgs {
    /// The smallest records alone.
    pub(in crate::bench) fn for_all() -> Self {
        Self {
            record_bytes: vec![100],
            millis: 200,
            rounds: 5,
        }
    }
}

pub(in crate::bench) async fn run(args: &CallArgs) -> Result<Report, Failure> {
    let mut report = Report::default();
    for (plugin, cases) in cases::all(&args.record_bytes)? {
        let (time, rounds) = (Duration::from_millis(args.millis), args.rounds);
        let rows = limits::blocking(move || measure(plugin, &cases, time, rounds)).await?;
        rows.into_iter().for_each(|row| report.row(row));
    }
    report.note(
        "one call a batch of 64 KiB; the call alone, as the broker makes it, without the log around it; native: the same function over \
         the same batch, compiled into this program",
    );
    Ok(report)
}

/// One row a case, and one for the compiler.
fn measure(plugin: &'static str, cases: &[Case], time: Duration, rounds: u64) -> Result<Vec<Row>, Failure> {
    let failure =
        |error: &dyn std::fmt::Display| Failure::new(format!("{plugin}: {error}"), "report this as a bug");
    let runtime = Runtime::new(RuntimeConfig::default()).map_err(|error| failure(&error))?;
    let wasm = guests::component(plugin)?;
    let begun = Instant::now();
    let loaded = runtime.load(&wasm).map_err(|error| failure(&error))?;
    let compile_ms = begun.elapsed().as_secs_f64() * 1e3;
    let mut rows = Vec::new();
    for case in cases {
        let mut options = InstanceOptions::new(std::sync::Arc::new(NoLog));
        options.config = case.config();
        let mut guest = loaded.instantiate(options).map_err(|error| failure(&error))?;
        let mut native = Native::new(plugin, &case.config()).map_err(|error| failure(&error))?;
        let (guest_ns, native_ns) =
            in_turns(&mut guest, &mut native, &case.batch, time, rounds).map_err(|error| failure(&error))?;
        let what = format!("{}: guest call", case.what);
        let row = Row::new(what, guest_ns, "ns/record").of("native", native_ns);
        rows.push(row.share_at_most(match loaded.kind() {
            Kind::Filter => FILTER_RATIO_MAX,
            _ => COPYING_RATIO_MAX,
        }));
        if case.is_packed_call() {
            let what = format!("{}: the call over native", case.what);
            let over = guest_ns - native_ns;
            rows.push(Row::new(what, over, "ns/record").at_most(PACKED_CALL_NS_MAX));
        }
    }
    rows.push(Row::new(format!("{plugin}: compile"), compile_ms, "ms"));
    Ok(rows)
}

/// Nanoseconds a record, of the guest and of its native twin: medians of rounds that take turns.
fn in_turns(
    guest: &mut Instance,
    native: &mut Native,
    batch: &[u8],
    time: Duration,
    rounds: u64,
) -> Result<(f64, f64), String> {
    let records = Batch::parse(batch).map_err(|error| error.to_string())?.len() as u64;
    let mut answer = Vec::new();
    call(guest, batch, &mut answer)?;
    // Figures of two programs that do different things would say nothing.
    if native.call(batch) != answer {
        return Err("the plugin and its native twin give different answers".to_owned());
    }
    let (mut of_guest, mut of_native) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (begun, before, mut calls) = (Instant::now(), guest.guest_time(), 0);
        while begun.elapsed() < time {
            call(guest, batch, &mut answer)?;
            calls += 1;
        }
        of_guest.push((guest.guest_time() - before).as_nanos() as f64 / (calls * records) as f64);

        let (begun, mut spent, mut calls) = (Instant::now(), Duration::ZERO, 0);
        while begun.elapsed() < time {
            let before = Instant::now();
            std::hint::black_box(native.call(std::hint::black_box(batch)));
            spent += before.elapsed();
            calls += 1;
        }
        of_native.push(spent.as_nanos() as f64 / (calls * records) as f64);
    }
    Ok((median(of_guest), median(of_native)))
}

fn call(guest: &mut Instance, batch: &[u8], answer: &mut Vec<u8>) -> Result<(), String> {
    match guest.plugin().kind() {
        Kind::Filter => guest.filter(batch, answer),
        _ => guest.transform(batch, answer).map(drop),
    }
    .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_plugin_is_held_against_its_native_twin() {
        let args = CallArgs {
            record_bytes: vec![100, 1024],
            millis: 1,
            rounds: 1,
        };
        let report = run(&args).await.unwrap();
        let calls: Vec<&Row> = report
            .rows
            .iter()
            .filter(|row| row.what.ends_with("guest call"))
            .collect();
        assert_eq!(calls.len(), 2 * 5 + 2, "{report}");
        for row in calls {
            assert!(
                row.figure > 0.0 && row.share.is_some_and(|share| share > 0.0),
                "{}",
                row.what
            );
        }
        // `bench all` takes the first of that name.
        let first = report
            .rows
            .iter()
            .find(|row| row.what.contains("identity"))
            .unwrap();
        assert_eq!(first.what, "identity transform, 100 B records: guest call");
    }
}
