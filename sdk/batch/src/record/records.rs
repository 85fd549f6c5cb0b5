use crate::cursor::Cursor;
use crate::record::{Record, Tail};
use crate::{BatchError, BatchHeader, RecordField};

/// The records of an uncompressed batch, first to last, without allocating.
///
/// Of a batch that [`Batch::parse`](crate::Batch::parse) checked it yields every record; of one that was only trusted
/// it ends at the first malformed record.
#[derive(Clone, Copy)]
pub struct Records<'a> {
    cursor: Cursor<'a>,
    remaining: u32,
    base_offset: i64,
    /// A record's timestamp is `time_base + (delta & time_mask)`: with the time of appending, deltas do not count.
    time_base: i64,
    time_mask: i64,
}

impl<'a> Records<'a> {
    #[inline]
    pub(crate) fn new(header: &BatchHeader, payload: &'a [u8]) -> Self {
        let (time_base, time_mask) = if header.is_log_append_time() {
            (header.max_timestamp, 0)
        } else {
            (header.base_timestamp, -1)
        };
        Self {
            cursor: Cursor::new(payload),
            remaining: u32::try_from(header.record_count).unwrap_or(0),
            base_offset: header.base_offset,
            time_base,
            time_mask,
        }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<Record<'a>> {
        self.remaining = self.remaining.checked_sub(1)?;
        let Ok(raw) = RawRecord::take(&mut self.cursor) else {
            self.remaining = 0;
            return None;
        };
        let Ok(tail) = Tail::parse_unchecked_headers(raw.tail) else {
            self.remaining = 0;
            return None;
        };
        Some(Record {
            offset_delta: raw.offset_delta,
            timestamp_delta: raw.timestamp_delta,
            offset: self.base_offset.wrapping_add(i64::from(raw.offset_delta)),
            timestamp: self.time_base.wrapping_add(raw.timestamp_delta & self.time_mask),
            tail,
        })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        // Not the count: in bytes that nobody has checked it may lie.
        (0, Some(self.remaining as usize))
    }
}

impl core::iter::FusedIterator for Records<'_> {}

impl core::fmt::Debug for Records<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Records")
            .field("remaining", &self.remaining)
            .finish_non_exhaustive()
    }
}

/// A record up to its tail.
struct RawRecord<'a> {
    timestamp_delta: i64,
    offset_delta: i32,
    tail: &'a [u8],
}

impl<'a> RawRecord<'a> {
    #[inline(always)]
    fn take(cursor: &mut Cursor<'a>) -> Result<Self, RecordField> {
        let len = cursor.varint().ok_or(RecordField::Length)?;
        let len = usize::try_from(len).map_err(|_| RecordField::Length)?;
        let mut record = Cursor::new(cursor.take(len).ok_or(RecordField::Length)?);
        // The attributes of a record have no meaning yet.
        record.u8().ok_or(RecordField::Attributes)?;
        let timestamp_delta = record.varlong().ok_or(RecordField::TimestampDelta)?;
        let offset_delta = record.varint().ok_or(RecordField::OffsetDelta)?;
        Ok(Self {
            timestamp_delta,
            offset_delta,
            tail: record.rest(),
        })
    }
}

/// Checks that `payload` is exactly the records that the header speaks of: well-formed, with ascending offset deltas
/// up to its last one. Without gaps among them where the last one is one less than the count.
pub(crate) fn validate(header: &BatchHeader, payload: &[u8]) -> Result<(), BatchError> {
    let mut cursor = Cursor::new(payload);
    let mut deltas = Deltas {
        next: 0,
        gaps: header
            .last_offset_delta
            .wrapping_sub(header.record_count.wrapping_sub(1)) as u32,
    };
    for index in 0..header.record_count as u32 {
        check(&mut cursor, &mut deltas).map_err(|field| BatchError::InvalidRecord { index, field })?;
    }
    match cursor.rest().len() {
        0 => Ok(()),
        bytes => Err(BatchError::TrailingBytes { bytes }),
    }
}

/// The offset deltas that may come next.
struct Deltas {
    /// The lowest.
    next: u32,
    /// How many may yet be left out.
    gaps: u32,
}

#[inline(always)]
fn check(cursor: &mut Cursor<'_>, deltas: &mut Deltas) -> Result<(), RecordField> {
    let record = RawRecord::take(cursor)?;
    // A delta that is too low, or negative, wraps around to a gap that is too large.
    let gap = (record.offset_delta as u32).wrapping_sub(deltas.next);
    if gap > deltas.gaps {
        return Err(RecordField::OffsetDelta);
    }
    deltas.gaps -= gap;
    deltas.next += gap + 1;
    Tail::parse(record.tail).map(drop)
}
