//! A shard's state database: the manifest of its segments, and a view of what the groups add up to that can be
//! rebuilt from the newer groups. Written by housekeeping alone, with redb's quick repair, so that opening it takes
//! the same time however large it is.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | `"applied"` | u64: the last group that the view contains |
//! | `segments` | id u64 | generation u32, sealed u8, payload bytes u64 |
//! | `ranges` | partition 8, base offset i64 BE, segment u64 BE | end offset i64, bytes u64, max timestamp i64 |
//! | `partitions` | partition 8 | log start i64, end i64 |
//! | `producers` | partition 8, producer id i64 BE | [`crate::producer`] |
//! | `kv` | key | CRC-32C of key and value u32, value |
//! | `damaged` | partition 8, first offset i64 BE | offset after the last i64, name of the file set aside |
//!
//! `meta` has `"lost"` while something of the shard's state is lost and nobody has dealt with it: the offset that
//! partitions nobody knows of begin at. The table `damaged` is made when there is something for it.
//!
//! Integers are little-endian where not said otherwise; a partition is topic u32 and index u32, big-endian.

mod damaged;

use std::ops::Bound;
use std::sync::Arc;

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use crate::checkpoint::Snapshot;
use crate::damage::LostState;
use crate::db_file::{CacheSizes, DbFile};
use crate::producer::Producer;
use crate::segment::{SegmentRow, shard_folder};
use crate::store_error::{StoreError, guarded};
use crate::volume::Volume;
use crate::{DamagedRange, KvPairs, PartitionId};

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const SEGMENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("segments");
const RANGES: TableDefinition<'_, &[u8; 24], &[u8; 24]> = TableDefinition::new("ranges");
const PARTITIONS: TableDefinition<'_, &[u8; 8], &[u8; 16]> = TableDefinition::new("partitions");
const PRODUCERS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("producers");
const KV: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("kv");

const APPLIED: &str = "applied";
/// Pages kept in memory.
const CACHE_BYTES: usize = 4 << 20;

#[derive(Debug)]
pub(crate) struct StateDb {
    file: DbFile,
}

/// A range as the manifest has it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RangeRow {
    pub(crate) partition: PartitionId,
    pub(crate) base: i64,
    pub(crate) segment: u64,
    pub(crate) end: i64,
    pub(crate) bytes: u64,
    pub(crate) max_timestamp: i64,
}

/// Everything but the key-value pairs.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) applied: u64,
    pub(crate) segments: Vec<SegmentRow>,
    /// By partition and base offset.
    pub(crate) ranges: Vec<RangeRow>,
    /// Log start and end.
    pub(crate) partitions: Vec<(PartitionId, i64, i64)>,
    pub(crate) producers: Vec<(PartitionId, i64, Producer)>,
    pub(crate) damaged: Vec<(PartitionId, DamagedRange)>,
    pub(crate) lost: Option<LostState>,
}

/// A change of the manifest that goes together with a checkpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct ManifestChange {
    pub(crate) segments: Vec<SegmentRow>,
    pub(crate) removed_segments: Vec<u64>,
    pub(crate) removed_ranges: Vec<(PartitionId, i64, u64)>,
    pub(crate) ranges: Vec<RangeRow>,
    pub(crate) damaged: Vec<(PartitionId, DamagedRange)>,
    /// Whether something of the state is lost; `None` leaves it as it is.
    pub(crate) lost: Option<Option<LostState>>,
}

impl StateDb {
    /// Opens the database, or makes it if it is not there.
    pub(crate) fn open(volume: Arc<dyn Volume>, shard: u16) -> Result<Self, StoreError> {
        let folder = shard_folder(shard);
        let caches = CacheSizes {
            write_bytes: CACHE_BYTES,
            read_bytes: CACHE_BYTES,
        };
        let (new, path) = (format!("{folder}/state.new"), format!("{folder}/state.redb"));
        let there = volume.list(&folder)?;
        if !there.iter().any(|name| name == "state.redb") {
            // Made under another name, so that a crash leaves a whole database or none.
            if there.iter().any(|name| name == "state.new") {
                volume.remove(&new)?;
            }
            let file = DbFile::new(volume.clone(), caches, new.clone());
            file.create(create_tables)?;
            file.close();
            volume.rename(&new, &path)?;
            volume.sync_folder(&folder)?;
        }
        let file = DbFile::new(volume, caches, path);
        file.open_writer()?;
        Ok(Self { file })
    }

    pub(crate) fn path(&self) -> String {
        self.file.path()
    }

    pub(crate) fn close(&self) {
        self.file.close();
    }

    /// Runs a transaction. If the file failed before, it is opened anew; reads go on in any case.
    fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if !self.file.is_writer() {
            self.file.open_writer()?;
        }
        let result = self.file.with_writer(|database| {
            let mut txn = database.begin_write()?;
            txn.set_quick_repair(true);
            let value = work(&txn)?;
            txn.commit()?;
            Ok(value)
        });
        if result.is_err() && self.file.failed_operation().is_some() {
            self.file.degrade()?;
        }
        result
    }

    /// Adds or changes a segment.
    pub(crate) fn put_segment(&self, row: SegmentRow) -> Result<(), StoreError> {
        self.checkpoint(
            None,
            &ManifestChange {
                segments: vec![row],
                ..ManifestChange::default()
            },
        )
    }

    /// Writes what a snapshot has and changes the manifest, all or nothing.
    pub(crate) fn checkpoint(
        &self,
        snapshot: Option<&Snapshot>,
        change: &ManifestChange,
    ) -> Result<(), StoreError> {
        self.write(|txn| {
            if let Some(snapshot) = snapshot {
                put_snapshot(txn, snapshot)?;
            }
            let mut segments = txn.open_table(SEGMENTS)?;
            for row in &change.segments {
                segments.insert(row.id, encode_segment(row).as_slice())?;
            }
            for id in &change.removed_segments {
                segments.remove(id)?;
            }
            let mut ranges = txn.open_table(RANGES)?;
            for (partition, base, segment) in &change.removed_ranges {
                ranges.remove(&range_key(*partition, *base, *segment))?;
            }
            for row in &change.ranges {
                ranges.insert(
                    &range_key(row.partition, row.base, row.segment),
                    &encode_range(row),
                )?;
            }
            damaged::put(txn, change)
        })
    }

    pub(crate) fn load(&self) -> Result<Stored, StoreError> {
        self.file.with_reader(|database| guarded(|| load(database)))
    }

    /// A consistent view for [`kv_scan`](Self::kv_scan).
    pub(crate) fn snapshot(&self) -> Result<ReadTransaction, StoreError> {
        self.file
            .with_reader(|database| guarded(|| Ok(database.begin_read()?)))
    }

    pub(crate) fn kv_read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let txn = self.snapshot()?;
        guarded(|| match txn.open_table(KV)?.get(key)? {
            Some(value) => kv_value(key, value.value()).map(Some),
            None => Ok(None),
        })
    }

    /// The pairs whose keys begin with `prefix`, by key.
    pub(crate) fn kv_scan(&self, txn: &ReadTransaction, prefix: &[u8]) -> Result<KvPairs, StoreError> {
        guarded(|| {
            let table = txn.open_table(KV)?;
            let mut pairs = Vec::new();
            for row in table.range::<&[u8]>(prefix..)? {
                let (key, value) = row?;
                if !key.value().starts_with(prefix) {
                    break;
                }
                pairs.push((key.value().to_vec(), kv_value(key.value(), value.value())?));
            }
            Ok(pairs)
        })
    }

    /// Gives `each` the keys from `from` on and what reads their values, by key, until it says `false` or there are no more.
    pub(crate) fn kv_range(
        &self,
        txn: &ReadTransaction,
        from: Bound<&[u8]>,
        mut each: impl FnMut(&[u8], &dyn Fn() -> Result<Vec<u8>, StoreError>) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        guarded(|| {
            for row in txn.open_table(KV)?.range::<&[u8]>((from, Bound::Unbounded))? {
                let (key, value) = row?;
                let read = || kv_value(key.value(), value.value());
                if !each(key.value(), &read)? {
                    break;
                }
            }
            Ok(())
        })
    }
}

fn create_tables(txn: &WriteTransaction) -> Result<(), StoreError> {
    txn.open_table(META)?;
    txn.open_table(SEGMENTS)?;
    txn.open_table(RANGES)?;
    txn.open_table(PARTITIONS)?;
    txn.open_table(PRODUCERS)?;
    txn.open_table(KV)?;
    Ok(())
}

fn put_snapshot(txn: &WriteTransaction, snapshot: &Snapshot) -> Result<(), StoreError> {
    txn.open_table(META)?.insert(APPLIED, snapshot.number)?;
    let mut partitions = txn.open_table(PARTITIONS)?;
    let mut producers = txn.open_table(PRODUCERS)?;
    let mut ranges = txn.open_table(RANGES)?;
    for topic in &snapshot.dirty.dropped_topics {
        let first = u64::from(*topic) << 32;
        let (low, high) = (first.to_be_bytes(), (first | u64::from(u32::MAX)).to_be_bytes());
        partitions.retain_in::<&[u8; 8], _>(&low..=&high, |_, _| false)?;
        damaged::forget_topic(txn, low, high)?;
        let (low, high) = (padded::<16>(low, 0), padded::<16>(high, 0xff));
        producers.retain_in::<&[u8; 16], _>(&low..=&high, |_, _| false)?;
        let (low, high) = (
            padded::<24>(first.to_be_bytes(), 0),
            padded::<24>((first | u64::from(u32::MAX)).to_be_bytes(), 0xff),
        );
        ranges.retain_in::<&[u8; 24], _>(&low..=&high, |_, _| false)?;
    }
    for (partition, log_start, end) in &snapshot.partitions {
        let mut value = [0; 16];
        value[..8].copy_from_slice(&log_start.to_le_bytes());
        value[8..].copy_from_slice(&end.to_le_bytes());
        partitions.insert(&partition.to_key(), &value)?;
    }
    for ((partition, producer_id), producer) in &snapshot.producers {
        let mut key = padded::<16>(partition.to_key(), 0);
        key[8..].copy_from_slice(&producer_id.to_be_bytes());
        match producer {
            Some(producer) => producers.insert(&key, producer.as_slice())?,
            None => producers.remove(&key)?,
        };
    }
    for (partition, base, segment) in &snapshot.dirty.removed_ranges {
        ranges.remove(&range_key(*partition, *base, *segment))?;
    }
    let mut kv = txn.open_table(KV)?;
    let mut scratch = Vec::new();
    for (key, value) in &*snapshot.kv {
        match value {
            Some(value) => {
                scratch.clear();
                scratch.extend_from_slice(&kv_crc(key, value).to_le_bytes());
                scratch.extend_from_slice(value);
                kv.insert(key.as_slice(), scratch.as_slice())?;
            }
            None => {
                kv.remove(key.as_slice())?;
            }
        }
    }
    Ok(())
}

fn load(database: &Database) -> Result<Stored, StoreError> {
    let txn = database.begin_read()?;
    let corrupt = |table: &str| StoreError::corrupt(format!("a row of table '{table}' makes no sense"));
    let mut stored = Stored {
        applied: txn
            .open_table(META)?
            .get(APPLIED)?
            .map_or(0, |number| number.value()),
        lost: damaged::load_lost(&txn)?,
        damaged: damaged::load(&txn)?,
        ..Stored::default()
    };
    for row in txn.open_table(SEGMENTS)?.iter()? {
        let (id, value) = row?;
        let row = decode_segment(id.value(), value.value()).ok_or_else(|| corrupt("segments"))?;
        stored.segments.push(row);
    }
    for row in txn.open_table(RANGES)?.iter()? {
        let (key, value) = row?;
        let row = decode_range(key.value(), value.value()).ok_or_else(|| corrupt("ranges"))?;
        stored.ranges.push(row);
    }
    for row in txn.open_table(PARTITIONS)?.iter()? {
        let (key, value) = row?;
        let (log_start, end) = value.value().split_at(8);
        stored.partitions.push((
            PartitionId::from_key(*key.value()),
            le_i64(log_start).ok_or_else(|| corrupt("partitions"))?,
            le_i64(end).ok_or_else(|| corrupt("partitions"))?,
        ));
    }
    for row in txn.open_table(PRODUCERS)?.iter()? {
        let (key, value) = row?;
        let (partition, producer_id) = key
            .value()
            .split_first_chunk()
            .ok_or_else(|| corrupt("producers"))?;
        let producer_id = producer_id.try_into().map_err(|_| corrupt("producers"))?;
        stored.producers.push((
            PartitionId::from_key(*partition),
            i64::from_be_bytes(producer_id),
            Producer::decode(value.value()).ok_or_else(|| corrupt("producers"))?,
        ));
    }
    Ok(stored)
}

fn padded<const N: usize>(partition: [u8; 8], byte: u8) -> [u8; N] {
    let mut key = [byte; N];
    key[..8].copy_from_slice(&partition);
    key
}

fn range_key(partition: PartitionId, base: i64, segment: u64) -> [u8; 24] {
    let mut key = padded::<24>(partition.to_key(), 0);
    key[8..16].copy_from_slice(&base.to_be_bytes());
    key[16..].copy_from_slice(&segment.to_be_bytes());
    key
}

fn encode_range(row: &RangeRow) -> [u8; 24] {
    let mut value = [0; 24];
    value[..8].copy_from_slice(&row.end.to_le_bytes());
    value[8..16].copy_from_slice(&row.bytes.to_le_bytes());
    value[16..].copy_from_slice(&row.max_timestamp.to_le_bytes());
    value
}

fn decode_range(key: &[u8; 24], value: &[u8; 24]) -> Option<RangeRow> {
    let (partition, rest) = key.split_first_chunk()?;
    let (base, segment) = rest.split_first_chunk()?;
    let row = RangeRow {
        partition: PartitionId::from_key(*partition),
        base: i64::from_be_bytes(*base),
        segment: u64::from_be_bytes(segment.try_into().ok()?),
        end: le_i64(&value[..8])?,
        bytes: le_i64(&value[8..16])? as u64,
        max_timestamp: le_i64(&value[16..])?,
    };
    (0 <= row.base && row.base < row.end).then_some(row)
}

fn encode_segment(row: &SegmentRow) -> [u8; 13] {
    let mut value = [0; 13];
    value[..4].copy_from_slice(&row.generation.to_le_bytes());
    value[4] = u8::from(row.sealed);
    value[5..].copy_from_slice(&row.payload_bytes.to_le_bytes());
    value
}

fn decode_segment(id: u64, value: &[u8]) -> Option<SegmentRow> {
    let (generation, rest) = value.split_first_chunk()?;
    let (sealed, payload_bytes) = rest.split_first()?;
    Some(SegmentRow {
        id,
        generation: u32::from_le_bytes(*generation),
        sealed: *sealed != 0,
        payload_bytes: u64::from_le_bytes(payload_bytes.try_into().ok()?),
    })
}

fn kv_crc(key: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), value)
}

fn kv_value(key: &[u8], stored: &[u8]) -> Result<Vec<u8>, StoreError> {
    stored
        .split_first_chunk()
        .filter(|(crc, value)| kv_crc(key, value) == u32::from_le_bytes(**crc))
        .map(|(_, value)| value.to_vec())
        .ok_or_else(|| StoreError::corrupt("a value does not match its checksum"))
}

fn le_i64(bytes: &[u8]) -> Option<i64> {
    bytes.try_into().ok().map(i64::from_le_bytes)
}
