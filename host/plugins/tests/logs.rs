//! What a guest logs is bounded.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Lines, batch, emitted, options, runtime_with};
use weir_runtime::{InstanceOptions, Level, Limits};

#[test]
fn log_lines_are_bounded_and_counted() {
    let limits = Limits {
        log_bytes_per_s: 2_000,
        log_line_bytes_max: 100,
        ..Limits::default()
    };
    let plugin = runtime_with(limits).load(weir_plugins::HOSTILE).unwrap();
    let lines = Lines::new();
    let config = options(&[("do", "flood-log"), ("n", "50000")]);
    let mut instance = plugin
        .instantiate(InstanceOptions {
            log: lines.clone(),
            ..config
        })
        .unwrap();
    let good = batch(["one"]);
    emitted(&mut instance, &good, 1).unwrap();
    let taken = lines.taken();
    assert!(taken.len() >= 10 && taken.len() < 1_000, "{} lines", taken.len());
    assert_eq!(taken[0], (Level::Info, "line 0 of a flood".to_owned()));
    emitted(&mut instance, &good, 1).unwrap();
}

#[test]
fn long_log_lines_are_cut() {
    let plugin = runtime_with(Limits {
        log_line_bytes_max: 20,
        ..Limits::default()
    })
    .load(weir_plugins::HOSTILE)
    .unwrap();
    let lines = Lines::new();
    let config = options(&[("do", "panic")]);
    let mut instance = plugin
        .instantiate(InstanceOptions {
            log: lines.clone(),
            ..config
        })
        .unwrap();
    let _ = emitted(&mut instance, &batch(["one"]), 1);
    let taken = lines.taken();
    assert!(
        matches!(taken.as_slice(), [(Level::Critical, line)] if line.len() == 20),
        "{taken:?}"
    );
}
