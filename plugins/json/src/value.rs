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

    /// The value that begins at `at`, and the place after it.
    #[inline]
    pub(crate) fn at(text: &'a [u8], at: usize) -> Result<(Self, usize), Malformed> {
        let end = skip::value(text, at)?;
        let kind = match text[at] {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::String,
            b't' | b'f' => Kind::Bool,
            b'n' => Kind::Null,
            _ => Kind::Number,
        };
        Ok((
            Self {
                kind,
                raw: &text[at..end],
            },
            end,
        ))
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
