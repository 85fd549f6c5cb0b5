//! The batches appended last, in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::{Bytes, BytesMut};

use crate::partition_state::PartitionState;

/// What a cached batch takes besides its bytes, about.
const OVERHEAD_BYTES: usize = 128;

/// The last batches of one partition, without gaps, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Tail(Mutex<VecDeque<Cached>>);

#[derive(Clone, Debug)]
struct Cached {
    base_offset: i64,
    next_offset: i64,
    bytes: Bytes,
}

impl Tail {
    fn batches(&self) -> MutexGuard<'_, VecDeque<Cached>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Batches from the one that contains `offset` on, `max_bytes` of them or a single larger one, with the offset
    /// after the last. `None` if that batch is not here.
    pub(crate) fn read(&self, offset: i64, max_bytes: usize) -> Option<(Bytes, i64)> {
        let found: Vec<Bytes>;
        let (mut total, mut next) = (0, offset);
        {
            let batches = self.batches();
            let first = batches.partition_point(|batch| batch.next_offset <= offset);
            batches.get(first).filter(|batch| batch.base_offset <= offset)?;
            found = batches
                .range(first..)
                .take_while(|batch| {
                    let fits = total == 0 || total + batch.bytes.len() <= max_bytes;
                    if fits {
                        total += batch.bytes.len();
                        next = batch.next_offset;
                    }
                    fits
                })
                .map(|batch| batch.bytes.clone())
                .collect();
        }
        if let [single] = found.as_slice() {
            return Some((single.clone(), next));
        }
        let mut joined = BytesMut::with_capacity(total);
        for batch in &found {
            joined.extend_from_slice(batch);
        }
        Some((joined.freeze(), next))
    }

    pub(crate) fn clear(&self) {
        self.batches().clear();
    }
}

/// Which batches of a shard are cached, in the order they came; the oldest go first. Belongs to the writer.
#[derive(Debug)]
pub(crate) struct TailCache {
    order: VecDeque<(Weak<PartitionState>, usize)>,
    used_bytes: usize,
    budget_bytes: usize,
}

impl TailCache {
    pub(crate) fn new(budget_bytes: usize) -> Self {
        Self {
            order: VecDeque::new(),
            used_bytes: 0,
            budget_bytes,
        }
    }

    /// Adds the batch that comes after the last one of the partition.
    pub(crate) fn push(
        &mut self,
        partition: &Arc<PartitionState>,
        base_offset: i64,
        next_offset: i64,
        bytes: Bytes,
    ) {
        let cost = bytes.len() + OVERHEAD_BYTES;
        if cost > self.budget_bytes {
            // The cached batches have to stay without a gap.
            partition.tail.clear();
            return;
        }
        self.used_bytes += cost;
        while self.used_bytes > self.budget_bytes {
            let Some((oldest, cost)) = self.order.pop_front() else {
                break;
            };
            self.used_bytes -= cost;
            if let Some(oldest) = oldest.upgrade() {
                // Batches leave a partition in the order they came. If the partition was cleared in between, this
                // takes one that is younger, and later ones find nothing: only the cache's hit rate suffers.
                oldest.tail.batches().pop_front();
            }
        }
        self.order.push_back((Arc::downgrade(partition), cost));
        partition.tail.batches().push_back(Cached {
            base_offset,
            next_offset,
            bytes,
        });
    }
}
