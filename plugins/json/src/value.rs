use crate::tokens::Tokens;
use crate::{Elements, Malformed, Members, Text, number, skip};

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// `-1.5e3`
    Number,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
}

/// One JSON value, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    kind: Kind,
    raw: &'a [u8],
}

impl<'a> Value<'a> {
    /// The one value that `text` is, with white space around it.
    ///
    /// # Errors
    ///
    /// When it is something else, or more than one.
    pub fn parse(text: &'a [u8]) -> Result<Self, Malformed> {
        let (value, end) = Self::at(text, skip::space(text, 0))?;
        let end = skip::space(text, end);
        if end == text.len() {
            Ok(value)
        } else {
            Err(Malformed { at: end })
        }
    }

    /// The value that begins at `at`, which the next of `tokens` is of or behind, and the place after it.
    #[inline]
    pub(crate) fn take(tokens: &mut Tokens<'a>, at: usize) -> Result<(Self, usize), Malformed> {
        let text = tokens.text();
        // The most frequent first, and no table of jumps: each of its jumps would be mispredicted.
        let (kind, end) = match text.get(at).copied() {
            Some(b'"') => (Kind::String, tokens.string()? + 1),
            Some(byte) if is_of_number(byte) => (Kind::Number, skip::number(text, at)),
            Some(byte) if byte | 0x20 == b'{' => {
                let kind = if byte == b'{' { Kind::Object } else { Kind::Array };
                (kind, tokens.container()?)
            }
            _ => Self::literal(text, at)?,
        };
        let raw = &text[at..end];
        Ok((Self { kind, raw }, end))
    }

    /// The value that begins at `at`, and the place after it.
    #[inline]
    pub(crate) fn at(text: &'a [u8], at: usize) -> Result<(Self, usize), Malformed> {
        match text.get(at).copied() {
            Some(byte) if is_of_number(byte) => {
                let end = skip::number(text, at);
                let raw = &text[at..end];
                let kind = Kind::Number;
                Ok((Self { kind, raw }, end))
            }
            _ => Self::take(&mut Tokens::new(text, at), at),
        }
    }

    fn literal(text: &'a [u8], at: usize) -> Result<(Kind, usize), Malformed> {
        for (word, kind) in [
            (b"null".as_slice(), Kind::Null),
            (b"true", Kind::Bool),
            (b"false", Kind::Bool),
        ] {
            if text.get(at..).is_some_and(|rest| rest.starts_with(word)) {
                return Ok((kind, at + word.len()));
            }
        }
        Err(Malformed { at })
    }

    /// What it is.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its text, with quotes or brackets.
    #[inline]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The text of a string.
    #[inline]
    pub fn text(&self) -> Option<Text<'a>> {
        (self.kind == Kind::String).then(|| Text::new(&self.raw[1..self.raw.len() - 1]))
    }

    /// The value of a number, if it is written as one.
    #[inline]
    pub fn number(&self) -> Option<f64> {
        if self.kind == Kind::Number {
            number::parse_number(self.raw)
        } else {
            None
        }
    }

    /// The members of an object.
    #[inline]
    pub fn members(&self) -> Option<Members<'a>> {
        (self.kind == Kind::Object).then(|| Members::at(self.raw, 0))
    }

    /// The elements of an array.
    #[inline]
    pub fn elements(&self) -> Option<Elements<'a>> {
        (self.kind == Kind::Array).then(|| Elements::new(self.raw))
    }
}

#[inline]
fn is_of_number(first: u8) -> bool {
    first.is_ascii_digit() || first == b'-'
}
