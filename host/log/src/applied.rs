//! What the committed groups add up to, and how a group changes it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::PartitionId;
use crate::descriptor::{Descriptor, Op, Sequenced};
use crate::partition_state::PartitionState;
use crate::producer::Producer;
use crate::segment::Segment;
use crate::shard::Partitions;

/// Key-value changes since the last checkpoint: `None` is a deletion.
pub(crate) type KvChanges = BTreeMap<Vec<u8>, Option<Vec<u8>>>;
pub(crate) type ProducerKey = (PartitionId, i64);

/// A shard's state besides its partitions' offsets. Whatever of it is newer than the state database is kept here; all
/// of it follows from the groups alone.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// The last group applied; 0 before the first.
    pub(crate) number: u64,
    pub(crate) kv: KvChanges,
    /// Changes that a checkpoint is writing just now. Older than `kv`.
    pub(crate) kv_frozen: Option<Arc<KvChanges>>,
    pub(crate) producers: HashMap<ProducerKey, Producer>,
    /// The same by the time of the last batch, oldest first.
    by_age: BTreeSet<(u64, ProducerKey)>,
    pub(crate) dirty: Dirty,
}

/// What differs from the state database, besides key-value pairs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dirty {
    pub(crate) partitions: HashSet<PartitionId>,
    pub(crate) producers: HashSet<ProducerKey>,
    pub(crate) dropped_topics: BTreeSet<u32>,
    /// Ranges that are wholly below the log start: partition, base offset, segment.
    pub(crate) removed_ranges: BTreeSet<(PartitionId, i64, u64)>,
    /// Groups and key-value bytes since the last checkpoint, which decide when the next one is due.
    pub(crate) groups: u64,
    pub(crate) kv_bytes: usize,
}

impl Dirty {
    pub(crate) fn is_empty(&self) -> bool {
        self.groups == 0
    }

    /// Takes back what a failed checkpoint did not write.
    pub(crate) fn merge(&mut self, other: Self) {
        self.partitions.extend(other.partitions);
        self.producers.extend(other.producers);
        self.dropped_topics.extend(other.dropped_topics);
        self.removed_ranges.extend(other.removed_ranges);
        self.groups += other.groups;
        self.kv_bytes += other.kv_bytes;
    }
}

impl Applied {
    /// Applies the next group, which was committed to `segment`. The partitions' new ends are returned; nobody sees
    /// the batches before those are published. The same in every run over the same groups.
    ///
    /// # Errors
    ///
    /// What about the group is impossible after those before it; only bytes from a disk can be.
    pub(crate) fn apply(
        &mut self,
        partitions: &Partitions,
        segment: &Arc<Segment>,
        number: u64,
        descriptor: &Descriptor,
        producers_max: usize,
    ) -> Result<Ends, &'static str> {
        if number != self.number + 1 {
            return Err("a group is missing");
        }
        let mut ends = Ends::default();
        for op in &descriptor.ops {
            match op {
                Op::Batch(batch) => {
                    let partition = partitions.get_or_create(batch.partition);
                    let end = ends.of(&partition);
                    if batch.base_offset != end {
                        return Err("a batch does not follow the one before");
                    }
                    partition.note_batch(segment, batch);
                    ends.set(&partition, batch.next_offset());
                    self.dirty.partitions.insert(batch.partition);
                    if let Some(sequenced) = batch.producer {
                        let sent = (batch.records, batch.base_offset);
                        self.note_producer(batch.partition, sequenced, sent, number, producers_max);
                    }
                }
                Op::Sequence(sequence) => {
                    let sent = (sequence.records, sequence.base_offset);
                    self.note_producer(sequence.partition, sequence.producer, sent, number, producers_max);
                }
                Op::Put { key, value } => {
                    self.dirty.kv_bytes += key.len() + value.len() + 64;
                    self.kv.insert(key.clone(), Some(value.clone()));
                }
                Op::Delete { key } => {
                    self.dirty.kv_bytes += key.len() + 64;
                    self.kv.insert(key.clone(), None);
                }
                Op::LogStart { partition, offset } => {
                    let partition = partitions.get_or_create(*partition);
                    self.move_log_start(&partition, (*offset).min(ends.of(&partition)));
                }
                Op::DropTopic { topic } => {
                    ends.0.retain(|id, _| id.topic != *topic);
                    self.drop_topic(partitions, *topic);
                }
            }
        }
        self.number = number;
        self.dirty.groups += 1;
        Ok(ends)
    }

    /// Groups are lost: the next one is `number`.
    pub(crate) fn skip_to(&mut self, number: u64) {
        self.number = self.number.max(number.saturating_sub(1));
        self.dirty.groups += 1;
    }

    /// A partition ends elsewhere than its last known batch.
    pub(crate) fn move_end(&mut self, partition: &PartitionState, end: i64) {
        partition.publish(end);
        self.dirty.partitions.insert(partition.id);
        self.dirty.groups += 1;
    }

    /// Forgets all producers, as if they had been silent for long.
    pub(crate) fn forget_producers(&mut self) {
        self.by_age.clear();
        let forgotten = std::mem::take(&mut self.producers);
        self.dirty.producers.extend(forgotten.into_keys());
        self.dirty.groups += 1;
    }

    /// A producer has sent so many records, and what is stored of them begins at that offset.
    fn note_producer(
        &mut self,
        partition: PartitionId,
        sequenced: Sequenced,
        (records, base_offset): (u32, i64),
        number: u64,
        producers_max: usize,
    ) {
        let key = (partition, sequenced.producer_id);
        let mut producer = self.producers.remove(&key);
        if let Some(producer) = &producer {
            self.by_age.remove(&(producer.last_group, key));
        }
        Producer::note(&mut producer, sequenced, records, base_offset, number);
        let Some(producer) = producer else { return };
        self.by_age.insert((producer.last_group, key));
        self.producers.insert(key, producer);
        self.dirty.producers.insert(key);
        while self.producers.len() > producers_max {
            let Some((_, oldest)) = self.by_age.pop_first() else {
                break;
            };
            self.producers.remove(&oldest);
            self.dirty.producers.insert(oldest);
        }
    }

    /// Adds a producer that the state database knows.
    pub(crate) fn load_producer(&mut self, key: ProducerKey, producer: Producer) {
        self.by_age.insert((producer.last_group, key));
        self.producers.insert(key, producer);
    }

    fn move_log_start(&mut self, partition: &Arc<PartitionState>, offset: i64) {
        if offset <= partition.log_start() {
            return;
        }
        partition.set_log_start(offset);
        self.dirty.partitions.insert(partition.id);
        let removed = &mut self.dirty.removed_ranges;
        partition.ranges_mut().retain(|range| {
            let live = range.end > offset;
            if !live {
                removed.insert((partition.id, range.base, range.segment.id()));
            }
            live
        });
    }

    fn drop_topic(&mut self, partitions: &Partitions, topic: u32) {
        for partition in partitions.remove_topic(topic) {
            for range in &*partition.ranges() {
                range.segment.note_deleted(range.bytes);
            }
            partition.forget();
        }
        let by_age = &mut self.by_age;
        self.producers.retain(|key, producer| {
            let live = key.0.topic != topic;
            if !live {
                by_age.remove(&(producer.last_group, *key));
            }
            live
        });
        let dirty = &mut self.dirty;
        dirty.partitions.retain(|id| id.topic != topic);
        dirty.producers.retain(|(id, _)| id.topic != topic);
        dirty.removed_ranges.retain(|(id, ..)| id.topic != topic);
        dirty.dropped_topics.insert(topic);
    }

    /// The value of a key as far as it is newer than the state database: `None` if it is not.
    pub(crate) fn kv_get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.kv
            .get(key)
            .or_else(|| self.kv_frozen.as_ref().and_then(|frozen| frozen.get(key)))
            .map(Option::as_deref)
    }
}

/// Where partitions end after a group, not yet published.
#[derive(Debug, Default)]
pub(crate) struct Ends(HashMap<PartitionId, (Arc<PartitionState>, i64)>);

impl Ends {
    fn of(&self, partition: &Arc<PartitionState>) -> i64 {
        self.0
            .get(&partition.id)
            .map_or_else(|| partition.end(), |(_, end)| *end)
    }

    fn set(&mut self, partition: &Arc<PartitionState>, end: i64) {
        self.0.insert(partition.id, (partition.clone(), end));
    }

    /// Lets everybody see the batches.
    pub(crate) fn publish(self) {
        for (partition, end) in self.0.into_values() {
            partition.publish(end);
        }
    }
}
