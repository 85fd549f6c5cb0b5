use core::str;

use super::{
    DEAD_LETTER, EMIT, EMIT_TO, Entry, FAIL, FrameError, HEADER_LEN, OutputPartition, RETRY, VERSION,
};
use crate::Tail;
use crate::cursor::Cursor;

/// Fewest bytes an entry takes: kind, source index, length of an empty reason.
const MIN_ENTRY_LEN: usize = 3;

/// A whole output frame, checked, or trusted to have been.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    cursor: Cursor<'a>,
    count: u32,
    emitted: u32,
    placed: u32,
    input: Input,
}

/// What the frame's indices count in.
#[derive(Clone, Copy)]
struct Input {
    records: u32,
    outputs: u32,
}

/// What [`Reader::new`] found out about a frame, for whoever reads it again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Checked {
    outputs: u32,
    emitted: u32,
    placed: u32,
}

impl Checked {
    /// Outputs that the frame was checked for.
    pub fn outputs(&self) -> u32 {
        self.outputs
    }
}

impl<'a> Reader<'a> {
    /// Checks `bytes` as one frame for an input of `input_record_count` records and a transform with `outputs`
    /// outputs: version, count, every index, every record with its headers, every reason, and that the frame ends
    /// where the bytes do. Nothing is allocated.
    ///
    /// # Errors
    ///
    /// The first fault found.
    pub fn new(bytes: &'a [u8], input_record_count: u32, outputs: u32) -> Result<Self, FrameError> {
        let mut reader = Self::trusted(bytes, input_record_count, outputs)?;
        let mut cursor = reader.cursor;
        (reader.emitted, reader.placed) = (0, 0);
        for index in 0..reader.count {
            if let Entry::Emit { partition, .. } = take::<true>(&mut cursor, index, reader.input)? {
                reader.emitted += 1;
                reader.placed += u32::from(partition != OutputPartition::Unchosen);
            }
        }
        match cursor.rest().len() {
            0 => Ok(reader),
            bytes => Err(FrameError::TrailingBytes { bytes }),
        }
    }

    /// Reads a frame that [`Reader::new`] has checked before, with the same arguments, without going over it again: for what
    /// weir-runtime hands out. Only version and count are looked at here.
    ///
    /// Of other bytes nothing worse comes than an iterator that ends early: no entry has a source or an output that is out of range, and
    /// no slice leaves the bytes. How many of the entries are records is not known without going over them:
    /// [`Reader::emitted`] counts all.
    ///
    /// # Errors
    ///
    /// [`FrameError::Truncated`], [`FrameError::UnknownVersion`] or [`FrameError::InvalidCount`]: no frame at all.
    pub fn trusted(bytes: &'a [u8], input_record_count: u32, outputs: u32) -> Result<Self, FrameError> {
        let Some((header, body)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            return Err(FrameError::Truncated { entry: 0 });
        };
        let [version, count @ ..] = *header;
        if version != VERSION {
            return Err(FrameError::UnknownVersion { version });
        }
        let count = u32::from_le_bytes(count);
        if count as usize > body.len() / MIN_ENTRY_LEN {
            return Err(FrameError::InvalidCount { count });
        }
        Ok(Self {
            cursor: Cursor::new(body),
            count,
            emitted: count,
            placed: count,
            input: Input {
                records: input_record_count,
                outputs,
            },
        })
    }

    /// What was found out about the frame, if it was checked.
    pub fn checked(&self) -> Checked {
        Checked {
            outputs: self.input.outputs,
            emitted: self.emitted,
            placed: self.placed,
        }
    }

    /// Reads a frame as [`trusted`](Self::trusted) does, and knows what `checked` does, which is of the same bytes and as many input records.
    ///
    /// # Errors
    ///
    /// Those of [`trusted`](Self::trusted).
    pub fn again(bytes: &'a [u8], input_record_count: u32, checked: Checked) -> Result<Self, FrameError> {
        let mut reader = Self::trusted(bytes, input_record_count, checked.outputs)?;
        (reader.emitted, reader.placed) = (checked.emitted, checked.placed);
        Ok(reader)
    }

    /// Entries of the frame.
    #[inline]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether the frame has no entry: every input record is dropped.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Entries that are records for an output; the most there may be where the frame is [trusted](Self::trusted).
    #[inline]
    pub fn emitted(&self) -> usize {
        self.emitted as usize
    }

    /// Records for which the plugin chose the partition; the most there may be where the frame is [trusted](Self::trusted).
    #[inline]
    pub fn placed(&self) -> usize {
        self.placed as usize
    }

    /// The entries in the order they were written.
    #[inline]
    pub fn entries(&self) -> Entries<'a> {
        Entries {
            cursor: self.cursor,
            index: 0,
            count: self.count,
            input: self.input,
        }
    }
}

impl<'a> IntoIterator for Reader<'a> {
    type Item = Entry<'a>;
    type IntoIter = Entries<'a>;

    #[inline]
    fn into_iter(self) -> Entries<'a> {
        self.entries()
    }
}

impl core::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Reader")
            .field("entries", &self.count)
            .field("emitted", &self.emitted)
            .finish_non_exhaustive()
    }
}

/// The entries of a frame.
#[derive(Clone)]
pub struct Entries<'a> {
    cursor: Cursor<'a>,
    index: u32,
    count: u32,
    input: Input,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        if self.index == self.count {
            return None;
        }
        // The frame was checked as a whole, headers too: this does not fail. Where a trusted frame was not, it is over here.
        let Ok(entry) = take::<false>(&mut self.cursor, self.index, self.input) else {
            self.count = self.index;
            return None;
        };
        self.index += 1;
        Some(entry)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.count - self.index) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Entries<'_> {}
impl core::iter::FusedIterator for Entries<'_> {}

impl core::fmt::Debug for Entries<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// Takes the entry `entry` off the cursor. Headers are most of what there is to check of a record that has some, and are
/// checked where that is asked for.
#[inline]
fn take<'a, const CHECK_HEADERS: bool>(
    cursor: &mut Cursor<'a>,
    entry: u32,
    input: Input,
) -> Result<Entry<'a>, FrameError> {
    let truncated = FrameError::Truncated { entry };
    let kind = cursor.u8().ok_or(truncated)?;
    if kind == EMIT || kind == EMIT_TO {
        let output = cursor.uvarint().ok_or(truncated)?;
        if output >= input.outputs {
            return Err(FrameError::OutputOutOfRange {
                entry,
                output,
                outputs: input.outputs,
            });
        }
        let source = take_source(cursor, entry, input)?;
        let partition = match kind {
            EMIT => OutputPartition::Unchosen,
            _ => match cursor.uvarint().ok_or(truncated)?.checked_sub(1) {
                None => OutputPartition::Source,
                Some(index) => OutputPartition::Index(index),
            },
        };
        let timestamp_delta = cursor.varlong().ok_or(truncated)?;
        let len = cursor.uvarint().ok_or(truncated)?;
        let tail = cursor.take(len as usize).ok_or(truncated)?;
        let tail = if CHECK_HEADERS {
            Tail::parse(tail)
        } else {
            Tail::parse_unchecked_headers(tail)
        };
        let tail = tail.map_err(|field| FrameError::InvalidTail { entry, field })?;
        return Ok(Entry::Emit {
            output,
            source,
            partition,
            timestamp_delta,
            tail,
        });
    }
    if kind > FAIL {
        return Err(FrameError::UnknownKind { entry, kind });
    }
    let source = take_source(cursor, entry, input)?;
    let len = cursor.uvarint().ok_or(truncated)?;
    let reason = cursor.take(len as usize).ok_or(truncated)?;
    let reason = str::from_utf8(reason).map_err(|_| FrameError::InvalidReason { entry })?;
    Ok(match kind {
        DEAD_LETTER => Entry::DeadLetter { source, reason },
        RETRY => Entry::Retry { source, reason },
        _ => Entry::Fail { source, reason },
    })
}

#[inline(always)]
fn take_source(cursor: &mut Cursor<'_>, entry: u32, input: Input) -> Result<u32, FrameError> {
    let source = cursor.uvarint().ok_or(FrameError::Truncated { entry })?;
    if source >= input.records {
        return Err(FrameError::SourceOutOfRange {
            entry,
            source,
            records: input.records,
        });
    }
    Ok(source)
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
