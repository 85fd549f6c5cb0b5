//! The plugins of one flow, run one after the other over a source batch.

use std::time::Instant;

use weir_batch::frame::{Entry, Reader};
use weir_batch::{Batch, BatchBuilder, BatchError, bitmap};

use crate::PluginKind;
use crate::flow::collector::Collector;
use crate::flow::failure::Failure;
use crate::flow::guest::Guest;

/// One plugin of a chain, set up.
pub(crate) struct Stage {
    /// `name@version`.
    pub(crate) plugin: String,
    pub(crate) kind: PluginKind,
    pub(crate) guest: Box<dyn Guest>,
}

/// The plugins of one flow, set up: what one thread needs to run them.
///
/// Between a filter and the next plugin, records are written anew only if the filter dropped some. The outputs of the
/// last plugin go straight into the sinks' batches.
pub(crate) struct Chain {
    stages: Vec<Stage>,
    /// Index of the last transform: the one that chooses among the sinks.
    chooser: Option<usize>,
    builder: BatchBuilder,
    bitmap: Vec<u8>,
    frame: Vec<u8>,
    emitted: Vec<u8>,
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

/// The records between two plugins.
struct Records<'a> {
    batch: Batch<'a>,
    /// By record: its index in the source batch. `None`: its own.
    sources: Option<Vec<u32>>,
    /// By record: the sink that the last transform chose. `None`: every sink.
    outputs: Option<Vec<u32>>,
}

impl Records<'_> {
    fn source(&self, index: usize) -> u32 {
        self.sources
            .as_ref()
            .map_or(index as u32, |sources| sources[index])
    }
}

impl Chain {
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
            builder: BatchBuilder::new(),
            bitmap: Vec::new(),
            frame: Vec::new(),
            emitted: Vec::new(),
        }
    }

    /// Runs `batch`, which is not compressed, through all plugins and hands the outputs of its records from offset
    /// `from` on to `out`. On a failure `out` has part of the batch's outputs and is to be thrown away.
    pub(crate) fn run(
        &mut self,
        batch: Batch<'_>,
        from: i64,
        out: &mut Collector,
    ) -> Result<ChainStats, Failure> {
        let source = batch.header();
        let (base_offset, last_offset) = (source.base_offset, source.last_offset());
        let skipped = usize::try_from(from.saturating_sub(base_offset))
            .unwrap_or(0)
            .min(batch.len());
        let mut stats = ChainStats {
            records: (batch.len() - skipped) as u64,
            ..ChainStats::default()
        };
        self.builder.clear();
        self.emitted.clear();
        self.emitted.resize(bitmap::byte_len(batch.len()), 0);

        let fault = |plugin: Option<&str>, source: Option<u32>, reason: String| Failure {
            offset: source.map_or(base_offset.max(from), |index| base_offset + i64::from(index)),
            last_offset: source.is_none().then_some(last_offset),
            plugin: plugin.map(str::to_owned),
            reason,
        };

        let mut keep = (skipped > 0).then(|| Keep::all_but_first(skipped, batch.len()));
        let mut records = Records {
            batch,
            sources: None,
            outputs: None,
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
                let made = rewrite(&records, &kept, &mut self.builder)
                    .map_err(|error| fault(None, None, format!("the batch cannot be read: {error}")))?;
                bytes = made.0;
                records = as_records(&bytes, made.1, made.2)
                    .map_err(|error| fault(None, None, error.to_string()))?;
            }
            let stage = &mut self.stages[index];
            let plugin = stage.plugin.as_str();
            let began = Instant::now();
            let called = match stage.kind {
                PluginKind::Filter => stage.guest.filter(records.batch.as_bytes(), &mut self.bitmap),
                _ => stage.guest.transform(records.batch.as_bytes(), &mut self.frame),
            };
            stats.guest_ns += began.elapsed().as_nanos() as u64;
            called.map_err(|error| fault(Some(plugin), None, error.to_string()))?;

            if stage.kind == PluginKind::Filter {
                let len = records.batch.len();
                if !bitmap::is_valid(&self.bitmap, len) {
                    let reason = format!("the plugin returned a bitmap that does not fit {len} records");
                    return Err(fault(Some(plugin), None, reason));
                }
                keep = Keep::of(&self.bitmap, len);
                continue;
            }

            let chooses = self.chooser == Some(index);
            let outputs = if chooses { out.outputs() } else { 1 };
            let frame = Reader::new(&self.frame, records.batch.len() as u32, outputs).map_err(|error| {
                fault(
                    Some(plugin),
                    None,
                    format!("the plugin returned a bad frame: {error}"),
                )
            })?;
            let base_timestamp = records.batch.base_timestamp();
            let last = index + 1 == stages;
            let mut made_sources = Vec::with_capacity(if last { 0 } else { frame.emitted() });
            let mut made_outputs = Vec::with_capacity(if last || !chooses { 0 } else { frame.emitted() });
            for entry in frame.entries() {
                let source = records.source(entry.source() as usize);
                let (reason, what) = match entry {
                    Entry::Emit {
                        output,
                        timestamp_delta,
                        tail,
                        ..
                    } => {
                        let timestamp = base_timestamp.wrapping_add(timestamp_delta);
                        if last {
                            let offset = base_offset + i64::from(source);
                            bitmap::set(&mut self.emitted, source as usize);
                            out.push(output as usize, offset, timestamp, tail.key(), tail.as_bytes())
                                .map_err(|error| fault(Some(plugin), Some(source), error.to_string()))?;
                        } else {
                            made_sources.push(source);
                            if chooses {
                                made_outputs.push(output);
                            }
                            self.builder
                                .push_tail(timestamp, tail.as_bytes())
                                .map_err(|error| fault(Some(plugin), Some(source), error.to_string()))?;
                        }
                        continue;
                    }
                    Entry::DeadLetter { reason, .. } => {
                        (reason, "wants a record to go to a dead-letter topic")
                    }
                    Entry::Retry { reason, .. } => (reason, "wants a record to be tried again"),
                    Entry::Fail { reason, .. } => (reason, "cannot go on after a record"),
                };
                let reason = format!("the plugin {what}: {}", clip(reason));
                return Err(fault(Some(plugin), Some(source), reason));
            }
            if last {
                stats.dropped = stats.records - (bitmap::count_ones(&self.emitted) as u64).min(stats.records);
                return Ok(stats);
            }
            if self.builder.is_empty() {
                stats.dropped = stats.records;
                return Ok(stats);
            }
            let made = self
                .builder
                .finish()
                .map_err(|error| fault(Some(plugin), None, error.to_string()))?;
            bytes = made;
            records = as_records(&bytes, made_sources, chooses.then_some(made_outputs))
                .map_err(|error| fault(Some(plugin), None, error.to_string()))?;
        }

        self.emit(&records, keep.as_ref(), base_offset, out)
            .map_err(|(source, error)| fault(None, source, error))?;
        stats.dropped = stats.records - (bitmap::count_ones(&self.emitted) as u64).min(stats.records);
        Ok(stats)
    }

    /// Hands what is left after the last filter to `out`.
    fn emit(
        &mut self,
        records: &Records<'_>,
        keep: Option<&Keep>,
        base_offset: i64,
        out: &mut Collector,
    ) -> Result<(), (Option<u32>, String)> {
        if keep.is_some_and(|keep| keep.count == 0) {
            return Ok(());
        }
        let mut seen = 0;
        let iter = records
            .batch
            .records()
            .map_err(|error| (None, error.to_string()))?;
        for (index, record) in iter.enumerate() {
            seen += 1;
            if keep.is_some_and(|keep| !bitmap::get(&keep.bits, index)) {
                continue;
            }
            let source = records.source(index);
            bitmap::set(&mut self.emitted, source as usize);
            let offset = base_offset + i64::from(source);
            let sinks = match &records.outputs {
                Some(outputs) => outputs[index] as usize..outputs[index] as usize + 1,
                None => 0..out.outputs() as usize,
            };
            sinks
                .into_iter()
                .try_for_each(|sink| out.push(sink, offset, record.timestamp(), record.key(), record.tail()))
                .map_err(|error| (Some(source), error.to_string()))?;
        }
        check_count(&records.batch, seen).map_err(|error| (None, error.to_string()))
    }
}

/// The records that a filter keeps, where these are not all.
struct Keep {
    bits: Vec<u8>,
    count: usize,
}

impl Keep {
    /// `None` if all `len` records are kept.
    fn of(bits: &[u8], len: usize) -> Option<Self> {
        let count = bitmap::count_ones(bits);
        (count < len).then(|| Self {
            bits: bits.to_vec(),
            count,
        })
    }

    fn all_but_first(skipped: usize, len: usize) -> Self {
        let mut bits = vec![0; bitmap::byte_len(len)];
        (skipped..len).for_each(|index| bitmap::set(&mut bits, index));
        Self {
            bits,
            count: len - skipped,
        }
    }
}

/// The kept records as a batch of their own: its bytes, its sources, its outputs.
type Made = (Vec<u8>, Vec<u32>, Option<Vec<u32>>);

fn rewrite(records: &Records<'_>, keep: &Keep, builder: &mut BatchBuilder) -> Result<Made, BatchError> {
    builder.clear();
    let mut sources = Vec::with_capacity(keep.count);
    let mut outputs = records.outputs.as_ref().map(|_| Vec::with_capacity(keep.count));
    let mut seen = 0;
    for (index, record) in records.batch.records()?.enumerate() {
        seen += 1;
        if bitmap::get(&keep.bits, index) {
            builder.push_tail(record.timestamp(), record.tail())?;
            sources.push(records.source(index));
            if let (Some(made), Some(outputs)) = (&mut outputs, &records.outputs) {
                made.push(outputs[index]);
            }
        }
    }
    check_count(&records.batch, seen)?;
    Ok((builder.finish()?, sources, outputs))
}

fn as_records(bytes: &[u8], sources: Vec<u32>, outputs: Option<Vec<u32>>) -> Result<Records<'_>, BatchError> {
    Ok(Records {
        batch: Batch::parse_trusted(bytes)?,
        sources: Some(sources),
        outputs,
    })
}

/// A batch is not walked before it is used: that it ends early shows only now.
fn check_count(batch: &Batch<'_>, seen: usize) -> Result<(), BatchError> {
    if seen == batch.len() {
        return Ok(());
    }
    let header = batch.header();
    Err(BatchError::InvalidRecordCount {
        count: header.record_count,
        last_offset_delta: header.last_offset_delta,
    })
}

/// A guest's own words, short enough for a message and without control characters.
fn clip(reason: &str) -> String {
    const CHARS_MAX: usize = 500;
    reason
        .chars()
        .take(CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests;
