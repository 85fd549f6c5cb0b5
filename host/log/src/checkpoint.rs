use std::sync::Arc;

use crate::PartitionId;
use crate::applied::{Applied, Dirty, KvChanges, ProducerKey};
use crate::producer::Producer;
use crate::shard::Shard;

/// What differs from the state database, as of one group.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The last group it contains.
    pub(crate) number: u64,
    /// Log start and end.
    pub(crate) partitions: Vec<(PartitionId, i64, i64)>,
    /// Encoded; `None` is one that was forgotten.
    pub(crate) producers: Vec<(ProducerKey, Option<Vec<u8>>)>,
    pub(crate) kv: Arc<KvChanges>,
    pub(crate) dirty: Dirty,
}

impl Snapshot {
    /// Takes it. Only the writer may, between two groups and when all of them are durable: a checkpoint must never
    /// be ahead of the segments.
    pub(crate) fn freeze(shard: &Shard) -> Self {
        let mut applied = shard.applied();
        let applied = &mut *applied;
        let dirty = std::mem::take(&mut applied.dirty);
        let partitions = dirty
            .partitions
            .iter()
            .filter_map(|&id| shard.partitions.get(id))
            .map(|partition| (partition.id, partition.log_start(), partition.end()))
            .collect();
        let producers = dirty
            .producers
            .iter()
            .map(|key| (*key, applied.producers.get(key).map(Producer::encode)))
            .collect();
        let kv = Arc::new(std::mem::take(&mut applied.kv));
        applied.kv_frozen = Some(kv.clone());
        Self {
            number: applied.number,
            partitions,
            producers,
            kv,
            dirty,
        }
    }

    /// The state database has it now.
    pub(crate) fn written(self, applied: &mut Applied) {
        applied.kv_frozen = None;
    }

    /// It could not be written: everything it has is again a difference.
    pub(crate) fn failed(self, applied: &mut Applied) {
        applied.kv_frozen = None;
        for (key, value) in &*self.kv {
            applied.kv.entry(key.clone()).or_insert_with(|| value.clone());
        }
        applied.dirty.merge(self.dirty);
    }
}
