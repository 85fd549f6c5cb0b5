//! Lines of columns that need no care: ASCII without quotes, backslashes and control characters. Most lines are such, and go a way of
//! their own, a word of eight bytes at a time.

use std::ops::Range;

use weir_json::{BLOCK_BYTES, is_number, places};

use crate::Column;

pub(crate) const WORD: usize = 8;
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// Text under way. Words are written whole; what of them is not meant is overwritten by what follows.
struct Writer<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

/// The columns of a line, as far as they have been found.
struct Columns<'a> {
    line: &'a [u8],
    delimiter: u8,
    /// Where the next column begins.
    start: usize,
    /// Delimiters of the block before `next_block` that are still to come.
    delimiters: u64,
    next_block: usize,
}

/// Writes the object for a line that [is plain](weir_json::is_plain) to the front of `buffer`, and gives its length, and the place of the key in
/// the line. `None` if the line does not have as many columns as there are.
pub(crate) fn object(
    line: &[u8],
    delimiter: u8,
    columns: &[Column],
    nulls: &[String],
    buffer: &mut Vec<u8>,
) -> Option<(usize, Option<Range<usize>>)> {
    let labels: usize = columns.iter().map(|column| column.label.len()).sum();
    // Every column may be `null` or have quotes, and the last word may be written whole.
    let needed = labels + line.len() + 4 * columns.len() + 2 * WORD;
    if buffer.len() < needed {
        buffer.resize(needed, 0);
    }
    let mut out = Writer {
        bytes: buffer,
        len: 0,
    };
    let mut fields = Columns {
        line,
        delimiter,
        start: 0,
        delimiters: 0,
        next_block: 0,
    };
    let (last, others) = columns.split_last()?;
    let mut key = None;
    for column in others {
        let end = fields.next_end()?;
        out.column(line, fields.start, end, column, nulls);
        if column.key {
            key = Some(fields.start..end);
        }
        fields.start = end + 1;
    }
    if fields.next_end().is_some() {
        return None;
    }
    out.column(line, fields.start, line.len(), last, nulls);
    if last.key {
        key = Some(fields.start..line.len());
    }
    out.word([b'}', 0, 0, 0, 0, 0, 0, 0], 1);
    Some((out.len, key))
}

impl Columns<'_> {
    /// The place of the next delimiter.
    #[inline(always)]
    fn next_end(&mut self) -> Option<usize> {
        while self.delimiters == 0 {
            if self.next_block >= self.line.len() {
                return None;
            }
            self.delimiters = places(self.line, self.next_block, self.delimiter);
            self.next_block += BLOCK_BYTES;
        }
        let end = self.next_block - BLOCK_BYTES + self.delimiters.trailing_zeros() as usize;
        self.delimiters &= self.delimiters - 1;
        Some(end)
    }
}

impl Writer<'_> {
    /// Writes one column: its label and its value.
    #[inline(always)]
    fn column(&mut self, line: &[u8], start: usize, end: usize, column: &Column, nulls: &[String]) {
        self.copy(&column.padded, 0, column.label.len());
        let field = &line[start..end];
        if field.is_empty() || nulls.iter().any(|null| is_same(null.as_bytes(), field)) {
            self.word(*b"null\0\0\0\0", 4);
        } else if !column.text && is_bare(line, start, field) {
            self.copy(line, start, field.len());
        } else {
            self.word([b'"', 0, 0, 0, 0, 0, 0, 0], 1);
            self.copy(line, start, field.len());
            self.word([b'"', 0, 0, 0, 0, 0, 0, 0], 1);
        }
    }

    /// Writes `len` bytes of `from` from `start` on.
    #[inline(always)]
    fn copy(&mut self, from: &[u8], start: usize, len: usize) {
        let mut done = 0;
        while done < len {
            match from.get(start + done..).and_then(<[u8]>::first_chunk::<WORD>) {
                Some(word) => self.bytes[self.len + done..][..WORD].copy_from_slice(word),
                // The end of the line is closer than a word.
                None => {
                    for (byte, own) in self.bytes[self.len + done..]
                        .iter_mut()
                        .zip(&from[start + done..start + len])
                    {
                        *byte = *own;
                    }
                }
            }
            done += WORD;
        }
        self.len += len;
    }

    #[inline(always)]
    fn word(&mut self, word: [u8; WORD], len: usize) {
        self.bytes[self.len..][..WORD].copy_from_slice(&word);
        self.len += len;
    }
}

/// Equality, with a look at the first byte before anything is called.
#[inline(always)]
fn is_same(left: &[u8], right: &[u8]) -> bool {
    left.first() == right.first() && left == right
}

/// Whether the field is a number, `true` or `false`.
#[inline(always)]
fn is_bare(line: &[u8], start: usize, field: &[u8]) -> bool {
    match field[0] {
        b't' => field == b"true",
        b'f' => field == b"false",
        b'-' => is_number(field),
        b'0'..=b'9' => {
            // A word that is digits throughout, most numbers are: with zeros for what is not of the field.
            if field.len() <= WORD
                && (field[0] != b'0' || field.len() == 1)
                && let Some(word) = line[start..].first_chunk::<WORD>()
            {
                let others = 8 * (WORD - field.len()) as u32;
                let word = u64::from_le_bytes(*word) << others;
                let word = word | ZEROS.checked_shr(u64::BITS - others).unwrap_or(0);
                if is_digits(word) {
                    return true;
                }
            }
            is_number(field)
        }
        _ => false,
    }
}

/// Whether all eight bytes are ASCII digits.
#[inline]
fn is_digits(word: u64) -> bool {
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    const SIX: u64 = 0x0606_0606_0606_0606;
    // Digits have 3 above, and have it still with 6 added. ASCII has no carries from byte to byte.
    word & HIGH == ZEROS && (word + SIX) & HIGH == ZEROS
}
