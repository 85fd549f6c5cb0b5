//! Kafka's variable-length integers: base-128 groups, lowest first; signed ones are zigzag-encoded.

use alloc::vec::Vec;

/// Most bytes a 32-bit varint takes.
pub(crate) const MAX_VARINT: usize = 5;
/// Most bytes a 64-bit varlong takes.
pub(crate) const MAX_VARLONG: usize = 10;

#[inline(always)]
pub(crate) fn zigzag32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

#[inline(always)]
pub(crate) fn zigzag64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[inline(always)]
pub(crate) fn unzigzag32(value: u32) -> i32 {
    (value >> 1) as i32 ^ -((value & 1) as i32)
}

#[inline(always)]
pub(crate) fn unzigzag64(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Bytes that `value` takes as an unsigned varint.
#[inline]
pub(crate) fn len_u32(value: u32) -> usize {
    // One byte for every started group of seven bits; zero takes one.
    (31 - (value | 1).leading_zeros() as usize) / 7 + 1
}

/// Bytes that `value` takes as a zigzag varint.
#[inline]
pub(crate) fn len_i32(value: i32) -> usize {
    len_u32(zigzag32(value))
}

/// Bytes that `value` takes as a zigzag varlong.
#[inline]
pub(crate) fn len_i64(value: i64) -> usize {
    (63 - (zigzag64(value) | 1).leading_zeros() as usize) / 7 + 1
}

/// A few varints on the stack, so that a vector is appended to once for all of them.
pub(crate) struct Scratch<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Scratch<N> {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
        }
    }

    /// Appends them to `out`. All of the scratch is copied and the excess cut off again: a copy of fixed length is a
    /// few moves, one of any length a call.
    #[inline(always)]
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        let end = out.len() + self.len;
        out.extend_from_slice(&self.bytes);
        out.truncate(end);
    }

    #[inline(always)]
    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes[self.len] = value;
        self.len += 1;
    }

    #[inline(always)]
    pub(crate) fn u32(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.u8(value as u8);
    }

    #[inline(always)]
    pub(crate) fn u64(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.u8(value as u8);
    }

    #[inline(always)]
    pub(crate) fn i32(&mut self, value: i32) {
        self.u32(zigzag32(value));
    }

    #[inline(always)]
    pub(crate) fn i64(&mut self, value: i64) {
        self.u64(zigzag64(value));
    }
}
