use std::collections::HashMap;
use std::sync::Arc;

use super::checkpoint::checkpoint;
use super::rewrite::rewrite;
use crate::segment::Segment;
use crate::shard::Shard;
use crate::state_db::ManifestChange;
use crate::store_error::StoreError;

/// Less than this is never worth a new file.
const RECLAIM_BYTES_MIN: u64 = 256 << 10;

/// Bytes of batches in a segment that somebody can still read.
type Live = HashMap<u64, u64>;

/// Finds out how much of the partitions' first ranges lies below their log starts.
pub(super) fn count_dead(shard: &Shard) -> Result<(), StoreError> {
    for partition in shard.partitions.all() {
        let log_start = partition.log_start();
        let Some(first) = partition.ranges().first().cloned() else {
            continue;
        };
        if first.base >= log_start || first.dead_at == log_start {
            continue;
        }
        shard.open_segments.note(&first.segment);
        let dead_bytes = first
            .segment
            .partition_index(partition.id)?
            .bytes_before(log_start);
        let mut ranges = partition.ranges_mut();
        if let Some(range) = ranges.first_mut()
            && Arc::ptr_eq(&range.segment, &first.segment)
        {
            range.dead_bytes = dead_bytes;
            range.dead_at = log_start;
        }
    }
    Ok(())
}

fn live(shard: &Shard) -> Live {
    let mut live = Live::new();
    for partition in shard.partitions.all() {
        for range in &*partition.ranges() {
            // A range counts even if, to the index's exactness, nothing of it lives.
            *live.entry(range.segment.id()).or_default() += range.live_bytes().max(1);
        }
    }
    live
}

/// Whether the active segment should end so that what is dead in it can be given back.
pub(super) fn active_is_dead(shard: &Shard) -> bool {
    let active = shard.segments().get(&shard.active()).cloned();
    active.is_some_and(|segment| is_worth_it(&segment, live(shard).get(&segment.id()).copied().unwrap_or(0)))
}

/// Whether enough of a segment is dead. Deleted topics count sooner than retention, which goes on deleting: waiting
/// for half means that every byte is copied about once.
fn is_worth_it(segment: &Segment, live: u64) -> bool {
    let payload = segment.payload_bytes();
    let dead = payload.saturating_sub(live);
    segment.deleted_bytes() >= RECLAIM_BYTES_MIN.max(payload / 16)
        || dead >= RECLAIM_BYTES_MIN.max(payload / 2)
}

/// Removes sealed segments in which nothing lives and rewrites those in which little does.
pub(super) fn reclaim(shard: &Shard) -> Result<(), StoreError> {
    let sealed: Vec<Arc<Segment>> = shard
        .segments()
        .values()
        .filter(|segment| segment.is_listed())
        .cloned()
        .collect();
    let mut live = live(shard);
    let (dead, rest): (Vec<_>, Vec<_>) = sealed
        .into_iter()
        .partition(|segment| !live.contains_key(&segment.id()));
    if !dead.is_empty() {
        // The segments' groups, and that their ranges are gone, are in the checkpoint before the files go.
        checkpoint(shard, || ManifestChange {
            removed_segments: dead.iter().map(|segment| segment.id()).collect(),
            ..ManifestChange::default()
        })?;
        for segment in dead {
            shard.segments_mut().remove(&segment.id());
            segment.file().remove();
        }
    }
    for segment in rest {
        let live = live.remove(&segment.id()).unwrap_or(0);
        if segment.may_rewrite() && (is_worth_it(&segment, live) || segment.is_wasteful()) {
            rewrite(shard, &segment)?;
        }
    }
    Ok(())
}
