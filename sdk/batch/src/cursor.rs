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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::varint::{MAX_VARINT, MAX_VARLONG, Scratch, len_i32, len_i64};
    use alloc::vec::Vec;

    #[test]
    fn varints_are_read_as_written() {
        let edges = (0..32).flat_map(|bit| {
            [
                (1u32 << bit).wrapping_sub(1),
                1 << bit,
                (1 << bit) + 1,
                !(1 << bit),
            ]
        });
        for value in edges {
            let signed = value as i32;
            let mut scratch = Scratch::<{ 2 * MAX_VARINT }>::new();
            scratch.u32(value);
            scratch.i32(signed);
            let mut bytes = Vec::new();
            scratch.append_to(&mut bytes);
            let mut cursor = Cursor::new(&bytes);
            assert_eq!(cursor.uvarint(), Some(value));
            assert_eq!(cursor.rest().len(), len_i32(signed));
            assert_eq!((cursor.varint(), cursor.is_empty()), (Some(signed), true));
        }
    }

    #[test]
    fn varlongs_are_read_as_written() {
        let edges = (0..64).flat_map(|bit| {
            [
                (1u64 << bit).wrapping_sub(1),
                1 << bit,
                (1 << bit) + 1,
                !(1 << bit),
            ]
        });
        for value in edges {
            let value = value as i64;
            let mut scratch = Scratch::<MAX_VARLONG>::new();
            scratch.i64(value);
            let mut bytes = Vec::new();
            scratch.append_to(&mut bytes);
            assert_eq!(bytes.len(), len_i64(value));
            let mut cursor = Cursor::new(&bytes);
            assert_eq!((cursor.varlong(), cursor.is_empty()), (Some(value), true));
        }
    }

    #[test]
    fn varints_that_end_early_or_overflow_are_refused() {
        let read = |bytes: &[u8]| (Cursor::new(bytes).uvarint(), Cursor::new(bytes).varlong());
        assert_eq!(read(&[]), (None, None));
        assert_eq!(read(&[0x80]), (None, None));
        assert_eq!(read(&[0xff; 4]), (None, None));
        // Longer than needed is what Kafka reads, too.
        assert_eq!(read(&[0x80, 0x80, 0x00]), (Some(0), Some(0)));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x0f]).0, Some(u32::MAX));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x1f]).0, None, "a 33rd bit");
        assert_eq!(
            read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]).0,
            None,
            "a sixth byte"
        );
        let mut bytes = [0xff; 10];
        bytes[9] = 1;
        assert_eq!(read(&bytes).1, Some(i64::MIN));
        bytes[9] = 2;
        assert_eq!(read(&bytes).1, None, "a 65th bit");
        assert_eq!(read(&[0x80; 11]).1, None, "an eleventh byte");
    }

    #[test]
    fn nothing_but_minus_one_is_null() {
        let read = |bytes: &'static [u8]| Cursor::new(bytes).nullable();
        assert_eq!(read(&[1]), Some(None));
        assert_eq!(read(&[0]), Some(Some(&[][..])));
        assert_eq!(read(&[4, 7, 8]), Some(Some(&[7, 8][..])));
        assert_eq!(read(&[3, 7, 8]), None, "-2");
        assert_eq!(read(&[6, 7, 8]), None, "three of two");
    }
}
