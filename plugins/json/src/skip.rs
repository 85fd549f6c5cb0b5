use crate::Malformed;

/// The first place at or after `at` that is no white space.
#[inline]
pub(crate) fn space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = text.get(at) {
        at += 1;
    }
    at
}

/// The place after the value that begins at `at`.
#[inline]
pub(crate) fn value(text: &[u8], at: usize) -> Result<usize, Malformed> {
    match text.get(at) {
        Some(b'"') => string(text, at + 1).map(|end| end + 1),
        Some(b'{' | b'[') => container(text, at),
        Some(b't') => literal(text, at, b"true"),
        Some(b'f') => literal(text, at, b"false"),
        Some(b'n') => literal(text, at, b"null"),
        Some(b'-' | b'0'..=b'9') => Ok(number(text, at)),
        _ => Err(Malformed { at }),
    }
}

/// The place of the quote that ends the string whose first character is at `at`.
#[inline]
pub(crate) fn string(text: &[u8], mut at: usize) -> Result<usize, Malformed> {
    loop {
        at = quote_or_backslash(text, at).ok_or(Malformed { at: text.len() })?;
        if text[at] == b'"' {
            return Ok(at);
        }
        at += 2;
    }
}

/// The first quote or backslash at or after `from`, eight bytes at a time.
#[inline]
fn quote_or_backslash(text: &[u8], from: usize) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    /// The high bit of each byte that is zero; of bytes above the first such byte it may lie.
    const fn zeros(word: u64) -> u64 {
        word.wrapping_sub(LOW) & !word & HIGH
    }
    let mut at = from;
    let rest = text.get(from..)?;
    let (words, tail) = rest.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word);
        let hits = zeros(word ^ (LOW * b'"' as u64)) | zeros(word ^ (LOW * b'\\' as u64));
        if hits != 0 {
            return Some(at + hits.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    tail.iter()
        .position(|byte| matches!(byte, b'"' | b'\\'))
        .map(|index| at + index)
}

fn container(text: &[u8], mut at: usize) -> Result<usize, Malformed> {
    let mut depth = 0_usize;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at = string(text, at + 1)?,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Ok(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    Err(Malformed { at: text.len() })
}

fn literal(text: &[u8], at: usize, word: &[u8]) -> Result<usize, Malformed> {
    if text[at..].starts_with(word) {
        Ok(at + word.len())
    } else {
        Err(Malformed { at })
    }
}

fn number(text: &[u8], at: usize) -> usize {
    let length = text[at..]
        .iter()
        .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
        .unwrap_or(text.len() - at);
    at + length
}
