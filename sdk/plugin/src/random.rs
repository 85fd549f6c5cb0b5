//! Random numbers from a seed that the host gives for each batch: the same records processed again draw the same numbers. They can be guessed:
//! nothing to make keys of.
//!
//! ```
//! use weir_plugin::{Record, filter, random};
//!
//! // About one record of a hundred.
//! filter!(|_: &Record<'_>| random::below(100) == 0);
//! ```

/// The next 64 bits.
#[inline]
pub fn next() -> u64 {
    crate::host::random::next()
}

/// A number below `bound`, each as likely as any other up to one part in 2^32; 0 if `bound` is 0.
#[inline]
pub fn below(bound: u32) -> u32 {
    ((u64::from(bound) * (next() >> 32)) >> 32) as u32
}

/// Fills `bytes`.
pub fn fill(bytes: &mut [u8]) {
    // The most that the host gives at once.
    const CHUNK_BYTES: usize = 64 << 10;
    for chunk in bytes.chunks_mut(CHUNK_BYTES) {
        chunk.copy_from_slice(&crate::host::random::fill(chunk.len() as u32));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_seed_gives_the_same_numbers_again() {
        let draw = |seed| {
            testing::set_seed(seed);
            let mut bytes = [0; 20];
            fill(&mut bytes);
            (next(), bytes)
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn numbers_below_a_bound_are_spread() {
        testing::set_seed(3);
        let mut seen = [0_u32; 10];
        for _ in 0..10_000 {
            seen[below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|count| (800..1_200).contains(count)), "{seen:?}");
        assert_eq!(below(0), 0);
    }

    #[test]
    fn long_slices_are_filled_in_pieces() {
        let mut bytes = vec![0; (64 << 10) + 9];
        fill(&mut bytes);
        assert!(bytes[64 << 10..].iter().any(|byte| *byte != 0));
    }
}
