//! What a filter gives back: one bit a record, lowest bit first, 1 = keep; `ceil(n / 8)` bytes, spare bits zero.

/// Bytes of the bitmap for `records` records.
#[inline]
pub const fn byte_len(records: usize) -> usize {
    records.div_ceil(8)
}

/// Whether `bytes` is a bitmap for `records` records: of the right length, spare bits zero.
#[inline]
pub fn is_valid(bytes: &[u8], records: usize) -> bool {
    let spare_from = records % 8;
    bytes.len() == byte_len(records)
        && (spare_from == 0 || bytes.last().is_none_or(|last| last >> spare_from == 0))
}

/// Whether the record at `index` is to be kept; one that is not in the bitmap is not.
#[inline]
pub fn get(bytes: &[u8], index: usize) -> bool {
    bytes
        .get(index / 8)
        .is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

/// Marks the record at `index` as kept; without effect beyond the end of the bitmap.
#[inline]
pub fn set(bytes: &mut [u8], index: usize) {
    if let Some(byte) = bytes.get_mut(index / 8) {
        *byte |= 1 << (index % 8);
    }
}

/// Records kept.
pub fn count_ones(bytes: &[u8]) -> usize {
    bytes.iter().map(|byte| byte.count_ones() as usize).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_lowest_first_and_spare_ones_zero() {
        let mut bits = [0; 2];
        set(&mut bits, 0);
        set(&mut bits, 9);
        set(&mut bits, 99);
        assert_eq!(bits, [0b1, 0b10]);
        assert!(get(&bits, 0) && get(&bits, 9) && !get(&bits, 1) && !get(&bits, 99));
        assert_eq!(count_ones(&bits), 2);
        assert!(is_valid(&bits, 10) && is_valid(&bits, 16));
        assert!(!is_valid(&bits, 9), "a spare bit is set");
        assert!(!is_valid(&bits, 8) && !is_valid(&bits, 17), "of another length");
        assert!(is_valid(&[], 0));
    }
}
