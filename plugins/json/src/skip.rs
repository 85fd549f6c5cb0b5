/// The first place at or after `at` that is no white space.
#[inline]
pub(crate) fn space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = text.get(at) {
        at += 1;
    }
    at
}

/// The first place at or after `at` that cannot be part of a number.
#[inline]
pub(crate) fn number(text: &[u8], mut at: usize) -> usize {
    while let Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E') = text.get(at) {
        at += 1;
    }
    at
}
