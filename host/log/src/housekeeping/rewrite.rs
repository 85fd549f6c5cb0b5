use std::sync::Arc;

use redb::Database;

use super::checkpoint::checkpoint;
use super::seal::ranges_in;
use crate::chunk::{order_max, write_run};
use crate::db_file::DbFile;
use crate::group::LEADER_EPOCH;
use crate::partition_state::{PartitionState, Range};
use crate::segment::{
    DATA, INDEX, PartitionIndex, ReadFault, Segment, SegmentRow, Selection, create_tables, segment_path,
};
use crate::shard::Shard;
use crate::state_db::ManifestChange;
use crate::store_error::StoreError;

/// Batch bytes read, and joined to one run, at a time.
const RUN_BYTES: usize = 4 << 20;

/// What the new file has of a partition.
struct Copied {
    partition: Arc<PartitionState>,
    old_base: i64,
    base: i64,
    index: PartitionIndex,
    max_timestamp: i64,
}

/// Copies what lives of a sealed segment to a new file, which takes the place of the old one. Batches that were
/// written in small groups are joined to full rows on the way.
pub(super) fn rewrite(shard: &Shard, segment: &Arc<Segment>) -> Result<(), StoreError> {
    shard.open_segments.note(segment);
    let old = segment.row();
    let new = SegmentRow {
        generation: old.generation + 1,
        ..old
    };
    let path = segment_path(shard.id, new.id, new.generation);
    let file = DbFile::new(shard.volume.clone(), shard.caches(), path.clone());
    let copied = copy_all(shard, segment, &file);
    file.close();
    let copied = match copied {
        Ok(Some(copied)) => copied,
        Ok(None) => {
            // A damaged batch is kept as it is, for whoever can restore it.
            segment.forbid_rewrite();
            shard.volume.remove(&path)?;
            return Ok(());
        }
        Err(error) => {
            let _ = shard.volume.remove(&path);
            return Err(error);
        }
    };
    shard
        .volume
        .sync_folder(&crate::segment::shard_folder(shard.id))?;

    let payload_bytes = copied.iter().map(|copied| copied.index.bytes()).sum();
    let new = SegmentRow { payload_bytes, ..new };
    checkpoint(shard, || {
        let mut ranges = ranges_in(shard, segment);
        for row in &mut ranges {
            if let Some(copied) = copied.iter().find(|copied| copied.partition.id == row.partition) {
                row.base = copied.base;
                row.bytes = copied.index.bytes();
                row.max_timestamp = copied.max_timestamp;
            }
        }
        ManifestChange {
            segments: vec![new],
            removed_ranges: copied
                .iter()
                .map(|copied| (copied.partition.id, copied.old_base, old.id))
                .collect(),
            ranges,
            ..ManifestChange::default()
        }
    })?;
    segment.replace(new);
    for copied in copied {
        let mut ranges = copied.partition.ranges_mut();
        if let Some(range) = ranges
            .iter_mut()
            .find(|range| Arc::ptr_eq(&range.segment, segment))
        {
            range.base = copied.base;
            range.bytes = copied.index.bytes();
            range.max_timestamp = copied.max_timestamp;
            range.dead_bytes = 0;
            range.dead_at = 0;
        }
    }
    Ok(())
}

/// Fills the new file. `None` if something to be copied is damaged.
fn copy_all(shard: &Shard, segment: &Arc<Segment>, file: &DbFile) -> Result<Option<Vec<Copied>>, StoreError> {
    file.create(create_tables)?;
    let mut all = Vec::new();
    let mut partitions = shard.partitions.all();
    partitions.sort_unstable_by_key(|partition| partition.id);
    for partition in partitions {
        let range = partition
            .ranges()
            .iter()
            .find(|range| Arc::ptr_eq(&range.segment, segment))
            .cloned();
        let Some(range) = range else { continue };
        match copy(shard, segment, &partition, &range, file) {
            Ok(copied) => all.extend(copied),
            Err(ReadFault::Store(error)) => return Err(error),
            Err(ReadFault::Damaged { offset, what }) => {
                tracing::error!(
                    partition = %partition.id, offset, what, file = segment.file().path(),
                    "a damaged batch keeps its segment from being rewritten"
                );
                return Ok(None);
            }
        }
    }
    file.with_writer(|database| put_indexes(database, &all))?;
    Ok(Some(all))
}

/// Copies a partition's batches from its log start on.
fn copy(
    shard: &Shard,
    segment: &Segment,
    partition: &Arc<PartitionState>,
    range: &Range,
    file: &DbFile,
) -> Result<Option<Copied>, ReadFault> {
    let mut copied: Option<Copied> = None;
    let mut offset = range.base.max(partition.log_start());
    let mut row = Vec::new();
    while offset < range.end {
        let (bytes, next_offset) = segment.read(Selection {
            partition: partition.id,
            offset,
            end: range.end,
            max_bytes: RUN_BYTES,
        })?;
        let mut batches = Vec::new();
        for batch in weir_batch::iter_batches(&bytes) {
            // Reading has checked them.
            let (header, bytes) = batch.map_err(|error| StoreError::corrupt(error.to_string()))?;
            let copied = copied.get_or_insert_with(|| Copied {
                partition: partition.clone(),
                old_base: range.base,
                base: header.base_offset,
                index: PartitionIndex::default(),
                max_timestamp: i64::MIN,
            });
            copied
                .index
                .note(header.base_offset, bytes.len() as u64, header.max_timestamp);
            copied.max_timestamp = copied.max_timestamp.max(header.max_timestamp);
            batches.push((header.base_offset, bytes));
        }
        file.with_writer(|database| {
            let txn = database.begin_write()?;
            {
                let mut data = txn.open_table(DATA)?;
                let order_max = order_max(shard.config.chunk_bytes_max);
                write_run(
                    partition.id,
                    LEADER_EPOCH,
                    &batches,
                    order_max,
                    &mut row,
                    |key, value| data.insert(key, value).map(drop),
                )?;
            }
            Ok(txn.commit()?)
        })?;
        offset = next_offset;
    }
    Ok(copied)
}

fn put_indexes(database: &Database, all: &[Copied]) -> Result<(), StoreError> {
    let txn = database.begin_write()?;
    {
        let mut index = txn.open_table(INDEX)?;
        for copied in all {
            index.insert(&copied.partition.id.to_key(), copied.index.encode().as_slice())?;
        }
    }
    Ok(txn.commit()?)
}
