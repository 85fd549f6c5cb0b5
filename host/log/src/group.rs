//! The first step of writing: what waits is judged and given its offsets.

mod sequence;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use weir_batch::BatchHeader;

use crate::applied::{Applied, ProducerKey};
use crate::descriptor::{BatchOp, Descriptor, Op, Sequenced};
use crate::partition_state::PartitionState;
use crate::producer::{Producer, Verdict, judge};
use crate::queue::Queued;
use crate::shard::Shard;
use crate::{Append, AppendError, Appended, Committed, Durability, Entry, KvOp, PartitionId, Sequence};

/// Leader epoch of every batch, as long as there is one node.
pub(crate) const LEADER_EPOCH: i32 = 0;

/// Room behind a batch that is not worth a copy.
const SPARE_BYTES_MAX: usize = 4096;

/// Entries that are written together, with everything about them decided.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) descriptor: Descriptor,
    /// The batches by partition, in order, with their offsets set.
    pub(crate) runs: BTreeMap<PartitionId, Run>,
    pub(crate) answers: Vec<Answer>,
    /// Whether any entry asks for an fsync.
    pub(crate) durable: bool,
    pub(crate) batch_bytes: usize,
    /// Producers as they are after the group.
    producers: HashMap<ProducerKey, Option<Producer>>,
    dropped_topics: Vec<u32>,
}

/// The batches of one partition in one group.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) partition: Arc<PartitionState>,
    /// The offset after the last batch.
    end: i64,
    pub(crate) batches: Vec<ProposedBatch>,
}

#[derive(Debug)]
pub(crate) struct ProposedBatch {
    pub(crate) base_offset: i64,
    pub(crate) next_offset: i64,
    pub(crate) bytes: BytesMut,
}

/// An accepted entry's submitter, who hears of it once the group is committed.
#[derive(Debug)]
pub(crate) struct Answer {
    reply: oneshot::Sender<Result<Committed, AppendError>>,
    committed: Committed,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Answer {
    pub(crate) fn committed(self) {
        // Nobody has to wait for it.
        let _ = self.reply.send(Ok(self.committed));
    }

    pub(crate) fn failed(self, error: AppendError) {
        let _ = self.reply.send(Err(error));
    }
}

/// Judges entries in the order they came. Those that cannot be written are refused at once; the others become one
/// group. Nothing but the group is changed.
pub(crate) fn propose(shard: &Shard, queued: Vec<Queued>, full: bool) -> Group {
    let mut group = Group::default();
    for queued in queued {
        let Queued {
            entry,
            sequence,
            controls,
            reply,
            permit,
        } = queued;
        // What gives space back is let through.
        let takes_space = !entry.appends.is_empty() || !entry.puts.is_empty() || sequence.is_some();
        let judged = if full && takes_space {
            Err(AppendError::StorageFull)
        } else {
            group.add(shard, entry, sequence, controls)
        };
        match judged {
            Ok(committed) => group.answers.push(Answer {
                reply,
                committed,
                _permit: permit,
            }),
            Err(error) => {
                let _ = reply.send(Err(error));
            }
        }
    }
    group
}

/// What is decided about an entry before all of it is known to be acceptable.
#[derive(Default)]
struct Draft {
    ends: HashMap<PartitionId, (Arc<PartitionState>, i64)>,
    producers: HashMap<ProducerKey, Option<Producer>>,
    appends: Vec<(Appended, BatchHeader)>,
}

impl Group {
    fn add(
        &mut self,
        shard: &Shard,
        entry: Entry,
        sequence: Option<Sequence>,
        controls: Vec<Op>,
    ) -> Result<Committed, AppendError> {
        self.check_expectations(shard, &entry.puts)?;
        let mut draft = Draft::default();
        let sequence = sequence.map(|sequence| self.judge_sequence(shard, sequence, &mut draft));
        let sequence = sequence.transpose()?;
        if let Some((_, appended)) = &sequence
            && appended.duplicate
        {
            self.durable |= entry.durability == Durability::Fsync;
            return Ok(Committed {
                appends: Vec::new(),
                sequence: Some(*appended),
            });
        }
        for append in &entry.appends {
            self.judge(shard, append, &mut draft)?;
        }

        self.durable |= entry.durability == Durability::Fsync;
        let mut committed = Committed::default();
        if let Some((op, mut appended)) = sequence {
            self.descriptor.ops.push(Op::Sequence(op));
            let mut own = draft.appends.iter().zip(&entry.appends).rev();
            if let Some(((last, _), _)) = own.find(|(_, append)| append.partition == op.partition) {
                appended.last_offset = last.last_offset;
            }
            committed.sequence = Some(appended);
        }
        for (append, (appended, header)) in entry.appends.into_iter().zip(draft.appends) {
            if !appended.duplicate
                && let Some((partition, _)) = draft.ends.get(&append.partition)
            {
                self.take(partition, append.batch, appended, &header);
            }
            committed.appends.push(appended);
        }
        self.producers.extend(draft.producers);
        for put in entry.puts {
            self.descriptor.ops.push(match put {
                KvOp::Put { key, value } => Op::Put { key, value },
                KvOp::Delete { key } => Op::Delete { key },
                KvOp::Expect { .. } => continue,
            });
        }
        for control in controls {
            self.control(shard, control);
        }
        Ok(committed)
    }

    /// Whether the keys have the values that are expected, after all entries before this one.
    fn check_expectations(&self, shard: &Shard, puts: &[KvOp]) -> Result<(), AppendError> {
        for put in puts {
            let KvOp::Expect { key, value } = put else {
                continue;
            };
            let in_group = self.descriptor.ops.iter().rev().find_map(|op| match op {
                Op::Put { key: found, value } if found == key => Some(Some(value.as_slice())),
                Op::Delete { key: found } if found == key => Some(None),
                _ => None,
            });
            let holds = match in_group {
                Some(found) => found == value.as_deref(),
                None => {
                    let found = shard.kv_read(key).map_err(|error| AppendError::Failed {
                        what: error.to_string(),
                    })?;
                    found == *value
                }
            };
            if !holds {
                return Err(AppendError::ExpectFailed);
            }
        }
        Ok(())
    }

    /// A partition that can be written to, and where it ends after what is decided so far.
    fn end_of(
        &self,
        shard: &Shard,
        id: PartitionId,
        draft: &Draft,
    ) -> Result<(Arc<PartitionState>, i64), AppendError> {
        let (partition, end) = match draft.ends.get(&id) {
            Some(found) => found.clone(),
            None => match self.runs.get(&id) {
                Some(run) => (run.partition.clone(), run.end),
                None => {
                    let partition = shard.partitions.get(id).ok_or(AppendError::UnknownPartition)?;
                    let end = partition.end();
                    (partition, end)
                }
            },
        };
        if partition.is_gone() || self.dropped_topics.contains(&id.topic) {
            return Err(AppendError::UnknownPartition);
        }
        Ok((partition, end))
    }

    fn judge(&self, shard: &Shard, append: &Append, draft: &mut Draft) -> Result<(), AppendError> {
        let id = append.partition;
        let (partition, end) = self.end_of(shard, id, draft)?;
        let header = whole_batch(&append.batch)?;
        // Both were checked not to be negative.
        let records = header.last_offset_delta as u32 + 1;
        let next_offset = end
            .checked_add(i64::from(records))
            .ok_or_else(|| invalid("the partition has no offsets left"))?;
        let mut appended = Appended {
            base_offset: end,
            last_offset: next_offset - 1,
            duplicate: false,
            log_start_offset: partition.log_start(),
        };
        if let Some(sequenced) = sequenced(&header) {
            let key = (id, sequenced.producer_id);
            let known = match draft.producers.remove(&key) {
                Some(known) => known,
                None => self.known_producer(&shard.applied(), key),
            };
            match judge(known.as_ref(), sequenced, records) {
                Verdict::Append => {
                    let mut producer = known;
                    Producer::note(&mut producer, sequenced, records, end, 0);
                    draft.producers.insert(key, producer);
                }
                Verdict::Duplicate { base_offset } => {
                    draft.producers.insert(key, known);
                    appended.base_offset = base_offset;
                    appended.last_offset = base_offset + i64::from(records) - 1;
                    appended.duplicate = true;
                }
                Verdict::Refuse(error) => return Err(error),
            }
        }
        let end = if appended.duplicate { end } else { next_offset };
        draft.ends.insert(id, (partition, end));
        draft.appends.push((appended, header));
        Ok(())
    }

    fn known_producer(&self, applied: &Applied, key: ProducerKey) -> Option<Producer> {
        match self.producers.get(&key) {
            Some(known) => known.clone(),
            None => applied.producers.get(&key).cloned(),
        }
    }

    /// Sets a batch's offset and adds it to its run.
    fn take(
        &mut self,
        partition: &Arc<PartitionState>,
        mut bytes: BytesMut,
        appended: Appended,
        header: &BatchHeader,
    ) {
        let (base_offset, next_offset) = (appended.base_offset, appended.last_offset + 1);
        // The header was parsed before, so these cannot fail.
        let patched = weir_batch::set_base_offset(&mut bytes, base_offset)
            .and_then(|()| weir_batch::set_leader_epoch(&mut bytes, LEADER_EPOCH));
        assert!(patched.is_ok(), "a header that was parsed is a header");
        self.descriptor.ops.push(Op::Batch(BatchOp {
            partition: partition.id,
            base_offset,
            records: (next_offset - base_offset) as u32,
            len: bytes.len() as u32,
            max_timestamp: header.max_timestamp,
            producer: sequenced(header),
        }));
        self.batch_bytes += bytes.len();
        if bytes.capacity() > bytes.len() + bytes.len() / 2 + SPARE_BYTES_MAX {
            // It stays in memory for a while, and what it has room for would stay as well.
            bytes = BytesMut::from(&bytes[..]);
        }
        let run = self.runs.entry(partition.id).or_insert_with(|| Run {
            partition: partition.clone(),
            end: base_offset,
            batches: Vec::new(),
        });
        run.end = next_offset;
        run.batches.push(ProposedBatch {
            base_offset,
            next_offset,
            bytes,
        });
    }

    fn control(&mut self, shard: &Shard, control: Op) {
        match &control {
            Op::LogStart { partition, offset } => {
                let Some(state) = shard.partitions.get(*partition) else {
                    return;
                };
                let end = self
                    .runs
                    .get(partition)
                    .map_or_else(|| state.end(), |run| run.end);
                let dropped = self.dropped_topics.contains(&partition.topic);
                if dropped || *offset <= state.log_start() || *offset > end {
                    return;
                }
            }
            Op::DropTopic { topic } => self.dropped_topics.push(*topic),
            _ => {}
        }
        self.durable = true;
        self.descriptor.ops.push(control);
    }
}

fn sequenced(header: &BatchHeader) -> Option<Sequenced> {
    header.has_producer().then_some(Sequenced {
        producer_id: header.producer_id,
        epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
    })
}

/// The header of bytes that are exactly one batch.
fn whole_batch(bytes: &[u8]) -> Result<BatchHeader, AppendError> {
    let header = BatchHeader::parse(bytes).map_err(|error| invalid(&error.to_string()))?;
    if header.batch_len != bytes.len() {
        return Err(invalid("its length field does not match its bytes"));
    }
    if header.record_count < 1 || header.last_offset_delta < header.record_count - 1 {
        return Err(invalid("it has no records"));
    }
    if u32::try_from(bytes.len()).is_err() {
        return Err(invalid("it is too large"));
    }
    Ok(header)
}

fn invalid(what: &str) -> AppendError {
    AppendError::InvalidBatch {
        what: what.to_owned(),
    }
}
