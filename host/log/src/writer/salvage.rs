//! A segment after an fsync that failed. What was written since the one before may be lost although it can still be
//! read, and a later fsync says nothing about it; so what was acknowledged is written once more, to a new file.

use redb::{Database, ReadableDatabase, ReadableTable};

use super::Writer;
use crate::chunk::parse_row_key;
use crate::db_file::DbFile;
use crate::segment::{DATA, GROUPS, SegmentRow, create_tables, segment_path, shard_folder};
use crate::shard::Partitions;
use crate::store_error::{StoreError, guarded};

/// Bytes copied in one transaction.
const COPY_BYTES: usize = 8 << 20;

impl Writer {
    /// Copies the groups that were applied to the segment's next generation, which takes its place.
    pub(super) fn salvage(&mut self) -> Result<(), StoreError> {
        let shard = &self.shard;
        let old = self.active.row();
        let new = SegmentRow {
            generation: old.generation + 1,
            ..old
        };
        let path = segment_path(shard.id, new.id, new.generation);
        // An earlier attempt may have left one.
        if let Err(error) = shard.volume.remove(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error.into());
        }
        let file = DbFile::new(shard.volume.clone(), shard.caches(), path.clone());
        let copied = self.copy_applied(&file);
        file.close();
        if let Err(error) = copied {
            let _ = shard.volume.remove(&path);
            return Err(error);
        }
        shard.volume.sync_folder(&shard_folder(shard.id))?;
        shard.state.put_segment(new)?;
        self.active.replace(new);
        Ok(())
    }

    fn copy_applied(&self, file: &DbFile) -> Result<(), StoreError> {
        let applied = self.shard.applied().number;
        file.create(create_tables)?;
        self.active.file().with_reader(|from| {
            guarded(|| {
                let txn = from.begin_read()?;
                let mut batch = Vec::new();
                let mut bytes = 0;
                for row in txn.open_table(DATA)?.iter()? {
                    let (key, value) = row?;
                    if is_applied(&self.shard.partitions, key.value()) {
                        bytes += value.value().len();
                        batch.push((*key.value(), value.value().to_vec()));
                    }
                    if bytes >= COPY_BYTES {
                        file.with_writer(|to| put_rows(to, &batch))?;
                        batch.clear();
                        bytes = 0;
                    }
                }
                file.with_writer(|to| put_rows(to, &batch))?;
                let groups = txn.open_table(GROUPS)?;
                file.with_writer(|to| {
                    let txn = to.begin_write()?;
                    {
                        let mut table = txn.open_table(GROUPS)?;
                        for row in groups.range(..=applied)? {
                            let (number, value) = row?;
                            table.insert(number.value(), value.value())?;
                        }
                    }
                    Ok(txn.commit()?)
                })
            })
        })
    }
}

fn is_applied(partitions: &Partitions, key: &crate::chunk::RowKey) -> bool {
    let (partition, base_offset, _) = parse_row_key(key);
    // A run begins where the partition ended, so a row is of one side or the other.
    partitions
        .get(partition)
        .is_some_and(|partition| base_offset < partition.end())
}

fn put_rows(to: &Database, rows: &[(crate::chunk::RowKey, Vec<u8>)]) -> Result<(), StoreError> {
    let txn = to.begin_write()?;
    {
        let mut data = txn.open_table(DATA)?;
        for (key, value) in rows {
            data.insert(key, value.as_slice())?;
        }
    }
    Ok(txn.commit()?)
}
