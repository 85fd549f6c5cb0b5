//! What is said at the end.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;
use weir_runtime::Plugin;

use super::metrics::Metrics;
use super::problem::{Problem, ProblemKind};
use super::run::Run;
use crate::cli::output::counted;
use crate::cli::{Failure, human_bytes};

/// Records, by what became of them.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    pub(super) records_in: u64,
    pub(super) records_out: u64,
    /// Records of which nothing came out, and nothing was said.
    pub(super) dropped: u64,
    /// Records by output.
    pub(super) outputs: Vec<u64>,
    problems: BTreeMap<ProblemKind, u64>,
}

impl Counts {
    pub(super) fn new(outputs: usize) -> Self {
        Self {
            records_in: 0,
            records_out: 0,
            dropped: 0,
            outputs: vec![0; outputs],
            problems: BTreeMap::new(),
        }
    }

    pub(super) fn count(&mut self, kind: ProblemKind) {
        *self.problems.entry(kind).or_default() += 1;
    }

    /// Problems with which a plugin does not pass.
    pub(super) fn failures(&self) -> u64 {
        let failures = self.problems.iter().filter(|(kind, _)| kind.is_failure());
        failures.map(|(_, count)| count).sum()
    }
}

/// The summary, as people and programs see it.
#[derive(Debug, Serialize)]
pub(super) struct Summary<'a> {
    kind: &'static str,
    component_bytes: usize,
    compile_ms: f64,
    records_in: u64,
    records_out: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<BTreeMap<&'a str, u64>>,
    dropped: u64,
    /// Records behind the problem that ended the run, as far as they were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_run: Option<u64>,
    /// Whether there may be more of those.
    #[serde(skip)]
    more_not_run: bool,
    errors: BTreeMap<&'static str, u64>,
    /// The first hundred.
    problems: &'a [Problem],
    passed: bool,
    /// Calls that succeeded.
    calls: u64,
    /// In those calls: copying in, the plugin, copying out.
    #[serde(skip_serializing_if = "Option::is_none")]
    ns_per_record: Option<f64>,
    #[serde(skip_serializing_if = "Metrics::is_empty")]
    metrics: Metrics,
    /// Rows of keyed state at the end.
    state_rows: usize,
    restarts: u64,
    memory_bytes_peak: usize,
    #[serde(skip)]
    failures: String,
}

impl<'a> Summary<'a> {
    pub(super) fn new(plugin: &Plugin, compile_ms: f64, run: &'a Run, passed: bool) -> Self {
        let (counts, guest) = (run.counts(), run.guest());
        let (timed, stats) = (guest.timed(), guest.stats());
        let failures: Vec<String> = counts
            .problems
            .iter()
            .filter(|(kind, _)| kind.is_failure())
            .map(|(kind, count)| format!("{count} {}", kind.name()))
            .collect();
        let names = guest.outputs().iter().map(String::as_str);
        Self {
            kind: plugin.kind().name(),
            component_bytes: plugin.component_bytes().len(),
            compile_ms,
            records_in: counts.records_in,
            records_out: counts.records_out,
            outputs: (plugin.kind() == weir_runtime::Kind::Transform)
                .then(|| names.zip(counts.outputs.iter().copied()).collect()),
            dropped: counts.dropped,
            not_run: run.not_run().map(|not_run| not_run.records),
            more_not_run: run.not_run().is_some_and(|not_run| not_run.at_least),
            errors: counts
                .problems
                .iter()
                .map(|(kind, count)| (kind.name(), *count))
                .collect(),
            problems: run.problems(),
            passed,
            calls: timed.calls,
            ns_per_record: (timed.records > 0).then(|| timed.time.as_nanos() as f64 / timed.records as f64),
            metrics: guest.metrics(),
            state_rows: guest.state_rows(),
            restarts: stats.restarts,
            memory_bytes_peak: stats.memory_bytes_peak,
            failures: failures.join(", "),
        }
    }

    /// What failed, as a list for a message.
    pub(super) fn failures(&self) -> &str {
        &self.failures
    }

    /// Writes it to `file` as JSON, or else to standard error in words.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub(super) fn deliver(&self, file: Option<&Path>) -> Result<(), Failure> {
        let Some(file) = file else {
            // Standard error may be closed: then nobody wants to know.
            let _ = write!(io::stderr(), "{self}");
            return Ok(());
        };
        let failure = |error: io::Error| {
            Failure::new(
                format!("cannot write the summary to {}: {error}", file.display()),
                "name a file in a folder that takes one",
            )
        };
        let mut text = serde_json::to_string_pretty(self).map_err(|error| failure(error.into()))?;
        text.push('\n');
        std::fs::write(file, text).map_err(failure)
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "records   {} in, {} out, {} dropped",
            self.records_in, self.records_out, self.dropped
        )?;
        if let Some(not_run) = self.not_run {
            let more = if self.more_not_run {
                " and what was not read yet"
            } else {
                ""
            };
            writeln!(
                f,
                "not run   {}{more}, behind the failure that ended the run",
                counted(not_run, "record")
            )?;
        }
        if let Some(outputs) = self.outputs.as_ref().filter(|outputs| outputs.len() > 1) {
            let outputs: Vec<String> = outputs
                .iter()
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            writeln!(f, "outputs   {}", outputs.join(", "))?;
        }
        let errors: Vec<String> = self
            .errors
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        if !errors.is_empty() {
            writeln!(f, "errors    {}", errors.join(", "))?;
        }
        for (name, count) in &self.metrics.counters {
            writeln!(f, "metric    {name} {count}")?;
        }
        for (name, samples) in &self.metrics.histograms {
            writeln!(
                f,
                "metric    {name} {}, {} to {}, {} in all",
                counted(samples.count, "sample"),
                samples.min,
                samples.max,
                samples.sum
            )?;
        }
        if self.state_rows > 0 {
            writeln!(f, "state     {}", counted(self.state_rows as u64, "row"))?;
        }
        if let Some(ns) = self.ns_per_record {
            writeln!(
                f,
                "call      {ns:.0} ns a record, {}",
                counted(self.calls, "call")
            )?;
        }
        writeln!(
            f,
            "plugin    {}, {}, compiled in {:.0} ms, {} of memory at most",
            self.kind,
            human_bytes(self.component_bytes as u64),
            self.compile_ms,
            human_bytes(self.memory_bytes_peak as u64)
        )
    }
}
