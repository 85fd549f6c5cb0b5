//! After all segments were looked at: where partitions end, what of them is lost, and all of it on disk.

use std::sync::Arc;

use super::{DamagedRange, Loss, LostState};
use crate::PartitionId;
use crate::checkpoint::Snapshot;
use crate::config::LogConfig;
use crate::housekeeping::ranges_in;
use crate::partition_state::PartitionState;
use crate::segment::shard_folder;
use crate::shard::Shard;
use crate::state_db::ManifestChange;
use crate::store_error::StoreError;

/// More records than a byte on disk can stand for: a record has 7 bytes at least, and no codec packs more than
/// 2^15 to one (zstd, which puts a block of 128 KiB into 4 bytes).
const RECORDS_PER_BYTE_MAX: u64 = 1 << 13;

impl Loss {
    /// Decides what is lost, makes it durable, and says so. Does nothing if nothing is missing. `witness` is the last
    /// group that was durable for sure.
    pub(crate) fn settle(mut self, shard: &Shard, witness: u64) -> Result<(), StoreError> {
        if shard.applied().number < witness {
            self.last_missing = Some(witness);
            // The numbers of groups that are gone are not used again, so that the witness stays right.
            shard.applied().skip_to(witness + 1);
        }
        let state_lost = self.last_missing.is_some() || self.end_unknown;
        if !state_lost && self.rescued.is_empty() {
            return Ok(());
        }
        let mut lost = None;
        if state_lost {
            let records = self.records_max(&shard.config);
            for partition in shard.partitions.all() {
                if !self.ends_for_sure(partition.id) {
                    let end = partition.end().saturating_add(records);
                    shard.applied().move_end(&partition, end);
                }
            }
            shard.applied().forget_producers();
            lost = Some(LostState { begin_at: records });
            *shard.lost() = lost;
        }
        let mut damaged = Vec::new();
        for partition in shard.partitions.all() {
            let ranges = self.holes(shard, &partition);
            partition.note_damaged(ranges.clone());
            damaged.extend(ranges.into_iter().map(|range| (partition.id, range)));
        }
        self.report(shard, &damaged, state_lost);

        let snapshot = Snapshot::freeze(shard);
        let change = ManifestChange {
            segments: self.rescued.iter().map(|it| it.segment.row()).collect(),
            ranges: self
                .rescued
                .iter()
                .flat_map(|it| ranges_in(shard, &it.segment))
                .collect(),
            damaged,
            lost: lost.map(Some),
            ..ManifestChange::default()
        };
        shard.state.checkpoint(Some(&snapshot), &change)?;
        snapshot.written(&mut shard.applied());
        for rescued in &self.rescued {
            rescued.segment.set_listed();
        }
        Ok(())
    }

    /// Whether the last batch of a partition is known.
    fn ends_for_sure(&self, partition: PartitionId) -> bool {
        !self.end_unknown && self.grown.get(&partition).copied() > self.last_missing
    }

    /// More records than can be missing of a partition.
    fn records_max(&self, config: &LogConfig) -> i64 {
        // A segment is full once it is over its size, and a file that was cut off was longer.
        let full = config.segment_bytes + (config.group_bytes_max + config.queue_bytes_max) as u64;
        let longest = self.rescued.iter().map(|it| it.len).fold(full, u64::max);
        i64::try_from(longest.saturating_mul(RECORDS_PER_BYTE_MAX)).unwrap_or(i64::MAX)
    }

    /// The stretches of a partition that nothing holds, those that were known before left out.
    fn holes(&self, shard: &Shard, partition: &PartitionState) -> Vec<DamagedRange> {
        let mut held: Vec<(i64, i64)> = partition
            .ranges()
            .iter()
            .filter(|range| !self.has(&range.segment))
            .map(|range| (range.base, range.end))
            .collect();
        let kept = self.rescued.iter().filter_map(|it| it.kept.get(&partition.id));
        held.extend(kept.flatten());
        held.extend(partition.damaged().iter().map(|range| (range.from, range.to)));
        held.sort_unstable();

        let file = match self.rescued.last() {
            Some(rescued) => rescued.aside.clone(),
            None => format!("a segment of {}", shard_folder(shard.id)),
        };
        let mut holes = Vec::new();
        let mut from = partition.log_start();
        let end = partition.end();
        for (base, to) in held.into_iter().chain([(end, end)]) {
            if base > from {
                holes.push(DamagedRange {
                    from,
                    to: base,
                    file: file.clone(),
                });
            }
            from = from.max(to);
        }
        holes
    }

    fn report(&self, shard: &Shard, damaged: &[(PartitionId, DamagedRange)], state_lost: bool) {
        for rescued in &self.rescued {
            tracing::error!(
                shard = shard.id,
                file = rescued.aside,
                "a segment is damaged: it was set aside under this name, and what can be read of it is served. To have \
                 the rest, stop the broker and restore the data folder from a copy; otherwise the file may be deleted"
            );
        }
        for (partition, range) in damaged {
            tracing::error!(%partition, from = range.from, to = range.to, file = range.file, "records are lost");
        }
        if state_lost {
            tracing::error!(
                shard = shard.id,
                "cursors, state of plugins and sequences of producers may be older than the records: producers \
                 begin anew, and the ends of partitions were moved on so that no offset is given twice"
            );
        }
    }
}

impl Shard {
    /// A partition, made if it is not there. While something is lost, one that nobody knows of begins behind whatever
    /// it may have had.
    pub(crate) fn ensure(&self, id: PartitionId) -> Arc<PartitionState> {
        let lost = self.lost();
        if let (Some(lost), None) = (*lost, self.partitions.get(id)) {
            let partition = self.partitions.get_or_create(id);
            self.applied().move_end(&partition, lost.begin_at);
            partition.note_damaged([DamagedRange {
                from: 0,
                to: lost.begin_at,
                file: format!("a segment of {}", shard_folder(self.id)),
            }]);
        }
        drop(lost);
        self.partitions.get_or_create(id)
    }
}
