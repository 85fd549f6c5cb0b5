//! Classes of bytes, sixty-four bytes at a time: one bit a byte, the first byte's the lowest. The idea is simdjson's (Langdale and Lemire,
//! "Parsing Gigabytes of JSON per Second").

use wide::{i8x16, u8x16};

/// Bytes of a block: bits of a mask.
pub const BLOCK_BYTES: usize = 64;
const LANE_BYTES: usize = 16;

/// Which of the [`BLOCK_BYTES`] bytes from `at` on, as far as there are, are `byte`: one bit a byte, the first byte's the lowest.
///
/// # Panics
///
/// When `at` is behind the end of `text`.
#[inline]
pub fn places(text: &[u8], at: usize, byte: u8) -> u64 {
    let of = |block: &[u8; BLOCK_BYTES]| mask(lanes(block), 0, |bytes| bytes.simd_eq(u8x16::splat(byte)));
    let rest = &text[at..];
    match (rest.first_chunk(), text.last_chunk()) {
        (Some(block), _) => of(block),
        (None, Some(block)) => of(block) >> (BLOCK_BYTES - rest.len()),
        (None, None) => of(&padded(rest)) & ((1 << rest.len()) - 1),
    }
}

/// Whether `text` can stand between the quotes of a JSON string as it is, and is ASCII.
#[inline]
pub fn is_plain(text: &[u8]) -> bool {
    // As signed numbers, bytes that are not ASCII are below all that are.
    let special = |bytes: u8x16| {
        let low = bytes.cast_signed().simd_lt(i8x16::splat(0x20)).cast_unsigned();
        low | bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\'))
    };
    let (lanes, rest) = text.as_chunks::<LANE_BYTES>();
    let mut found = u8x16::splat(0);
    for lane in lanes {
        found |= special(u8x16::from(*lane));
    }
    if !rest.is_empty() {
        found |= match text.last_chunk::<LANE_BYTES>() {
            Some(lane) => special(u8x16::from(*lane)),
            None => {
                let mut lane = [b' '; LANE_BYTES];
                lane[..rest.len()].copy_from_slice(rest);
                special(u8x16::from(lane))
            }
        };
    }
    found.to_bitmask() == 0
}

/// What a block has to know of the one before it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Carry {
    /// All ones if the block begins within a string.
    in_string: u64,
    /// One if a backslash before the block escapes its first byte.
    escaped: u64,
    /// Backslashes of all blocks so far.
    backslashes: u64,
    /// The quotes of the block before, and its bytes that are wanted.
    quotes: u64,
    wanted: u64,
}

impl Carry {
    /// Whether there was no backslash so far.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.backslashes == 0
    }
}

/// Which bytes of a block are what. Brackets, colons and commas are those outside strings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Masks {
    /// Both quotes of each string.
    pub(crate) quotes: u64,
    /// Braces as well.
    pub(crate) brackets: u64,
    pub(crate) colons: u64,
    pub(crate) commas: u64,
    backslashes: u64,
    wanted: u64,
}

impl Masks {
    /// Of the block that begins at `at`, which is in `text`. Two bytes may be wanted.
    #[inline(always)]
    pub(crate) fn of(text: &[u8], at: usize, wanted: [u8; 2], carry: &mut Carry) -> Self {
        let padded;
        let (block, before) = match (text[at..].first_chunk(), text.last_chunk()) {
            (Some(block), _) => (block, 0),
            // Less than a block: bytes before it are looked at once more, rather than any behind it.
            (None, Some(block)) => (block, BLOCK_BYTES - (text.len() - at)),
            (None, None) => {
                padded = self::padded(&text[at..]);
                (&padded, 0)
            }
        };
        let bytes = Self::of_bytes(block, wanted, before);
        let mut quotes = bytes.quotes;
        if bytes.backslashes | carry.escaped != 0 {
            quotes &= !escaped(bytes.backslashes, carry);
            carry.backslashes |= bytes.backslashes;
        }
        // From each opening quote on, up to the closing one.
        let in_string = parity(quotes) ^ carry.in_string;
        carry.in_string = ((in_string as i64) >> 63) as u64;
        Self {
            quotes,
            brackets: bytes.brackets & !in_string,
            colons: bytes.colons & !in_string,
            commas: bytes.commas & !in_string,
            ..bytes
        }
    }

    /// Those colons that do not have a quote right before them and before that a byte that is not wanted. There is no backslash so far.
    #[inline(always)]
    pub(crate) fn colons_after_wanted(&self, carry: &mut Carry) -> u64 {
        let after_quote = self.quotes << 1 | carry.quotes >> 63;
        let after_wanted = self.wanted << 2 | carry.wanted >> 62;
        (carry.quotes, carry.wanted) = (self.quotes, self.wanted);
        self.colons & !(after_quote & !after_wanted)
    }

    /// Of bytes, whatever they are in, without those `before` the first.
    #[inline(always)]
    fn of_bytes(block: &[u8; BLOCK_BYTES], wanted: [u8; 2], before: usize) -> Self {
        let lanes = lanes(block);
        let wanted = wanted.map(u8x16::splat);
        Self {
            quotes: mask(lanes, before, |bytes| bytes.simd_eq(u8x16::splat(b'"'))),
            backslashes: mask(lanes, before, |bytes| bytes.simd_eq(u8x16::splat(b'\\'))),
            // One bit is what makes a brace of a bracket.
            brackets: mask(lanes, before, |bytes| {
                let bytes = bytes | u8x16::splat(b'{' ^ b'[');
                bytes.simd_eq(u8x16::splat(b'{')) | bytes.simd_eq(u8x16::splat(b'}'))
            }),
            colons: mask(lanes, before, |bytes| bytes.simd_eq(u8x16::splat(b':'))),
            commas: mask(lanes, before, |bytes| bytes.simd_eq(u8x16::splat(b','))),
            wanted: mask(lanes, before, |bytes| {
                bytes.simd_eq(wanted[0]) | bytes.simd_eq(wanted[1])
            }),
        }
    }
}

#[inline(always)]
fn lanes(block: &[u8; BLOCK_BYTES]) -> [u8x16; 4] {
    let (lanes, _) = block.as_chunks::<LANE_BYTES>();
    [0, 1, 2, 3].map(|lane| u8x16::from(lanes[lane]))
}

/// Less than a block, with spaces behind it.
#[inline]
fn padded(rest: &[u8]) -> [u8; BLOCK_BYTES] {
    let mut block = [b' '; BLOCK_BYTES];
    block[..rest.len()].copy_from_slice(rest);
    block
}

#[inline(always)]
fn mask(lanes: [u8x16; 4], before: usize, class: impl Fn(u8x16) -> u8x16) -> u64 {
    let bits = |lane: usize| u64::from(class(lanes[lane]).to_bitmask());
    let all = bits(0) | bits(1) << LANE_BYTES | bits(2) << (2 * LANE_BYTES) | bits(3) << (3 * LANE_BYTES);
    all >> before
}

/// The bytes that a backslash escapes: those after an odd number of backslashes.
#[inline]
fn escaped(backslashes: u64, carry: &mut Carry) -> u64 {
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    // An escaped backslash escapes nothing.
    let escaping = backslashes & !carry.escaped;
    // Where a run of them begins decides which of its places escape: the subtraction carries that to the run's end.
    let candidates = (escaping << 1 | ODD).wrapping_sub(escaping) ^ ODD;
    let escaped = candidates ^ (backslashes | carry.escaped);
    carry.escaped = (candidates & backslashes) >> 63;
    escaped
}

/// Each bit is the parity of the bits up to it.
#[inline(always)]
fn parity(mut bits: u64) -> u64 {
    bits ^= bits << 1;
    bits ^= bits << 2;
    bits ^= bits << 4;
    bits ^= bits << 8;
    bits ^= bits << 16;
    bits ^ bits << 32
}
