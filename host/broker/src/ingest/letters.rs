//! Where the dead letters of an ingest flow go.

use weir_log::{Log, PartitionId};

use crate::Topic;
use crate::flow::collector::Sink;
use crate::flow::sinks;

/// A partition of a topic as the only place that outputs go to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) partition: PartitionId,
    pub(super) shard: u16,
}

/// The sink for outputs that all go to one partition of `topic`, whatever their keys. `None` if the topic is gone, or has
/// no such partition.
pub(super) fn sink_for(log: &Log, topic: &Topic, index: u32) -> Option<(Sink, Target)> {
    let state = topic.live_state().ok()?;
    let partition = state.partitions.get(index as usize)?.id();
    let shard = log.shard_of(partition);
    let mut shape = sinks::shape(topic, &state);
    shape.partitions = 1;
    let mut sink = sinks::sink(log, topic, &state, shape);
    sink.shards = vec![shard];
    Some((sink, Target { partition, shard }))
}

/// The partition of the dead-letter topic for what comes from a partition of the guarded one: always the same for it, and
/// where there is one, on its own `shard`, so that the letters are part of the same entry as what is stored.
pub(super) fn letter_index(log: &Log, letters: &Topic, index: u32, shard: u16) -> u32 {
    let partitions = letters.partitions().max(1);
    let id = |index| PartitionId {
        topic: letters.id(),
        index,
    };
    (0..partitions)
        .map(|step| index.wrapping_add(step) % partitions)
        .find(|&index| log.shard_of(id(index)) == shard)
        .unwrap_or(index % partitions)
}
