use crate::is_plain;
use std::borrow::Cow;

/// What stands between the quotes of a string, escapes and all.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    raw: &'a [u8],
    /// Known to have no escapes.
    plain: bool,
}

impl<'a> Text<'a> {
    #[inline]
    pub(crate) fn new(raw: &'a [u8]) -> Self {
        Self { raw, plain: false }
    }

    /// The same, which has no escapes.
    #[inline]
    pub(crate) fn plain(self) -> Self {
        Self { plain: true, ..self }
    }

    /// As it is written, without the quotes.
    #[inline]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Whether it means `other`.
    #[inline]
    pub fn is(&self, other: &[u8]) -> bool {
        // Most names differ in their first byte. Where that is no escape, it is what is meant.
        match (self.raw.first(), other.first()) {
            (Some(b'\\'), _) | (None, None) => {}
            (Some(own), Some(first)) if own == first => {}
            _ => return false,
        }
        if self.plain {
            return self.raw == other;
        }
        if self.raw == other {
            return !other.contains(&b'\\');
        }
        // Escapes only ever make text longer.
        self.raw.len() > other.len() && self.raw.contains(&b'\\') && *self.unescaped() == *other
    }

    /// What it means: borrowed unless there are escapes in it. A lone half of a surrogate pair becomes U+FFFD, an unknown escape the
    /// character after the backslash.
    pub fn unescaped(&self) -> Cow<'a, [u8]> {
        if !self.plain && self.raw.contains(&b'\\') {
            Cow::Owned(unescape(self.raw))
        } else {
            Cow::Borrowed(self.raw)
        }
    }
}

fn unescape(mut raw: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(raw.len());
    while let Some(backslash) = raw.iter().position(|byte| *byte == b'\\') {
        text.extend_from_slice(&raw[..backslash]);
        let escape = &raw[backslash + 1..];
        let taken = match escape.first() {
            None => 0,
            Some(b'u') => unescape_code(escape, &mut text),
            Some(byte) => {
                text.push(match byte {
                    b'b' => 8,
                    b'f' => 12,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => *other,
                });
                1
            }
        };
        raw = &escape[taken..];
    }
    text.extend_from_slice(raw);
    text
}

/// `escape` begins with `u`; gives the bytes taken.
fn unescape_code(escape: &[u8], text: &mut Vec<u8>) -> usize {
    let hex = |at: usize| {
        let digits = std::str::from_utf8(escape.get(at..at + 4)?).ok()?;
        u32::from_str_radix(digits, 16).ok()
    };
    let (code, taken) = match (hex(1), escape.get(5..7), hex(7)) {
        (Some(high @ 0xd800..=0xdbff), Some(b"\\u"), Some(low @ 0xdc00..=0xdfff)) => {
            (0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00), 11)
        }
        (Some(code), ..) => (code, 5),
        (None, ..) => (0xfffd, 1),
    };
    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    taken
}

/// Appends `text` as a JSON string, with quotes. What is not UTF-8 in it becomes U+FFFD.
pub fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    if is_plain(text) {
        out.push(b'"');
        out.extend_from_slice(text);
        out.push(b'"');
        return;
    }
    match std::str::from_utf8(text) {
        Ok(_) => write_utf8(out, text),
        Err(_) => write_utf8(out, String::from_utf8_lossy(text).as_bytes()),
    }
}

fn write_utf8(out: &mut Vec<u8>, mut text: &[u8]) {
    out.push(b'"');
    while let Some(special) = text
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))
    {
        out.extend_from_slice(&text[..special]);
        match text[special] {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control @ 0..=0x1f => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(control >> 4)], HEX[usize::from(control & 15)]]);
            }
            other => out.extend_from_slice(&[b'\\', other]),
        }
        text = &text[special + 1..];
    }
    out.extend_from_slice(text);
    out.push(b'"');
}
