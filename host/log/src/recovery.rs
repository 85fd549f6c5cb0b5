//! Opening a shard: what the state database says, then the groups that are newer.

use std::collections::HashMap;
use std::sync::Arc;

use redb::{ReadableDatabase, ReadableTable};

use crate::OpenError;
use crate::applied::Applied;
use crate::config::LogConfig;
use crate::damage::{Loss, is_aside, is_damaged, is_set_aside, rescue};
use crate::descriptor::{Descriptor, Op};
use crate::housekeeper::Housekeeper;
use crate::open_segments::OpenSegments;
use crate::partition_state::{PartitionState, Range};
use crate::segment::{GROUPS, Segment, shard_folder};
use crate::shard::Shard;
use crate::state_db::{StateDb, Stored};
use crate::store_error::StoreError;
use crate::volume::Volume;
use crate::witness::Witness;
use crate::writer::Writer;

/// What the shards of a log have in common.
pub(crate) struct Common {
    pub(crate) volume: Arc<dyn Volume>,
    pub(crate) config: LogConfig,
    pub(crate) open_segments: Arc<OpenSegments>,
    pub(crate) housekeeper: Arc<Housekeeper>,
}

/// Opens a shard, or makes it, and gets its writer ready. Only segments that were not sealed are looked at, of which
/// there are rarely more than the last.
pub(crate) fn open_shard(common: &Common, id: u16) -> Result<(Arc<Shard>, Writer), OpenError> {
    let folder = shard_folder(id);
    let in_folder = |error: StoreError| open_error(&folder, error);
    common
        .volume
        .make_folder(&folder)
        .map_err(|error| in_folder(error.into()))?;
    let state = StateDb::open(common.volume.clone(), id)
        .map_err(|error| open_error(&format!("{folder}/state.redb"), error))?;
    let stored = state.load().map_err(|error| open_error(&state.path(), error))?;

    let mut applied = Applied::default();
    applied.number = stored.applied;
    for (partition, producer_id, producer) in &stored.producers {
        applied.load_producer((*partition, *producer_id), producer.clone());
    }
    let shard = Arc::new(Shard::new(
        id,
        common.volume.clone(),
        common.config.clone(),
        state,
        applied,
        common.open_segments.clone(),
        common.housekeeper.clone(),
    ));
    load_segments(&shard, &stored).map_err(in_folder)?;
    load_partitions(&shard, &stored);

    let unsealed: Vec<Arc<Segment>> = shard
        .segments()
        .values()
        .filter(|segment| !segment.is_sealed())
        .cloned()
        .collect();
    let mut active: Option<(Arc<Segment>, u64)> = None;
    let witness = Witness::open(&common.volume, id).map_err(in_folder)?;
    let mut loss = Loss::default();
    for (at, segment) in unsealed.iter().enumerate() {
        let path = segment.file().path();
        let in_file = |error: StoreError| open_error(&path, error);
        let set_aside = is_set_aside(&shard, segment).map_err(in_file)?;
        let later = &unsealed[at + 1..];
        if set_aside || is_damaged(&shard, segment, later, witness.number()).map_err(in_file)? {
            rescue(&shard, segment, stored.applied, &mut loss).map_err(in_file)?;
            continue;
        }
        let groups = replay(&shard, segment, stored.applied, &mut loss).map_err(in_file)?;
        if groups > 0 || active.is_none() {
            active = Some((segment.clone(), groups));
        } else {
            // Made ahead of time and not used yet.
            shard.prepared().get_or_insert(segment.clone());
        }
    }
    // A segment that could not be sealed may be older than one that was.
    for partition in shard.partitions.all() {
        partition.ranges_mut().sort_unstable_by_key(|range| range.base);
    }
    loss.settle(&shard, witness.number()).map_err(in_folder)?;
    let (active, groups) = match active {
        Some(active) => active,
        None => (shard.create_segment().map_err(in_folder)?, 0),
    };
    shard.set_active(active.id());
    let writer = Writer::new(shard.clone(), active, groups, witness);
    Ok((shard, writer))
}

fn load_segments(shard: &Shard, stored: &Stored) -> Result<(), StoreError> {
    let mut segments = shard.segments_mut();
    for row in &stored.segments {
        segments.insert(row.id, shard.segment(*row));
    }
    // Files that a crash left behind: made or replaced, but not yet, or no longer, in the manifest.
    let listed: Vec<String> = segments.values().map(|segment| segment.file().path()).collect();
    let folder = shard_folder(shard.id);
    for name in shard.volume.list(&folder)? {
        let path = format!("{folder}/{name}");
        if name.starts_with("segment-") && !is_aside(&name) && !listed.contains(&path) {
            tracing::info!(file = path, "removing a file that is in no manifest");
            shard.volume.remove(&path)?;
        }
    }
    Ok(())
}

fn load_partitions(shard: &Shard, stored: &Stored) {
    let mut live: HashMap<u64, u64> = HashMap::new();
    for (id, log_start, end) in &stored.partitions {
        shard
            .partitions
            .insert(PartitionState::new(*id, *log_start, *end));
    }
    for (id, range) in &stored.damaged {
        if let Some(partition) = shard.partitions.get(*id) {
            partition.note_damaged([range.clone()]);
        }
    }
    *shard.lost() = stored.lost;
    let segments = shard.segments();
    for row in &stored.ranges {
        let (Some(partition), Some(segment)) =
            (shard.partitions.get(row.partition), segments.get(&row.segment))
        else {
            continue;
        };
        if segment.is_sealed() && row.end > partition.log_start() {
            *live.entry(row.segment).or_default() += row.bytes;
            partition.ranges_mut().push(Range {
                segment: segment.clone(),
                base: row.base,
                end: row.end,
                bytes: row.bytes,
                dead_bytes: 0,
                dead_at: 0,
                max_timestamp: row.max_timestamp,
            });
        }
    }
    // What belongs to nobody may be of a topic that was deleted just before the log was closed.
    for segment in segments.values().filter(|segment| segment.is_sealed()) {
        let live = live.get(&segment.id()).copied().unwrap_or(0);
        segment.note_deleted(segment.payload_bytes().saturating_sub(live));
    }
}

/// Goes through the groups of an open segment that was not sealed. Returns how many there are.
fn replay(
    shard: &Shard,
    segment: &Arc<Segment>,
    checkpoint: u64,
    loss: &mut Loss,
) -> Result<u64, StoreError> {
    segment.file().with_writer(|database| {
        let txn = database.begin_read()?;
        let table = txn.open_table(GROUPS)?;
        let mut groups = 0;
        for row in table.iter()? {
            let (number, value) = row?;
            let number = number.value();
            let corrupt = |what: &str| StoreError::corrupt(format!("group {number}: {what}"));
            let descriptor = Descriptor::decode(value.value()).map_err(corrupt)?;
            if number > checkpoint {
                loss.apply(shard, segment, number, &descriptor)?;
            } else {
                note_batches(shard, segment, &descriptor);
            }
            groups += 1;
        }
        Ok(groups)
    })
}

/// A group that the checkpoint contains: only where its batches are is still to be learned.
pub(crate) fn note_batches(shard: &Shard, segment: &Arc<Segment>, descriptor: &Descriptor) {
    for op in &descriptor.ops {
        let Op::Batch(batch) = op else { continue };
        // A partition that the checkpoint does not know was deleted before it.
        match shard.partitions.get(batch.partition) {
            Some(partition) if batch.next_offset() > partition.log_start() => {
                partition.note_batch(segment, batch);
            }
            _ => segment.note_dead_batch(u64::from(batch.len)),
        }
    }
}

pub(crate) fn open_error(file: &str, error: StoreError) -> OpenError {
    match error {
        StoreError::Corrupt(what) => OpenError::Corrupt {
            file: file.to_owned(),
            what,
        },
        other => OpenError::Io {
            what: format!("opening {file}"),
            error: other.to_string(),
        },
    }
}
