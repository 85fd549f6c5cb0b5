use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use crate::block_on::block_on;
use crate::checkpoint::Snapshot;
use crate::descriptor::Op;
use crate::folder_lock::FolderLock;
use crate::housekeeper::Housekeeper;
use crate::housekeeping;
use crate::open_segments::OpenSegments;
use crate::queue::{Command, Queued};
use crate::recovery::{Common, open_shard};
use crate::root::Root;
use crate::shard::Shard;
use crate::state_db::ManifestChange;
use crate::{
    AppendError, Durability, Entry, KvPairs, LogConfig, LogError, LogStats, OpenError, Partition,
    PartitionConfig, PartitionId, ReadError, Receipt, Sequence, ShardStats, Storage,
};

/// Partitions on disk. A handle: cheap to clone, usable from any thread. The last one dropped closes the log.
#[derive(Clone, Debug)]
pub struct Log(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shards: Vec<Arc<Shard>>,
    housekeeper: Arc<Housekeeper>,
    closing: AtomicBool,
    running: Mutex<Option<Running>>,
}

/// What ends when the log is closed.
#[derive(Debug)]
struct Running {
    writers: Vec<JoinHandle<()>>,
    housekeeping: JoinHandle<()>,
    _lock: Option<FolderLock>,
}

impl Log {
    /// Opens a log, or makes a new one where nothing is. After a crash this repairs whatever is half written; how long
    /// it takes does not depend on how much is stored, but on the size of a segment. Blocks.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; the files are then as they were, as far as they can be.
    pub fn open(storage: Storage, config: LogConfig) -> Result<Self, OpenError> {
        let root = Root::open(storage, &config)?;
        let common = Common {
            volume: root.volume,
            config: LogConfig {
                shards: root.shards,
                ..config
            },
            open_segments: Arc::new(OpenSegments::new(config.open_segments_max)),
            housekeeper: Arc::new(Housekeeper::new()),
        };
        // Each shard may have a segment to repair: side by side.
        let opened: Vec<_> = thread::scope(|scope| {
            let opening: Vec<_> = (0..root.shards)
                .map(|id| {
                    scope.spawn({
                        let common = &common;
                        move || open_shard(common, id)
                    })
                })
                .collect();
            opening
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or(Err(OpenError::Config("opening a shard panicked")))
                })
                .collect()
        });
        let (mut shards, mut writers) = (Vec::new(), Vec::new());
        for opened in opened {
            let (shard, writer) = opened?;
            shards.push(shard);
            writers.push(writer);
        }

        let spawn_error = |error: std::io::Error| OpenError::Io {
            what: "starting a thread".to_owned(),
            error: error.to_string(),
        };
        let mut running = Vec::new();
        for (id, writer) in writers.into_iter().enumerate() {
            let name = format!("weir-log-{id}");
            running.push(
                thread::Builder::new()
                    .name(name)
                    .spawn(move || writer.run())
                    .map_err(spawn_error)?,
            );
        }
        let housekeeping = {
            let (shards, housekeeper, config) =
                (shards.clone(), common.housekeeper.clone(), common.config.clone());
            thread::Builder::new()
                .name("weir-log-keeper".to_owned())
                .spawn(move || housekeeping::run(&shards, &housekeeper, &config))
                .map_err(spawn_error)?
        };
        // Segments that the last run could not seal, and the next ones.
        common.housekeeper.kick();
        Ok(Self(Arc::new(Inner {
            shards,
            housekeeper: common.housekeeper,
            closing: AtomicBool::new(false),
            running: Mutex::new(Some(Running {
                writers: running,
                housekeeping,
                _lock: root.lock,
            })),
        })))
    }

    /// The shard that a partition belongs to, for good: partitions of a topic go round.
    pub fn shard_of(&self, partition: PartitionId) -> u16 {
        let shards = self.0.shards.len() as u64;
        ((u64::from(partition.topic) + u64::from(partition.index)) % shards) as u16
    }

    /// How many shards there are.
    pub fn shards(&self) -> u16 {
        self.0.shards.len() as u16
    }

    fn shard_with(&self, partition: PartitionId) -> &Arc<Shard> {
        &self.0.shards[usize::from(self.shard_of(partition))]
    }

    /// A partition, made if it is not there, which takes no writing. `config` replaces what was set before.
    ///
    /// # Errors
    ///
    /// [`AppendError::Closed`].
    pub fn ensure_partition(&self, id: PartitionId, config: PartitionConfig) -> Result<Partition, LogError> {
        let shard = self.shard_with(id);
        if shard.is_closed() {
            return Err(AppendError::Closed.into());
        }
        let state = shard.ensure(id);
        *state.config() = config;
        Ok(Partition::new(state, shard.clone()))
    }

    /// A partition, if it is there.
    pub fn partition(&self, id: PartitionId) -> Option<Partition> {
        let shard = self.shard_with(id);
        let state = shard.partitions.get(id)?;
        Some(Partition::new(state, shard.clone()))
    }

    /// Deletes all partitions of a topic, whose id must never be used again. Durable when this returns; the disk comes
    /// back soon after ([`reclaimed`](Self::reclaimed)). Blocks.
    ///
    /// # Errors
    ///
    /// [`LogError::Append`]; the topic may then be there in part, and it can be tried again.
    pub fn delete_topic(&self, topic: u32) -> Result<(), LogError> {
        let receipts: Vec<Receipt> = self
            .0
            .shards
            .iter()
            .map(|shard| submit_control(shard, Op::DropTopic { topic }))
            .collect::<Result<_, _>>()?;
        for receipt in receipts {
            receipt.wait()?;
        }
        self.0.housekeeper.kick();
        Ok(())
    }

    /// Deletes the topics that `keep` does not know, as a caller does at its start whose own list of topics counts.
    ///
    /// # Errors
    ///
    /// Those of [`delete_topic`](Self::delete_topic).
    pub fn retain_topics(&self, keep: impl Fn(u32) -> bool) -> Result<(), LogError> {
        let mut topics: Vec<u32> = self
            .0
            .shards
            .iter()
            .flat_map(|shard| shard.partitions.all())
            .map(|partition| partition.id.topic)
            .filter(|topic| !keep(*topic))
            .collect();
        topics.sort_unstable();
        topics.dedup();
        topics.into_iter().try_for_each(|topic| self.delete_topic(topic))
    }

    /// Puts an entry into a shard's queue, waiting for room. The receipt tells when it is committed. Entries of one
    /// task are written in the order of their submission.
    ///
    /// If this is dropped before it is ready, the entry was not submitted.
    ///
    /// # Errors
    ///
    /// [`AppendError::Closed`], and [`AppendError::UnknownPartition`] if there is no such shard.
    pub async fn submit(&self, shard: u16, entry: Entry) -> Result<Receipt, AppendError> {
        self.enqueue(shard, entry, None).await
    }

    /// The same for an entry that takes a place in a producer's sequence: it is judged by that as a batch of the producer
    /// is, so that one that was written before is not written again ([`Committed::sequence`] says so), and one that leaves
    /// a gap is refused.
    ///
    /// # Errors
    ///
    /// Those of [`submit`](Self::submit).
    pub async fn submit_in_sequence(
        &self,
        shard: u16,
        entry: Entry,
        sequence: Sequence,
    ) -> Result<Receipt, AppendError> {
        self.enqueue(shard, entry, Some(sequence)).await
    }

    async fn enqueue(
        &self,
        shard: u16,
        entry: Entry,
        sequence: Option<Sequence>,
    ) -> Result<Receipt, AppendError> {
        let shard = self
            .0
            .shards
            .get(usize::from(shard))
            .ok_or(AppendError::UnknownPartition)?;
        let permit = shard.queue.room(entry.cost()).await?;
        let (reply, receipt) = oneshot::channel();
        shard.queue.push(Queued {
            entry,
            sequence,
            controls: Vec::new(),
            reply,
            permit: Some(permit),
        })?;
        Ok(Receipt(receipt))
    }

    /// The same for threads outside any runtime: blocks while there is no room.
    ///
    /// # Errors
    ///
    /// Those of [`submit`](Self::submit).
    pub fn submit_blocking(&self, shard: u16, entry: Entry) -> Result<Receipt, AppendError> {
        block_on(self.submit(shard, entry))
    }

    /// The value of a key of a shard, as far as it is committed. May read the disk.
    ///
    /// # Errors
    ///
    /// [`ReadError::CorruptState`], [`ReadError::Io`], [`ReadError::Closed`].
    pub fn kv_read(&self, shard: u16, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.shard(shard)?.kv_read(key)
    }

    /// The pairs of a shard whose keys begin with `prefix`, by key, as far as they are committed. May read the disk.
    ///
    /// # Errors
    ///
    /// [`ReadError::CorruptState`], [`ReadError::Io`], [`ReadError::Closed`].
    pub fn kv_scan(&self, shard: u16, prefix: &[u8]) -> Result<KvPairs, ReadError> {
        self.shard(shard)?.kv_scan(prefix)
    }

    pub(crate) fn shard(&self, shard: u16) -> Result<&Arc<Shard>, ReadError> {
        self.0
            .shards
            .get(usize::from(shard))
            .ok_or(ReadError::UnknownPartition)
    }

    /// Applies retention, gives back to the operating system what deleted and expired records took, seals and
    /// checkpoints what is due, and returns when all of that is done. Happens by itself, too. Blocks.
    ///
    /// # Errors
    ///
    /// [`LogError::Housekeeping`], [`AppendError::Closed`].
    pub fn reclaim_now(&self) -> Result<(), LogError> {
        block_on(self.reclaimed())
    }

    /// The same without blocking.
    ///
    /// # Errors
    ///
    /// Those of [`reclaim_now`](Self::reclaim_now).
    pub async fn reclaimed(&self) -> Result<(), LogError> {
        let mut done = self.0.housekeeper.watch();
        let pass = self.0.housekeeper.kick();
        if self.0.closing.load(Ordering::Acquire) {
            return Err(AppendError::Closed.into());
        }
        let result = done.wait_for(|(done, _)| *done >= pass).await;
        match result.map(|done| done.1.clone()) {
            Ok(None) => Ok(()),
            Ok(Some(what)) => Err(LogError::Housekeeping { what }),
            Err(_) => Err(AppendError::Closed.into()),
        }
    }

    /// Shards whose key-value pairs may be older than their records, because a damaged segment had the newer ones. What
    /// follows from a pair of theirs may be done twice or left out. They stay on this list, over restarts, until
    /// [`forget_lost_state`](Self::forget_lost_state).
    pub fn shards_with_lost_state(&self) -> Vec<u16> {
        let lost = self.0.shards.iter().filter(|shard| shard.lost().is_some());
        lost.map(|shard| shard.id).collect()
    }

    /// Takes note that the loss of state was dealt with: all partitions that there are were
    /// [made sure of](Self::ensure_partition), and whoever relies on key-value pairs was told. Durable when this returns.
    ///
    /// # Errors
    ///
    /// Those of [`reclaim_now`](Self::reclaim_now); the shards may then be on the list again.
    pub async fn forget_lost_state(&self) -> Result<(), LogError> {
        let lost = self.0.shards.iter().filter(|shard| shard.lost().is_some());
        for shard in lost {
            shard.loss_settled.store(true, Ordering::Release);
        }
        self.reclaimed().await
    }

    /// Begins a new segment in every shard that has anything in its present one. For tests and tools.
    ///
    /// # Errors
    ///
    /// [`LogError::Housekeeping`], [`AppendError::Closed`].
    #[doc(hidden)]
    pub fn roll(&self) -> Result<(), LogError> {
        for shard in &self.0.shards {
            let (reply, answer) = sync_channel(1);
            if !shard.queue.command(Command::Roll(reply)) {
                return Err(AppendError::Closed.into());
            }
            match answer.recv() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    return Err(LogError::Housekeeping {
                        what: error.to_string(),
                    });
                }
                Err(_) => return Err(AppendError::Closed.into()),
            }
        }
        Ok(())
    }

    /// Figures since the log was opened.
    pub fn stats(&self) -> LogStats {
        LogStats {
            shards: self.0.shards.iter().map(|shard| shard_stats(shard)).collect(),
        }
    }

    /// Writes what waits, makes it durable, and closes all files. Reads and submissions fail from then on. Blocks;
    /// returns when all is done, whoever began it.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Inner {
    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        // Whoever comes second waits here for the first.
        let mut running = self.running();
        let Some(running) = running.take() else { return };
        self.closing.store(true, Ordering::Release);
        self.housekeeper.stop();
        join(running.housekeeping);
        // Those who wait for a pass that will never be.
        self.housekeeper
            .done(u64::MAX, Some("the log is closed".to_owned()));
        self.shards.iter().for_each(|shard| shard.queue.close());
        running.writers.into_iter().for_each(join);
        for shard in &self.shards {
            if shard.is_flushed() {
                last_checkpoint(shard);
            }
            shard.set_closed();
            shard.partitions.all().iter().for_each(|partition| {
                partition.close_watch();
                partition.tail.clear();
            });
            shard
                .segments()
                .values()
                .for_each(|segment| segment.file().close());
            shard.state.close();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

fn last_checkpoint(shard: &Shard) {
    let snapshot = Snapshot::freeze(shard);
    if !snapshot.dirty.is_empty()
        && let Err(error) = shard
            .state
            .checkpoint(Some(&snapshot), &ManifestChange::default())
    {
        // The segments have it; the next start takes a little longer.
        tracing::warn!(shard = shard.id, %error, "the last checkpoint failed");
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread of the log has panicked");
    }
}

/// Submits a change of the log's own. It takes no room in the queue.
pub(crate) fn submit_control(shard: &Shard, control: Op) -> Result<Receipt, AppendError> {
    let (reply, receipt) = oneshot::channel();
    shard.queue.push(Queued {
        entry: Entry {
            durability: Durability::Fsync,
            ..Entry::default()
        },
        sequence: None,
        controls: vec![control],
        reply,
        permit: None,
    })?;
    Ok(Receipt(receipt))
}

fn shard_stats(shard: &Shard) -> ShardStats {
    let counters = &shard.counters;
    let segments = shard.segments();
    ShardStats {
        groups: counters.groups.load(Ordering::Relaxed),
        entries: counters.entries.load(Ordering::Relaxed),
        batches: counters.batches.load(Ordering::Relaxed),
        batch_bytes: counters.batch_bytes.load(Ordering::Relaxed),
        syncs: counters.syncs.load(Ordering::Relaxed),
        failures: counters.failures.load(Ordering::Relaxed),
        degraded: counters.degraded.load(Ordering::Relaxed) != 0,
        queued_bytes: shard.queue.waiting_bytes() as u64,
        segments: segments.len() as u64,
        segment_bytes: segments.values().map(|segment| segment.payload_bytes()).sum(),
        last_group: shard.applied().number,
    }
}
