//! One pass of a flow: some batches of a source partition, through the plugins, into batches for the sinks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use weir_batch::{Batch, Codec, iter_batches};
use weir_log::{Partition, ReadError};

use crate::clock::now_ms;
use crate::flow::chain::Chain;
use crate::flow::collector::{Collector, OutBatch};
use crate::flow::counters::PassStats;
use crate::flow::failure::Failure;
use crate::flow::work::FlowWork;

/// A pass ends at the next batch after this time: other flows have their turn, and a flow that stops stops soon.
const SLICE: Duration = Duration::from_millis(100);
/// What a pass makes of its source before it ends at the next batch, in multiples of the bytes it may take.
const AMPLIFICATION_MAX: usize = 4;

/// A pass to be run on one of the threads for guests.
pub(crate) struct Pass {
    pub(crate) work: Arc<FlowWork>,
    pub(crate) source: Partition,
    /// The first source offset that is not yet done.
    pub(crate) from: i64,
    /// Most bytes of source batches.
    pub(crate) bytes_max: usize,
    /// Most bytes that one compressed source batch may unpack to.
    pub(crate) unpacked_bytes_max: usize,
    pub(crate) collector: Collector,
    /// Set when the pass is to end at the next batch.
    pub(crate) stop: Arc<AtomicBool>,
}

/// What a pass has made.
pub(crate) struct PassResult {
    /// The next source offset to be done: where the last batch of the pass ends.
    pub(crate) end: i64,
    pub(crate) batches: Vec<OutBatch>,
    pub(crate) stats: PassStats,
    /// The collector, empty, for the next pass.
    pub(crate) collector: Collector,
    /// Why it did not get any further than `end`, if not for want of time or source. Then `end` is where it began: a pass
    /// that fails later makes do with what comes before the failure.
    pub(crate) failure: Option<PassFailure>,
}

/// Why a pass made nothing.
#[derive(Debug)]
pub(crate) enum PassFailure {
    /// A batch, or a record, that the plugins cannot get past.
    Guest(Failure),
    /// The source cannot be read.
    Read(ReadError),
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
            Err(error) => return self.failed(PassFailure::Read(error)),
        };
        let mut chain = match self.work.chain() {
            Ok(chain) => chain,
            Err((plugin, error)) => {
                let failure = Failure {
                    offset: self.from,
                    last_offset: None,
                    plugin: Some(plugin),
                    reason: error.to_string(),
                };
                return self.failed(PassFailure::Guest(failure));
            }
        };
        let mut count_max = usize::MAX;
        loop {
            match self.run_batches(&mut chain, &batches, count_max) {
                Ok((end, batches, stats)) => {
                    self.work.rest(chain);
                    return PassResult {
                        end,
                        batches,
                        stats,
                        collector: self.collector,
                        failure: None,
                    };
                }
                Err((0, failure)) => {
                    self.work.rest(chain);
                    return self.failed(PassFailure::Guest(failure));
                }
                // The batches before the failure count; the next pass begins with the one that failed.
                Err((done, _)) => count_max = done,
            }
            self.collector.clear();
        }
    }

    /// Runs up to `count_max` batches. A failure comes with the number of batches that were done before it.
    fn run_batches(
        &mut self,
        chain: &mut Chain,
        batches: &Bytes,
        count_max: usize,
    ) -> Result<(i64, Vec<OutBatch>, PassStats), (usize, Failure)> {
        let began = Instant::now();
        let mut stats = PassStats::default();
        let mut end = self.from;
        let mut scratch = Vec::new();
        let mut done = 0;
        for item in iter_batches(batches) {
            let unreadable = |offset, last_offset, reason: String| Failure {
                offset,
                last_offset,
                plugin: None,
                reason: format!("the stored batch cannot be read: {reason}"),
            };
            let (header, bytes) = item.map_err(|error| (done, unreadable(end, None, error.to_string())))?;
            if header.next_offset() <= self.from {
                continue;
            }
            let enough = done > 0
                && (began.elapsed() >= SLICE
                    || self.stop.load(Ordering::Relaxed)
                    || self.collector.bytes() > AMPLIFICATION_MAX * self.bytes_max);
            if done >= count_max || enough {
                break;
            }
            let bad = |error: weir_batch::BatchError| {
                let place = (header.base_offset.max(self.from), Some(header.last_offset()));
                (done, unreadable(place.0, place.1, error.to_string()))
            };
            let batch = Batch::parse_trusted(bytes).map_err(bad)?;
            let unpacked = match batch.codec() {
                Codec::None => batch,
                _ => batch
                    .decompress(&mut scratch, self.unpacked_bytes_max)
                    .map_err(bad)?,
            };
            self.collector.begin_batch(batch.codec(), now_ms());
            let made = chain
                .run(unpacked, self.from, &mut self.collector)
                .map_err(|failure| (done, failure))?;
            stats.records_in += made.records;
            stats.dropped += made.dropped;
            stats.guest_ns += made.guest_ns;
            stats.bytes_in += bytes.len() as u64;
            end = header.next_offset();
            done += 1;
        }
        let out = self.collector.take().map_err(|error| {
            // Batches are checked as records come; what is found only now lies in the whole pass.
            let failure = Failure {
                offset: self.from,
                last_offset: Some(end - 1),
                plugin: None,
                reason: error.to_string(),
            };
            (0, failure)
        })?;
        for batch in &out {
            stats.records_out += u64::from(batch.records);
            stats.bytes_out += batch.batch.len() as u64;
        }
        Ok((end, out, stats))
    }

    fn failed(mut self, failure: PassFailure) -> PassResult {
        self.collector.clear();
        PassResult {
            end: self.from,
            batches: Vec::new(),
            stats: PassStats::default(),
            collector: self.collector,
            failure: Some(failure),
        }
    }
}
