use core::str;

use crate::RecordField;
use crate::cursor::Cursor;

/// The headers of a record: name and, unless it is null, value.
#[derive(Clone, Copy)]
pub struct Headers<'a> {
    remaining: u32,
    cursor: Cursor<'a>,
}

impl<'a> Headers<'a> {
    #[inline]
    pub(crate) fn new(count: u32, bytes: &'a [u8]) -> Self {
        Self {
            remaining: count,
            cursor: Cursor::new(bytes),
        }
    }

    /// Headers not yet taken.
    #[inline]
    pub fn len(&self) -> usize {
        self.remaining as usize
    }

    /// Whether there is no header left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.remaining == 0
    }

    pub(crate) fn take(cursor: &mut Cursor<'a>) -> Result<(&'a str, Option<&'a [u8]>), RecordField> {
        let name = cursor.nullable().flatten().ok_or(RecordField::HeaderName)?;
        let name = str::from_utf8(name).map_err(|_| RecordField::HeaderName)?;
        let value = cursor.nullable().ok_or(RecordField::HeaderValue)?;
        Ok((name, value))
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.remaining = self.remaining.checked_sub(1)?;
        let header = Self::take(&mut self.cursor).ok();
        if header.is_none() {
            self.remaining = 0;
        }
        header
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // Not the count: in bytes that nobody has checked it may lie.
        (0, Some(self.len()))
    }
}

impl core::iter::FusedIterator for Headers<'_> {}

impl core::fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}
