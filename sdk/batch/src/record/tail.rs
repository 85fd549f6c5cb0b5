use crate::RecordField;
use crate::cursor::Cursor;
use crate::record::Headers;

/// A record from its key's length on: key, value and headers, without place and time.
///
/// It is what of a record stays the same bytes in whatever batch the record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail<'a> {
    bytes: &'a [u8],
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    header_count: u32,
    headers: &'a [u8],
}

impl<'a> Tail<'a> {
    /// Checks `bytes` as one whole tail: every length, every header, and that nothing is left over.
    ///
    /// # Errors
    ///
    /// The first part that is malformed.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordField> {
        let tail = Self::parse_unchecked_headers(bytes)?;
        if tail.header_count != 0 {
            check_headers(tail.header_count, tail.headers)?;
        } else if !tail.headers.is_empty() {
            return Err(RecordField::End);
        }
        Ok(tail)
    }

    /// The same with key and value checked only. The headers' iterator ends early on what is malformed.
    #[inline(always)]
    pub(crate) fn parse_unchecked_headers(bytes: &'a [u8]) -> Result<Self, RecordField> {
        let mut cursor = Cursor::new(bytes);
        let key = cursor.nullable().ok_or(RecordField::Key)?;
        let value = cursor.nullable().ok_or(RecordField::Value)?;
        let header_count = cursor.varint().ok_or(RecordField::HeaderCount)?;
        let header_count = u32::try_from(header_count).map_err(|_| RecordField::HeaderCount)?;
        Ok(Self {
            bytes,
            key,
            value,
            header_count,
            headers: cursor.rest(),
        })
    }

    /// The key, if there is one.
    #[inline]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The value; none is a tombstone.
    #[inline]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// The headers, in the order they were written; names may repeat.
    #[inline]
    pub fn headers(&self) -> Headers<'a> {
        Headers::new(self.header_count, self.headers)
    }

    /// The bytes of all of it.
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// Out of line: most records have no headers.
#[inline(never)]
fn check_headers(count: u32, bytes: &[u8]) -> Result<(), RecordField> {
    let mut cursor = Cursor::new(bytes);
    // Each round takes two bytes at least or ends, so a lying count costs nothing.
    for _ in 0..count {
        Headers::take(&mut cursor)?;
    }
    if cursor.is_empty() {
        Ok(())
    } else {
        Err(RecordField::End)
    }
}
