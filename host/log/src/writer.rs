//! A shard's writer: the only thread that changes its segments. Groups go through four steps, each a function:
//! propose, append, commit, apply.

mod salvage;
mod steps;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;

use crate::checkpoint::Snapshot;
use crate::chunk::order_max;
use crate::descriptor::Descriptor;
use crate::group::{self, Group};
use crate::partition_state::PartitionState;
use crate::queue::{Command, Queued, Work};
use crate::segment::Segment;
use crate::shard::Shard;
use crate::store_error::StoreError;
use crate::tail::TailCache;
use crate::volume::FailedOperation;
use crate::witness::Witness;
use crate::{AppendError, PartitionId};

/// Bytes of relaxed groups after which an fsync does not wait for its time.
const UNSYNCED_BYTES_MAX: usize = 32 << 20;

pub(crate) struct Writer {
    shard: Arc<Shard>,
    active: Arc<Segment>,
    /// Groups and bytes in the active segment.
    active_groups: u64,
    active_bytes: u64,
    tail: TailCache,
    order_max: u32,
    row: Vec<u8>,
    descriptor: Vec<u8>,
    /// Committed groups that are not on disk yet.
    unsynced: Vec<WrittenGroup>,
    unsynced_bytes: usize,
    flush_at: Option<Instant>,
    witness: Witness,
    /// Set when writing failed: what has to be dealt with before the next group.
    broken: Option<FailedOperation>,
}

/// A group as it is appended.
#[derive(Debug)]
pub(crate) struct WrittenGroup {
    number: u64,
    descriptor: Descriptor,
    runs: Vec<WrittenRun>,
}

#[derive(Debug)]
struct WrittenRun {
    partition: PartitionId,
    state: Arc<PartitionState>,
    /// Base offset, next offset, bytes.
    batches: Vec<(i64, i64, Bytes)>,
}

impl WrittenGroup {
    fn bytes(&self) -> usize {
        let runs = self.runs.iter().flat_map(|run| &run.batches);
        runs.map(|(.., bytes)| bytes.len() + 64).sum::<usize>() + self.descriptor.ops.len() * 64
    }
}

impl Writer {
    /// A writer that goes on in `active`, which is open for writing and has `groups` groups.
    pub(crate) fn new(shard: Arc<Shard>, active: Arc<Segment>, groups: u64, witness: Witness) -> Self {
        let budget_bytes = shard.config.tail_cache_bytes / usize::from(shard.config.shards.max(1));
        Self {
            order_max: order_max(shard.config.chunk_bytes_max),
            active_groups: groups,
            active_bytes: active.payload_bytes(),
            tail: TailCache::new(budget_bytes),
            row: Vec::new(),
            descriptor: Vec::new(),
            unsynced: Vec::new(),
            unsynced_bytes: 0,
            flush_at: None,
            witness,
            broken: None,
            active,
            shard,
        }
    }

    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        // Nobody waits for a writer that is gone, whatever made it go.
        let _gone = Gone(self.shard.clone());
        loop {
            match self
                .shard
                .queue
                .take(self.shard.config.group_bytes_max, self.flush_at)
            {
                Work::Group(queued) => self.group(queued),
                Work::Command(Command::Roll(reply)) => {
                    // Who asked may have gone away; so below.
                    let _ = reply.send(self.roll());
                }
                Work::Command(Command::Freeze(reply)) => {
                    let frozen = self.flush().map(|()| Snapshot::freeze(&self.shard));
                    let _ = reply.send(frozen);
                }
                Work::Timeout => {
                    // Tried again with the next group, or a little later.
                    let _ = self.flush();
                }
                Work::Closed => {
                    match self.flush() {
                        Ok(()) => self.shard.set_flushed(),
                        Err(error) => {
                            tracing::error!(shard = self.shard.id, %error, "the last relaxed entries are not on disk");
                        }
                    }
                    return;
                }
            }
        }
    }

    fn group(&mut self, queued: Vec<Queued>) {
        let full = self.is_full();
        // Deleting a topic may be what makes room.
        let try_anyway = queued.iter().any(|queued| !queued.controls.is_empty());
        let recovered = if self.broken.is_some() && (!full || try_anyway) {
            self.recover()
        } else {
            Ok(())
        };
        let group = group::propose(&self.shard, queued, full);
        if self.broken.is_some() {
            let error = match recovered {
                Err(error) => append_error(&error),
                Ok(()) => AppendError::StorageFull,
            };
            return refuse(group, &error);
        }
        let Group {
            descriptor,
            runs,
            answers,
            durable,
            batch_bytes,
            ..
        } = group;
        if descriptor.ops.is_empty() {
            answers.into_iter().for_each(group::Answer::committed);
            return;
        }
        let batches: u64 = runs.values().map(|run| run.batches.len() as u64).sum();
        let written = WrittenGroup {
            number: self.shard.applied().number + 1,
            descriptor,
            runs: runs
                .into_iter()
                .map(|(partition, run)| WrittenRun {
                    partition,
                    state: run.partition,
                    batches: run
                        .batches
                        .into_iter()
                        .map(|batch| (batch.base_offset, batch.next_offset, batch.bytes.freeze()))
                        .collect(),
                })
                .collect(),
        };
        let durable = durable || self.unsynced_bytes + written.bytes() > UNSYNCED_BYTES_MAX;
        if let Err(error) = self.append_and_commit(std::slice::from_ref(&written), durable) {
            let error = self.fail(&error);
            for answer in answers {
                answer.failed(error.clone());
            }
            return;
        }
        if durable {
            self.witness.note(written.number);
        }
        self.apply(&written);
        let counters = &self.shard.counters;
        counters.groups.fetch_add(1, Ordering::Relaxed);
        counters
            .entries
            .fetch_add(answers.len() as u64, Ordering::Relaxed);
        counters.batches.fetch_add(batches, Ordering::Relaxed);
        counters
            .batch_bytes
            .fetch_add(batch_bytes as u64, Ordering::Relaxed);
        answers.into_iter().for_each(group::Answer::committed);

        if durable {
            self.synced();
        } else {
            self.unsynced_bytes += written.bytes();
            self.unsynced.push(written);
            self.flush_at
                .get_or_insert_with(|| Instant::now() + self.shard.config.relaxed_flush_after);
        }
        let config = &self.shard.config;
        if (self.active_bytes >= config.segment_bytes || self.active_groups >= config.segment_groups)
            && let Err(error) = self.roll()
        {
            // The segment grows meanwhile; the next group tries again.
            tracing::warn!(shard = self.shard.id, %error, "beginning a new segment failed");
        }
        self.shard.checkpoint_if_due();
    }

    /// Whether there is too little room to append anything.
    fn is_full(&self) -> bool {
        // A volume that cannot say is taken at its word when writing fails.
        let free = self.shard.volume.free_bytes().unwrap_or(u64::MAX);
        free < self.shard.config.free_space_min_bytes
    }

    /// Everything applied is durable.
    fn note_durable(&mut self) {
        let number = self.shard.applied().number;
        self.witness.note(number);
    }

    fn synced(&mut self) {
        self.shard.counters.syncs.fetch_add(1, Ordering::Relaxed);
        self.unsynced.clear();
        self.unsynced_bytes = 0;
        self.flush_at = None;
    }

    /// Makes what was committed without an fsync durable.
    fn flush(&mut self) -> Result<(), StoreError> {
        if self.broken.is_some() {
            return self.recover();
        }
        if self.unsynced.is_empty() {
            return Ok(());
        }
        match self.append_and_commit(&[], true) {
            Ok(()) => {
                self.note_durable();
                self.synced();
                Ok(())
            }
            Err(error) => {
                self.fail(&error);
                Err(error)
            }
        }
    }

    /// Begins a new segment, unless nothing is in the present one.
    fn roll(&mut self) -> Result<(), StoreError> {
        self.flush()?;
        if self.active_groups == 0 {
            return Ok(());
        }
        self.active = self.shard.next_segment()?;
        self.shard.set_active(self.active.id());
        self.active_groups = 0;
        self.active_bytes = 0;
        self.shard.housekeeper.kick();
        Ok(())
    }

    /// Writing failed: nothing more is written before the segment was opened anew, reads go on.
    fn fail(&mut self, error: &StoreError) -> AppendError {
        tracing::error!(shard = self.shard.id, file = self.active.file().path(), %error, "writing failed");
        let failed = self
            .active
            .file()
            .failed_operation()
            .unwrap_or(FailedOperation::Write);
        self.broken = Some(self.broken.map_or(failed, |before| before.worse(failed)));
        self.shard.counters.failures.fetch_add(1, Ordering::Relaxed);
        self.shard.counters.degraded.store(1, Ordering::Relaxed);
        self.flush_at = None;
        if let Err(error) = self.active.file().degrade() {
            tracing::error!(shard = self.shard.id, %error, "the segment cannot be read either");
        }
        append_error(error)
    }

    /// Opens the segment that failed anew and brings it up to what was acknowledged.
    fn recover(&mut self) -> Result<(), StoreError> {
        let salvaged = match self.broken {
            Some(FailedOperation::Sync) => self.salvage(),
            _ => Ok(()),
        };
        salvaged.and_then(|()| self.reopen()).inspect_err(|error| {
            tracing::warn!(shard = self.shard.id, %error, "opening the segment again failed");
            // Reads go on with what there is.
            let _ = self.active.file().degrade();
        })?;
        self.broken = None;
        self.shard.counters.degraded.store(0, Ordering::Relaxed);
        self.note_durable();
        let lost = std::mem::take(&mut self.unsynced);
        self.synced();
        tracing::info!(shard = self.shard.id, rewritten = lost.len(), "writing goes on");
        Ok(())
    }
}

/// Ends the queue with the writer.
struct Gone(Arc<Shard>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.queue.close();
        self.0.queue.clear();
    }
}

fn refuse(group: Group, error: &AppendError) {
    for answer in group.answers {
        answer.failed(error.clone());
    }
}

fn append_error(error: &StoreError) -> AppendError {
    match error {
        StoreError::Full(_) => AppendError::StorageFull,
        other => AppendError::Failed {
            what: other.to_string(),
        },
    }
}
