//! What a group changes, without the batches' bytes: the rows of the `groups` table.
//!
//! All integers are little-endian. `[version u8 = 1][operations u32] operation* [crc32c of all before u32]`, and an
//! operation is `[kind u8]` followed by
//!
//! | kind | | fields |
//! |---|---|---|
//! | 1 | batch | topic u32, index u32, base offset i64, records u32, bytes u32, max timestamp i64 |
//! | 2 | batch of a producer with an id | the same, producer id i64, epoch i16, base sequence i32 |
//! | 3 | put | key length u32, value length u32, key, value |
//! | 4 | delete | key length u32, key |
//! | 5 | log start | topic u32, index u32, offset i64 |
//! | 6 | drop topic | topic u32 |
//! | 7 | place in a producer's sequence | topic u32, index u32, base offset i64, records u32, producer id i64, epoch i16, base sequence i32 |

use crate::PartitionId;

const VERSION: u8 = 1;

/// What a group of entries changes. Applying it needs nothing else.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Descriptor {
    pub(crate) ops: Vec<Op>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Op {
    Batch(BatchOp),
    Put { key: Vec<u8>, value: Vec<u8> },
    Delete { key: Vec<u8> },
    LogStart { partition: PartitionId, offset: i64 },
    DropTopic { topic: u32 },
    Sequence(SequenceOp),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct BatchOp {
    pub(crate) partition: PartitionId,
    pub(crate) base_offset: i64,
    /// Offsets the batch takes.
    pub(crate) records: u32,
    /// Bytes of the batch.
    pub(crate) len: u32,
    pub(crate) max_timestamp: i64,
    pub(crate) producer: Option<Sequenced>,
}

impl BatchOp {
    pub(crate) fn next_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.records))
    }
}

/// What a producer sent and what was stored otherwise, or not at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SequenceOp {
    pub(crate) partition: PartitionId,
    /// Where what is stored of it begins.
    pub(crate) base_offset: i64,
    /// Records that were sent.
    pub(crate) records: u32,
    pub(crate) producer: Sequenced,
}

/// A batch's place in its producer's sequence.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Sequenced {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    pub(crate) base_sequence: i32,
}

impl Descriptor {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        out.push(VERSION);
        out.extend_from_slice(&(self.ops.len() as u32).to_le_bytes());
        for op in &self.ops {
            op.encode(out);
        }
        let crc = crc32c::crc32c(out);
        out.extend_from_slice(&crc.to_le_bytes());
    }

    /// The reverse of [`encode`](Self::encode), or what is wrong with the bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let (body, crc) = bytes.split_last_chunk::<4>().ok_or("shorter than its checksum")?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return Err("wrong checksum");
        }
        let mut input = Input(body);
        if input.array::<1>()? != [VERSION] {
            return Err("unknown version");
        }
        let count = input.u32()? as usize;
        // An operation takes five bytes at least, so a lie about the count cannot reserve much.
        let mut ops = Vec::with_capacity(count.min(body.len() / 5));
        for _ in 0..count {
            ops.push(Op::decode(&mut input)?);
        }
        if !input.0.is_empty() {
            return Err("bytes behind the last operation");
        }
        Ok(Self { ops })
    }
}

impl Op {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Batch(batch) => {
                out.push(if batch.producer.is_some() { 2 } else { 1 });
                put_partition(out, batch.partition);
                out.extend_from_slice(&batch.base_offset.to_le_bytes());
                out.extend_from_slice(&batch.records.to_le_bytes());
                out.extend_from_slice(&batch.len.to_le_bytes());
                out.extend_from_slice(&batch.max_timestamp.to_le_bytes());
                if let Some(producer) = batch.producer {
                    put_sequenced(out, producer);
                }
            }
            Self::Put { key, value } => {
                out.push(3);
                out.extend_from_slice(&(key.len() as u32).to_le_bytes());
                out.extend_from_slice(&(value.len() as u32).to_le_bytes());
                out.extend_from_slice(key);
                out.extend_from_slice(value);
            }
            Self::Delete { key } => {
                out.push(4);
                out.extend_from_slice(&(key.len() as u32).to_le_bytes());
                out.extend_from_slice(key);
            }
            Self::LogStart { partition, offset } => {
                out.push(5);
                put_partition(out, *partition);
                out.extend_from_slice(&offset.to_le_bytes());
            }
            Self::DropTopic { topic } => {
                out.push(6);
                out.extend_from_slice(&topic.to_le_bytes());
            }
            Self::Sequence(sequence) => {
                out.push(7);
                put_partition(out, sequence.partition);
                out.extend_from_slice(&sequence.base_offset.to_le_bytes());
                out.extend_from_slice(&sequence.records.to_le_bytes());
                put_sequenced(out, sequence.producer);
            }
        }
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, &'static str> {
        let [kind] = input.array()?;
        Ok(match kind {
            1 | 2 => Self::Batch(BatchOp {
                partition: input.partition()?,
                base_offset: input.i64()?,
                records: input.u32()?,
                len: input.u32()?,
                max_timestamp: input.i64()?,
                producer: if kind == 2 { Some(input.sequenced()?) } else { None },
            }),
            3 => {
                let (key, value) = (input.u32()? as usize, input.u32()? as usize);
                Self::Put {
                    key: input.bytes(key)?.to_vec(),
                    value: input.bytes(value)?.to_vec(),
                }
            }
            4 => {
                let key = input.u32()? as usize;
                Self::Delete {
                    key: input.bytes(key)?.to_vec(),
                }
            }
            5 => Self::LogStart {
                partition: input.partition()?,
                offset: input.i64()?,
            },
            6 => Self::DropTopic { topic: input.u32()? },
            7 => Self::Sequence(SequenceOp {
                partition: input.partition()?,
                base_offset: input.i64()?,
                records: input.u32()?,
                producer: input.sequenced()?,
            }),
            _ => return Err("unknown operation"),
        })
    }
}

fn put_partition(out: &mut Vec<u8>, partition: PartitionId) {
    out.extend_from_slice(&partition.topic.to_le_bytes());
    out.extend_from_slice(&partition.index.to_le_bytes());
}

fn put_sequenced(out: &mut Vec<u8>, producer: Sequenced) {
    out.extend_from_slice(&producer.producer_id.to_le_bytes());
    out.extend_from_slice(&producer.epoch.to_le_bytes());
    out.extend_from_slice(&producer.base_sequence.to_le_bytes());
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or("ends too early")?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or("ends too early")?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn u32(&mut self) -> Result<u32, &'static str> {
        self.array().map(u32::from_le_bytes)
    }

    fn i64(&mut self) -> Result<i64, &'static str> {
        self.array().map(i64::from_le_bytes)
    }

    fn sequenced(&mut self) -> Result<Sequenced, &'static str> {
        Ok(Sequenced {
            producer_id: self.i64()?,
            epoch: i16::from_le_bytes(self.array()?),
            base_sequence: self.u32()? as i32,
        })
    }

    fn partition(&mut self) -> Result<PartitionId, &'static str> {
        Ok(PartitionId {
            topic: self.u32()?,
            index: self.u32()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn partition() -> impl Strategy<Value = PartitionId> {
        (any::<u32>(), any::<u32>()).prop_map(|(topic, index)| PartitionId { topic, index })
    }

    fn op() -> impl Strategy<Value = Op> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..20);
        let producer = prop::option::of((any::<i64>(), any::<i16>(), any::<i32>())).prop_map(|producer| {
            producer.map(|(producer_id, epoch, base_sequence)| Sequenced {
                producer_id,
                epoch,
                base_sequence,
            })
        });
        let batch = (
            partition(),
            any::<i64>(),
            any::<u32>(),
            any::<u32>(),
            any::<i64>(),
            producer,
        )
            .prop_map(
                |(partition, base_offset, records, len, max_timestamp, producer)| {
                    Op::Batch(BatchOp {
                        partition,
                        base_offset,
                        records,
                        len,
                        max_timestamp,
                        producer,
                    })
                },
            );
        prop_oneof![
            batch,
            (bytes(), bytes()).prop_map(|(key, value)| Op::Put { key, value }),
            bytes().prop_map(|key| Op::Delete { key }),
            (partition(), any::<i64>()).prop_map(|(partition, offset)| Op::LogStart { partition, offset }),
            any::<u32>().prop_map(|topic| Op::DropTopic { topic }),
            (partition(), any::<i64>(), any::<u32>(), any::<(i64, i16, i32)>()).prop_map(
                |(partition, base_offset, records, (producer_id, epoch, base_sequence))| {
                    Op::Sequence(SequenceOp {
                        partition,
                        base_offset,
                        records,
                        producer: Sequenced {
                            producer_id,
                            epoch,
                            base_sequence,
                        },
                    })
                }
            ),
        ]
    }

    proptest! {
        #[test]
        fn comes_back(ops in prop::collection::vec(op(), 0..20)) {
            let descriptor = Descriptor { ops };
            let mut bytes = Vec::new();
            descriptor.encode(&mut bytes);
            prop_assert_eq!(Descriptor::decode(&bytes), Ok(descriptor));
        }

        #[test]
        fn a_flipped_bit_is_noticed(ops in prop::collection::vec(op(), 0..5), at in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            Descriptor { ops }.encode(&mut bytes);
            let bit = at.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Descriptor::decode(&bytes).is_err());
        }

        #[test]
        fn garbage_is_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Descriptor::decode(&bytes);
            // The same past the checksum.
            let mut bytes = bytes;
            let crc = crc32c::crc32c(&bytes);
            bytes.extend_from_slice(&crc.to_le_bytes());
            let _ = Descriptor::decode(&bytes);
        }
    }
}
