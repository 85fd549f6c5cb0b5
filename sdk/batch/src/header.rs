use crate::{BatchError, Codec};

/// Bytes before the first record.
pub const HEADER_LEN: usize = 61;
/// Bytes before the first byte that the batch length field counts.
pub(crate) const LENGTH_PREFIX: usize = 12;
/// Smallest value of the batch length field: a header and no record.
const MIN_BATCH_LENGTH: i32 = (HEADER_LEN - LENGTH_PREFIX) as i32;

pub(crate) const BASE_OFFSET: usize = 0;
pub(crate) const BATCH_LENGTH: usize = 8;
pub(crate) const LEADER_EPOCH: usize = 12;
pub(crate) const MAGIC: usize = 16;
pub(crate) const CRC: usize = 17;
/// The checksum covers everything from here on.
pub(crate) const ATTRIBUTES: usize = 21;
pub(crate) const LAST_OFFSET_DELTA: usize = 23;
pub(crate) const BASE_TIMESTAMP: usize = 27;
pub(crate) const MAX_TIMESTAMP: usize = 35;
pub(crate) const PRODUCER_ID: usize = 43;
pub(crate) const PRODUCER_EPOCH: usize = 51;
pub(crate) const BASE_SEQUENCE: usize = 53;
pub(crate) const RECORD_COUNT: usize = 57;

pub(crate) const CODEC_BITS: i16 = 0x07;
pub(crate) const LOG_APPEND_TIME: i16 = 0x08;
pub(crate) const TRANSACTIONAL: i16 = 0x10;
pub(crate) const CONTROL: i16 = 0x20;

/// The header of a batch, decoded. Nothing behind the header was looked at to make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Bytes of the whole batch, from the base offset to the end of the last record. At least [`HEADER_LEN`].
    pub batch_len: usize,
    /// Epoch of the leader that appended the batch, -1 if none did.
    pub leader_epoch: i32,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Codec (bits 0 to 2), timestamp type (3), transactional (4), control (5).
    pub attributes: i16,
    /// Offset of the last record less the base offset.
    pub last_offset_delta: i32,
    /// What the records' timestamp deltas count from: milliseconds since 1970.
    pub base_timestamp: i64,
    /// The latest timestamp of the records: milliseconds since 1970.
    pub max_timestamp: i64,
    /// Who produced the batch, -1 if that is not said.
    pub producer_id: i64,
    /// Epoch of the producer id.
    pub producer_epoch: i16,
    /// Sequence number of the first record, -1 for a producer without an id.
    pub base_sequence: i32,
    /// Records in the batch, as the header has it.
    pub record_count: i32,
}

impl BatchHeader {
    /// Decodes the header at the start of `bytes`, which need not hold the records.
    ///
    /// # Errors
    ///
    /// [`BatchError::Truncated`] with fewer than [`HEADER_LEN`] bytes, [`BatchError::UnsupportedMagic`], and
    /// [`BatchError::InvalidBatchLength`] where the length is less than a header's.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let Some(bytes) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(BatchError::Truncated {
                needed: HEADER_LEN,
                have: bytes.len(),
            });
        };
        let magic = bytes[MAGIC] as i8;
        if magic != 2 {
            return Err(BatchError::UnsupportedMagic { magic });
        }
        let length = i32_at(bytes, BATCH_LENGTH);
        if length < MIN_BATCH_LENGTH {
            return Err(BatchError::InvalidBatchLength { length });
        }
        Ok(Self {
            base_offset: i64_at(bytes, BASE_OFFSET),
            batch_len: length as usize + LENGTH_PREFIX,
            leader_epoch: i32_at(bytes, LEADER_EPOCH),
            crc: i32_at(bytes, CRC) as u32,
            attributes: i16_at(bytes, ATTRIBUTES),
            last_offset_delta: i32_at(bytes, LAST_OFFSET_DELTA),
            base_timestamp: i64_at(bytes, BASE_TIMESTAMP),
            max_timestamp: i64_at(bytes, MAX_TIMESTAMP),
            producer_id: i64_at(bytes, PRODUCER_ID),
            producer_epoch: i16_at(bytes, PRODUCER_EPOCH),
            base_sequence: i32_at(bytes, BASE_SEQUENCE),
            record_count: i32_at(bytes, RECORD_COUNT),
        })
    }

    /// The codec of the records.
    ///
    /// # Errors
    ///
    /// [`BatchError::UnknownCodec`] for the bits 5 to 7.
    #[inline]
    pub fn codec(&self) -> Result<Codec, BatchError> {
        Codec::from_attributes(self.attributes)
    }

    /// Offset of the last record.
    #[inline]
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// Offset of the record after the last one.
    #[inline]
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// Sequence number of the last record; -1 where there are no sequence numbers.
    #[inline]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            -1
        } else {
            next_sequence(self.base_sequence, self.last_offset_delta)
        }
    }

    /// Whether a producer id (and with it sequence numbers) is given.
    #[inline]
    pub fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }

    /// Whether the records' time is that of appending ([`max_timestamp`](Self::max_timestamp) for all of them) and
    /// not that of their making.
    #[inline]
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    /// Whether the batch belongs to a transaction.
    #[inline]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether the batch holds control records (transaction markers), which no application sees.
    #[inline]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }
}

/// The sequence number `count` records after `sequence`. After `i32::MAX` comes 0, as in Kafka.
///
/// ```
/// assert_eq!(weir_batch::next_sequence(i32::MAX, 1), 0);
/// ```
#[inline]
pub fn next_sequence(sequence: i32, count: i32) -> i32 {
    sequence.wrapping_add(count) & i32::MAX
}

#[inline(always)]
fn i16_at(bytes: &[u8; HEADER_LEN], at: usize) -> i16 {
    i16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[inline(always)]
fn i32_at(bytes: &[u8; HEADER_LEN], at: usize) -> i32 {
    i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[inline(always)]
fn i64_at(bytes: &[u8; HEADER_LEN], at: usize) -> i64 {
    i64::from(i32_at(bytes, at)) << 32 | i64::from(i32_at(bytes, at + 4) as u32)
}
