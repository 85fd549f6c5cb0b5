//! Evidence of what was acknowledged.

use std::sync::Arc;

use redb::StorageBackend;

use crate::segment::shard_folder;
use crate::store_error::StoreError;
use crate::volume::Volume;

const LEN: usize = 12;

/// The number of the last group that was made durable, in a small file that is never fsynced: `[group u64 LE]`
/// `[CRC-32C u32 LE]`.
///
/// A last commit that redb does not find whole is one that a power cut tore, and was never acknowledged, or one that is
/// damaged. The file tells which: it is written after the fsync, so that it is never ahead of what was durable, and
/// whatever ends the process alone leaves it exact.
#[derive(Debug)]
pub(crate) struct Witness {
    file: Option<Box<dyn StorageBackend>>,
    number: u64,
}

impl Witness {
    /// Opens the file, or makes it.
    pub(crate) fn open(volume: &Arc<dyn Volume>, shard: u16) -> Result<Self, StoreError> {
        let folder = shard_folder(shard);
        let path = format!("{folder}/acknowledged");
        if !volume.list(&folder)?.iter().any(|name| name == "acknowledged") {
            let file = volume.create(&path).ok();
            return Ok(Self { file, number: 0 });
        }
        let file = volume.open(&path)?;
        let mut bytes = [0; LEN];
        // One that is too short or damaged is no evidence.
        let read = file.len().is_ok_and(|len| len >= LEN as u64) && file.read(0, &mut bytes).is_ok();
        let number = if read { decode(bytes) } else { None };
        Ok(Self {
            file: Some(file),
            number: number.unwrap_or(0),
        })
    }

    /// The last group that was made durable for sure; 0 if nobody knows.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Takes note that a group, and all before it, are durable.
    pub(crate) fn note(&mut self, number: u64) {
        self.number = number;
        if let Some(file) = &self.file {
            // Nothing depends on it while all is well.
            let _ = file.write(0, &encode(number));
        }
    }
}

fn encode(number: u64) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..8]);
    bytes[8..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: [u8; LEN]) -> Option<u64> {
    let (number, crc) = bytes.split_first_chunk()?;
    let number = u64::from_le_bytes(*number);
    (encode(number)[8..] == *crc).then_some(number)
}
