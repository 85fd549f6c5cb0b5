//! One batch, run and taken apart again.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use weir_batch::frame::OutputPartition;
use weir_batch::{Batch, BatchError, Codec};

use super::DryRunFailure;
use super::shown::Shown;
use crate::clock::now_ms;
use crate::flow::collector::{Collector, Sink};
use crate::flow::cursor::SinkShape;
use crate::flow::failure::sample;
use crate::flow::policy::{Outcome, Rules, Verdict};
use crate::flow::{Bisect, Chain, ChainError, Culprit, FailedRecord, FlowWork, Seed, bisect};
use crate::{BrokerError, ErrorKind};

/// A sink of the flow. What is made for it is kept in one place, and not stored.
#[derive(Clone)]
pub(super) struct TrialSink {
    pub(super) name: String,
    pub(super) partitions: u32,
    pub(super) message_bytes_max: usize,
}

/// A batch to be run on one of the threads for guests.
pub(super) struct BatchRun {
    pub(super) work: Arc<FlowWork>,
    pub(super) sinks: Vec<TrialSink>,
    pub(super) batch: Bytes,
    /// The source topic and partition.
    pub(super) place: (Arc<str>, u32),
    /// It is the partition's first batch: plugins that keep state have none yet.
    pub(super) begins: bool,
    /// The offsets that are wanted.
    pub(super) range: Range<i64>,
    pub(super) unpacked_bytes_max: usize,
}

/// What came of a batch.
#[derive(Default)]
pub(super) struct Made {
    pub(super) records_in: u64,
    pub(super) bytes_in: u64,
    pub(super) dropped: u64,
    pub(super) guest_ns: u64,
    pub(super) memory_bytes_peak: u64,
    pub(super) failures: Vec<DryRunFailure>,
    pub(super) streams: Vec<Stream>,
}

/// What came out for one sink.
pub(super) struct Stream {
    pub(super) topic: String,
    pub(super) outputs: Vec<Output>,
}

/// One record that came out.
pub(super) struct Output {
    /// The offset of the record it was made of.
    pub(super) source: i64,
    /// Of everything about it.
    pub(super) hash: u64,
    pub(super) bytes: u64,
    pub(super) shown: Shown,
}

impl Stream {
    /// The topic and the size of each record.
    pub(super) fn outputs(&self) -> impl Iterator<Item = (&str, u64)> {
        self.outputs
            .iter()
            .map(|output| (self.topic.as_str(), output.bytes))
    }
}

/// Everything that fails is left out, and told.
#[derive(Default)]
struct LeaveOut {
    /// The offsets of records that a plugin wants among the dead letters.
    letters: RefCell<BTreeSet<i64>>,
}

impl Rules for LeaveOut {
    fn judge(&self, outcome: Outcome, offset: i64) -> Verdict {
        if outcome == Outcome::DeadLetter {
            self.letters.borrow_mut().insert(offset);
        }
        Verdict::Skip
    }
}

impl BatchRun {
    /// Runs it. Blocks on the guests.
    pub(super) fn run(self) -> Result<Made, BrokerError> {
        let failed = |plugin: &str, error: &dyn std::fmt::Display| {
            let message = format!("plugin {plugin} does not start any more: {error}");
            BrokerError::new(ErrorKind::PluginFailed, message)
        };
        let mut chain = self
            .work
            .chain()
            .map_err(|(plugin, error)| failed(&plugin, &error))?;
        chain.at_source(&self.place.0, self.place.1);
        if self.begins {
            chain.with_passing_state(Seed::default());
        }
        let made = self.run_chain(&mut chain);
        let peak = chain.memory_bytes_peak();
        self.work.rest(chain);
        let mut made = made.map_err(|error| {
            let message = format!("a stored batch cannot be read: {error}");
            BrokerError::new(ErrorKind::CorruptMessage, message).at_partition(self.place.1)
        })?;
        made.memory_bytes_peak = peak;
        Ok(made)
    }

    fn run_chain(&self, chain: &mut Chain) -> Result<Made, BatchError> {
        let mut scratch = Vec::new();
        let stored = Batch::parse_trusted(&self.batch)?;
        let batch = match stored.codec() {
            Codec::None => stored,
            _ => stored.decompress(&mut scratch, self.unpacked_bytes_max)?,
        };
        let mut offsets = Vec::with_capacity(batch.len());
        let mut values = Vec::with_capacity(batch.len());
        for record in batch.records()? {
            offsets.push(record.offset());
            values.push(record.value());
        }
        let first = offsets.partition_point(|&offset| offset < self.range.start);
        let last = offsets.partition_point(|&offset| offset < self.range.end);
        if stored.header().is_control() || first == last {
            return Ok(Made::default());
        }
        let sinks = self.sinks.iter().enumerate().map(|(index, sink)| Sink {
            name: sink.name.clone(),
            shape: SinkShape {
                topic: index as u32,
                partitions: sink.partitions,
            },
            message_bytes_max: sink.message_bytes_max,
            codec: Some(Codec::None),
            append_time: false,
            shards: vec![0; sink.partitions as usize],
        });
        let mut collector = Collector::new(sinks.collect(), self.place.1, Vec::new())
            .on_trial()
            .tracing_sources();
        collector.begin_batch(Codec::None, now_ms());
        let mut attempt = Attempt {
            place: &self.place,
            chain,
            batch,
            collector,
            rules: LeaveOut::default(),
            offsets: &offsets,
            values: &values,
            made: Made {
                records_in: (last - first) as u64,
                bytes_in: stored.as_bytes().len() as u64,
                ..Made::default()
            },
        };
        if let Err(reason) = bisect(&mut attempt, first..last) {
            attempt.fail(first, None, reason);
        }
        let Attempt {
            mut collector,
            mut made,
            ..
        } = attempt;
        let trace = collector.take_trace();
        let batches = match collector.take() {
            Ok(batches) => batches,
            Err(error) => {
                made.failures.push(DryRunFailure {
                    topic: self.place.0.to_string(),
                    partition: self.place.1,
                    offset: offsets[first],
                    reason: error.to_string(),
                    ..DryRunFailure::default()
                });
                Vec::new()
            }
        };
        made.streams = self
            .sinks
            .iter()
            .map(|sink| Stream {
                topic: sink.name.clone(),
                outputs: Vec::new(),
            })
            .collect();
        let mut traced: Vec<_> = (0..self.sinks.len())
            .map(|sink| trace.iter().filter(move |traced| traced.output == sink))
            .collect();
        for out in &batches {
            let sink = out.partition.topic as usize;
            for record in Batch::parse_trusted(&out.batch)?.records()? {
                let traced = traced[sink].next();
                let partition = traced.map_or(OutputPartition::Unchosen, |traced| traced.partition);
                let mut hasher = DefaultHasher::new();
                (record.timestamp(), record.tail(), partition).hash(&mut hasher);
                made.streams[sink].outputs.push(Output {
                    source: traced.map_or(offsets[first], |traced| traced.source),
                    hash: hasher.finish(),
                    bytes: record.tail().len() as u64,
                    shown: Shown::of(&record, partition),
                });
            }
        }
        Ok(made)
    }
}

/// A batch under way.
struct Attempt<'a> {
    place: &'a (Arc<str>, u32),
    chain: &'a mut Chain,
    batch: Batch<'a>,
    collector: Collector,
    rules: LeaveOut,
    offsets: &'a [i64],
    values: &'a [Option<&'a [u8]>],
    made: Made,
}

impl Attempt<'_> {
    fn fail(&mut self, index: usize, plugin: Option<String>, reason: String) {
        let offset = self.offsets.get(index).copied().unwrap_or_default();
        self.made.failures.push(DryRunFailure {
            topic: self.place.0.to_string(),
            partition: self.place.1,
            offset,
            plugin,
            reason,
            dead_letter: self.rules.letters.borrow().contains(&offset),
            sample: self.values.get(index).copied().flatten().map(sample),
        });
    }
}

impl Bisect for Attempt<'_> {
    type Halt = String;

    fn attempt(&mut self, range: Range<usize>) -> Result<Result<(), ChainError>, String> {
        Ok(self
            .chain
            .run(self.batch, range, &self.rules, &mut self.collector)
            .map(|done| {
                self.made.dropped += done.stats.dropped;
                self.made.guest_ns += done.stats.guest_ns;
                for record in done.failed {
                    self.fail(record.index, record.plugin, record.reason);
                }
            }))
    }

    fn blame(&mut self, culprit: Culprit) -> Result<(), String> {
        self.fail(culprit.index, culprit.plugin, culprit.reason);
        if culprit.slow {
            // Each of them takes a second and more.
            return Err("the rest of the batch was left alone: a call ran into its deadline".to_owned());
        }
        Ok(())
    }

    fn stop(&mut self, record: FailedRecord) -> String {
        record.reason
    }

    fn lost(&mut self, reason: String) -> String {
        reason
    }
}
