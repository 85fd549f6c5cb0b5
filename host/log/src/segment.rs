//! A segment: one redb file with batches of many partitions.

mod index;
mod read;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{ReadableDatabase, TableDefinition, WriteTransaction};

use crate::PartitionId;
use crate::chunk::ROW_KEY_LEN;
use crate::db_file::{CacheSizes, DbFile};
use crate::store_error::{StoreError, guarded};
use crate::volume::Volume;

pub(crate) use index::PartitionIndex;
pub(crate) use read::{ReadFault, Selection};

/// Rows of batches, see [`crate::chunk`].
pub(crate) const DATA: TableDefinition<'_, &[u8; ROW_KEY_LEN], &[u8]> = TableDefinition::new("data");
/// Group number to [`crate::descriptor`].
pub(crate) const GROUPS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("groups");
/// Partition to [`PartitionIndex`]. Written when the segment is sealed.
pub(crate) const INDEX: TableDefinition<'_, &[u8; 8], &[u8]> = TableDefinition::new("index");

/// A sealed file is wasteful if it takes more than this many percent of its batches' bytes, and then some.
const WASTE_PERCENT: u64 = 120;
const WASTE_BYTES_MIN: u64 = 1 << 20;

/// A segment and its file.
#[derive(Debug)]
pub(crate) struct Segment {
    id: u64,
    shard: u16,
    /// Rewriting gives a segment a new file with the next generation.
    generation: AtomicU32,
    file: DbFile,
    /// No group goes in any more, and the file was closed since: it opens without repair.
    sealed: AtomicBool,
    /// The manifest has it as sealed.
    listed: AtomicBool,
    /// Bytes of batches that were put in.
    payload_bytes: AtomicU64,
    /// Bytes of batches of topics that were deleted.
    deleted_bytes: AtomicU64,
    /// The file is much larger than what is in it, because it was written in small groups.
    wasteful: AtomicBool,
    /// Something in it is damaged, so it stays as it is.
    keep: AtomicBool,
    /// The partitions' indexes while the segment is not sealed; afterwards they are in the file.
    index: Mutex<HashMap<PartitionId, PartitionIndex>>,
}

impl Segment {
    /// A segment whose file is there, closed.
    pub(crate) fn new(shard: u16, row: SegmentRow, volume: Arc<dyn Volume>, caches: CacheSizes) -> Self {
        let path = segment_path(shard, row.id, row.generation);
        Self {
            id: row.id,
            shard,
            generation: AtomicU32::new(row.generation),
            file: DbFile::new(volume, caches, path),
            sealed: AtomicBool::new(row.sealed),
            listed: AtomicBool::new(row.sealed),
            payload_bytes: AtomicU64::new(row.payload_bytes),
            deleted_bytes: AtomicU64::new(0),
            wasteful: AtomicBool::new(false),
            keep: AtomicBool::new(false),
            index: Mutex::default(),
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn file(&self) -> &DbFile {
        &self.file
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// Whether the manifest has it as sealed, too.
    pub(crate) fn is_listed(&self) -> bool {
        self.listed.load(Ordering::Acquire)
    }

    pub(crate) fn set_listed(&self) {
        self.listed.store(true, Ordering::Release);
    }

    pub(crate) fn payload_bytes(&self) -> u64 {
        self.payload_bytes.load(Ordering::Acquire)
    }

    pub(crate) fn deleted_bytes(&self) -> u64 {
        self.deleted_bytes.load(Ordering::Acquire)
    }

    /// Takes note of batches of a deleted topic.
    pub(crate) fn note_deleted(&self, bytes: u64) {
        self.deleted_bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(crate) fn is_wasteful(&self) -> bool {
        self.wasteful.load(Ordering::Acquire)
    }

    pub(crate) fn may_rewrite(&self) -> bool {
        !self.keep.load(Ordering::Acquire)
    }

    pub(crate) fn forbid_rewrite(&self) {
        self.keep.store(true, Ordering::Release);
    }

    /// What the manifest has of it.
    pub(crate) fn row(&self) -> SegmentRow {
        SegmentRow {
            id: self.id,
            generation: self.generation.load(Ordering::Acquire),
            sealed: self.is_sealed(),
            payload_bytes: self.payload_bytes(),
        }
    }

    /// Makes the file of a new segment, with its tables, durable but for its name.
    pub(crate) fn create(&self) -> Result<(), StoreError> {
        self.file.create(create_tables)
    }

    /// Writes the indexes into the file and closes it for good. Reads wait for some milliseconds.
    pub(crate) fn seal(&self) -> Result<(), StoreError> {
        if !self.file.is_writer() {
            self.file.open_writer()?;
        }
        if let Err(error) = self.put_index() {
            // Reads go on; sealing is tried again.
            self.file.degrade()?;
            return Err(error);
        }
        // Closing writes what makes the next opening quick, and trims the file.
        self.file.close();
        let used_bytes = self.file.used_bytes()?;
        let wasteful = used_bytes > WASTE_BYTES_MIN + self.payload_bytes() / 100 * WASTE_PERCENT;
        self.wasteful.store(wasteful, Ordering::Release);
        self.sealed.store(true, Ordering::Release);
        *self.index() = HashMap::new();
        Ok(())
    }

    fn put_index(&self) -> Result<(), StoreError> {
        let index: Vec<([u8; 8], Vec<u8>)> = self
            .index()
            .iter()
            .map(|(partition, index)| (partition.to_key(), index.encode()))
            .collect();
        self.file.with_writer(|database| {
            let txn = database.begin_write()?;
            {
                let mut table = txn.open_table(INDEX)?;
                for (partition, index) in &index {
                    table.insert(partition, index.as_slice())?;
                }
            }
            Ok(txn.commit()?)
        })
    }

    /// Goes on with the file of the row's generation, which is there and durable; the present one is removed.
    pub(crate) fn replace(&self, row: SegmentRow) {
        self.generation.store(row.generation, Ordering::Release);
        self.payload_bytes.store(row.payload_bytes, Ordering::Release);
        self.file
            .replace(segment_path(self.shard, row.id, row.generation));
    }

    /// Begins anew in a file of the next generation; the present one is left as it is.
    pub(crate) fn leave_file(&self) {
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        self.file.leave(segment_path(self.shard, self.id, generation));
    }

    /// Forgets where batches are; they are noted anew.
    pub(crate) fn forget_batches(&self) {
        self.payload_bytes.store(0, Ordering::Release);
        self.index().clear();
    }

    fn index(&self) -> MutexGuard<'_, HashMap<PartitionId, PartitionIndex>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a batch that was committed to this segment.
    pub(crate) fn note_batch(&self, partition: PartitionId, base_offset: i64, len: u64, max_timestamp: i64) {
        self.payload_bytes.fetch_add(len, Ordering::AcqRel);
        self.index()
            .entry(partition)
            .or_default()
            .note(base_offset, len, max_timestamp);
    }

    /// Takes note of a batch that is in the file but no longer live.
    pub(crate) fn note_dead_batch(&self, len: u64) {
        self.payload_bytes.fetch_add(len, Ordering::AcqRel);
    }

    /// The index of a partition, empty if it has nothing here.
    pub(crate) fn partition_index(&self, partition: PartitionId) -> Result<PartitionIndex, StoreError> {
        if !self.is_sealed() {
            let index = self.index();
            // Sealing sets the flag before it empties the map.
            if !self.is_sealed() {
                return Ok(index.get(&partition).cloned().unwrap_or_default());
            }
        }
        self.file.with_reader(|database| {
            guarded(|| {
                let txn = database.begin_read()?;
                let table = txn.open_table(INDEX)?;
                let Some(value) = table.get(&partition.to_key())? else {
                    return Ok(PartitionIndex::default());
                };
                PartitionIndex::decode(value.value()).ok_or_else(|| {
                    StoreError::corrupt(format!("index of partition {partition} in {}", self.file.path()))
                })
            })
        })
    }
}

/// A segment as the manifest has it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SegmentRow {
    pub(crate) id: u64,
    pub(crate) generation: u32,
    pub(crate) sealed: bool,
    /// Bytes of batches in the file; counted only once it is sealed.
    pub(crate) payload_bytes: u64,
}

/// Makes a new file's tables.
pub(crate) fn create_tables(txn: &WriteTransaction) -> Result<(), StoreError> {
    txn.open_table(DATA)?;
    txn.open_table(GROUPS)?;
    Ok(())
}

/// The file of a segment, as the volume names it.
pub(crate) fn segment_path(shard: u16, id: u64, generation: u32) -> String {
    format!("{}/segment-{id:010}-{generation:04}.redb", shard_folder(shard))
}

/// The folder of a shard, as the volume names it.
pub(crate) fn shard_folder(shard: u16) -> String {
    format!("shard-{shard:02}")
}
