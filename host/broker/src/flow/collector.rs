//! Gathers a flow's outputs into batches, one row of batches for each sink partition.

use bytes::BytesMut;
use weir_batch::{BatchBuilder, BatchError, Codec, partition_for_key};
use weir_log::PartitionId;

use crate::batch::stamp_append_time;
use crate::flow::cursor::SinkShape;

/// Bytes at which an output batch is finished although the sink would take more. Larger batches bring the log nothing,
/// and make readers wait.
const BATCH_BYTES: usize = 256 * 1024;
/// Most bytes a record takes beside its tail.
const RECORD_HEAD_MAX: usize = 21;

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

/// Why a record cannot be put into a sink.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum CollectError {
    /// It is larger than the sink's `max.message.bytes` by itself.
    Oversized { sink: String, bytes: usize, max: usize },
    /// No batch can be made of it.
    Batch(BatchError),
}

impl std::fmt::Display for CollectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Oversized { sink, bytes, max } => write!(
                f,
                "an output record makes a batch of {bytes} bytes and topic '{sink}' takes {max}: raise its \
                 max.message.bytes, or make the plugin write less"
            ),
            Self::Batch(error) => write!(f, "an output batch cannot be made: {error}"),
        }
    }
}

/// Gathers the outputs of one source partition. Used again for pass after pass.
pub(crate) struct Collector {
    sinks: Vec<Sink>,
    /// The source's partition index: where records without a key go, modulo the sink's partitions.
    source_partition: u32,
    /// By shard: outputs of source records below this offset are there already and are left out.
    applied: Vec<i64>,
    /// By sink, then by partition.
    builders: Vec<Vec<Option<Box<BatchBuilder>>>>,
    /// Sink partitions that have something in their builder.
    open: Vec<(usize, u32)>,
    finished: Vec<OutBatch>,
    finished_bytes: usize,
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
        Self {
            sinks,
            source_partition,
            applied,
            builders,
            open: Vec::new(),
            finished: Vec::new(),
            finished_bytes: 0,
            source_codec: Codec::None,
            now_ms: 0,
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

    /// How many sinks there are.
    pub(crate) fn outputs(&self) -> u32 {
        self.sinks.len() as u32
    }

    /// What follows comes from a batch compressed with `codec`, at `now_ms`.
    pub(crate) fn begin_batch(&mut self, codec: Codec, now_ms: i64) {
        self.source_codec = codec;
        self.now_ms = now_ms;
    }

    /// A record for `output`, made of the source record at `source_offset`.
    ///
    /// # Panics
    /// If there is no such output.
    pub(crate) fn push(
        &mut self,
        output: usize,
        source_offset: i64,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        tail: &[u8],
    ) -> Result<(), CollectError> {
        let sink = &self.sinks[output];
        let partition = partition_of(key, self.source_partition, sink.shape.partitions);
        let shard = sink.shards[partition as usize];
        if source_offset < self.applied.get(usize::from(shard)).copied().unwrap_or(i64::MIN) {
            return Ok(());
        }
        let slot = &mut self.builders[output][partition as usize];
        let builder = slot.get_or_insert_default();
        let full = builder.encoded_len() + tail.len() + RECORD_HEAD_MAX > sink.batch_bytes_target();
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
        builder
            .push_tail(timestamp_ms, tail)
            .map_err(CollectError::Batch)?;
        if full {
            // It may be too large by itself: better known now, while its place is known.
            let (bytes, max) = (builder.encoded_len(), sink.message_bytes_max);
            if bytes > max && sink.codec.unwrap_or(self.source_codec) == Codec::None {
                return Err(CollectError::Oversized {
                    sink: sink.name.clone(),
                    bytes,
                    max,
                });
            }
        }
        Ok(())
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

/// The sink partition of a record: by its key as Kafka's default partitioner has it, without one that of the source,
/// modulo the sink's partitions.
fn partition_of(key: Option<&[u8]>, source_partition: u32, partitions: u32) -> u32 {
    match key {
        _ if partitions == 1 => 0,
        Some(key) => partition_for_key(key, partitions),
        None => source_partition % partitions,
    }
}

#[cfg(test)]
pub(crate) mod tests;
