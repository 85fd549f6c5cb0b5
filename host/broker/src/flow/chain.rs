//! The plugins of one flow, run one after the other over a source batch.

mod judge;
mod logs;
mod metered;
mod migrate;
mod records;
mod seed;
mod select;
mod stage;

use std::ops::Range;
use std::sync::Arc;

use weir_batch::frame::{Entry, OutputPartition, Reader, Target};
use weir_batch::{Batch, BatchBuilder, BatchError, bitmap};

use weir_runtime::MemoryState;

use crate::PluginKind;
use crate::flow::calls::{Fault, FlowFaults};
use crate::flow::collector::Collector;
use crate::flow::counters::Counters;
use crate::flow::log::PluginLog;
use crate::flow::policy::{Outcome, Rules, Verdict};
use crate::flow::state::{SharedState, StageState};
use judge::{Judge, LookAt, failure};
use logs::Logs;
pub(crate) use migrate::StageSchema;
use records::{Keep, Records, as_records, check_count, rewrite};
pub(crate) use seed::Seed;
pub(crate) use stage::Stage;

/// The plugins of one flow, set up: what one thread needs to run them.
///
/// Between a filter and the next plugin, records are written anew only if the filter dropped some. The outputs of the
/// last plugin go straight into the sinks' batches.
pub(crate) struct Chain {
    stages: Vec<Stage>,
    /// Index of the last transform: the one that chooses among the sinks.
    chooser: Option<usize>,
    seed: Seed,
    builder: BatchBuilder,
    bitmap: Vec<u8>,
    frame: Vec<u8>,
    /// By source record: whether anything came out of it.
    emitted: Vec<u8>,
    /// By source record: whether it failed.
    failed: Vec<u8>,
    logs: Logs,
    /// Of the source partition, for the calls; none is counted without.
    counters: Option<Arc<Counters>>,
    /// Nanoseconds in the guests, in this run.
    took_ns: u64,
    /// How records of this run failed.
    faults: FlowFaults,
}

/// What a batch was made into.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct ChainStats {
    /// Records that went in.
    pub(crate) records: u64,
    /// Records of which nothing came out.
    pub(crate) dropped: u64,
    /// Nanoseconds in the guests' calls.
    pub(crate) guest_ns: u64,
}

/// What became of the records of one call.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Made {
    pub(crate) stats: ChainStats,
    /// Records that are left out, in order.
    pub(crate) failed: Vec<FailedRecord>,
}

/// A record that a plugin could not handle, and that the flow goes on without.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct FailedRecord {
    /// Its index in the source batch.
    pub(crate) index: usize,
    /// The plugin, `name@version`.
    pub(crate) plugin: Option<String>,
    pub(crate) reason: String,
    pub(crate) verdict: Verdict,
}

/// Why nothing came out of a run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ChainError {
    /// A call failed as a whole: one of its records may be to blame.
    Call {
        /// The plugin, `name@version`.
        plugin: Option<String>,
        reason: String,
        fault: Fault,
    },
    /// A record at which the flow has to stop, or that needs the dead-letter topic while there is none.
    Record(FailedRecord),
    /// A batch of outputs cannot be finished; others of this run are finished already. What was gathered is of no use.
    Output(String),
}

impl Chain {
    /// The most linear memory that one of the plugins ever had, in bytes.
    pub(crate) fn memory_bytes_peak(&self) -> u64 {
        let peaks = self
            .stages
            .iter()
            .map(|stage| stage.guest.stats().memory_bytes_peak);
        peaks.max().unwrap_or(0) as u64
    }

    /// # Panics
    /// Without stages, or with a producer among them.
    pub(crate) fn new(stages: Vec<Stage>) -> Self {
        assert!(!stages.is_empty() && stages.iter().all(|stage| stage.kind != PluginKind::Producer));
        let chooser = stages
            .iter()
            .rposition(|stage| stage.kind == PluginKind::Transform);
        Self {
            stages,
            chooser,
            seed: Seed::default(),
            builder: BatchBuilder::new(),
            bitmap: Vec::new(),
            frame: Vec::new(),
            emitted: Vec::new(),
            failed: Vec::new(),
            logs: Logs::default(),
            counters: None,
            took_ns: 0,
            faults: FlowFaults::default(),
        }
    }

    /// The same, telling the plugins' logs what the calls are about.
    pub(crate) fn with_logs(mut self, logs: Vec<Arc<PluginLog>>) -> Self {
        self.logs = Logs::of(logs);
        self
    }

    /// What follows is of this source partition.
    pub(crate) fn at_source(&mut self, topic: &Arc<str>, partition: u32) {
        self.logs.at_source(topic, partition);
    }

    /// Has the runs that follow begin with no state, and keep what there is to keep in memory alone.
    pub(crate) fn with_passing_state(&mut self, seed: Seed) {
        self.seed = seed;
        for stage in &mut self.stages {
            if stage.state_label.is_some() {
                stage.guest.set_state(Some(Box::new(MemoryState::default())));
            }
        }
    }

    /// Has the runs up to [`end_pass`](Self::end_pass) use `state`, which is there if any stage keeps some, and draw random numbers
    /// by `seed`.
    pub(crate) fn begin_pass(&mut self, seed: Seed, state: Option<&SharedState>) {
        self.seed = seed;
        for stage in &mut self.stages {
            if let (Some(label), Some(state)) = (&stage.state_label, state) {
                let state = StageState::new(state.clone(), label);
                stage.guest.set_state(Some(Box::new(state)));
            }
        }
    }

    /// The guests have no state any more.
    pub(crate) fn end_pass(&mut self) {
        self.stages
            .iter_mut()
            .for_each(|stage| stage.guest.set_state(None));
    }

    /// Runs the records `range` of `batch`, which is not compressed, through all plugins and hands the outputs to `out`.
    /// After an error other than [`ChainError::Output`], `out` is as it was.
    ///
    /// # Panics
    /// If the range is not within the batch.
    pub(crate) fn run(
        &mut self,
        batch: Batch<'_>,
        range: Range<usize>,
        policy: &dyn Rules,
        out: &mut Collector,
    ) -> Result<Made, ChainError> {
        assert!(range.start <= range.end && range.end <= batch.len());
        // A record that has to wait for its dead-letter topic runs again when that is there.
        let letter = |offset| policy.judge(Outcome::Trap, offset) == Verdict::DeadLetter;
        let first = batch.header().base_offset + range.start as i64;
        let again = !out.has_dead_letter() && range.len() == 1 && letter(first);
        self.metered(&batch, range.clone(), again, |chain| {
            chain.run_stages(batch, range, policy, out)
        })
    }

    fn run_stages(
        &mut self,
        batch: Batch<'_>,
        range: Range<usize>,
        policy: &dyn Rules,
        out: &mut Collector,
    ) -> Result<Made, ChainError> {
        let (base_offset, len) = (batch.header().base_offset, batch.len());
        let stats = ChainStats {
            records: range.len() as u64,
            ..ChainStats::default()
        };
        let mut failed = Vec::new();
        self.builder.clear();
        for bits in [&mut self.emitted, &mut self.failed] {
            bits.clear();
            bits.resize(bitmap::byte_len(len), 0);
        }

        let mut keep = (range.len() < len).then(|| Keep::range(range.clone(), len));
        let mut records = Records {
            batch,
            sources: None,
            targets: None,
        };
        // Owns what `records` borrows, where that is not the source.
        let mut bytes;
        let stages = self.stages.len();
        for index in 0..stages {
            if let Some(kept) = keep.take() {
                if kept.count == 0 {
                    keep = Some(kept);
                    break;
                }
                let made = rewrite(&records, &kept, &mut self.builder).map_err(unreadable)?;
                bytes = made.0;
                records = as_records(&bytes, made.1, made.2).map_err(unreadable)?;
            }
            let stage = &mut self.stages[index];
            let offset = base_offset + range.start as i64;
            stage.guest.set_seed(self.seed.of_call(offset, index));
            if stage.kind == PluginKind::Filter {
                stage.filter(records.batch, &mut self.bitmap, &mut self.took_ns)?;
                keep = Keep::of(&self.bitmap, records.batch.len());
                continue;
            }
            let checked = stage.transform(records.batch, &mut self.frame, &mut self.took_ns)?;
            let plugin = stage.plugin.as_str();
            let fault = |reason: String| stage.fault(reason);

            let chooses = self.chooser == Some(index);
            let outputs = if chooses { out.outputs() } else { 1 };
            let inputs = records.batch.len() as u32;
            let frame = match checked {
                Some(checked) if checked.outputs() == outputs => Reader::again(&self.frame, inputs, checked),
                _ => Reader::new(&self.frame, inputs, outputs),
            };
            let frame = frame.map_err(|error| fault(format!("the plugin returned a bad frame: {error}")))?;
            let last = index + 1 == stages;
            // Nothing goes out before it is known that nothing stops the run.
            let too_large = last && self.frame.len() > out.tail_bytes_safe();
            let placed = chooses && frame.placed() > 0;
            if frame.emitted() < frame.len() || too_large || placed {
                let looked_at = LookAt {
                    sizes: too_large,
                    partitions: placed,
                };
                let entries = frame.entries().filter_map(|entry| {
                    let (outcome, reason) = failure(&entry, looked_at, out)?;
                    Some((records.source(entry.source() as usize), outcome, reason))
                });
                let judge = Judge {
                    plugin: Some(plugin),
                    base_offset,
                    policy,
                    out,
                };
                judge.all(entries, &mut self.failed, &mut failed, &mut self.faults)?;
            }
            let base_timestamp = records.batch.base_timestamp();
            let mut made_sources = Vec::with_capacity(if last { 0 } else { frame.emitted() });
            let mut made_targets = Vec::with_capacity(if last || !chooses { 0 } else { frame.emitted() });
            for entry in frame.entries() {
                let Entry::Emit {
                    output,
                    source,
                    partition,
                    timestamp_delta,
                    tail,
                } = entry
                else {
                    continue;
                };
                let source = records.source(source as usize);
                if !failed.is_empty() && bitmap::get(&self.failed, source as usize) {
                    continue;
                }
                let timestamp = base_timestamp.wrapping_add(timestamp_delta);
                let target = Target { output, partition };
                if last {
                    let offset = base_offset + i64::from(source);
                    bitmap::set(&mut self.emitted, source as usize);
                    out.push(target, offset, timestamp, tail.key(), tail.as_bytes())
                        .map_err(|error| ChainError::Output(error.to_string()))?;
                } else {
                    made_sources.push(source);
                    if chooses {
                        made_targets.push(target);
                    }
                    self.builder
                        .push_tail(timestamp, tail.as_bytes())
                        .map_err(|error| fault(error.to_string()))?;
                }
            }
            if last || self.builder.is_empty() {
                return Ok(self.done(stats, failed));
            }
            let made = self.builder.finish().map_err(|error| fault(error.to_string()))?;
            bytes = made;
            records = as_records(&bytes, made_sources, chooses.then_some(made_targets))
                .map_err(|error| fault(error.to_string()))?;
        }

        self.emit(&records, keep.as_ref(), base_offset, policy, out, &mut failed)?;
        Ok(self.done(stats, failed))
    }

    fn done(&self, mut stats: ChainStats, mut failed: Vec<FailedRecord>) -> Made {
        let gone = (bitmap::count_ones(&self.emitted) + failed.len()) as u64;
        stats.dropped = stats.records.saturating_sub(gone);
        stats.guest_ns = self.took_ns;
        failed.sort_by_key(|record| record.index);
        Made { stats, failed }
    }

    /// Hands what is left after the last filter to `out`.
    fn emit(
        &mut self,
        records: &Records<'_>,
        keep: Option<&Keep>,
        base_offset: i64,
        policy: &dyn Rules,
        out: &mut Collector,
        failed: &mut Vec<FailedRecord>,
    ) -> Result<(), ChainError> {
        if keep.is_some_and(|keep| keep.count == 0) {
            return Ok(());
        }
        let left = |index: usize| keep.is_none_or(|keep| bitmap::get(&keep.bits, index));
        let sinks = |index: usize, out: &Collector| match &records.targets {
            Some(targets) => (
                targets[index].output..targets[index].output + 1,
                targets[index].partition,
            ),
            None => (0..out.outputs(), OutputPartition::Unchosen),
        };
        if records.batch.as_bytes().len() > out.tail_bytes_safe() {
            let iter = records.batch.records().map_err(unreadable)?.enumerate();
            let too_large = iter
                .filter(|(index, _)| left(*index))
                .filter_map(|(index, record)| {
                    let (mut sinks, _) = sinks(index, out);
                    let error = sinks.find_map(|sink| out.oversized(sink as usize, record.tail().len()))?;
                    Some((records.source(index), Outcome::Fail, error.to_string()))
                });
            let judge = Judge {
                plugin: None,
                base_offset,
                policy,
                out,
            };
            judge.all(too_large, &mut self.failed, failed, &mut self.faults)?;
        }
        let mut seen = 0;
        for (index, record) in records.batch.records().map_err(unreadable)?.enumerate() {
            seen += 1;
            let source = records.source(index);
            if !left(index) || (!failed.is_empty() && bitmap::get(&self.failed, source as usize)) {
                continue;
            }
            bitmap::set(&mut self.emitted, source as usize);
            let offset = base_offset + i64::from(source);
            let (mut sinks, partition) = sinks(index, out);
            sinks
                .try_for_each(|output| {
                    let target = Target { output, partition };
                    out.push(target, offset, record.timestamp(), record.key(), record.tail())
                })
                .map_err(|error| ChainError::Output(error.to_string()))?;
        }
        check_count(&records.batch, seen).map_err(|error| ChainError::Output(error.to_string()))
    }
}

fn unreadable(error: BatchError) -> ChainError {
    ChainError::Call {
        plugin: None,
        reason: format!("the batch cannot be read: {error}"),
        fault: Fault::Other,
    }
}

#[cfg(test)]
mod tests;
