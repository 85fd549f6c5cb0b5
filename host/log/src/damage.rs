//! Damaged files: what is done with a segment that is written to and cannot be opened any more.
//!
//! A sealed segment is only ever read, and damage in it is met by the reads that get there. The segment that was
//! written to last has to be opened by redb to go on, and after a crash redb refuses it for a single page that is not
//! what was written. Then, at the start:
//!
//! 1. the file is renamed to `NAME.damaged` and never touched again;
//! 2. the rows that can still be [proven](tree) to be what was committed are copied to the segment's next generation,
//!    which is sealed ([`rescue`]);
//! 3. what is missing becomes stretches of lost offsets, each with the file's name; where the end of a partition is not
//!    known it moves on by more than can have been there, so that no offset is given twice ([`account`]).

mod account;
mod detect;
mod rescue;
mod tree;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use crate::PartitionId;
use crate::descriptor::{BatchOp, Descriptor, Op};
use crate::segment::Segment;
use crate::shard::Shard;
use crate::store_error::StoreError;

pub(crate) use detect::is_damaged;
pub(crate) use rescue::{is_aside, is_set_aside, rescue};

/// Offsets of a partition whose records were lost with a damaged file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DamagedRange {
    /// The first one.
    pub from: i64,
    /// The one after the last.
    pub to: i64,
    /// The file, under the name that it was set aside with, as the volume names it.
    pub file: String,
}

impl fmt::Display for DamagedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, file } = self;
        write!(f, "offsets {from} to {} were lost with {file}", to - 1)
    }
}

/// Changes of a shard's key-value pairs and producers are lost, and nobody has dealt with that yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct LostState {
    /// Where partitions begin that the log does not know of: they may have had records.
    pub(crate) begin_at: i64,
}

/// What turns out to be missing while a shard is opened.
#[derive(Debug, Default)]
pub(crate) struct Loss {
    rescued: Vec<Rescued>,
    /// Groups up to this one are missing, and others before it may be.
    last_missing: Option<u64>,
    /// Groups at the end of the last segment may be missing.
    end_unknown: bool,
    /// The last group with a batch of each partition.
    grown: HashMap<PartitionId, u64>,
}

/// A segment whose file was set aside.
#[derive(Debug)]
struct Rescued {
    segment: Arc<Segment>,
    /// The file's new name.
    aside: String,
    /// Bytes of it.
    len: u64,
    /// The stretches of offsets that can be read, by partition.
    kept: BTreeMap<PartitionId, Vec<(i64, i64)>>,
}

impl Loss {
    /// Whether the segment's file was set aside.
    pub(crate) fn has(&self, segment: &Segment) -> bool {
        self.rescued
            .iter()
            .any(|rescued| std::ptr::eq(&*rescued.segment, segment))
    }

    /// Takes up a group that is newer than the checkpoint. Those before it may be missing.
    pub(crate) fn apply(
        &mut self,
        shard: &Shard,
        segment: &Arc<Segment>,
        number: u64,
        descriptor: &Descriptor,
    ) -> Result<(), StoreError> {
        let corrupt = |what: &str| StoreError::corrupt(format!("group {number}: {what}"));
        let next = shard.applied().number + 1;
        if number > next {
            self.last_missing = Some(number - 1);
            shard.applied().skip_to(number);
        }
        // There is a group behind what was not known.
        self.end_unknown = false;
        let mut met = HashSet::new();
        for batch in batches(descriptor) {
            self.grown.insert(batch.partition, number);
            if met.insert(batch.partition) {
                let partition = shard.partitions.get_or_create(batch.partition);
                // A gap that no missing group explains is refused below.
                if batch.base_offset > partition.end() && self.last_missing.is_some() {
                    shard.applied().move_end(&partition, batch.base_offset);
                }
            }
        }
        shard
            .apply(segment, number, descriptor)
            .map_err(corrupt)?
            .publish();
        Ok(())
    }
}

fn batches(descriptor: &Descriptor) -> impl Iterator<Item = &BatchOp> {
    descriptor.ops.iter().filter_map(|op| match op {
        Op::Batch(batch) => Some(batch),
        _ => None,
    })
}
