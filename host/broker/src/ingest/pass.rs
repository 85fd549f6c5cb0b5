//! One batch through the chain, before it is stored.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use weir_batch::frame::{OutputPartition, Target};
use weir_batch::{Batch, BatchError, Codec, bitmap, set_base_offset};

use crate::clock::now_ms;
use crate::flow::calls::Fault;
use crate::flow::collector::Collector;
use crate::flow::counters::PassStats;
use crate::flow::policy::{FailuresInRow, Outcome, Rules, Verdict};
use crate::flow::{Bisect, Chain, ChainError, Culprit, FailedRecord, bisect, dead_letter};
use crate::ingest::RecordResults;
use crate::ingest::made::{Made, Output, Step};
use crate::ingest::results::Gathered;
use crate::ingest::route::Route;
use crate::{BrokerError, ErrorKind};

/// The guarded topic, in whose partition everything stays.
const FIRST: Target = Target {
    output: 0,
    partition: OutputPartition::Unchosen,
};

/// Finding records that fail takes time: after this long, others have their turn before it goes on.
const SLICE: Duration = Duration::from_millis(100);

/// How long calls may fail in one batch: finding a record that loops takes a deadline for each halving, and whoever waits for
/// the batch gives up after a while.
const FAILING_MAX: Duration = Duration::from_secs(15);

/// One batch on its way through the chain; as far as it has come, from turn to turn.
pub(super) struct IngestPass {
    route: Arc<Route>,
    /// As it was sent, from offset 0 on: a record's index is its offset.
    batch: BytesMut,
    /// The same uncompressed, if it is not.
    unpacked: Vec<u8>,
    /// What is to be stored instead of it; made when there is something of it.
    collector: Option<Collector>,
    /// The first record that is not judged yet.
    next: usize,
    /// Of a chain of filters: the records that are kept.
    kept: Vec<u8>,
    /// What the plugins could not handle.
    failed: Vec<FailedRecord>,
    failures: FailuresInRow,
    /// How long the calls took that failed.
    failing: Duration,
    stats: PassStats,
}

impl IngestPass {
    /// `batch` was [checked](crate::batch::admit).
    pub(super) fn new(route: Arc<Route>, mut batch: BytesMut) -> Self {
        // Its header was parsed before.
        let _ = set_base_offset(&mut batch, 0);
        Self {
            route,
            batch,
            unpacked: Vec::new(),
            collector: None,
            next: 0,
            kept: Vec::new(),
            failed: Vec::new(),
            failures: FailuresInRow::default(),
            failing: Duration::ZERO,
            stats: PassStats::default(),
        }
    }

    /// Goes on in a turn that `began` a while ago. Blocks on guests.
    pub(super) fn run(mut self: Box<Self>, chain: &mut Chain, began: Instant) -> Step {
        let bytes = std::mem::take(&mut self.batch);
        let mut unpacked = std::mem::take(&mut self.unpacked);
        let batch = match self.unpack(&bytes, &mut unpacked) {
            Ok(batch) => batch,
            Err(error) => return Step::Refused(unreadable(&error)),
        };
        let selects = chain.only_selects();
        self.kept.resize(bitmap::byte_len(batch.len()), 0);
        let rest = self.next..batch.len();
        let codec = bytes_codec(&bytes);
        let mut run = Run {
            pass: &mut self,
            chain,
            batch,
            codec,
            selects,
            began,
        };
        let halt = bisect(&mut run, rest).err();
        match halt {
            Some(Halt::Enough(next)) => {
                self.next = next;
                (self.batch, self.unpacked) = (bytes, unpacked);
                Step::More(self)
            }
            Some(Halt::Homeless) => Step::NoDeadLetter(bytes),
            Some(Halt::Lost(reason)) => Step::Refused(too_large(&reason)),
            None | Some(Halt::GivenUp) => match self.finish(batch, codec, selects) {
                Ok(mut made) => {
                    if matches!(&made.output, Output::Untouched(_)) {
                        made.output = Output::Untouched(bytes);
                    }
                    Step::Done(made)
                }
                Err(error) => Step::Refused(error),
            },
        }
    }

    /// Adds to the time that calls took which failed; whether that is enough of it for one batch.
    fn fails_too_long(&mut self, began: Instant) -> bool {
        self.failing += began.elapsed();
        self.failing >= FAILING_MAX
    }

    /// The batch without compression: `unpacked` if it holds it already.
    fn unpack<'a>(&self, bytes: &'a [u8], unpacked: &'a mut Vec<u8>) -> Result<Batch<'a>, BatchError> {
        let batch = Batch::parse_trusted(bytes)?;
        if batch.codec() == Codec::None {
            return Ok(batch);
        }
        if unpacked.is_empty() {
            batch.decompress(unpacked, self.route.unpacked_bytes_max)?;
        }
        Batch::parse_trusted(unpacked)
    }

    /// Everything is judged: makes of it what is to be stored. What is untouched is left for the caller to put in.
    fn finish(&mut self, batch: Batch<'_>, codec: Codec, selects: bool) -> Result<Made, BrokerError> {
        let header = *batch.header();
        let len = batch.len();
        let sequence = header.has_producer().then_some((
            header.producer_id,
            header.producer_epoch,
            header.base_sequence,
        ));
        self.stats.records_in = len as u64;
        self.stats.bytes_in = header.batch_len as u64;
        let mut made = Made {
            output: Output::Untouched(BytesMut::new()),
            letters: Vec::new(),
            sequence,
            records: len as u32,
            stats: self.stats,
            route: Arc::clone(&self.route),
        };
        if selects && self.failed.is_empty() && bitmap::count_ones(&self.kept) == len {
            made.stats.records_out = len as u64;
            made.stats.bytes_out = header.batch_len as u64;
            return Ok(made);
        }
        self.failed.sort_by_key(|failed| failed.index);
        let route = Arc::clone(&self.route);
        let mut collector = self.collector.take().unwrap_or_else(|| route.collector());
        collector.begin_batch(codec, now_ms());
        if selects {
            for (index, record) in batch.records().map_err(|error| unreadable(&error))?.enumerate() {
                if bitmap::get(&self.kept, index) {
                    let pushed = collector.push(FIRST, index as i64, record.timestamp(), None, record.tail());
                    pushed.map_err(|error| too_large(&error.to_string()))?;
                }
            }
        }
        let records = self.gather(len, collector.take_sources(), &mut made.stats);
        let place = dead_letter::Place {
            flow: route.work.flow(),
            topic: &route.topic,
            partition: route.partition,
        };
        dead_letter::send_unstored(&place, batch, &self.failed, &mut collector)
            .map_err(|reason| too_large(&reason))?;
        let out = collector.take().map_err(|error| too_large(&error.to_string()))?;
        let letter_topic = route.letters().map(|letters| letters.partition.topic);
        let mut batches = Vec::new();
        for batch in out {
            if Some(batch.partition.topic) == letter_topic {
                made.letters.push(batch);
            } else {
                made.stats.records_out += u64::from(batch.records);
                made.stats.bytes_out += batch.batch.len() as u64;
                batches.push(batch.batch);
            }
        }
        made.output = Output::Changed { batches, records };
        Ok(made)
    }

    /// What became of each of the `len` records, by the `sources` of what is to be stored.
    fn gather(&self, len: usize, sources: Vec<i64>, stats: &mut PassStats) -> Option<Box<RecordResults>> {
        let mut outputs = vec![(0_u32, 0_u32); len];
        for (at, source) in sources.into_iter().enumerate() {
            // The sources are records of this batch, by their indices.
            let (first, count) = &mut outputs[source as usize];
            if *count == 0 {
                *first = at as u32;
            }
            *count += 1;
        }
        let mut gathered = Gathered::default();
        let mut failed = self.failed.iter().peekable();
        for (index, (first, count)) in outputs.into_iter().enumerate() {
            let failure = failed.next_if(|failed| failed.index == index);
            match failure.map(|failure| (failure.verdict, &failure.reason)) {
                Some((Verdict::DeadLetter, _)) => {
                    stats.dead_lettered += 1;
                    gathered.dropped();
                }
                Some((Verdict::Skip, _)) => {
                    stats.skipped += 1;
                    gathered.dropped();
                }
                Some((verdict, reason)) => {
                    stats.rejected += 1;
                    gathered.rejected(matches!(verdict, Verdict::Defer | Verdict::Retry), reason);
                }
                None if count == 0 => {
                    stats.dropped += 1;
                    gathered.dropped();
                }
                None => gathered.stored(first, count),
            }
        }
        gathered.finish()
    }
}

/// Where a turn ends early.
enum Halt {
    /// Before this record, for want of time.
    Enough(usize),
    /// At a record that is for the dead-letter topic, which is not there.
    Homeless,
    /// Too many records failed: the rest is not even tried.
    GivenUp,
    /// Outputs cannot be gathered.
    Lost(String),
}

/// The records of a batch on their way through the chain.
struct Run<'a> {
    pass: &'a mut IngestPass,
    chain: &'a mut Chain,
    batch: Batch<'a>,
    /// Of the batch as it was sent.
    codec: Codec,
    selects: bool,
    /// When the turn began.
    began: Instant,
}

impl Bisect for Run<'_> {
    type Halt = Halt;

    fn attempt(&mut self, range: Range<usize>) -> Result<Result<(), ChainError>, Halt> {
        let began = Instant::now();
        let Range { start, end } = range;
        let pass = &mut *self.pass;
        let done = if self.selects {
            self.chain.select(self.batch, range, &mut pass.kept)
        } else {
            let route = &pass.route;
            let collector = pass.collector.get_or_insert_with(|| {
                let mut collector = route.collector();
                collector.begin_batch(self.codec, now_ms());
                collector
            });
            let made = self.chain.run(self.batch, range, &route.rules, collector);
            made.map(|made| {
                pass.failed.extend(made.failed);
                made.stats.guest_ns
            })
        };
        match done {
            Ok(guest_ns) => {
                pass.stats.guest_ns += guest_ns;
                pass.failures.worked();
                self.pause_at(end).map(Ok)
            }
            // Its producer may send the rest again, once the flow runs again.
            Err(ChainError::Call {
                plugin,
                reason,
                fault: Fault::Stopped,
            }) => Err(self.give_up(start, plugin, &reason)),
            Err(ChainError::Call { plugin, reason, .. }) if pass.fails_too_long(began) => {
                Err(self.give_up(start, plugin, &reason))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    fn blame(&mut self, culprit: Culprit) -> Result<(), Halt> {
        let Culprit {
            index,
            plugin,
            reason,
            slow,
        } = culprit;
        let verdict = self.pass.route.rules.judge(Outcome::Trap, index as i64);
        if verdict == Verdict::DeadLetter && self.pass.route.letters().is_none() {
            return Err(Halt::Homeless);
        }
        self.pass.failed.push(FailedRecord {
            index,
            plugin: plugin.clone(),
            reason: reason.clone(),
            verdict,
        });
        if self.pass.failures.failed(slow) {
            return Err(self.give_up(index + 1, plugin, &reason));
        }
        self.pause_at(index + 1)
    }

    fn stop(&mut self, _: FailedRecord) -> Halt {
        // Nothing stops an ingest flow but the want of a dead-letter topic.
        Halt::Homeless
    }

    fn lost(&mut self, reason: String) -> Halt {
        Halt::Lost(reason)
    }
}

impl Run<'_> {
    /// The records from this one on are not tried: they may be sent again.
    fn give_up(&mut self, from: usize, plugin: Option<String>, reason: &str) -> Halt {
        let reason = format!(
            "it was not tried, for the plugins failed too often, or for too long, at records before it: {reason}"
        );
        let untried = (from..self.batch.len()).map(|index| FailedRecord {
            index,
            plugin: plugin.clone(),
            reason: reason.clone(),
            verdict: Verdict::Defer,
        });
        self.pass.failed.extend(untried);
        Halt::GivenUp
    }

    /// Ends the turn before record `next` if it has taken long enough and that is not the end.
    fn pause_at(&self, next: usize) -> Result<(), Halt> {
        if next < self.batch.len() && self.began.elapsed() >= SLICE {
            return Err(Halt::Enough(next));
        }
        Ok(())
    }
}

/// The codec of a batch that was parsed before.
fn bytes_codec(bytes: &[u8]) -> Codec {
    Batch::parse_trusted(bytes).map_or(Codec::None, |batch| batch.codec())
}

fn unreadable(error: &BatchError) -> BrokerError {
    BrokerError::new(ErrorKind::InvalidRecord, format!("the batch is refused: {error}"))
}

fn too_large(reason: &str) -> BrokerError {
    BrokerError::new(ErrorKind::MessageTooLarge, reason)
}
