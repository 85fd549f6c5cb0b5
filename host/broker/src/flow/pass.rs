//! One pass of a flow: some batches of a source partition, through the plugins, into batches for the sinks.

mod run;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use weir_batch::{Batch, Codec, iter_batches};
use weir_log::{KvOp, Partition, ReadError};

use crate::clock::now_ms;
use crate::flow::bisect::{Culprit, bisect};
use crate::flow::chain::{Chain, FailedRecord, Made, Seed};
use crate::flow::collector::{Collector, OutBatch};
use crate::flow::counters::PassStats;
use crate::flow::failure::{Failure, sample};
use crate::flow::lane::Lane;
use crate::flow::policy::{FailuresInRow, Outcome, Policy, Rules, Verdict};
use crate::flow::state::SharedState;
use crate::flow::work::FlowWork;
use crate::flow::{dead_letter, letters};
use run::Run;

/// A pass ends at the next batch after this time: other flows have their turn, and a flow that stops stops soon.
const SLICE: Duration = Duration::from_millis(100);
/// What a pass makes of its source before it ends at the next batch, in multiples of the bytes it may take.
const AMPLIFICATION_MAX: usize = 4;

/// A pass to be run on one of the threads for guests.
pub(crate) struct Pass {
    pub(crate) work: Arc<FlowWork>,
    pub(crate) source: Partition,
    /// The flow that dead letters are of.
    pub(crate) flow: String,
    /// Whether the source holds dead letters, and the plugins see what they were made of.
    pub(crate) letters: bool,
    /// The name of the source topic.
    pub(crate) topic: Arc<str>,
    pub(crate) lane: Lane,
    /// The first source offset that is not yet done.
    pub(crate) from: i64,
    /// Most bytes of source batches.
    pub(crate) bytes_max: usize,
    /// Most bytes that one compressed source batch may unpack to.
    pub(crate) unpacked_bytes_max: usize,
    pub(crate) policy: Policy,
    pub(crate) failures: FailuresInRow,
    pub(crate) collector: Collector,
    pub(crate) seed: Seed,
    /// Of a flow that keeps state.
    pub(crate) state: Option<SharedState>,
    /// Passes that are not committed yet.
    pub(crate) in_flight: usize,
    /// Where the flow ends, if it does: a pass ends there too, even within a batch.
    pub(crate) limit: Option<i64>,
    /// Where a pass ended that a crash cut short. This one, which repeats it, ends there too: what comes out of it must not differ.
    pub(crate) until: Option<i64>,
    /// Set when the pass is to end at the next batch.
    pub(crate) stop: Arc<AtomicBool>,
}

/// What a pass has made.
pub(crate) struct PassResult {
    /// The next source offset to be done; where the pass began, if it did nothing.
    pub(crate) end: i64,
    /// The outputs of everything before it.
    pub(crate) batches: Vec<OutBatch>,
    /// What everything before it has changed of the flow's state.
    pub(crate) changes: Vec<KvOp>,
    pub(crate) stats: PassStats,
    pub(crate) failures: FailuresInRow,
    /// The collector, empty, for the next pass.
    pub(crate) collector: Collector,
    /// Why it did not get any further than `end`, if not for want of time or source.
    pub(crate) failure: Option<PassFailure>,
}

/// What a pass cannot get past.
#[derive(Debug)]
pub(crate) enum PassFailure {
    /// A batch, or a record, that the plugins fail at.
    Guest(Failure),
    /// The source cannot be read.
    Read(ReadError),
    /// The flow's state cannot be read.
    State(ReadError),
}

/// Where a batch is left early.
enum Halt {
    /// At this record, for want of time.
    Enough(usize),
    /// At a record that failed.
    Failed(FailedRecord),
    /// Outputs cannot be gathered, and those that are there are of no use.
    Lost(String),
    /// The flow's state cannot be read.
    State(ReadError),
}

/// Why a pass ends early.
struct Failed {
    /// Everything before this offset is done; `None` if nothing of the pass is of use.
    end: Option<i64>,
    failure: PassFailure,
}

impl Pass {
    /// Runs it. Blocks, on reading and on guests.
    pub(crate) fn run(mut self) -> PassResult {
        let fetched = match self.source.read_cached(self.from, self.bytes_max) {
            Some(fetched) => Ok(fetched),
            None => self.source.read(self.from, self.bytes_max),
        };
        let batches = match fetched {
            Ok(fetched) => fetched.batches,
            Err(error) => return self.nothing(PassFailure::Read(error)),
        };
        let mut chain = match self.work.chain() {
            Ok(chain) => chain,
            Err((plugin, error)) => {
                let failure = Failure {
                    plugin: Some(plugin),
                    ..Failure::of_batch(self.from, None, error.to_string())
                };
                return self.nothing(PassFailure::Guest(failure));
            }
        };
        chain.at_source(&self.topic, self.lane.partition);
        chain.count_in(self.work.counters(self.lane));
        if let Some(state) = &self.state {
            state.lock().begin_pass(self.in_flight);
        }
        chain.begin_pass(self.seed, self.state.as_ref());
        let mut stats = PassStats::default();
        let (end, failure) = match self.run_batches(&mut chain, &batches, &mut stats) {
            Ok(end) => (end, None),
            Err(Failed { end: None, failure }) => {
                chain.end_pass();
                self.work.rest(chain);
                return self.nothing(failure);
            }
            Err(Failed {
                end: Some(end),
                failure,
            }) => (end, Some(failure)),
        };
        chain.end_pass();
        self.work.rest(chain);
        let changes = match self.changes_up_to(end) {
            Ok(changes) => changes,
            Err(error) => return self.nothing(PassFailure::State(error)),
        };
        match self.collector.take() {
            Ok(batches) => {
                for batch in batches.iter().filter(|batch| !self.collector.is_letters(batch)) {
                    stats.records_out += u64::from(batch.records);
                    stats.bytes_out += batch.batch.len() as u64;
                }
                PassResult {
                    end,
                    batches,
                    changes,
                    stats,
                    failures: self.failures,
                    collector: self.collector,
                    failure,
                }
            }
            // Records are looked at as they come; what is found only now lies in the whole pass.
            Err(error) => {
                let failure = Failure::of_batch(self.from, Some(end - 1), error.to_string());
                self.nothing(PassFailure::Guest(failure))
            }
        }
    }

    /// Runs batches until there are no more, or it is enough. Returns the next offset to be done.
    fn run_batches(
        &mut self,
        chain: &mut Chain,
        batches: &Bytes,
        stats: &mut PassStats,
    ) -> Result<i64, Failed> {
        let began = Instant::now();
        let mut end = self.from;
        let mut scratch = Vec::new();
        for item in iter_batches(batches) {
            let unreadable = |first: i64, last: Option<i64>, error: weir_batch::BatchError| {
                let reason = format!("the stored batch cannot be read: {error}");
                Failed {
                    end: Some(first),
                    failure: PassFailure::Guest(Failure::of_batch(first, last, reason)),
                }
            };
            let (header, bytes) = item.map_err(|error| unreadable(end, None, error))?;
            if header.next_offset() <= self.from {
                continue;
            }
            if self.is_enough(end, began) || self.limit.is_some_and(|limit| end >= limit) {
                break;
            }
            let first = header.base_offset.max(self.from);
            let bad = |error| unreadable(first, Some(header.last_offset()), error);
            let batch = Batch::parse_trusted(bytes).map_err(bad)?;
            let unpacked = match batch.codec() {
                Codec::None => batch,
                _ => batch
                    .decompress(&mut scratch, self.unpacked_bytes_max)
                    .map_err(bad)?,
            };
            let as_they_were = if self.letters {
                letters::as_they_were(&unpacked).map_err(bad)?
            } else {
                Vec::new()
            };
            let records = if self.letters {
                Batch::parse_trusted(&as_they_were).map_err(bad)?
            } else {
                unpacked
            };
            self.collector.begin_batch(batch.codec(), now_ms());
            let index_of = |offset: i64| {
                let index = usize::try_from(offset - header.base_offset).unwrap_or(usize::MAX);
                index.min(records.len())
            };
            let next = self
                .limit
                .map_or(header.next_offset(), |limit| limit.min(header.next_offset()));
            let range = index_of(first)..index_of(next);
            let mut run = Run {
                letters: self.letters.then_some(unpacked),
                pass: self,
                chain,
                batch: records,
                stats,
                began,
            };
            let halt = bisect(&mut run, range).err();
            stats.bytes_in += bytes.len() as u64;
            let offset_of = |index: usize| (header.base_offset + index as i64).min(header.next_offset());
            match halt {
                None => end = next,
                Some(Halt::Enough(index)) => {
                    end = offset_of(index);
                    break;
                }
                Some(Halt::Failed(failed)) => {
                    let offset = offset_of(failed.index);
                    let failure = Failure {
                        offset,
                        last_offset: None,
                        plugin: failed.plugin,
                        reason: failed.reason,
                        sample: value_at(&records, failed.index),
                        verdict: failed.verdict,
                    };
                    return Err(Failed {
                        end: Some(offset),
                        failure: PassFailure::Guest(failure),
                    });
                }
                Some(Halt::Lost(reason)) => {
                    let failure = Failure::of_batch(first, Some(header.last_offset()), reason);
                    return Err(Failed {
                        end: None,
                        failure: PassFailure::Guest(failure),
                    });
                }
                Some(Halt::State(error)) => {
                    return Err(Failed {
                        end: None,
                        failure: PassFailure::State(error),
                    });
                }
            }
        }
        Ok(end)
    }

    /// Whether the pass is to end at `end`, where a batch ends.
    fn is_enough(&self, end: i64, began: Instant) -> bool {
        if let Some(until) = self.until {
            return end >= until || (end > self.from && self.stop.load(Ordering::Relaxed));
        }
        let changed = self
            .state
            .as_ref()
            .map_or(0, |state| state.lock().changed_bytes());
        end > self.from
            && (began.elapsed() >= SLICE
                || self.stop.load(Ordering::Relaxed)
                || self.collector.bytes() + changed > AMPLIFICATION_MAX * self.bytes_max)
    }

    /// What the pass has changed of the flow's state.
    fn changes_up_to(&self, end: i64) -> Result<Vec<KvOp>, ReadError> {
        match &self.state {
            Some(state) if end > self.from => state.lock().finish_pass(),
            _ => Ok(Vec::new()),
        }
    }

    /// What is done about a record for which the call as such fails.
    fn judge(&mut self, batch: &Batch<'_>, culprit: Culprit) -> FailedRecord {
        let Culprit {
            index,
            plugin,
            reason,
            slow,
        } = culprit;
        let offset = batch.header().base_offset + index as i64;
        let verdict = self.policy.judge(Outcome::Trap, offset);
        let too_many = self.failures.failed(slow) && !verdict.stops();
        FailedRecord {
            index,
            plugin,
            verdict: if too_many { Verdict::Pause } else { verdict },
            reason: if too_many {
                format!("too many records failed one after the other; the last one: {reason}")
            } else {
                reason
            },
        }
    }

    /// Counts what came of a call and sends dead letters where they belong. `letters` are what the records of the batch were made of,
    /// if they were.
    fn settle(
        &mut self,
        batch: Batch<'_>,
        letters: Option<Batch<'_>>,
        made: Made,
        stats: &mut PassStats,
    ) -> Result<(), Halt> {
        stats.records_in += made.stats.records;
        stats.dropped += made.stats.dropped;
        stats.guest_ns += made.stats.guest_ns;
        let dead = made
            .failed
            .iter()
            .filter(|failed| failed.verdict == Verdict::DeadLetter)
            .count() as u64;
        stats.dead_lettered += dead;
        stats.skipped += made.failed.len() as u64 - dead;
        if dead == 0 {
            return Ok(());
        }
        let place = dead_letter::Place {
            flow: &self.flow,
            topic: &self.topic,
            partition: self.lane.partition,
        };
        let out = &mut self.collector;
        let sent = match letters {
            Some(letters) => letters::send_again(&place, letters, batch, &made.failed, out),
            None => dead_letter::send(&place, batch, &made.failed, out),
        };
        sent.map_err(Halt::Lost)
    }

    fn nothing(mut self, failure: PassFailure) -> PassResult {
        self.collector.clear();
        PassResult {
            end: self.from,
            batches: Vec::new(),
            changes: Vec::new(),
            stats: PassStats::default(),
            failures: self.failures,
            collector: self.collector,
            failure: Some(failure),
        }
    }
}

fn value_at(batch: &Batch<'_>, index: usize) -> Option<String> {
    let record = batch.records().ok()?.nth(index)?;
    record.value().map(sample)
}
