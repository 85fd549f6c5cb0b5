//! Whether a segment that was not sealed is what was written.

use std::sync::Arc;

use redb::{ReadableDatabase, ReadableTable};

use super::tree::Wreck;
use crate::descriptor::Descriptor;
use crate::segment::{DATA, GROUPS, Segment};
use crate::shard::Shard;
use crate::store_error::{StoreError, guarded};

/// Opens a segment to be written to, repairing it if need be, and says whether that, or reading what its groups are, is
/// impossible. `later` are the segments after it, `witness` the last group that was durable for sure.
///
/// redb checks all pages of a file after a crash and none of a file that was closed, which is done here instead: what is
/// appended next to a damaged row may fail for ever.
///
/// redb goes back to the commit before the last if the last one is not whole. That is right where a power cut tore it
/// and wrong where it had been acknowledged, so it is let do so only if no group goes missing.
pub(crate) fn is_damaged(
    shard: &Shard,
    segment: &Segment,
    later: &[Arc<Segment>],
    witness: u64,
) -> Result<bool, StoreError> {
    let file = segment.file();
    let wreck = Wreck::open(shard.volume.open(&file.path())?)?;
    if wreck.is_closed() && !wreck.is_whole()? {
        tracing::error!(
            file = file.path(),
            "a segment has pages that are not what was written"
        );
        return Ok(true);
    }
    let opened = match wreck.knows_last() {
        true => file.open_writer_as_is(),
        false => Err(StoreError::corrupt("a commit slot of its header is damaged")),
    };
    let opened = match opened {
        Err(StoreError::Corrupt(what)) => match last_group(segment) {
            Ok(last) if last.max(shard.applied().number) >= needed(later, witness) => {
                file.close();
                file.open_writer()
            }
            Ok(_) | Err(StoreError::Corrupt(_)) => Err(StoreError::Corrupt(what)),
            Err(error) => Err(error),
        },
        opened => opened,
    };
    match opened.and_then(|()| check_groups(segment)) {
        Ok(()) => Ok(false),
        Err(StoreError::Corrupt(what)) => {
            tracing::error!(file = file.path(), what, "a segment is damaged");
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

/// The last group that a segment, or those before it, must have: the one before the first of the next segment with any.
fn needed(later: &[Arc<Segment>], witness: u64) -> u64 {
    let first = later.iter().find_map(|segment| {
        let first = edge(segment, |table| {
            Ok(table.first()?.map(|(number, _)| number.value()))
        });
        segment.file().close_view();
        first.ok().flatten()
    });
    first.map_or(witness, |first| first.saturating_sub(1))
}

/// The last group of a segment as redb would repair it, 0 if it has none. Nothing of the file is changed.
fn last_group(segment: &Segment) -> Result<u64, StoreError> {
    let last = edge(segment, |table| {
        Ok(table.last()?.map(|(number, _)| number.value()))
    });
    segment.file().close_view();
    Ok(last?.unwrap_or(0))
}

fn edge(
    segment: &Segment,
    which: impl FnOnce(&redb::ReadOnlyTable<u64, &[u8]>) -> Result<Option<u64>, StoreError>,
) -> Result<Option<u64>, StoreError> {
    segment.file().with_reader(|database| {
        guarded(|| {
            let txn = database.begin_read()?;
            which(&txn.open_table(GROUPS)?)
        })
    })
}

fn check_groups(segment: &Segment) -> Result<(), StoreError> {
    segment.file().with_writer(|database| {
        let txn = database.begin_read()?;
        txn.open_table(DATA)?;
        let mut last = None;
        for row in txn.open_table(GROUPS)?.iter()? {
            let (number, value) = row?;
            let number = number.value();
            if last >= Some(number) {
                return Err(StoreError::corrupt("the groups are out of order"));
            }
            last = Some(number);
            Descriptor::decode(value.value()).map_err(StoreError::corrupt)?;
        }
        Ok(())
    })
}
