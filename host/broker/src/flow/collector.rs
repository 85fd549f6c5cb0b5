//! Gathers a flow's outputs into batches, one row of batches for each sink partition.

mod error;

use bytes::BytesMut;
use weir_batch::frame::{OutputPartition, Target};
use weir_batch::{BatchBuilder, Codec, Record, partition_for_key};
use weir_log::PartitionId;

use crate::batch::stamp_append_time;
use crate::flow::cursor::SinkShape;
pub(crate) use error::CollectError;

/// Bytes at which an output batch is finished although the sink would take more. Larger batches bring the log nothing,
/// and make readers wait.
const BATCH_BYTES: usize = 256 * 1024;
/// Most bytes a record takes beside its tail.
const RECORD_HEAD_MAX: usize = 21;
/// Bytes of a batch before its first record.
const BATCH_HEAD: usize = 61;

/// One sink, as outputs for it are made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Sink {
    /// The topic's name, for messages.
    pub(crate) name: String,
    /// Among how many partitions records are spread.
    pub(crate) shape: SinkShape,
    /// `max.message.bytes`.
    pub(crate) message_bytes_max: usize,
    /// The codec of the batches; `None` takes over that of the source batch.
    pub(crate) codec: Option<Codec>,
    /// Whether batches are stamped with the time of appending.
    pub(crate) append_time: bool,
    /// The shard of each partition.
    pub(crate) shards: Vec<u16>,
}

/// A finished batch and where it goes.
#[derive(Debug)]
pub(crate) struct OutBatch {
    pub(crate) shard: u16,
    pub(crate) partition: PartitionId,
    pub(crate) records: u32,
    pub(crate) batch: BytesMut,
}

/// What decides to which partition of a sink a record goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Placing {
    /// The plugin; without its word, the key as Kafka's default partitioner has it; without a key, the source's partition.
    ByKey,
    /// The plugin; without its word, the source's partition.
    BySource,
    /// Nobody: all records of a sink go to its first partition, whatever a plugin says.
    Nobody,
    /// As before, with what a plugin chooses being looked at.
    Trial,
}

/// Where a record came from and where its plugin sent it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Traced {
    pub(crate) output: usize,
    /// The offset of its source.
    pub(crate) source: i64,
    pub(crate) partition: OutputPartition,
}

/// Gathers the outputs of one source partition. Used again for pass after pass.
pub(crate) struct Collector {
    sinks: Vec<Sink>,
    /// Whether the last sink is the dead-letter topic, which no plugin writes to by itself.
    dead_letter: bool,
    /// A record with a tail of so many bytes fits into every sink.
    tail_bytes_safe: usize,
    /// The source's partition index: where records without a key go, modulo the sink's partitions.
    source_partition: u32,
    placing: Placing,
    /// By shard: outputs of source records below this offset are there already and are left out.
    applied: Vec<i64>,
    /// By sink, then by partition.
    builders: Vec<Vec<Option<Box<BatchBuilder>>>>,
    /// Sink partitions that have something in their builder.
    open: Vec<(usize, u32)>,
    finished: Vec<OutBatch>,
    finished_bytes: usize,
    /// By record pushed for a plugin, if somebody wants to know.
    sources: Option<Vec<Traced>>,
    /// The codec of the source batch under way.
    source_codec: Codec,
    now_ms: i64,
}

impl Collector {
    pub(crate) fn new(sinks: Vec<Sink>, source_partition: u32, applied: Vec<i64>) -> Self {
        let builders = sinks
            .iter()
            .map(|sink| (0..sink.shape.partitions).map(|_| None).collect())
            .collect();
        let smallest = sinks.iter().map(|sink| sink.message_bytes_max).min();
        Self {
            sinks,
            dead_letter: false,
            tail_bytes_safe: smallest
                .unwrap_or_default()
                .saturating_sub(BATCH_HEAD + RECORD_HEAD_MAX),
            source_partition,
            placing: Placing::ByKey,
            applied,
            builders,
            open: Vec::new(),
            finished: Vec::new(),
            finished_bytes: 0,
            sources: None,
            source_codec: Codec::None,
            now_ms: 0,
        }
    }

    /// The same with a topic for records that no plugin can handle.
    pub(crate) fn with_dead_letter(mut self, sink: Sink) -> Self {
        self.builders
            .push((0..sink.shape.partitions).map(|_| None).collect());
        self.sinks.push(sink);
        self.dead_letter = true;
        self
    }

    /// The same, with records whose partition no plugin chooses going where their source came from, whatever their key.
    pub(crate) fn by_source(mut self) -> Self {
        self.placing = Placing::BySource;
        self
    }

    /// The same, with all records going to the first partition of their sink, whatever their key and their plugin say.
    pub(crate) fn in_one_place(mut self) -> Self {
        self.placing = Placing::Nobody;
        self
    }

    /// The same, with records that want a partition that is not there refused all the same.
    pub(crate) fn on_trial(mut self) -> Self {
        self.placing = Placing::Trial;
        self
    }

    /// The same, keeping the source of every record.
    pub(crate) fn tracing_sources(mut self) -> Self {
        self.sources = Some(Vec::new());
        self
    }

    /// The offsets of the sources of what was pushed since the last time, if they were kept.
    pub(crate) fn take_sources(&mut self) -> Vec<i64> {
        self.take_trace()
            .into_iter()
            .map(|traced| traced.source)
            .collect()
    }

    /// The same with where they went. Those of one output are in the order of its records.
    pub(crate) fn take_trace(&mut self) -> Vec<Traced> {
        self.sources.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Whether there is a topic for records that no plugin can handle.
    pub(crate) fn has_dead_letter(&self) -> bool {
        self.dead_letter
    }

    /// Whether a batch that was gathered holds such records.
    pub(crate) fn is_letters(&self, batch: &OutBatch) -> bool {
        let letters = self.sinks.last().filter(|_| self.dead_letter);
        letters.is_some_and(|sink| sink.shape.topic == batch.partition.topic)
    }

    /// A record with a tail of so many bytes fits into every sink; whether a larger one does, [`oversized`](Self::oversized)
    /// tells.
    pub(crate) fn tail_bytes_safe(&self) -> usize {
        self.tail_bytes_safe
    }

    /// Why a record with a tail of so many bytes does not fit into a sink even by itself; `None` if it does, or if that
    /// is known only after compressing it.
    ///
    /// # Panics
    /// If there is no such output.
    pub(crate) fn oversized(&self, output: usize, tail_bytes: usize) -> Option<CollectError> {
        let sink = &self.sinks[output];
        if sink.codec.unwrap_or(self.source_codec) != Codec::None {
            return None;
        }
        // Attributes and two deltas of zero; the length before them is a zigzag varint.
        let record = 3 + tail_bytes;
        let length = (usize::BITS - (2 * record).leading_zeros()).div_ceil(7) as usize;
        let bytes = BATCH_HEAD + length + record;
        (bytes > sink.message_bytes_max).then(|| CollectError::Oversized {
            sink: sink.name.clone(),
            bytes,
            max: sink.message_bytes_max,
        })
    }

    /// Why a plugin cannot choose that partition; `None` if it can.
    ///
    /// # Panics
    /// If there is no such output.
    pub(crate) fn misplaced(&self, output: usize, partition: OutputPartition) -> Option<CollectError> {
        let sink = &self.sinks[output];
        let partitions = sink.shape.partitions;
        match partition {
            OutputPartition::Index(partition)
                if partition >= partitions && self.placing != Placing::Nobody =>
            {
                Some(CollectError::NoSuchPartition {
                    sink: sink.name.clone(),
                    partition,
                    partitions,
                })
            }
            _ => None,
        }
    }

    /// Bytes of the batches finished since the last [`take`](Self::take).
    pub(crate) fn bytes(&self) -> usize {
        self.finished_bytes
    }

    /// Forgets everything gathered since the last [`take`](Self::take).
    pub(crate) fn clear(&mut self) {
        for (output, partition) in std::mem::take(&mut self.open) {
            if let Some(builder) = &mut self.builders[output][partition as usize] {
                builder.clear();
            }
        }
        self.finished.clear();
        self.finished_bytes = 0;
    }

    /// How many sinks plugins write to.
    pub(crate) fn outputs(&self) -> u32 {
        (self.sinks.len() - usize::from(self.dead_letter)) as u32
    }

    /// What follows comes from a batch compressed with `codec`, at `now_ms`.
    pub(crate) fn begin_batch(&mut self, codec: Codec, now_ms: i64) {
        self.source_codec = codec;
        self.now_ms = now_ms;
    }

    /// A record for `target`, made of the source record at `source_offset`.
    ///
    /// # Panics
    /// If there is no such output.
    pub(crate) fn push(
        &mut self,
        target: Target,
        source_offset: i64,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        tail: &[u8],
    ) -> Result<(), CollectError> {
        let output = target.output as usize;
        let partition = self.partition_of(output, target.partition, key)?;
        let Some(builder) = self.open_builder(output, partition, source_offset, tail.len())? else {
            return Ok(());
        };
        builder
            .push_tail(timestamp_ms, tail)
            .map_err(CollectError::Batch)?;
        if let Some(sources) = &mut self.sources {
            sources.push(Traced {
                output,
                source: source_offset,
                partition: target.partition,
            });
        }
        Ok(())
    }

    /// A record of the source for the dead-letter topic: as it was, with `more` headers after its own.
    ///
    /// # Panics
    /// If there is no dead-letter topic.
    pub(crate) fn push_dead_letter(
        &mut self,
        source_offset: i64,
        record: &Record<'_>,
        more: &[(&str, &str)],
    ) -> Result<(), CollectError> {
        assert!(self.dead_letter);
        let mut headers: Vec<(&str, Option<&[u8]>)> = record.headers().collect();
        headers.extend(more.iter().map(|(key, value)| (*key, Some(value.as_bytes()))));
        // Five bytes are the most that a length takes.
        let more_bytes: usize = more.iter().map(|(key, value)| key.len() + value.len() + 10).sum();
        let bytes = record.tail().len() + more_bytes + 5;
        // By the source's partition, not by the key: the dead letters of a partition stay in their order.
        let output = self.sinks.len() - 1;
        let partition = self.source_partition % self.sinks[output].shape.partitions;
        let Some(builder) = self.open_builder(output, partition, source_offset, bytes)? else {
            return Ok(());
        };
        builder
            .push(record.timestamp(), record.key(), record.value(), &headers)
            .map_err(CollectError::Batch)
    }

    /// The builder for a record of that size, with room for it; `None` if the record is there already.
    fn open_builder(
        &mut self,
        output: usize,
        partition: u32,
        source_offset: i64,
        tail_bytes: usize,
    ) -> Result<Option<&mut BatchBuilder>, CollectError> {
        let sink = &self.sinks[output];
        let shard = sink.shards[partition as usize];
        if source_offset < self.applied.get(usize::from(shard)).copied().unwrap_or(i64::MIN) {
            return Ok(None);
        }
        let builder = self.builders[output][partition as usize].get_or_insert_default();
        let full = builder.encoded_len() + tail_bytes + RECORD_HEAD_MAX > sink.batch_bytes_target();
        if full && !builder.is_empty() {
            let done = finish(builder, sink, partition, self.now_ms)?;
            self.finished_bytes += done.batch.len();
            self.finished.push(done);
        } else if builder.is_empty() {
            self.open.push((output, partition));
        }
        if builder.is_empty() {
            builder.set_codec(sink.codec.unwrap_or(self.source_codec));
        }
        Ok(Some(builder))
    }

    /// To which partition of a sink a record goes.
    fn partition_of(
        &self,
        output: usize,
        chosen: OutputPartition,
        key: Option<&[u8]>,
    ) -> Result<u32, CollectError> {
        if let Some(error) = self.misplaced(output, chosen) {
            return Err(error);
        }
        let partitions = self.sinks[output].shape.partitions;
        Ok(match (self.placing, chosen, key) {
            (Placing::Nobody | Placing::Trial, ..) => 0,
            (_, OutputPartition::Index(index), _) => index,
            (Placing::ByKey, OutputPartition::Unchosen, _) if partitions == 1 => 0,
            (Placing::ByKey, OutputPartition::Unchosen, Some(key)) => partition_for_key(key, partitions),
            _ => self.source_partition % partitions,
        })
    }

    /// Everything gathered since the last time, in order within each sink partition.
    pub(crate) fn take(&mut self) -> Result<Vec<OutBatch>, CollectError> {
        for (output, partition) in std::mem::take(&mut self.open) {
            let builder = self.builders[output][partition as usize].as_mut();
            let builder = builder.expect("a sink partition is open because its builder got a record");
            if !builder.is_empty() {
                let done = finish(builder, &self.sinks[output], partition, self.now_ms)?;
                self.finished.push(done);
            }
        }
        self.finished_bytes = 0;
        Ok(std::mem::take(&mut self.finished))
    }
}

impl Sink {
    fn batch_bytes_target(&self) -> usize {
        // Compression can make incompressible bytes a little longer.
        let reserve = self.message_bytes_max / 64;
        (self.message_bytes_max - reserve).min(BATCH_BYTES)
    }
}

fn finish(
    builder: &mut BatchBuilder,
    sink: &Sink,
    partition: u32,
    now_ms: i64,
) -> Result<OutBatch, CollectError> {
    let records = builder.len() as u32;
    let mut batch = builder.finish().map_err(CollectError::Batch)?;
    let (bytes, max) = (batch.len(), sink.message_bytes_max);
    if bytes > max {
        return Err(CollectError::Oversized {
            sink: sink.name.clone(),
            bytes,
            max,
        });
    }
    if sink.append_time {
        stamp_append_time(&mut batch, now_ms).map_err(CollectError::Batch)?;
    }
    Ok(OutBatch {
        shard: sink.shards[partition as usize],
        partition: PartitionId {
            topic: sink.shape.topic,
            index: partition,
        },
        records,
        batch: BytesMut::from(bytes::Bytes::from(batch)),
    })
}

#[cfg(test)]
pub(crate) mod tests;
