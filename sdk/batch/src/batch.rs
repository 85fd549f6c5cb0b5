use alloc::vec::Vec;

use crate::header::{ATTRIBUTES, BATCH_LENGTH, CODEC_BITS, LENGTH_PREFIX};
use crate::record::{self, Records};
use crate::{BatchError, BatchHeader, Codec, HEADER_LEN, codec, crc, patch};

/// Fewest bytes a record takes: length, attributes, both deltas, key length, value length, header count.
pub(crate) const MIN_RECORD_LEN: usize = 7;

/// One whole record batch, borrowed.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    header: BatchHeader,
    codec: Codec,
    /// Whether every record was looked at.
    walked: bool,
    bytes: &'a [u8],
}

impl<'a> Batch<'a> {
    /// Checks the batch at the start of `bytes`: magic, lengths, codec, record count, CRC-32C and, if it is not
    /// compressed, every record (lengths, UTF-8 of header names, offset deltas 0, 1, 2...). What follows the batch is
    /// left alone; `as_bytes().len()` says where that begins.
    ///
    /// The records of a compressed batch are checked by [`decompress`](Self::decompress).
    ///
    /// # Errors
    ///
    /// [`BatchError`], the first fault found.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        if header.last_offset_delta != header.record_count.wrapping_sub(1) {
            return Err(invalid_count(&header));
        }
        Self::parse_sparse(bytes)
    }

    /// The same for a batch out of a log that may have been compacted: offset deltas ascend, up to the header's last
    /// one, but some may be missing. A producer's batch has no gaps; use [`parse`](Self::parse) for those.
    ///
    /// # Errors
    ///
    /// [`BatchError`], the first fault found.
    pub fn parse_sparse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let mut batch = Self::parse_trusted(bytes)?;
        let computed = crc::crc32c(&batch.bytes[ATTRIBUTES..]);
        if computed != batch.header.crc {
            return Err(BatchError::CrcMismatch {
                expected: batch.header.crc,
                computed,
            });
        }
        if batch.codec == Codec::None {
            batch.walk()?;
        }
        Ok(batch)
    }

    /// The same without CRC and without a look at the records, for bytes that somebody has checked already (a guest's
    /// input). Malformed records end the iteration early; nothing panics.
    ///
    /// # Errors
    ///
    /// [`BatchError`] for a header that cannot be: magic, lengths, codec, record count.
    #[inline]
    pub fn parse_trusted(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        let codec = header.codec()?;
        let Some(bytes) = bytes.get(..header.batch_len) else {
            return Err(BatchError::Truncated {
                needed: header.batch_len,
                have: bytes.len(),
            });
        };
        let count = header.record_count;
        let fits = codec != Codec::None || count as usize <= (bytes.len() - HEADER_LEN) / MIN_RECORD_LEN;
        if count < 1 || header.last_offset_delta < count - 1 || !fits {
            return Err(invalid_count(&header));
        }
        Ok(Self {
            header,
            codec,
            walked: false,
            bytes,
        })
    }

    /// The decoded header.
    #[inline]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch, header and records.
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What the records are compressed with.
    #[inline]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Records in the batch: one at least. Of a compressed batch it is what the header claims, up to `i32::MAX`.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a batch has a record at least")]
    pub fn len(&self) -> usize {
        self.header.record_count as usize
    }

    /// Offset of the first record.
    #[inline]
    pub fn base_offset(&self) -> i64 {
        self.header.base_offset
    }

    /// Offset of the last record.
    #[inline]
    pub fn last_offset(&self) -> i64 {
        self.header.last_offset()
    }

    /// What the records' timestamp deltas count from: milliseconds since 1970.
    #[inline]
    pub fn base_timestamp(&self) -> i64 {
        self.header.base_timestamp
    }

    /// The latest timestamp, as the header has it: milliseconds since 1970.
    #[inline]
    pub fn max_timestamp(&self) -> i64 {
        self.header.max_timestamp
    }

    /// The records, first to last.
    ///
    /// # Errors
    ///
    /// [`BatchError::Compressed`] for a compressed batch: [`decompress`](Self::decompress) it first.
    #[inline]
    pub fn records(&self) -> Result<Records<'a>, BatchError> {
        if self.codec != Codec::None {
            return Err(BatchError::Compressed { codec: self.codec });
        }
        Ok(Records::new(&self.header, self.payload()))
    }

    /// The same batch uncompressed and checked in full. A batch without compression is borrowed as it is; of any
    /// other a whole uncompressed batch is written into `scratch`, whose former content is lost: codec bits cleared,
    /// CRC computed anew, everything else as it was.
    ///
    /// `limit` is the most bytes that the uncompressed records may take. No more than that and what the compressed
    /// bytes themselves justify is ever allocated for them.
    ///
    /// # Errors
    ///
    /// [`BatchError::UnsupportedCodec`] if the codec's feature is off, [`BatchError::Decompress`],
    /// [`BatchError::DecompressedTooLarge`], and whatever [`parse`](Self::parse) finds wrong with records.
    pub fn decompress<'b>(&self, scratch: &'b mut Vec<u8>, limit: usize) -> Result<Batch<'b>, BatchError>
    where
        'a: 'b,
    {
        let mut batch = *self;
        if self.codec == Codec::None {
            if self.payload().len() > limit {
                return Err(BatchError::DecompressedTooLarge { limit });
            }
            batch.walk()?;
            return Ok(batch);
        }
        scratch.clear();
        scratch.extend_from_slice(&self.bytes[..HEADER_LEN]);
        codec::decompress(self.codec, self.payload(), scratch, limit)?;

        let length = scratch.len() - LENGTH_PREFIX;
        let length = i32::try_from(length).map_err(|_| BatchError::DecompressedTooLarge { limit })?;
        patch::put(scratch, BATCH_LENGTH, length.to_be_bytes());
        patch::put(
            scratch,
            ATTRIBUTES,
            (self.header.attributes & !CODEC_BITS).to_be_bytes(),
        );
        patch::seal(scratch);
        let mut batch = Batch::parse_trusted(scratch)?;
        batch.walk()?;
        Ok(batch)
    }

    /// The bytes behind the header.
    #[inline]
    fn payload(&self) -> &'a [u8] {
        &self.bytes[HEADER_LEN..]
    }

    fn walk(&mut self) -> Result<(), BatchError> {
        if !self.walked {
            record::validate(&self.header, self.payload())?;
            self.walked = true;
        }
        Ok(())
    }
}

fn invalid_count(header: &BatchHeader) -> BatchError {
    BatchError::InvalidRecordCount {
        count: header.record_count,
        last_offset_delta: header.last_offset_delta,
    }
}

impl core::fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Batch")
            .field("header", &self.header)
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
