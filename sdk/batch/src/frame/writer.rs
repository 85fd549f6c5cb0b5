use alloc::vec::Vec;

use super::{DEAD_LETTER, EMIT, EMIT_TO, FAIL, HEADER_LEN, OutputPartition, RETRY, Target, VERSION};
use crate::BatchError;
use crate::builder::{put_tail, tail_len};
use crate::varint::{MAX_VARINT, MAX_VARLONG, Scratch};

/// Most bytes of an entry before its tail or reason.
const MAX_ENTRY_HEAD: usize = 1 + MAX_VARINT + MAX_VARINT + MAX_VARINT + MAX_VARLONG + MAX_VARINT;

/// Writes an output frame.
///
/// ```
/// use weir_batch::frame::{Reader, Writer};
///
/// let mut writer = Writer::new(Vec::new());
/// writer.emit(0, 0, 12, None, Some(b"value"), &[])?;
/// writer.dead_letter(1, "no JSON")?;
/// let bytes = writer.finish();
///
/// let reader = Reader::new(&bytes, 2, 1)?;
/// assert_eq!(reader.entries().count(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    count: u32,
}

impl Writer {
    /// Begins a frame in `buffer`, whose content is lost and whose memory is used on.
    pub fn new(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.extend_from_slice(&[VERSION, 0, 0, 0, 0]);
        Self {
            bytes: buffer,
            count: 0,
        }
    }

    /// Appends a record for `output`, made from the input record `source`. `timestamp_delta` is in milliseconds after
    /// the input batch's base timestamp.
    ///
    /// # Errors
    ///
    /// [`BatchError::TooLarge`] beyond the format's 31-bit lengths; the frame is as it was.
    #[inline]
    pub fn emit(
        &mut self,
        output: u32,
        source: u32,
        timestamp_delta: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> Result<(), BatchError> {
        self.emit_to(unchosen(output), source, timestamp_delta, key, value, headers)
    }

    /// The same for a partition of the output. There is no partition [`u32::MAX`]: it is taken for the one before.
    ///
    /// # Errors
    ///
    /// [`BatchError::TooLarge`] beyond the format's 31-bit lengths; the frame is as it was.
    #[inline]
    pub fn emit_to(
        &mut self,
        target: Target,
        source: u32,
        timestamp_delta: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> Result<(), BatchError> {
        let tail_len = tail_len(key, value, headers)?;
        self.begin_emit(target, source, timestamp_delta, tail_len)?;
        put_tail(&mut self.bytes, key, value, headers);
        Ok(())
    }

    /// [`emit`](Self::emit) with the record's bytes from its key's length on, as [`Record::tail`](crate::Record::tail) gives them.
    ///
    /// # Errors
    ///
    /// [`BatchError::TooLarge`] beyond the format's 31-bit lengths; the frame is as it was.
    #[inline]
    pub fn emit_tail(
        &mut self,
        output: u32,
        source: u32,
        timestamp_delta: i64,
        tail: &[u8],
    ) -> Result<(), BatchError> {
        self.emit_tail_to(unchosen(output), source, timestamp_delta, tail)
    }

    /// The same for a partition of the output, as in [`emit_to`](Self::emit_to).
    ///
    /// # Errors
    ///
    /// [`BatchError::TooLarge`] beyond the format's 31-bit lengths; the frame is as it was.
    #[inline]
    pub fn emit_tail_to(
        &mut self,
        target: Target,
        source: u32,
        timestamp_delta: i64,
        tail: &[u8],
    ) -> Result<(), BatchError> {
        self.begin_emit(target, source, timestamp_delta, tail.len())?;
        self.bytes.extend_from_slice(tail);
        Ok(())
    }

    /// Sends the input record `source` to the dead-letter topic.
    ///
    /// # Errors
    ///
    /// [`BatchError::TooLarge`] beyond the format's 31-bit lengths; the frame is as it was.
    pub fn dead_letter(&mut self, source: u32, reason: &str) -> Result<(), BatchError> {
        self.put_fault(DEAD_LETTER, source, reason)
    }

    /// Asks for the input record `source` to be tried again later.
    ///
    /// # Errors
    ///
    /// [`BatchError::TooLarge`] beyond the format's 31-bit lengths; the frame is as it was.
    pub fn retry(&mut self, source: u32, reason: &str) -> Result<(), BatchError> {
        self.put_fault(RETRY, source, reason)
    }

    /// Reports that the plugin cannot go on after the input record `source`.
    ///
    /// # Errors
    ///
    /// [`BatchError::TooLarge`] beyond the format's 31-bit lengths; the frame is as it was.
    pub fn fail(&mut self, source: u32, reason: &str) -> Result<(), BatchError> {
        self.put_fault(FAIL, source, reason)
    }

    /// Bytes of the frame so far.
    #[inline]
    pub fn encoded_len(&self) -> usize {
        self.bytes.len()
    }

    /// Entries so far.
    #[inline]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is no entry yet.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The frame.
    #[inline]
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes[1..HEADER_LEN].copy_from_slice(&self.count.to_le_bytes());
        self.bytes
    }

    #[inline]
    fn begin_emit(
        &mut self,
        target: Target,
        source: u32,
        timestamp_delta: i64,
        tail_len: usize,
    ) -> Result<(), BatchError> {
        self.begin_entry(tail_len)?;
        let mut head = Scratch::<MAX_ENTRY_HEAD>::new();
        let place = match target.partition {
            OutputPartition::Unchosen => None,
            OutputPartition::Source => Some(0),
            OutputPartition::Index(index) => Some(index.saturating_add(1)),
        };
        head.u8(if place.is_some() { EMIT_TO } else { EMIT });
        head.u32(target.output);
        head.u32(source);
        if let Some(place) = place {
            head.u32(place);
        }
        head.i64(timestamp_delta);
        head.u32(tail_len as u32);
        head.append_to(&mut self.bytes);
        Ok(())
    }

    fn put_fault(&mut self, kind: u8, source: u32, reason: &str) -> Result<(), BatchError> {
        self.begin_entry(reason.len())?;
        let mut head = Scratch::<MAX_ENTRY_HEAD>::new();
        head.u8(kind);
        head.u32(source);
        head.u32(reason.len() as u32);
        head.append_to(&mut self.bytes);
        self.bytes.extend_from_slice(reason.as_bytes());
        Ok(())
    }

    /// Makes room for an entry and counts it.
    #[inline]
    fn begin_entry(&mut self, body_len: usize) -> Result<(), BatchError> {
        if body_len > i32::MAX as usize {
            return Err(BatchError::TooLarge);
        }
        self.count = self.count.checked_add(1).ok_or(BatchError::TooLarge)?;
        self.bytes.reserve(MAX_ENTRY_HEAD + body_len);
        Ok(())
    }
}

fn unchosen(output: u32) -> Target {
    Target {
        output,
        partition: OutputPartition::Unchosen,
    }
}
