use alloc::vec::Vec;

use crate::header::{
    ATTRIBUTES, BASE_SEQUENCE, BASE_TIMESTAMP, BATCH_LENGTH, CONTROL, LAST_OFFSET_DELTA, LEADER_EPOCH,
    LENGTH_PREFIX, MAGIC, MAX_TIMESTAMP, PRODUCER_EPOCH, PRODUCER_ID, RECORD_COUNT, TRANSACTIONAL,
};
use crate::varint::{MAX_VARINT, MAX_VARLONG, Scratch, len_i32, len_i64};
use crate::{BatchError, Codec, HEADER_LEN, codec, next_sequence, patch};

/// The batch length field is an `i32` and does not count the first 12 bytes.
const MAX_BATCH_LEN: usize = i32::MAX as usize;
/// Most bytes of a record before its tail: length, attributes, timestamp delta, offset delta.
const MAX_RECORD_HEAD: usize = MAX_VARINT + 1 + MAX_VARLONG + MAX_VARINT;
/// Room for what is written beyond the end of a record for a moment.
const SLACK: usize = MAX_VARINT;

/// Writes record batches, one after the other.
///
/// Records are encoded as they are pushed; [`finish`](Self::finish) completes the header and compresses.
///
/// ```
/// use weir_batch::{Batch, BatchBuilder};
///
/// let mut builder = BatchBuilder::new().producer(4711, 0, 0);
/// builder.push(1_700_000_000_000, None, Some(b"one"), &[])?;
/// builder.push(1_700_000_000_001, None, Some(b"two"), &[])?;
/// let bytes = builder.finish()?;
/// assert_eq!(Batch::parse(&bytes)?.len(), 2);
/// # Ok::<(), weir_batch::BatchError>(())
/// ```
#[derive(Debug)]
pub struct BatchBuilder {
    /// Room for the header, then the records. Empty until the first record comes.
    bytes: Vec<u8>,
    /// What the last batch took: the next one is likely to take as much.
    expected_len: usize,
    record_count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    codec: Codec,
    flags: i16,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    compressor: codec::Compressor,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// A builder without compression and without a producer id.
    pub fn new() -> Self {
        Self {
            bytes: Vec::new(),
            expected_len: 0,
            record_count: 0,
            base_timestamp: 0,
            max_timestamp: 0,
            codec: Codec::None,
            flags: 0,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            compressor: codec::Compressor::default(),
        }
    }

    /// Compresses the records of this and all further batches.
    #[must_use]
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// Sets producer id, producer epoch and the sequence number of the first record; see
    /// [`set_producer`](Self::set_producer).
    #[must_use]
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> Self {
        self.set_producer(id, epoch, base_sequence);
        self
    }

    /// Marks this and all further batches as part of a transaction.
    #[must_use]
    pub fn transactional(mut self, transactional: bool) -> Self {
        self.set_flag(TRANSACTIONAL, transactional);
        self
    }

    /// Marks this and all further batches as holding control records.
    #[must_use]
    pub fn control(mut self, control: bool) -> Self {
        self.set_flag(CONTROL, control);
        self
    }

    /// Compresses the records of this and all further batches.
    pub fn set_codec(&mut self, codec: Codec) {
        self.codec = codec;
    }

    /// Sets producer id, producer epoch and the sequence number of the batch's first record. [`finish`](Self::finish)
    /// advances the sequence number by the records of the batch. -1, -1, -1 is no producer.
    pub fn set_producer(&mut self, id: i64, epoch: i16, base_sequence: i32) {
        self.producer_id = id;
        self.producer_epoch = epoch;
        self.base_sequence = base_sequence;
    }

    /// Appends a record. `timestamp_ms` is in milliseconds since 1970; a record without value is a tombstone.
    ///
    /// # Errors
    ///
    /// [`BatchError::TooLarge`] if the batch would not fit the format's 31-bit lengths; the batch is as it was.
    pub fn push(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> Result<(), BatchError> {
        let tail_len = tail_len(key, value, headers)?;
        self.begin_record(timestamp_ms, tail_len)?;
        put_tail(&mut self.bytes, key, value, headers);
        Ok(())
    }

    /// Appends a record of which the bytes from the key's length on are there already: [`Record::tail`] or
    /// [`Tail::as_bytes`]. They are taken as they are; bytes of unknown origin go through [`Tail::parse`] first, or
    /// the batch will not parse.
    ///
    /// # Errors
    ///
    /// [`BatchError::TooLarge`] if the batch would not fit the format's 31-bit lengths; the batch is as it was.
    ///
    /// [`Record::tail`]: crate::Record::tail
    /// [`Tail::as_bytes`]: crate::Tail::as_bytes
    /// [`Tail::parse`]: crate::Tail::parse
    pub fn push_tail(&mut self, timestamp_ms: i64, tail: &[u8]) -> Result<(), BatchError> {
        self.begin_record(timestamp_ms, tail.len())?;
        self.bytes.extend_from_slice(tail);
        Ok(())
    }

    /// Records pushed since the last batch was finished.
    #[inline]
    pub fn len(&self) -> usize {
        self.record_count as usize
    }

    /// Whether there is no record yet.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Bytes of the batch so far, header included, before compression.
    #[inline]
    pub fn encoded_len(&self) -> usize {
        self.bytes.len().max(HEADER_LEN)
    }

    /// Most bytes that one more record with this content adds to [`encoded_len`](Self::encoded_len).
    pub fn record_len_max(
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> usize {
        tail_len(key, value, headers).unwrap_or(MAX_BATCH_LEN) + MAX_RECORD_HEAD
    }

    /// The batch: base offset 0, leader epoch -1, CRC set. The builder is then empty and keeps its settings, its
    /// sequence number advanced by the records of the batch.
    ///
    /// # Errors
    ///
    /// [`BatchError::Empty`] without records. [`BatchError::UnsupportedCodec`] if the codec's feature is off and
    /// [`BatchError::Compress`] if the compressor fails; the records are then still there.
    pub fn finish(&mut self) -> Result<Vec<u8>, BatchError> {
        if self.is_empty() {
            return Err(BatchError::Empty);
        }
        self.expected_len = self.bytes.len() + MAX_RECORD_HEAD + SLACK;
        let mut batch = if self.codec == Codec::None {
            core::mem::take(&mut self.bytes)
        } else {
            let mut batch = Vec::with_capacity(HEADER_LEN + self.bytes.len() / 2);
            batch.resize(HEADER_LEN, 0);
            self.compressor
                .compress(self.codec, &self.bytes[HEADER_LEN..], &mut batch)?;
            if batch.len() > MAX_BATCH_LEN {
                return Err(BatchError::TooLarge);
            }
            self.bytes.clear();
            batch
        };

        let length = (batch.len() - LENGTH_PREFIX) as i32;
        patch::put(&mut batch, BATCH_LENGTH, length.to_be_bytes());
        patch::put(&mut batch, LEADER_EPOCH, (-1i32).to_be_bytes());
        patch::put(&mut batch, MAGIC, [2]);
        patch::put(
            &mut batch,
            ATTRIBUTES,
            (self.flags | self.codec as i16).to_be_bytes(),
        );
        patch::put(
            &mut batch,
            LAST_OFFSET_DELTA,
            (self.record_count - 1).to_be_bytes(),
        );
        patch::put(&mut batch, BASE_TIMESTAMP, self.base_timestamp.to_be_bytes());
        patch::put(&mut batch, MAX_TIMESTAMP, self.max_timestamp.to_be_bytes());
        patch::put(&mut batch, PRODUCER_ID, self.producer_id.to_be_bytes());
        patch::put(&mut batch, PRODUCER_EPOCH, self.producer_epoch.to_be_bytes());
        patch::put(&mut batch, BASE_SEQUENCE, self.base_sequence.to_be_bytes());
        patch::put(&mut batch, RECORD_COUNT, self.record_count.to_be_bytes());
        patch::seal(&mut batch);

        if self.base_sequence >= 0 {
            self.base_sequence = next_sequence(self.base_sequence, self.record_count);
        }
        self.record_count = 0;
        Ok(batch)
    }

    /// Forgets the records pushed since the last batch was finished.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.record_count = 0;
    }

    fn set_flag(&mut self, flag: i16, on: bool) {
        if on {
            self.flags |= flag;
        } else {
            self.flags &= !flag;
        }
    }

    /// Writes what comes before the tail and counts the record.
    #[inline]
    fn begin_record(&mut self, timestamp_ms: i64, tail_len: usize) -> Result<(), BatchError> {
        // The record count needs no check of its own: 2 GiB hold fewer records than it can say.
        let most = self
            .encoded_len()
            .saturating_add(MAX_RECORD_HEAD)
            .saturating_add(tail_len);
        if most > MAX_BATCH_LEN {
            return Err(BatchError::TooLarge);
        }
        if self.record_count == 0 {
            self.bytes.clear();
            self.bytes
                .reserve((HEADER_LEN + MAX_RECORD_HEAD + tail_len).max(self.expected_len));
            self.bytes.resize(HEADER_LEN, 0);
            self.base_timestamp = timestamp_ms;
            self.max_timestamp = timestamp_ms;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp_ms);

        // Wraps as it does when it is read.
        let timestamp_delta = timestamp_ms.wrapping_sub(self.base_timestamp);
        let offset_delta = self.record_count;
        let len = 1 + len_i64(timestamp_delta) + len_i32(offset_delta) + tail_len;
        let mut head = Scratch::<MAX_RECORD_HEAD>::new();
        head.i32(len as i32);
        head.u8(0);
        head.i64(timestamp_delta);
        head.i32(offset_delta);
        self.bytes.reserve(MAX_RECORD_HEAD + tail_len + SLACK);
        head.append_to(&mut self.bytes);
        self.record_count += 1;
        Ok(())
    }
}

/// Bytes that key, value and headers take in a record.
#[inline]
pub(crate) fn tail_len(
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&str, Option<&[u8]>)],
) -> Result<usize, BatchError> {
    let count = i32::try_from(headers.len()).map_err(|_| BatchError::TooLarge)?;
    let mut len = nullable_len(key)?
        .checked_add(nullable_len(value)?)
        .and_then(|len| len.checked_add(len_i32(count)))
        .ok_or(BatchError::TooLarge)?;
    for (name, value) in headers {
        len = nullable_len(Some(name.as_bytes()))?
            .checked_add(nullable_len(*value)?)
            .and_then(|header| header.checked_add(len))
            .ok_or(BatchError::TooLarge)?;
    }
    Ok(len)
}

/// Appends key, value and headers. [`tail_len`] has made sure of the lengths.
#[inline]
pub(crate) fn put_tail(
    out: &mut Vec<u8>,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&str, Option<&[u8]>)],
) {
    put_nullable(out, key);
    put_nullable(out, value);
    put_len(out, headers.len() as i32);
    for (name, value) in headers {
        put_nullable(out, Some(name.as_bytes()));
        put_nullable(out, *value);
    }
}

#[inline]
fn nullable_len(bytes: Option<&[u8]>) -> Result<usize, BatchError> {
    let Some(bytes) = bytes else { return Ok(1) };
    let len = i32::try_from(bytes.len()).map_err(|_| BatchError::TooLarge)?;
    Ok(len_i32(len) + bytes.len())
}

#[inline]
fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            put_len(out, bytes.len() as i32);
            out.extend_from_slice(bytes);
        }
        None => put_len(out, -1),
    }
}

#[inline]
fn put_len(out: &mut Vec<u8>, len: i32) {
    let mut varint = Scratch::<MAX_VARINT>::new();
    varint.i32(len);
    varint.append_to(out);
}

#[cfg(test)]
#[path = "builder_tests.rs"]
mod tests;
