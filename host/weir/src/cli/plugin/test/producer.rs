//! A producer, polled as a flow polls it.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use weir_batch::frame::{Entry, Reader};
use weir_runtime::{Budget, CallError, Grants, HttpAccess, Instance, InstanceOptions, Page, Plugin};

use super::guest::start_failure;
use super::log::CallLog;
use super::print::{Origin, Out, Printer};
use super::problem::ProblemKind;
use super::{Args, OnError};
use crate::cli::output::counted;
use crate::cli::{Failure, Output, human_bytes, interrupted};

/// What a poll may give in a flow.
const BUDGET: Budget = Budget {
    records: 10_000,
    bytes: 1 << 20,
};
/// Failed polls in a row after which a flow pauses, and a test ends.
const FAILURES_MAX: u64 = 10;
/// Bytes of a cursor that are shown.
const CURSOR_BYTES_SHOWN: usize = 128;

/// What is said at the end.
#[derive(Debug, Default, Serialize)]
struct Summary {
    kind: &'static str,
    component_bytes: usize,
    compile_ms: f64,
    polls: u64,
    records_out: u64,
    /// Records by output.
    outputs: BTreeMap<String, u64>,
    errors: BTreeMap<&'static str, u64>,
    /// The cursor after the last page, if it is text.
    cursor: Option<String>,
    /// Whether the last page says that there is more.
    more: bool,
    passed: bool,
    ns_per_poll: f64,
    restarts: u64,
    memory_bytes_peak: usize,
}

struct Polls {
    instance: Instance,
    log: Arc<CallLog>,
    printer: Printer,
    outputs: Vec<String>,
    cursor: Option<Vec<u8>>,
    page: Page,
    summary: Summary,
}

/// Polls it as often as `args` say.
///
/// # Errors
///
/// When it does not start, a poll fails, or the output cannot be written.
pub(super) async fn run(
    args: &Args,
    plugin: &Plugin,
    http: Option<HttpAccess>,
    compile_ms: f64,
    output: Output,
) -> Result<(), Failure> {
    let log = Arc::new(CallLog::default());
    let mut options = InstanceOptions::new(Arc::clone(&log) as _);
    options.config = args.settings.iter().cloned().collect();
    options.outputs.clone_from(&args.outputs);
    let grants = http.map_or_else(Grants::none, |http| Grants::none().http(http));
    let started = plugin.instantiate_with(options, grants);
    log.show();
    let mut polls = Polls {
        instance: started.map_err(|error| start_failure(&error))?,
        log,
        printer: Printer::new(args, plugin.kind(), output),
        outputs: args.outputs.clone(),
        cursor: args.cursor.as_ref().map(|cursor| cursor.clone().into_bytes()),
        page: Page::default(),
        summary: Summary {
            kind: plugin.kind().name(),
            component_bytes: plugin.component_bytes().len(),
            compile_ms,
            ..Summary::default()
        },
    };
    let ended = polls.all(args).await;
    let failed: u64 = polls.summary.errors.values().sum();
    polls.finish(ended.is_ok() && (failed == 0 || args.on_error == OnError::Skip));
    polls.summary.deliver(args.summary.as_deref())?;
    match ended {
        // Who reads has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(
            format!("cannot write to standard output: {error}"),
            "check where the output goes",
        )),
        _ if failed > 0 && args.on_error != OnError::Skip => Err(Failure::new(
            format!(
                "{} did not pass: {} failed",
                args.file.display(),
                counted(failed, "poll")
            ),
            "mend the plugin, or what it asks for; with --on-error skip such polls are passed over",
        )),
        _ => Ok(()),
    }
}

impl Polls {
    /// Poll after poll. An interrupt is the end: what was polled counts.
    async fn all(&mut self, args: &Args) -> io::Result<()> {
        let mut interrupted = pin!(interrupted());
        let mut failures = 0;
        for _ in 0..args.polls.unwrap_or(1) {
            tokio::select! {
                biased;
                () = interrupted.as_mut() => return Ok(()),
                () = tokio::task::yield_now() => {}
            }
            if self.one()? {
                failures = 0;
                continue;
            }
            failures += 1;
            if args.on_error == OnError::Stop || failures == FAILURES_MAX {
                return Ok(());
            }
        }
        Ok(())
    }

    /// One poll. Whether there was a page.
    fn one(&mut self) -> io::Result<bool> {
        self.summary.polls += 1;
        let poll = self.summary.polls;
        let now_ms = now_ms();
        self.instance.set_poll_time(now_ms);
        // In a flow it is random; here two runs are to be alike as far as the time lets them.
        self.instance.set_seed(poll);
        let polled = self.instance.poll(self.cursor.as_deref(), BUDGET, &mut self.page);
        self.log.show();
        if let Err(error) = polled {
            let name = match error {
                CallError::Poll { .. } => "refused",
                _ => ProblemKind::of(&error).name(),
            };
            *self.summary.errors.entry(name).or_default() += 1;
            let reason = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
            say(&format!("poll {poll}: {name}: {reason}"));
            return Ok(false);
        }
        let records = self.print(poll, now_ms)?;
        let cursor = shown(&self.page.cursor);
        let more = if self.page.more { ", and there is more" } else { "" };
        say(&format!(
            "poll {poll}: {}, cursor {cursor}{more}",
            counted(records, "record")
        ));
        self.summary.records_out += records;
        self.summary.more = self.page.more;
        self.cursor = Some(std::mem::take(&mut self.page.cursor));
        Ok(true)
    }

    /// Prints the page's records; how many.
    fn print(&mut self, poll: u64, now_ms: i64) -> io::Result<u64> {
        let outputs = self.outputs.len() as u32;
        // The runtime has checked it: this does not fail.
        let frame = Reader::trusted(&self.page.frame, 1, outputs).map_err(io::Error::other)?;
        let mut records = 0;
        for entry in frame.entries() {
            if let Entry::Emit {
                output,
                timestamp_delta,
                tail,
                ..
            } = entry
            {
                // As in a flow: 1970 and before is a time that was not set.
                let timestamp_ms = if timestamp_delta > 0 {
                    timestamp_delta
                } else {
                    now_ms
                };
                let output = output as usize;
                self.printer.record(Out {
                    from: Origin::Poll(poll),
                    output: Some(output),
                    timestamp_ms,
                    key: tail.key(),
                    value: tail.value(),
                    headers: tail.headers(),
                })?;
                *self
                    .summary
                    .outputs
                    .entry(self.outputs[output].clone())
                    .or_default() += 1;
                records += 1;
            }
        }
        self.printer.flush()?;
        Ok(records)
    }

    fn finish(&mut self, passed: bool) {
        let stats = self.instance.stats();
        let cursor = self.cursor.take();
        self.summary.cursor = cursor.and_then(|cursor| String::from_utf8(cursor).ok());
        self.summary.passed = passed;
        self.summary.ns_per_poll = stats.guest_time.as_nanos() as f64 / stats.calls.max(1) as f64;
        self.summary.restarts = stats.restarts;
        self.summary.memory_bytes_peak = stats.memory_bytes_peak;
    }
}

impl Summary {
    /// Writes it to `file` as JSON, or else to standard error in words.
    fn deliver(&self, file: Option<&Path>) -> Result<(), Failure> {
        let Some(file) = file else {
            say(&format!(
                "polls     {}, {}, {:.0} us a poll",
                self.polls,
                counted(self.records_out, "record"),
                self.ns_per_poll / 1e3
            ));
            say(&format!(
                "plugin    {}, {}, compiled in {:.0} ms, {} of memory at most",
                self.kind,
                human_bytes(self.component_bytes as u64),
                self.compile_ms,
                human_bytes(self.memory_bytes_peak as u64)
            ));
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

/// The beginning of a cursor as text, on one line.
fn shown(cursor: &[u8]) -> String {
    let text = String::from_utf8_lossy(&cursor[..cursor.len().min(CURSOR_BYTES_SHOWN)]);
    format!("\"{}\"", text.escape_debug())
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A line on standard error, which may be closed: then nobody wants to know.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
