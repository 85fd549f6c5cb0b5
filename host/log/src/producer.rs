//! What a partition remembers of a producer with an id, so that a batch sent again is recognised. As in Kafka's
//! `ProducerStateManager`, with a longer memory (a pipelining client repeats more than five batches after a
//! reconnect) and with one stricter rule: a producer that is not known has to begin with sequence 0, because
//! otherwise the second of two pipelined batches could be written although the first was refused.

use std::collections::VecDeque;

use crate::AppendError;
use crate::descriptor::Sequenced;

/// Batches remembered per producer and partition.
const WINDOW: usize = 64;
/// Sequence numbers wrap from `i32::MAX` to 0, so that they count modulo 2^31.
const SEQUENCE_MASK: i32 = i32::MAX;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Producer {
    pub(crate) epoch: i16,
    /// The group that changed this last.
    pub(crate) last_group: u64,
    /// The last batches, oldest first. Never empty.
    window: VecDeque<Sent>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Sent {
    base_sequence: i32,
    records: u32,
    base_offset: i64,
}

impl Sent {
    fn next_sequence(&self) -> i32 {
        self.base_sequence.wrapping_add(self.records as i32) & SEQUENCE_MASK
    }
}

/// What to do with a batch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Append,
    /// It is there already.
    Duplicate {
        base_offset: i64,
    },
    Refuse(AppendError),
}

/// Judges a batch of `records` records by what is known of its producer.
pub(crate) fn judge(known: Option<&Producer>, batch: Sequenced, records: u32) -> Verdict {
    // Control batches have no sequence.
    if batch.base_sequence < 0 {
        return Verdict::Append;
    }
    let found = batch.base_sequence;
    let first_of_epoch = |known: &Producer| known.epoch < batch.epoch;
    let Some(producer) = known.filter(|known| !first_of_epoch(known)) else {
        return if found == 0 {
            Verdict::Append
        } else {
            Verdict::Refuse(AppendError::OutOfOrderSequence { expected: 0, found })
        };
    };
    if batch.epoch < producer.epoch {
        return Verdict::Refuse(AppendError::InvalidProducerEpoch {
            current: producer.epoch,
            found: batch.epoch,
        });
    }
    let expected = producer.window.back().map_or(0, Sent::next_sequence);
    if found == expected {
        return Verdict::Append;
    }
    let same = |sent: &&Sent| sent.base_sequence == found && sent.records == records;
    if let Some(sent) = producer.window.iter().rev().find(same) {
        return Verdict::Duplicate {
            base_offset: sent.base_offset,
        };
    }
    // How far back it begins. Half of the numbers lie behind, half ahead.
    let behind = expected.wrapping_sub(found) & SEQUENCE_MASK;
    if behind <= SEQUENCE_MASK / 2 && i64::from(records) <= i64::from(behind) {
        Verdict::Refuse(AppendError::DuplicateOutOfWindow { found })
    } else {
        Verdict::Refuse(AppendError::OutOfOrderSequence { expected, found })
    }
}

impl Producer {
    /// Takes note of an appended batch.
    pub(crate) fn note(
        known: &mut Option<Self>,
        batch: Sequenced,
        records: u32,
        base_offset: i64,
        group: u64,
    ) {
        if batch.base_sequence < 0 {
            return;
        }
        let producer = known.get_or_insert_with(|| Self {
            epoch: batch.epoch,
            last_group: group,
            window: VecDeque::new(),
        });
        if producer.epoch != batch.epoch {
            producer.epoch = batch.epoch;
            producer.window.clear();
        }
        producer.last_group = group;
        if producer.window.len() == WINDOW {
            producer.window.pop_front();
        }
        producer.window.push_back(Sent {
            base_sequence: batch.base_sequence,
            records,
            base_offset,
        });
    }

    /// `[epoch i16][last group u64]` and per batch `[base sequence i32][records u32][base offset i64]`, little-endian.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(10 + self.window.len() * 16);
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.last_group.to_le_bytes());
        for sent in &self.window {
            out.extend_from_slice(&sent.base_sequence.to_le_bytes());
            out.extend_from_slice(&sent.records.to_le_bytes());
            out.extend_from_slice(&sent.base_offset.to_le_bytes());
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (epoch, rest) = bytes.split_first_chunk()?;
        let (last_group, rest) = rest.split_first_chunk()?;
        let (window, rest) = rest.as_chunks::<16>();
        if window.is_empty() || window.len() > WINDOW || !rest.is_empty() {
            return None;
        }
        let sent = |chunk: &[u8; 16]| {
            let (base_sequence, rest) = chunk.split_first_chunk()?;
            let (records, rest) = rest.split_first_chunk()?;
            let (base_offset, _) = rest.split_first_chunk()?;
            Some(Sent {
                base_sequence: i32::from_le_bytes(*base_sequence),
                records: u32::from_le_bytes(*records),
                base_offset: i64::from_le_bytes(*base_offset),
            })
        };
        Some(Self {
            epoch: i16::from_le_bytes(*epoch),
            last_group: u64::from_le_bytes(*last_group),
            window: window.iter().map(sent).collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: i16, base_sequence: i32) -> Sequenced {
        Sequenced {
            producer_id: 1,
            epoch,
            base_sequence,
        }
    }

    fn sent(batches: &[(i16, i32, u32)]) -> Option<Producer> {
        let mut producer = None;
        let mut offset = 100;
        for &(epoch, sequence, records) in batches {
            assert_eq!(
                judge(producer.as_ref(), batch(epoch, sequence), records),
                Verdict::Append
            );
            Producer::note(&mut producer, batch(epoch, sequence), records, offset, 1);
            offset += i64::from(records);
        }
        producer
    }

    #[test]
    fn a_repeat_is_recognised_and_a_gap_refused() {
        let producer = sent(&[(0, 0, 10), (0, 10, 5), (0, 15, 1)]);
        let known = producer.as_ref();
        assert_eq!(judge(known, batch(0, 16), 3), Verdict::Append);
        assert_eq!(
            judge(known, batch(0, 10), 5),
            Verdict::Duplicate { base_offset: 110 }
        );
        assert_eq!(
            judge(known, batch(0, 0), 10),
            Verdict::Duplicate { base_offset: 100 }
        );
        let gap = AppendError::OutOfOrderSequence {
            expected: 16,
            found: 17,
        };
        assert_eq!(judge(known, batch(0, 17), 3), Verdict::Refuse(gap));
        // The same numbers cut differently are written, but nobody knows where; one that reaches beyond is a gap.
        let stored = AppendError::DuplicateOutOfWindow { found: 10 };
        assert_eq!(judge(known, batch(0, 10), 6), Verdict::Refuse(stored));
        let beyond = AppendError::OutOfOrderSequence {
            expected: 16,
            found: 10,
        };
        assert_eq!(judge(known, batch(0, 10), 7), Verdict::Refuse(beyond));
    }

    #[test]
    fn an_unknown_producer_and_a_new_epoch_begin_with_zero() {
        let gap = AppendError::OutOfOrderSequence {
            expected: 0,
            found: 3,
        };
        assert_eq!(judge(None, batch(0, 3), 1), Verdict::Refuse(gap.clone()));
        let producer = sent(&[(4, 0, 10), (4, 10, 5)]);
        let known = producer.as_ref();
        let fenced = AppendError::InvalidProducerEpoch { current: 4, found: 3 };
        assert_eq!(judge(known, batch(3, 15), 1), Verdict::Refuse(fenced));
        assert_eq!(judge(known, batch(5, 3), 1), Verdict::Refuse(gap));
        let producer = sent(&[(4, 0, 10), (5, 0, 2)]);
        assert_eq!(
            judge(producer.as_ref(), batch(5, 0), 2),
            Verdict::Duplicate { base_offset: 110 }
        );
    }

    #[test]
    fn what_fell_out_of_the_window_is_still_a_duplicate() {
        let batches: Vec<_> = (0..100).map(|i| (0, i * 2, 2)).collect();
        let producer = sent(&batches);
        let known = producer.as_ref();
        let oldest = 100 - WINDOW as i32;
        let base_offset = 100 + i64::from(oldest) * 2;
        assert_eq!(
            judge(known, batch(0, oldest * 2), 2),
            Verdict::Duplicate { base_offset }
        );
        let old = AppendError::DuplicateOutOfWindow { found: 0 };
        assert_eq!(judge(known, batch(0, 0), 2), Verdict::Refuse(old));
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut producer = None;
        Producer::note(&mut producer, batch(0, i32::MAX - 1), 2, 100, 1);
        let known = producer.as_ref();
        assert_eq!(judge(known, batch(0, 0), 5), Verdict::Append);
        let repeat = Verdict::Duplicate { base_offset: 100 };
        assert_eq!(judge(known, batch(0, i32::MAX - 1), 2), repeat);
        let old = AppendError::DuplicateOutOfWindow { found: i32::MAX - 9 };
        assert_eq!(judge(known, batch(0, i32::MAX - 9), 2), Verdict::Refuse(old));
        let gap = AppendError::OutOfOrderSequence {
            expected: 0,
            found: 1,
        };
        assert_eq!(judge(known, batch(0, 1), 1), Verdict::Refuse(gap));
    }

    #[test]
    fn encoding_comes_back() {
        let producer = sent(&[(2, 0, 10), (2, 10, 5)]).unwrap();
        assert_eq!(Producer::decode(&producer.encode()), Some(producer));
        assert_eq!(Producer::decode(&[0; 10]), None);
        assert_eq!(Producer::decode(&[0; 27]), None);
    }
}
