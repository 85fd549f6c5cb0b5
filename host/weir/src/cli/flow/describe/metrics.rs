//! What a flow's plugins take, how they fail and what they count, in tables.

use weir_client::{FlowCalls, FlowFaults, FlowGuestInfo, FlowInfo};

use super::place;
use crate::cli::output::{human_bytes, table};

/// Its calls, its plugins and their metrics; what there is nothing of is left out.
pub(super) fn tables(flow: &FlowInfo) -> Vec<String> {
    let headings: [&[&str]; 3] = [
        &["PARTITION", "CALLS", "P50", "P99", "MAX", "FAILURES"],
        &["PLUGIN", "MEMORY AT MOST", "RESTARTS"],
        &["PLUGIN", "METRIC", "COUNT", "SUM", "MIN", "P50", "P99", "MAX"],
    ];
    let bodies = [
        calls(flow),
        flow.guests.iter().map(guest).collect(),
        flow.guests.iter().flat_map(metrics).collect(),
    ];
    let filled = headings
        .into_iter()
        .zip(bodies)
        .filter(|(_, body)| !body.is_empty());
    let tables = filled.map(|(heading, body)| {
        let mut rows = vec![heading.iter().map(ToString::to_string).collect::<Vec<_>>()];
        rows.extend(body);
        table(&rows)
    });
    tables.collect()
}

/// By partition; the polls of a producer, which has none.
fn calls(flow: &FlowInfo) -> Vec<Vec<String>> {
    let partitions = flow
        .partitions
        .iter()
        .map(|p| (place(flow, p).join(" "), &p.calls));
    let polls = flow.producing.iter().map(|p| ("polls".to_owned(), &p.calls));
    let row = |(place, calls): (String, &FlowCalls)| {
        vec![
            place,
            calls.count.to_string(),
            time(calls.p50_ns),
            time(calls.p99_ns),
            time(calls.max_ns),
            faults(&calls.faults),
        ]
    };
    let called = partitions.chain(polls).filter(|(_, calls)| calls.count > 0);
    called.map(row).collect()
}

/// Those that there were.
fn faults(faults: &FlowFaults) -> String {
    let all = [
        (faults.trap, "trap"),
        (faults.deadline, "deadline"),
        (faults.memory, "memory"),
        (faults.output, "output"),
        (faults.refused, "refused"),
        (faults.dead_letter, "dead-letter"),
        (faults.retry, "retry"),
        (faults.other, "other"),
    ];
    let there: Vec<String> = all
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    if there.is_empty() {
        "none".to_owned()
    } else {
        there.join(", ")
    }
}

fn guest(guest: &FlowGuestInfo) -> Vec<String> {
    vec![
        guest.plugin.clone(),
        human_bytes(guest.memory_bytes_peak),
        guest.restarts.to_string(),
    ]
}

/// Counters, histograms, and what was left out of them.
fn metrics(guest: &FlowGuestInfo) -> Vec<Vec<String>> {
    let row = |name: &str, figures: &[String]| {
        let mut row = vec![guest.plugin.clone(), name.to_owned()];
        row.extend_from_slice(figures);
        row
    };
    let counters = guest.counters.iter();
    let mut rows: Vec<_> = counters
        .map(|(name, sum)| row(name, &[String::new(), sum.to_string()]))
        .collect();
    rows.extend(guest.histograms.iter().map(|(name, seen)| {
        let figures = [seen.sum, seen.min, seen.p50, seen.p99, seen.max].map(figure);
        row(name, &[[seen.count.to_string()].as_slice(), &figures].concat())
    }));
    if guest.metrics_left_out > 0 {
        rows.push(row("(left out)", &[guest.metrics_left_out.to_string()]));
    }
    rows
}

/// Three digits and the unit that fits.
fn time(ns: u64) -> String {
    let units = [(1e9, "s"), (1e6, "ms"), (1e3, "us")];
    let fits = units.into_iter().find(|(unit_ns, _)| ns as f64 >= *unit_ns);
    let Some((unit_ns, unit)) = fits else {
        return format!("{ns} ns");
    };
    let number = ns as f64 / unit_ns;
    let decimals = if number >= 100.0 {
        0
    } else if number >= 10.0 {
        1
    } else {
        2
    };
    format!("{number:.decimals$} {unit}")
}

/// A number of any size, short.
fn figure(number: f64) -> String {
    let size = number.abs();
    if number == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e9).contains(&size) {
        format!("{number:.3e}")
    } else {
        let text = format!("{number:.3}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;
    use weir_client::FlowHistogram;

    use super::*;

    #[test]
    fn numbers_are_short_whatever_their_size() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (12.0, "12"),
            (0.25, "0.25"),
            (-2.71_f64 / 2.0, "-1.355"),
            (1200.0, "1200"),
            (f64::MAX, "1.798e308"),
            (1e-7, "1.000e-7"),
        ] {
            assert_eq!(figure(number), text);
        }
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (4_600, "4.60 us"),
            (12_345_678, "12.3 ms"),
            (u64::MAX, "18446744074 s"),
        ] {
            assert_eq!(time(ns), text);
        }
    }

    #[test]
    fn what_is_there_is_a_table_and_what_an_old_broker_does_not_say_is_none() {
        let spec = json!({ "name": "f", "from": "a", "plugins": ["redact@1"], "to": ["b"], "config": {}, "start": "earliest",
            "on_error": "skip" });
        let old =
            json!({ "spec": spec, "state": "running", "partitions": [{ "partition": 0, "records_in": 5 }] });
        let mut flow: FlowInfo = serde_json::from_value(old).unwrap();
        assert_eq!(tables(&flow), [""; 0]);
        flow.partitions[0].calls = FlowCalls {
            count: 12,
            p50_ns: 4_600,
            p99_ns: 81_000,
            max_ns: 1_020_000,
            faults: FlowFaults {
                trap: 2,
                ..FlowFaults::default()
            },
        };
        flow.guests = vec![FlowGuestInfo {
            plugin: "redact".to_owned(),
            memory_bytes_peak: 1_310_720,
            restarts: 2,
            ..FlowGuestInfo::default()
        }];
        let [calls, guests] = tables(&flow).try_into().unwrap();
        let words = |text: &str| -> Vec<Vec<String>> {
            let words = |line: &str| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|w| !w.is_empty())
                    .map(str::to_owned)
                    .collect()
            };
            text.lines().map(words).collect()
        };
        assert_eq!(
            words(&calls)[1],
            ["0", "12", "4.60 us", "81.0 us", "1.02 ms", "2 trap"]
        );
        assert_eq!(words(&guests)[1], ["redact", "1.31 MB", "2"]);
    }

    #[test]
    fn only_failures_that_there_were_are_named() {
        assert_eq!(faults(&FlowFaults::default()), "none");
        let some = FlowFaults {
            trap: 3,
            dead_letter: 1,
            ..FlowFaults::default()
        };
        assert_eq!(faults(&some), "3 trap, 1 dead-letter");
    }

    #[test]
    fn counters_and_histograms_stand_in_their_columns() {
        let histogram = FlowHistogram {
            count: 3,
            sum: 6.0,
            min: 1.0,
            max: 3.0,
            p50: 2.0,
            p99: 2.5,
        };
        let guest = FlowGuestInfo {
            plugin: "redact".to_owned(),
            counters: BTreeMap::from([("hits".to_owned(), 7)]),
            histograms: BTreeMap::from([("length".to_owned(), histogram)]),
            metrics_left_out: 2,
            ..FlowGuestInfo::default()
        };
        let rows = metrics(&guest);
        assert_eq!(rows[0], ["redact", "hits", "", "7"]);
        assert_eq!(rows[1], ["redact", "length", "3", "6", "1", "2", "2.5", "3"]);
        assert_eq!(rows[2], ["redact", "(left out)", "2"]);
    }
}
