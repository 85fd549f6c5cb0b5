use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::applied::{Applied, Ends};
use crate::config::LogConfig;
use crate::damage::LostState;
use crate::db_file::CacheSizes;
use crate::descriptor::Descriptor;
use crate::housekeeper::Housekeeper;
use crate::open_segments::OpenSegments;
use crate::partition_state::PartitionState;
use crate::queue::Queue;
use crate::segment::{Segment, SegmentRow, segment_path, shard_folder};
use crate::state_db::StateDb;
use crate::store_error::StoreError;
use crate::volume::Volume;
use crate::{KvPairs, PartitionId, ReadError};

/// Groups after which a checkpoint is due.
const CHECKPOINT_GROUPS: u64 = 50_000;
/// Bytes of changed key-value pairs after which a checkpoint is due.
const CHECKPOINT_KV_BYTES: usize = 4 << 20;

/// What everybody shares of a shard: its writer, those who read, and housekeeping.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) id: u16,
    pub(crate) volume: Arc<dyn Volume>,
    pub(crate) config: LogConfig,
    pub(crate) queue: Queue,
    pub(crate) partitions: Partitions,
    pub(crate) state: StateDb,
    pub(crate) open_segments: Arc<OpenSegments>,
    pub(crate) housekeeper: Arc<Housekeeper>,
    pub(crate) counters: Counters,
    applied: Mutex<Applied>,
    /// All segments by id; the one written to is the last, but for a prepared one.
    segments: RwLock<BTreeMap<u64, Arc<Segment>>>,
    /// The next segment, made ahead of time.
    prepared: Mutex<Option<Arc<Segment>>>,
    /// The segment that is written to.
    active: AtomicU64,
    /// Set while something of the state is lost and nobody has dealt with it.
    lost: Mutex<Option<LostState>>,
    /// Somebody has: the next pass of housekeeping takes note of it.
    pub(crate) loss_settled: AtomicBool,
    closed: AtomicBool,
    /// The writer has ended, and everything it applied is on disk.
    flushed: AtomicBool,
}

/// What a shard has done since it was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) groups: AtomicU64,
    pub(crate) entries: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) batch_bytes: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) failures: AtomicU64,
    /// 1 while the active segment cannot be written to.
    pub(crate) degraded: AtomicU64,
}

impl Shard {
    pub(crate) fn new(
        id: u16,
        volume: Arc<dyn Volume>,
        config: LogConfig,
        state: StateDb,
        applied: Applied,
        open_segments: Arc<OpenSegments>,
        housekeeper: Arc<Housekeeper>,
    ) -> Self {
        Self {
            id,
            volume,
            queue: Queue::new(config.queue_bytes_max),
            config,
            partitions: Partitions::default(),
            state,
            open_segments,
            housekeeper,
            counters: Counters::default(),
            applied: Mutex::new(applied),
            segments: RwLock::default(),
            prepared: Mutex::default(),
            active: AtomicU64::new(0),
            lost: Mutex::default(),
            loss_settled: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            flushed: AtomicBool::new(false),
        }
    }

    pub(crate) fn applied(&self) -> MutexGuard<'_, Applied> {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn segments(&self) -> RwLockReadGuard<'_, BTreeMap<u64, Arc<Segment>>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn segments_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<u64, Arc<Segment>>> {
        self.segments.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn prepared(&self) -> MutexGuard<'_, Option<Arc<Segment>>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lost(&self) -> MutexGuard<'_, Option<LostState>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn set_closed(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether a last checkpoint may be taken: one that is ahead of the segments would be wrong.
    pub(crate) fn is_flushed(&self) -> bool {
        self.flushed.load(Ordering::Acquire)
    }

    pub(crate) fn set_flushed(&self) {
        self.flushed.store(true, Ordering::Release);
    }

    /// Id of the segment that is written to. All before it are to be sealed.
    pub(crate) fn active(&self) -> u64 {
        self.active.load(Ordering::Acquire)
    }

    pub(crate) fn set_active(&self, id: u64) {
        self.active.store(id, Ordering::Release);
    }

    /// Wakes housekeeping if much has changed since the last checkpoint.
    pub(crate) fn checkpoint_if_due(&self) {
        if self.is_checkpoint_due() {
            self.housekeeper.kick();
        }
    }

    /// Whether the next start would have more to catch up with than it should, or memory more to hold.
    pub(crate) fn is_checkpoint_due(&self) -> bool {
        let applied = self.applied();
        applied.kv_frozen.is_none()
            && (applied.dirty.groups >= CHECKPOINT_GROUPS || applied.dirty.kv_bytes >= CHECKPOINT_KV_BYTES)
    }

    pub(crate) fn caches(&self) -> CacheSizes {
        CacheSizes {
            write_bytes: self.config.write_cache_bytes,
            read_bytes: self.config.read_cache_bytes,
        }
    }

    /// A segment's handle; its file is closed.
    pub(crate) fn segment(&self, row: SegmentRow) -> Arc<Segment> {
        Arc::new(Segment::new(self.id, row, self.volume.clone(), self.caches()))
    }

    /// Makes a new, empty segment, open for writing and in the manifest.
    pub(crate) fn create_segment(&self) -> Result<Arc<Segment>, StoreError> {
        let id = self.segments().last_key_value().map_or(1, |(id, _)| id + 1);
        let row = SegmentRow {
            id,
            generation: 0,
            sealed: false,
            payload_bytes: 0,
        };
        // An earlier attempt may have left one that is in no manifest.
        let path = segment_path(self.id, id, 0);
        if let Err(error) = self.volume.remove(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error.into());
        }
        let segment = self.segment(row);
        segment.create()?;
        self.volume.sync_folder(&shard_folder(self.id))?;
        self.state.put_segment(row)?;
        self.segments_mut().insert(id, segment.clone());
        Ok(segment)
    }

    /// The next segment: the prepared one, or a new one.
    pub(crate) fn next_segment(&self) -> Result<Arc<Segment>, StoreError> {
        // The lock is held while one is made, so that two are never made at a time.
        let mut prepared = self.prepared();
        match prepared.take() {
            Some(segment) => Ok(segment),
            None => self.create_segment(),
        }
    }

    /// Makes the next segment ahead of time, so that rolling takes no time.
    pub(crate) fn prepare_segment(&self) -> Result<(), StoreError> {
        let mut prepared = self.prepared();
        if prepared.is_none() {
            *prepared = Some(self.create_segment()?);
        }
        Ok(())
    }

    /// The last step of writing a group, and the only one of replaying it. The batches are there but not yet seen.
    pub(crate) fn apply(
        &self,
        segment: &Arc<Segment>,
        number: u64,
        descriptor: &Descriptor,
    ) -> Result<Ends, &'static str> {
        self.applied().apply(
            &self.partitions,
            segment,
            number,
            descriptor,
            self.config.producers_max,
        )
    }

    /// A key's value, as far as it is committed.
    pub(crate) fn kv_read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        if self.is_closed() {
            return Err(ReadError::Closed);
        }
        if let Some(value) = self.applied().kv_get(key) {
            return Ok(value.map(<[u8]>::to_vec));
        }
        self.state.kv_read(key).map_err(state_error)
    }

    /// The committed pairs whose keys begin with `prefix`, by key.
    pub(crate) fn kv_scan(&self, prefix: &[u8]) -> Result<KvPairs, ReadError> {
        if self.is_closed() {
            return Err(ReadError::Closed);
        }
        let mut newer = BTreeMap::new();
        let snapshot = {
            // The lock is held until the database's snapshot is taken: a checkpoint in between would show changes
            // that are newer than the ones collected here.
            let applied = self.applied();
            for changes in applied.kv_frozen.as_deref().into_iter().chain([&applied.kv]) {
                let from_prefix = changes.range(prefix.to_vec()..);
                for (key, value) in from_prefix.take_while(|(key, _)| key.starts_with(prefix)) {
                    newer.insert(key.clone(), value.clone());
                }
            }
            self.state.snapshot().map_err(state_error)?
        };
        let mut pairs: BTreeMap<Vec<u8>, Vec<u8>> = self
            .state
            .kv_scan(&snapshot, prefix)
            .map_err(state_error)?
            .into_iter()
            .collect();
        for (key, value) in newer {
            match value {
                Some(value) => pairs.insert(key, value),
                None => pairs.remove(&key),
            };
        }
        Ok(pairs.into_iter().collect())
    }
}

pub(crate) fn state_error(error: StoreError) -> ReadError {
    match error {
        StoreError::Corrupt(what) => ReadError::CorruptState { what },
        other => ReadError::Io {
            what: other.to_string(),
        },
    }
}

/// A shard's partitions.
#[derive(Debug, Default)]
pub(crate) struct Partitions(RwLock<HashMap<PartitionId, Arc<PartitionState>>>);

impl Partitions {
    fn map(&self) -> RwLockReadGuard<'_, HashMap<PartitionId, Arc<PartitionState>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn map_mut(&self) -> RwLockWriteGuard<'_, HashMap<PartitionId, Arc<PartitionState>>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: PartitionId) -> Option<Arc<PartitionState>> {
        self.map().get(&id).cloned()
    }

    pub(crate) fn get_or_create(&self, id: PartitionId) -> Arc<PartitionState> {
        if let Some(partition) = self.get(id) {
            return partition;
        }
        self.map_mut()
            .entry(id)
            .or_insert_with(|| Arc::new(PartitionState::new(id, 0, 0)))
            .clone()
    }

    pub(crate) fn insert(&self, partition: PartitionState) {
        self.map_mut().insert(partition.id, Arc::new(partition));
    }

    pub(crate) fn remove_topic(&self, topic: u32) -> Vec<Arc<PartitionState>> {
        let mut removed = Vec::new();
        self.map_mut().retain(|id, partition| {
            if id.topic == topic {
                removed.push(partition.clone());
            }
            id.topic != topic
        });
        removed
    }

    pub(crate) fn all(&self) -> Vec<Arc<PartitionState>> {
        self.map().values().cloned().collect()
    }
}
