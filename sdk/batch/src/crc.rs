//! CRC-32C (Castagnoli), as in RFC 3720, appendix B.4.

/// Checksum of `bytes`, by the processor's instructions where there are any.
#[cfg(feature = "std")]
#[inline]
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// Checksum of `bytes`.
#[cfg(not(feature = "std"))]
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    table::crc32c(bytes)
}

/// The portable form: one table of 1 KiB, because a guest should stay small.
#[cfg(any(test, not(feature = "std")))]
mod table {
    const POLYNOMIAL_REVERSED: u32 = 0x82f6_3b78;

    static TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut crc = index as u32;
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 1 == 1 {
                    crc >> 1 ^ POLYNOMIAL_REVERSED
                } else {
                    crc >> 1
                };
                bit += 1;
            }
            table[index] = crc;
            index += 1;
        }
        table
    };

    pub(super) fn crc32c(bytes: &[u8]) -> u32 {
        !bytes
            .iter()
            .fold(!0, |crc, &byte| crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // RFC 3720, B.4: 32 bytes of zeros and of ones; and the usual check string.
        for crc in [crc32c as fn(&[u8]) -> u32, table::crc32c] {
            assert_eq!(crc(&[0; 32]), 0x8a91_36aa);
            assert_eq!(crc(&[0xff; 32]), 0x62a8_ab43);
            assert_eq!(crc(b"123456789"), 0xe306_9283);
            assert_eq!(crc(b""), 0);
        }
    }

    #[test]
    fn both_forms_agree() {
        let bytes: alloc::vec::Vec<u8> = (0..5000u32).map(|i| (i * 31 / 8) as u8).collect();
        for len in (0..64).chain([1000, 4097, 5000]) {
            assert_eq!(crc32c(&bytes[..len]), table::crc32c(&bytes[..len]), "{len} bytes");
        }
    }
}
