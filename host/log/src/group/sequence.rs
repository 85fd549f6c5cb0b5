//! Entries that take a place in a producer's sequence as a whole.

use super::{Draft, Group, invalid};
use crate::descriptor::{SequenceOp, Sequenced};
use crate::producer::{Producer, Verdict, judge};
use crate::shard::Shard;
use crate::{AppendError, Appended, Sequence};

impl Group {
    /// Judges an entry's place in a producer's sequence, before its batches.
    pub(super) fn judge_sequence(
        &self,
        shard: &Shard,
        sequence: Sequence,
        draft: &mut Draft,
    ) -> Result<(SequenceOp, Appended), AppendError> {
        let (partition, end) = self.end_of(shard, sequence.partition, draft)?;
        if sequence.producer_id < 0 || sequence.base_sequence < 0 || sequence.records == 0 {
            return Err(invalid("it has no place in a producer's sequence"));
        }
        let op = SequenceOp {
            partition: sequence.partition,
            base_offset: end,
            records: sequence.records,
            producer: Sequenced {
                producer_id: sequence.producer_id,
                epoch: sequence.epoch,
                base_sequence: sequence.base_sequence,
            },
        };
        let mut appended = Appended {
            base_offset: end,
            last_offset: end - 1,
            duplicate: false,
            log_start_offset: partition.log_start(),
        };
        let key = (op.partition, op.producer.producer_id);
        let known = self.known_producer(&shard.applied(), key);
        match judge(known.as_ref(), op.producer, op.records) {
            Verdict::Append => {
                let mut producer = known;
                Producer::note(&mut producer, op.producer, op.records, end, 0);
                draft.producers.insert(key, producer);
            }
            Verdict::Duplicate { base_offset } => {
                appended.base_offset = base_offset;
                appended.last_offset = base_offset - 1;
                appended.duplicate = true;
            }
            Verdict::Refuse(error) => return Err(error),
        }
        Ok((op, appended))
    }
}
