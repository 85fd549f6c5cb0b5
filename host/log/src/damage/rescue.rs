//! One damaged segment: its file is set aside, and what can be read of it copied to a new one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use redb::Database;
use weir_batch::iter_batches;

use super::tree::{DATA_TABLE, GROUPS_TABLE, Wreck};
use super::{Loss, Rescued};
use crate::PartitionId;
use crate::chunk::{ROW_KEY_LEN, Row, RowKey, parse_row_key};
use crate::descriptor::{BatchOp, Descriptor};
use crate::partition_state::PartitionState;
use crate::recovery::note_batches;
use crate::segment::{DATA, Segment, Selection, shard_folder};
use crate::shard::Shard;
use crate::store_error::StoreError;
use crate::volume::Volume;

const SUFFIX: &str = ".damaged";
/// Bytes copied in one transaction, and read at a time.
const COPY_BYTES: usize = 8 << 20;

/// Offsets at which the first batch of a row begins, by partition.
type Begins = BTreeMap<PartitionId, BTreeSet<i64>>;

/// Whether a file of this name was set aside.
pub(crate) fn is_aside(name: &str) -> bool {
    name.ends_with(SUFFIX)
}

/// Whether a segment's file was set aside by a start that did not come to its end.
pub(crate) fn is_set_aside(shard: &Shard, segment: &Segment) -> Result<bool, StoreError> {
    let path = segment.file().path();
    Ok(!exists(&*shard.volume, &path)? && exists(&*shard.volume, &format!("{path}{SUFFIX}"))?)
}

fn exists(volume: &dyn Volume, path: &str) -> Result<bool, StoreError> {
    match volume.used_bytes(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Sets a segment's file aside and puts what can be read of it in its place. The manifest is not changed yet, so a
/// crash from here on makes the next start do it again.
pub(crate) fn rescue(
    shard: &Shard,
    segment: &Arc<Segment>,
    checkpoint: u64,
    loss: &mut Loss,
) -> Result<(), StoreError> {
    let path = segment.file().path();
    let aside = format!("{path}{SUFFIX}");
    segment.file().close();
    if !is_set_aside(shard, segment)? {
        shard.volume.rename(&path, &aside)?;
        shard.volume.sync_folder(&shard_folder(shard.id))?;
    }
    let file = shard.volume.open(&aside)?;
    let len = file.len()?;
    let wreck = Wreck::open(file)?;

    let mut whole = true;
    let mut groups: BTreeMap<u64, Descriptor> = BTreeMap::new();
    whole &= wreck.rows(GROUPS_TABLE, size_of::<u64>(), &mut |key, value| {
        match (key.try_into(), Descriptor::decode(value)) {
            (Ok(number), Ok(descriptor)) => drop(groups.insert(u64::from_le_bytes(number), descriptor)),
            _ => whole = false,
        }
        Ok(())
    })?;
    for (number, descriptor) in &groups {
        if *number > checkpoint {
            loss.apply(shard, segment, *number, descriptor)?;
        } else {
            note_batches(shard, segment, descriptor);
        }
    }
    loss.end_unknown = !whole;

    // Where batches are is found out from the batches that are left, not from what the groups say.
    for partition in shard.partitions.all() {
        partition
            .ranges_mut()
            .retain(|range| !Arc::ptr_eq(&range.segment, segment));
    }
    segment.leave_file();
    let new = segment.file().path();
    if exists(&*shard.volume, &new)? {
        shard.volume.remove(&new)?;
    }
    segment.create()?;
    let begins = copy(&wreck, segment)?;
    let kept = note_kept(shard, segment, begins, !whole)?;
    segment.seal()?;
    shard.volume.sync_folder(&shard_folder(shard.id))?;
    loss.rescued.push(Rescued {
        segment: segment.clone(),
        aside,
        len,
        kept,
    });
    Ok(())
}

/// Copies the rows of batches.
fn copy(wreck: &Wreck, segment: &Segment) -> Result<Begins, StoreError> {
    let mut begins = Begins::new();
    let mut rows: Vec<(RowKey, Vec<u8>)> = Vec::new();
    let mut bytes = 0;
    wreck.rows(DATA_TABLE, ROW_KEY_LEN, &mut |key, value| {
        let Ok(key) = RowKey::try_from(key) else {
            return Ok(());
        };
        let (partition, base_offset, part) = parse_row_key(&key);
        if Row::parse(value).is_none() || base_offset < 0 {
            return Ok(());
        }
        if part == 0 {
            begins.entry(partition).or_default().insert(base_offset);
        }
        bytes += value.len();
        rows.push((key, value.to_vec()));
        if bytes >= COPY_BYTES {
            segment.file().with_writer(|to| put(to, &rows))?;
            rows.clear();
            bytes = 0;
        }
        Ok(())
    })?;
    segment.file().with_writer(|to| put(to, &rows))?;
    Ok(begins)
}

fn put(to: &Database, rows: &[(RowKey, Vec<u8>)]) -> Result<(), StoreError> {
    let txn = to.begin_write()?;
    {
        let mut data = txn.open_table(DATA)?;
        for (key, value) in rows {
            data.insert(key, value.as_slice())?;
        }
    }
    Ok(txn.commit()?)
}

/// Reads all that was copied, as a consumer would, and takes note of where it is. Returns the stretches of it.
fn note_kept(
    shard: &Shard,
    segment: &Arc<Segment>,
    begins: Begins,
    may_be_new: bool,
) -> Result<BTreeMap<PartitionId, Vec<(i64, i64)>>, StoreError> {
    segment.forget_batches();
    let mut kept = BTreeMap::new();
    for (id, begins) in begins {
        let partition = match shard.partitions.get(id) {
            Some(partition) => partition,
            // The group that made it may be lost. If its topic was deleted, whoever knows the topics deletes it again.
            None if may_be_new => shard.partitions.get_or_create(id),
            None => continue,
        };
        let mut stretches: Vec<(i64, i64)> = Vec::new();
        for begin in begins {
            let known = stretches.last().map_or(0, |(_, to)| *to);
            if begin < known {
                continue;
            }
            let to = note_from(segment, &partition, begin);
            match stretches.last_mut() {
                Some(last) if last.1 == begin => last.1 = to,
                _ if to > begin => stretches.push((begin, to)),
                _ => {}
            }
        }
        if let Some((_, to)) = stretches.last()
            && *to > partition.end()
        {
            shard.applied().move_end(&partition, *to);
        }
        kept.insert(id, stretches);
    }
    Ok(kept)
}

/// Takes note of the batches from `begin` on, up to the first that cannot be read. Returns the offset after the last.
fn note_from(segment: &Arc<Segment>, partition: &PartitionState, begin: i64) -> i64 {
    let mut offset = begin;
    while let Ok((bytes, next_offset)) = segment.read(Selection {
        partition: partition.id,
        offset,
        end: i64::MAX,
        max_bytes: COPY_BYTES,
    }) {
        for (header, bytes) in iter_batches(&bytes).filter_map(Result::ok) {
            let batch = BatchOp {
                partition: partition.id,
                base_offset: header.base_offset,
                records: (header.next_offset() - header.base_offset) as u32,
                len: bytes.len() as u32,
                max_timestamp: header.max_timestamp,
                producer: None,
            };
            if batch.next_offset() > partition.log_start() {
                partition.note_batch(segment, &batch);
            } else {
                segment.note_dead_batch(u64::from(batch.len));
            }
        }
        if next_offset <= offset {
            break;
        }
        offset = next_offset;
    }
    offset
}
