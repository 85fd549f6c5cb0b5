use crate::PartitionConfig;
use crate::descriptor::Op;
use crate::log::submit_control;
use crate::partition_state::{PartitionState, Range};
use crate::segment::PartitionIndex;
use crate::shard::Shard;
use crate::store_error::StoreError;

/// Moves the log start of partitions that keep more, or older, records than they are to. What is decided here by the
/// clock becomes an entry like any other.
pub(super) fn retain(shard: &Shard) -> Result<(), StoreError> {
    let now_ms = shard.config.clock.now_ms();
    let mut receipts = Vec::new();
    for partition in shard.partitions.all() {
        let config = partition.config().clone();
        if config == PartitionConfig::default() {
            continue;
        }
        let offset = first_kept(shard, &partition, &config, now_ms)?;
        if offset > partition.log_start() {
            let change = Op::LogStart {
                partition: partition.id,
                offset,
            };
            receipts.push(submit_control(shard, change).map_err(|error| StoreError::Io(error.to_string()))?);
        }
    }
    for receipt in receipts {
        receipt
            .wait()
            .map_err(|error| StoreError::Io(error.to_string()))?;
    }
    Ok(())
}

/// The first offset that the partition is to keep. Exact to an entry of the index: never less is kept than asked for.
fn first_kept(
    shard: &Shard,
    partition: &PartitionState,
    config: &PartitionConfig,
    now_ms: i64,
) -> Result<i64, StoreError> {
    let ranges = partition.ranges().clone();
    let mut kept = partition.log_start();
    if let Some(retention_bytes) = config.retention_bytes {
        let live: u64 = ranges.iter().map(Range::live_bytes).sum();
        let mut surplus = live.saturating_sub(retention_bytes);
        for range in &ranges {
            if surplus == 0 {
                break;
            }
            if range.live_bytes() <= surplus {
                surplus -= range.live_bytes();
                kept = kept.max(range.end);
                continue;
            }
            shard.open_segments.note(&range.segment);
            let index = range.segment.partition_index(partition.id)?;
            let until = range.dead_bytes + surplus;
            let first = index
                .entries()
                .iter()
                .rposition(|entry| entry.bytes_before <= until);
            kept = kept.max(kept_from(&index, first).unwrap_or(kept));
            break;
        }
    }
    if let Some(retention_ms) = config.retention_ms {
        let oldest = now_ms.saturating_sub(i64::try_from(retention_ms).unwrap_or(i64::MAX));
        for range in &ranges {
            if range.max_timestamp < oldest {
                kept = kept.max(range.end);
                continue;
            }
            shard.open_segments.note(&range.segment);
            let index = range.segment.partition_index(partition.id)?;
            let first = index
                .entries()
                .iter()
                .position(|entry| entry.max_timestamp >= oldest);
            kept = kept.max(kept_from(&index, first).unwrap_or(kept));
            break;
        }
    }
    // A range may have grown since, but nothing is deleted that was not looked at.
    let looked_at = ranges.last().map_or(kept, |range| range.end);
    Ok(kept.min(looked_at).min(partition.end()))
}

/// The offset of the first entry that is kept; `None` if nothing before it in the segment goes. What is lost in front of
/// the segment goes with the first records behind it and not sooner, so that it is seen.
fn kept_from(index: &PartitionIndex, first: Option<usize>) -> Option<i64> {
    let first = first.filter(|&first| first > 0)?;
    index.entries().get(first).map(|entry| entry.base_offset)
}
