use core::str;

use super::{DEAD_LETTER, EMIT, Entry, FAIL, FrameError, HEADER_LEN, RETRY, VERSION};
use crate::Tail;
use crate::cursor::Cursor;

/// Fewest bytes an entry takes: kind, source index, length of an empty reason.
const MIN_ENTRY_LEN: usize = 3;

/// A whole output frame, checked.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    cursor: Cursor<'a>,
    count: u32,
    emitted: u32,
    input: Input,
}

/// What the frame's indices count in.
#[derive(Clone, Copy)]
struct Input {
    records: u32,
    outputs: u32,
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
        let input = Input {
            records: input_record_count,
            outputs,
        };
        let mut cursor = Cursor::new(body);
        let mut emitted = 0;
        for index in 0..count {
            if let Entry::Emit { .. } = take(&mut cursor, index, input)? {
                emitted += 1;
            }
        }
        match cursor.rest().len() {
            0 => Ok(Self {
                cursor: Cursor::new(body),
                count,
                emitted,
                input,
            }),
            bytes => Err(FrameError::TrailingBytes { bytes }),
        }
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

    /// Entries that are records for an output.
    #[inline]
    pub fn emitted(&self) -> usize {
        self.emitted as usize
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

/// The entries of a checked frame.
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
        // The frame was checked as a whole: this does not fail.
        let entry = take(&mut self.cursor, self.index, self.input).ok()?;
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

/// Takes the entry `entry` off the cursor.
#[inline]
fn take<'a>(cursor: &mut Cursor<'a>, entry: u32, input: Input) -> Result<Entry<'a>, FrameError> {
    let truncated = FrameError::Truncated { entry };
    let kind = cursor.u8().ok_or(truncated)?;
    if kind == EMIT {
        let output = cursor.uvarint().ok_or(truncated)?;
        if output >= input.outputs {
            return Err(FrameError::OutputOutOfRange {
                entry,
                output,
                outputs: input.outputs,
            });
        }
        let source = take_source(cursor, entry, input)?;
        let timestamp_delta = cursor.varlong().ok_or(truncated)?;
        let len = cursor.uvarint().ok_or(truncated)?;
        let tail = cursor.take(len as usize).ok_or(truncated)?;
        let tail = Tail::parse(tail).map_err(|field| FrameError::InvalidTail { entry, field })?;
        return Ok(Entry::Emit {
            output,
            source,
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
