use std::sync::Arc;

use super::checkpoint::checkpoint;
use crate::partition_state::PartitionState;
use crate::segment::Segment;
use crate::shard::Shard;
use crate::state_db::{ManifestChange, RangeRow};
use crate::store_error::StoreError;

/// Seals the segments that are no longer written to.
pub(super) fn seal(shard: &Shard) -> Result<(), StoreError> {
    let active = shard.active();
    let unsealed: Vec<Arc<Segment>> = shard
        .segments()
        .range(..active)
        .map(|(_, segment)| segment)
        .filter(|segment| !segment.is_listed())
        .cloned()
        .collect();
    for segment in unsealed {
        if !segment.is_sealed() {
            segment.seal()?;
        }
        // A segment that the manifest has as sealed is not replayed, so the checkpoint has to contain its groups.
        checkpoint(shard, || ManifestChange {
            segments: vec![segment.row()],
            ranges: ranges_in(shard, &segment),
            ..ManifestChange::default()
        })?;
        segment.set_listed();
    }
    Ok(())
}

/// What the partitions have in a segment.
pub(crate) fn ranges_in(shard: &Shard, segment: &Arc<Segment>) -> Vec<RangeRow> {
    let row = |partition: &PartitionState| {
        let ranges = partition.ranges();
        let range = ranges.iter().find(|range| Arc::ptr_eq(&range.segment, segment))?;
        Some(RangeRow {
            partition: partition.id,
            base: range.base,
            segment: segment.id(),
            end: range.end,
            bytes: range.bytes,
            max_timestamp: range.max_timestamp,
        })
    };
    let mut rows: Vec<RangeRow> = shard
        .partitions
        .all()
        .iter()
        .filter_map(|partition| row(partition))
        .collect();
    rows.sort_unstable_by_key(|row| row.partition);
    rows
}
