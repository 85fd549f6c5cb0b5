//! What is lost, as the state database has it.

use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError, WriteTransaction};

use super::{META, ManifestChange, padded};
use crate::damage::LostState;
use crate::store_error::StoreError;
use crate::{DamagedRange, PartitionId};

const DAMAGED: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("damaged");
const LOST: &str = "lost";

/// Adds what a change says is lost.
pub(super) fn put(txn: &WriteTransaction, change: &ManifestChange) -> Result<(), StoreError> {
    if !change.damaged.is_empty() {
        let mut damaged = txn.open_table(DAMAGED)?;
        for (partition, range) in &change.damaged {
            let mut key = padded::<16>(partition.to_key(), 0);
            key[8..].copy_from_slice(&range.from.to_be_bytes());
            let mut value = range.to.to_le_bytes().to_vec();
            value.extend_from_slice(range.file.as_bytes());
            damaged.insert(&key, value.as_slice())?;
        }
    }
    let mut meta = txn.open_table(META)?;
    match change.lost {
        Some(Some(lost)) => drop(meta.insert(LOST, lost.begin_at as u64)?),
        Some(None) => drop(meta.remove(LOST)?),
        None => {}
    }
    Ok(())
}

/// The lost stretches, by partition and offset.
pub(super) fn load(txn: &ReadTransaction) -> Result<Vec<(PartitionId, DamagedRange)>, StoreError> {
    let table = match txn.open_table(DAMAGED) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut damaged = Vec::new();
    for row in table.iter()? {
        let (key, value) = row?;
        let row = decode_damaged(key.value(), value.value());
        damaged.push(
            row.ok_or_else(|| StoreError::corrupt("a row of table 'damaged' makes no sense".to_owned()))?,
        );
    }
    Ok(damaged)
}

fn decode_damaged(key: &[u8; 16], value: &[u8]) -> Option<(PartitionId, DamagedRange)> {
    let (partition, from) = key.split_first_chunk()?;
    let (to, file) = value.split_first_chunk()?;
    let range = DamagedRange {
        from: i64::from_be_bytes(from.try_into().ok()?),
        to: i64::from_le_bytes(*to),
        file: String::from_utf8(file.to_vec()).ok()?,
    };
    Some((PartitionId::from_key(*partition), range))
}

/// Whether something of the shard's state is lost.
pub(super) fn load_lost(txn: &ReadTransaction) -> Result<Option<LostState>, StoreError> {
    let begin_at = txn.open_table(META)?.get(LOST)?;
    Ok(begin_at.map(|begin_at| LostState {
        begin_at: begin_at.value() as i64,
    }))
}

/// Forgets what a deleted topic has lost.
pub(super) fn forget_topic(txn: &WriteTransaction, low: [u8; 8], high: [u8; 8]) -> Result<(), StoreError> {
    let (low, high) = (padded::<16>(low, 0), padded::<16>(high, 0xff));
    txn.open_table(DAMAGED)?
        .retain_in::<&[u8; 16], _>(&low..=&high, |_, _| false)?;
    Ok(())
}
