//! Header fields changed in place.

use crate::header::{ATTRIBUTES, BASE_OFFSET, BASE_SEQUENCE, CRC, LEADER_EPOCH, PRODUCER_EPOCH, PRODUCER_ID};
use crate::{BatchError, BatchHeader, HEADER_LEN, crc};

/// Sets the offset of the first record of the batch at the start of `batch`. The field lies outside the CRC.
///
/// # Errors
///
/// Those of [`BatchHeader::parse`]; the bytes are then left alone.
#[inline]
pub fn set_base_offset(batch: &mut [u8], offset: i64) -> Result<(), BatchError> {
    BatchHeader::parse(batch)?;
    put(batch, BASE_OFFSET, offset.to_be_bytes());
    Ok(())
}

/// Sets the leader epoch of the batch at the start of `batch`. The field lies outside the CRC.
///
/// # Errors
///
/// Those of [`BatchHeader::parse`]; the bytes are then left alone.
#[inline]
pub fn set_leader_epoch(batch: &mut [u8], epoch: i32) -> Result<(), BatchError> {
    BatchHeader::parse(batch)?;
    put(batch, LEADER_EPOCH, epoch.to_be_bytes());
    Ok(())
}

/// Sets producer id, producer epoch and base sequence of the batch at the start of `batch` and computes the CRC anew.
///
/// # Errors
///
/// Those of [`BatchHeader::parse`], and [`BatchError::Truncated`] where the batch is not there as a whole; the bytes
/// are then left alone.
pub fn set_producer(batch: &mut [u8], id: i64, epoch: i16, base_sequence: i32) -> Result<(), BatchError> {
    let needed = BatchHeader::parse(batch)?.batch_len;
    let have = batch.len();
    let Some(batch) = batch.get_mut(..needed) else {
        return Err(BatchError::Truncated { needed, have });
    };
    put(batch, PRODUCER_ID, id.to_be_bytes());
    put(batch, PRODUCER_EPOCH, epoch.to_be_bytes());
    put(batch, BASE_SEQUENCE, base_sequence.to_be_bytes());
    seal(batch);
    Ok(())
}

/// Writes the CRC of a whole batch.
pub(crate) fn seal(batch: &mut [u8]) {
    let crc = crc::crc32c(&batch[ATTRIBUTES..]);
    put(batch, CRC, crc.to_be_bytes());
}

/// Writes a header field. Every caller has made sure of the header.
#[inline(always)]
pub(crate) fn put<const N: usize>(batch: &mut [u8], at: usize, field: [u8; N]) {
    debug_assert!(batch.len() >= HEADER_LEN);
    batch[at..at + N].copy_from_slice(&field);
}
