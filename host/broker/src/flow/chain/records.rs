//! The records between two plugins of a chain.

use std::ops::Range;

use weir_batch::frame::Target;
use weir_batch::{Batch, BatchBuilder, BatchError, bitmap};

/// The records between two plugins.
pub(super) struct Records<'a> {
    pub(super) batch: Batch<'a>,
    /// By record: its index in the source batch. `None`: its own.
    pub(super) sources: Option<Vec<u32>>,
    /// By record: where the last transform has it go. `None`: to every sink.
    pub(super) targets: Option<Vec<Target>>,
}

impl Records<'_> {
    pub(super) fn source(&self, index: usize) -> u32 {
        self.sources
            .as_ref()
            .map_or(index as u32, |sources| sources[index])
    }
}

/// The records that a filter keeps, where these are not all.
pub(super) struct Keep {
    pub(super) bits: Vec<u8>,
    pub(super) count: usize,
}

impl Keep {
    /// `None` if all `len` records are kept.
    pub(super) fn of(bits: &[u8], len: usize) -> Option<Self> {
        let count = bitmap::count_ones(bits);
        (count < len).then(|| Self {
            bits: bits.to_vec(),
            count,
        })
    }

    pub(super) fn range(range: Range<usize>, len: usize) -> Self {
        let mut bits = vec![0; bitmap::byte_len(len)];
        let count = range.len();
        range.for_each(|index| bitmap::set(&mut bits, index));
        Self { bits, count }
    }
}

/// The kept records as a batch of their own: its bytes, its sources, its targets.
pub(super) type Rewritten = (Vec<u8>, Vec<u32>, Option<Vec<Target>>);

pub(super) fn rewrite(
    records: &Records<'_>,
    keep: &Keep,
    builder: &mut BatchBuilder,
) -> Result<Rewritten, BatchError> {
    builder.clear();
    let mut sources = Vec::with_capacity(keep.count);
    let mut targets = records.targets.as_ref().map(|_| Vec::with_capacity(keep.count));
    let mut seen = 0;
    for (index, record) in records.batch.records()?.enumerate() {
        seen += 1;
        if bitmap::get(&keep.bits, index) {
            builder.push_tail(record.timestamp(), record.tail())?;
            sources.push(records.source(index));
            if let (Some(made), Some(targets)) = (&mut targets, &records.targets) {
                made.push(targets[index]);
            }
        }
    }
    check_count(&records.batch, seen)?;
    Ok((builder.finish()?, sources, targets))
}

pub(super) fn as_records(
    bytes: &[u8],
    sources: Vec<u32>,
    targets: Option<Vec<Target>>,
) -> Result<Records<'_>, BatchError> {
    Ok(Records {
        batch: Batch::parse_trusted(bytes)?,
        sources: Some(sources),
        targets,
    })
}

/// A batch is not walked before it is used: that it ends early shows only now.
pub(super) fn check_count(batch: &Batch<'_>, seen: usize) -> Result<(), BatchError> {
    if seen == batch.len() {
        return Ok(());
    }
    let header = batch.header();
    Err(BatchError::InvalidRecordCount {
        count: header.record_count,
        last_offset_delta: header.last_offset_delta,
    })
}
