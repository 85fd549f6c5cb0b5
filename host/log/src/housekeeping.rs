//! Everything that is not writing and reading: sealing, checkpoints, retention, giving disk back. One thread for all
//! shards.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use crate::LogConfig;
use crate::checkpoint::Snapshot;
use crate::housekeeper::Housekeeper;
use crate::partition_state::PartitionState;
use crate::queue::Command;
use crate::segment::Segment;
use crate::shard::Shard;
use crate::state_db::{ManifestChange, RangeRow};
use crate::store_error::StoreError;

/// Works whenever it is asked to, until it is stopped.
pub(crate) fn run(shards: &[Arc<Shard>], housekeeper: &Housekeeper, config: &LogConfig) {
    while let Some(number) = housekeeper.next(config.housekeeping_interval) {
        let mut first_error = None;
        for shard in shards {
            if let Err(error) = pass(shard) {
                tracing::warn!(shard = shard.id, %error, "housekeeping failed");
                first_error.get_or_insert_with(|| error.to_string());
            }
        }
        housekeeper.done(number, first_error);
    }
}

fn pass(shard: &Shard) -> Result<(), StoreError> {
    seal(shard)?;
    shard.prepare_segment()?;
    if shard.is_checkpoint_due() {
        checkpoint(shard, &ManifestChange::default())?;
    }
    Ok(())
}

/// Seals the segments that are no longer written to.
fn seal(shard: &Shard) -> Result<(), StoreError> {
    let active = shard.active();
    let unsealed: Vec<Arc<Segment>> = shard
        .segments()
        .range(..active)
        .map(|(_, segment)| segment)
        .filter(|segment| !segment.is_sealed())
        .cloned()
        .collect();
    for segment in unsealed {
        segment.seal()?;
        seal_in_manifest(shard, &segment)?;
    }
    Ok(())
}

/// Once a segment is sealed in the manifest its groups are not looked at again, so the checkpoint has to contain them.
fn seal_in_manifest(shard: &Shard, segment: &Arc<Segment>) -> Result<(), StoreError> {
    checkpoint_with(shard, || ManifestChange {
        segments: vec![segment.row()],
        // Collected after the snapshot was taken: a range that goes away from now on is a difference to it.
        ranges: ranges_in(shard, segment),
        ..ManifestChange::default()
    })
}

/// What the partitions have in a segment.
fn ranges_in(shard: &Shard, segment: &Arc<Segment>) -> Vec<RangeRow> {
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
    shard
        .partitions
        .all()
        .iter()
        .filter_map(|partition| row(partition))
        .collect()
}

fn checkpoint(shard: &Shard, change: &ManifestChange) -> Result<(), StoreError> {
    checkpoint_with(shard, || change.clone())
}

/// Writes what differs from the state database, together with a change of the manifest that is made up after the
/// difference was taken.
fn checkpoint_with(shard: &Shard, change: impl FnOnce() -> ManifestChange) -> Result<(), StoreError> {
    let closed = || StoreError::Io("the log is closed".to_owned());
    let (reply, frozen) = sync_channel(1);
    if !shard.queue.command(Command::Freeze(reply)) {
        return Err(closed());
    }
    let snapshot: Snapshot = frozen.recv().map_err(|_| closed())??;
    match shard.state.checkpoint(Some(&snapshot), &change()) {
        Ok(()) => {
            snapshot.written(&mut shard.applied());
            Ok(())
        }
        Err(error) => {
            snapshot.failed(&mut shard.applied());
            Err(error)
        }
    }
}
