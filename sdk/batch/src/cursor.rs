use crate::varint::{unzigzag32, unzigzag64};

/// Reads from the front of a slice; `None` where the bytes end early or a varint overflows its type.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline(always)]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[inline(always)]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline(always)]
    pub(crate) fn u8(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    #[inline(always)]
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    /// An unsigned varint. One and two bytes, nearly every length and delta, are decoded in line.
    #[inline(always)]
    pub(crate) fn uvarint(&mut self) -> Option<u32> {
        match *self.rest {
            [a, ref rest @ ..] if a < 0x80 => {
                self.rest = rest;
                Some(u32::from(a))
            }
            [a, b, ref rest @ ..] if b < 0x80 => {
                self.rest = rest;
                Some(u32::from(a & 0x7f) | u32::from(b) << 7)
            }
            _ => {
                // The fifth byte holds the last four of 32 bits.
                let (value, rest) = long_varint(self.rest, 28, 0x0f)?;
                self.rest = rest;
                Some(value as u32)
            }
        }
    }

    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Option<i32> {
        self.uvarint().map(unzigzag32)
    }

    #[inline(always)]
    pub(crate) fn varlong(&mut self) -> Option<i64> {
        match *self.rest {
            [a, ref rest @ ..] if a < 0x80 => {
                self.rest = rest;
                Some(unzigzag64(u64::from(a)))
            }
            [a, b, ref rest @ ..] if b < 0x80 => {
                self.rest = rest;
                Some(unzigzag64(u64::from(a & 0x7f) | u64::from(b) << 7))
            }
            _ => {
                // The tenth byte holds the last of 64 bits.
                let (value, rest) = long_varint(self.rest, 63, 0x01)?;
                self.rest = rest;
                Some(unzigzag64(value))
            }
        }
    }

    /// Bytes behind a zigzag length, where -1 stands for none.
    #[inline(always)]
    pub(crate) fn nullable(&mut self) -> Option<Option<&'a [u8]>> {
        let len = self.varint()?;
        if len >= 0 {
            return self.take(len as usize).map(Some);
        }
        (len == -1).then_some(None)
    }
}

/// A varint of any length, and what follows it. The byte at `last_shift` must be the last and at most `last_max`.
///
/// Out of line, because it is rare and guests are small, and without a reference to the cursor, which can so stay in
/// registers.
#[cold]
#[inline(never)]
fn long_varint(bytes: &[u8], last_shift: u32, last_max: u8) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    let mut bytes = bytes.iter();
    let mut shift = 0;
    loop {
        let byte = *bytes.next()?;
        if shift == last_shift && byte > last_max {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((value, bytes.as_slice()));
        }
        shift += 7;
    }
}
