//! Batch after batch through the plugin; where a call fails, on to the record to blame.

use std::io::{self, Write as _};
use std::ops::RangeInclusive;

use weir_batch::frame::{Entry, Reader};
use weir_batch::{Batch, BatchBuilder, BatchError, bitmap};
use weir_runtime::Kind;

use super::OnError;
use super::guest::Guest;
use super::input::InputBatch;
use super::print::{Origin, Out, Printer};
use super::problem::{Problem, ProblemKind};
use super::summary::Counts;

/// Problems that are shown and kept; further ones are only counted.
const PROBLEMS_KEPT: usize = 100;

/// Failed calls after which a run ends, where it is not told to skip them: each costs a search, and up to a deadline a step.
const FAILED_CALLS_MAX: u64 = 100;

/// Bytes of a reason that are kept.
const REASON_BYTES_MAX: usize = 1 << 10;

/// Why a run ends before its input does.
#[derive(Debug)]
pub(super) enum Stop {
    /// Something failed, and that is enough.
    Failed,
    /// Standard output takes no more.
    Output(io::Error),
}

/// A plugin at work on an input.
pub(super) struct Run {
    guest: Guest,
    printer: Printer,
    on_error: OnError,
    counts: Counts,
    problems: Vec<Problem>,
    failed_calls: u64,
    /// The last line of the problem that ended the run.
    stopped_at: Option<u64>,
    not_run: Option<NotRun>,
}

/// Records of the input that were left alone because the run ended before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotRun {
    pub(super) records: u64,
    /// There may be more of them: the input was not read to its end.
    pub(super) at_least: bool,
}

impl Run {
    pub(super) fn new(guest: Guest, printer: Printer, on_error: OnError) -> Self {
        let counts = Counts::new(guest.outputs().len());
        Self {
            guest,
            printer,
            on_error,
            counts,
            problems: Vec::new(),
            failed_calls: 0,
            stopped_at: None,
            not_run: None,
        }
    }

    /// Gives a batch to the plugin and prints what comes out.
    ///
    /// # Errors
    ///
    /// [`Stop`], when nothing more is to be run. What came out before is printed.
    pub(super) fn batch(&mut self, input: &InputBatch) -> Result<(), Stop> {
        let ran = self.part(&input.bytes, input.first_line);
        self.printer.flush().map_err(Stop::Output)?;
        ran.map(|_| ())
    }

    /// The run is over after so many lines of input, which may not be all of them.
    pub(super) fn end(&mut self, lines: u64, at_least: bool) {
        if let Some(line) = self.stopped_at {
            // Those that were in the same call behind the problem do not count as done.
            self.counts.records_in = line;
            self.not_run = Some(NotRun {
                records: lines.saturating_sub(line),
                at_least,
            });
        }
    }

    /// What was left alone behind the problem that ended the run.
    pub(super) fn not_run(&self) -> Option<NotRun> {
        self.not_run
    }

    /// Whether the plugin did not pass.
    pub(super) fn failed(&self) -> bool {
        self.on_error != OnError::Skip && self.counts.failures() > 0
    }

    pub(super) fn guest(&self) -> &Guest {
        &self.guest
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The first problems, in the input's order.
    pub(super) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Runs a batch, or both halves of one that fails, and so on. Whether a call failed for which somebody is to blame.
    fn part(&mut self, bytes: &[u8], first_line: u64) -> Result<bool, Stop> {
        let batch = match Batch::parse(bytes) {
            Ok(batch) => batch,
            Err(error) => return self.unreadable(first_line..=first_line, &error),
        };
        let lines = first_line..=first_line + (batch.len() as u64).saturating_sub(1);
        let error = match self.guest.call(bytes, batch.len()) {
            Ok(unstable) => {
                self.deliver(&batch, first_line)?;
                return match unstable {
                    Some(reason) => self
                        .problem(ProblemKind::Unstable, &lines, &reason)
                        .map(|()| true),
                    None => Ok(false),
                };
            }
            Err(error) => error,
        };
        let kind = ProblemKind::of(&error);
        if batch.len() <= 1 {
            self.guest.log().show();
            self.counts.records_in += batch.len() as u64;
            self.problem(kind, &lines, &error.to_string())?;
            return Ok(true);
        }
        self.guest.log().forget();
        let (left, right) = match halves(&batch) {
            Ok(halves) => halves,
            Err(error) => return self.unreadable(lines, &error),
        };
        let middle = first_line + (batch.len() / 2) as u64;
        let found = self.part(&left, first_line)? | self.part(&right, middle)?;
        if !found {
            let reason = format!("{error}; called for these records in two parts, it is not");
            self.problem(kind, &lines, &reason)?;
        }
        Ok(true)
    }

    fn deliver(&mut self, batch: &Batch<'_>, first_line: u64) -> Result<(), Stop> {
        let answer = self.guest.take_answer();
        self.counts.records_in += batch.len() as u64;
        let delivered = match self.guest.kind() {
            Kind::Filter => self.deliver_kept(batch, first_line, &answer),
            _ => self.deliver_made(batch, first_line, &answer),
        };
        self.guest.give_back(answer);
        delivered
    }

    fn deliver_kept(&mut self, batch: &Batch<'_>, first_line: u64, kept: &[u8]) -> Result<(), Stop> {
        let records = match batch.records() {
            Ok(records) => records,
            Err(error) => return self.unreadable(first_line..=first_line, &error).map(|_| ()),
        };
        for (index, record) in records.enumerate() {
            if !bitmap::get(kept, index) {
                self.counts.dropped += 1;
                continue;
            }
            let out = Out {
                from: Origin::Line(first_line + index as u64),
                output: None,
                timestamp_ms: record.timestamp(),
                key: record.key(),
                value: record.value(),
                headers: record.headers(),
            };
            self.counts.records_out += 1;
            self.printer.record(out).map_err(Stop::Output)?;
        }
        Ok(())
    }

    fn deliver_made(&mut self, batch: &Batch<'_>, first_line: u64, frame: &[u8]) -> Result<(), Stop> {
        let outputs = self.counts.outputs.len() as u32;
        let frame = match Reader::new(frame, batch.len() as u32, outputs) {
            Ok(frame) => frame,
            // The runtime has checked it: this does not happen.
            Err(error) => {
                let lines = first_line..=first_line + batch.len() as u64 - 1;
                return self.problem(ProblemKind::Output, &lines, &error.to_string());
            }
        };
        let mut settled = vec![0; bitmap::byte_len(batch.len())];
        for entry in frame.entries() {
            bitmap::set(&mut settled, entry.source() as usize);
            let line = first_line + u64::from(entry.source());
            let (kind, reason) = match entry {
                Entry::Emit {
                    output,
                    timestamp_delta,
                    tail,
                    ..
                } => {
                    let out = Out {
                        from: Origin::Line(line),
                        output: Some(output as usize),
                        timestamp_ms: batch.base_timestamp().wrapping_add(timestamp_delta),
                        key: tail.key(),
                        value: tail.value(),
                        headers: tail.headers(),
                    };
                    self.counts.records_out += 1;
                    self.counts.outputs[output as usize] += 1;
                    self.printer.record(out).map_err(Stop::Output)?;
                    continue;
                }
                Entry::DeadLetter { reason, .. } => (ProblemKind::DeadLetter, reason),
                Entry::Retry { reason, .. } => (ProblemKind::Retry, reason),
                Entry::Fail { reason, .. } => (ProblemKind::Fail, reason),
            };
            self.problem(kind, &(line..=line), reason)?;
        }
        self.counts.dropped += (batch.len() - bitmap::count_ones(&settled)) as u64;
        Ok(())
    }

    /// A batch of our own that cannot be read: this does not happen.
    fn unreadable(&mut self, lines: RangeInclusive<u64>, error: &BatchError) -> Result<bool, Stop> {
        let reason = format!("the batch cannot be read: {error}");
        self.problem(ProblemKind::Start, &lines, &reason).map(|()| true)
    }

    /// Shows, keeps and counts a problem, and says whether that is the end.
    fn problem(&mut self, kind: ProblemKind, lines: &RangeInclusive<u64>, reason: &str) -> Result<(), Stop> {
        self.counts.count(kind);
        let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
        if self.problems.len() < PROBLEMS_KEPT {
            let problem = Problem::new(kind, lines, reason);
            // What came before it is seen before it.
            self.printer.flush().map_err(Stop::Output)?;
            say(&problem.to_string());
            self.problems.push(problem);
            if self.problems.len() == PROBLEMS_KEPT {
                say("that was problem 100: further ones are only counted");
            }
        }
        if !kind.is_failure() {
            return Ok(());
        }
        self.failed_calls += u64::from(!matches!(kind, ProblemKind::Retry | ProblemKind::Fail));
        match self.on_error {
            OnError::Stop => {}
            OnError::Report if self.failed_calls >= FAILED_CALLS_MAX => {
                say("100 calls have failed: the rest of the input is left alone");
            }
            _ => return Ok(()),
        }
        self.stopped_at = Some(*lines.end());
        Err(Stop::Failed)
    }
}

/// A line on standard error, which may be closed: then nobody wants to know.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The first and the second half of a batch of two records or more; offsets go on.
fn halves(batch: &Batch<'_>) -> Result<(Vec<u8>, Vec<u8>), BatchError> {
    let middle = batch.len() / 2;
    let part = |skip: usize, take: usize| {
        let mut builder = BatchBuilder::new();
        for record in batch.records()?.skip(skip).take(take) {
            builder.push_tail(record.timestamp(), record.tail())?;
        }
        let mut bytes = builder.finish()?;
        weir_batch::set_base_offset(&mut bytes, batch.base_offset() + skip as i64)?;
        Ok(bytes)
    };
    Ok((part(0, middle)?, part(middle, batch.len() - middle)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_the_whole() {
        for len in 2..10_usize {
            let mut builder = BatchBuilder::new();
            for index in 0..len {
                let value = [index as u8];
                builder
                    .push(1000 - index as i64, None, Some(&value), &[])
                    .unwrap();
            }
            let mut bytes = builder.finish().unwrap();
            weir_batch::set_base_offset(&mut bytes, 40).unwrap();
            let whole = Batch::parse(&bytes).unwrap();
            let (left, right) = halves(&whole).unwrap();
            let (left, right) = (Batch::parse(&left).unwrap(), Batch::parse(&right).unwrap());
            assert!(left.len() > 0 && right.len() > 0);
            let of = |batch: &Batch<'_>| -> Vec<(i64, i64, Vec<u8>)> {
                let records = batch.records().unwrap();
                records
                    .map(|record| (record.offset(), record.timestamp(), record.tail().to_vec()))
                    .collect()
            };
            assert_eq!([of(&left), of(&right)].concat(), of(&whole));
        }
    }
}
