use bytes::BytesMut;

use crate::PartitionId;

/// What is written together or not at all.
#[derive(Debug, Default)]
pub struct Entry {
    /// Batches, appended in this order.
    pub appends: Vec<Append>,
    /// Changes to the shard's key-value pairs, and conditions on them.
    pub puts: Vec<KvOp>,
    /// When the entry counts as committed.
    pub durability: Durability,
}

impl Entry {
    /// Bytes that count against the queue's bound.
    pub(crate) fn cost(&self) -> usize {
        let batches: usize = self.appends.iter().map(|append| append.batch.len() + 128).sum();
        let puts: usize = self.puts.iter().map(|put| put.cost() + 64).sum();
        batches + puts + 256
    }
}

/// One batch for one partition.
#[derive(Debug)]
pub struct Append {
    /// The partition, which has to belong to the shard the entry is submitted to.
    pub partition: PartitionId,
    /// Exactly one whole batch, checked by the caller (`weir_batch::Batch::parse`). The log sets base offset and
    /// leader epoch in place.
    pub batch: BytesMut,
}

/// A place in the sequence of a producer with an id that an entry takes as a whole, whatever batches are in it: what a
/// producer sent may be stored as something else, or not at all, and is to be recognised all the same when it comes again.
/// The batches of such an entry have no producer id of their own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sequence {
    /// The partition the producer sent to, which has to belong to the shard the entry is submitted to.
    pub partition: PartitionId,
    /// The producer's id, 0 or more.
    pub producer_id: i64,
    /// The producer's epoch.
    pub epoch: i16,
    /// Sequence number of the first record that was sent, 0 or more.
    pub base_sequence: i32,
    /// Records that were sent, 1 or more.
    pub records: u32,
}

/// Keys with their values.
pub type KvPairs = Vec<(Vec<u8>, Vec<u8>)>;

/// A change to, or a condition on, a key-value pair of the shard.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KvOp {
    /// Sets `key` to `value`.
    Put {
        /// The key.
        key: Vec<u8>,
        /// The value.
        value: Vec<u8>,
    },
    /// Removes `key` if it is there.
    Delete {
        /// The key.
        key: Vec<u8>,
    },
    /// Refuses the whole entry unless `key` has exactly this value (`None`: is not there) when the entry's turn
    /// comes, everything submitted before it included.
    Expect {
        /// The key.
        key: Vec<u8>,
        /// Its value.
        value: Option<Vec<u8>>,
    },
}

impl KvOp {
    fn cost(&self) -> usize {
        match self {
            Self::Put { key, value } => key.len() + value.len(),
            Self::Delete { key } => key.len(),
            Self::Expect { key, value } => key.len() + value.as_ref().map_or(0, Vec::len),
        }
    }
}

/// When an entry counts as committed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Durability {
    /// Once it is on disk.
    #[default]
    Fsync,
    /// Once it is written; it reaches the disk a little later, together with others. A crash of the machine or the
    /// process can lose the last [`relaxed_flush_after`](crate::LogConfig::relaxed_flush_after) of such entries.
    Relaxed,
}
