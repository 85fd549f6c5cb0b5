use std::borrow::Cow;

/// The fields of a line. A delimiter between quotes is part of a field.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    rest: Option<&'a [u8]>,
    delimiter: u8,
}

/// One field as it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    raw: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(line: &'a [u8], delimiter: u8) -> Self {
        Self {
            rest: Some(line),
            delimiter,
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    #[inline]
    fn next(&mut self) -> Option<Field<'a>> {
        let rest = self.rest?;
        let mut quoted = false;
        let end = rest.iter().position(|byte| {
            quoted ^= *byte == b'"';
            *byte == self.delimiter && !quoted
        });
        let (raw, rest) = match end {
            Some(end) => (&rest[..end], Some(&rest[end + 1..])),
            None => (rest, None),
        };
        self.rest = rest;
        Some(Field { raw })
    }
}

impl<'a> Field<'a> {
    /// Its text, if it is not quoted.
    #[inline]
    pub(crate) fn bare(&self) -> Option<&'a [u8]> {
        (self.raw.first() != Some(&b'"')).then_some(self.raw)
    }

    /// Its text without quotes around it, doubled ones made single.
    pub(crate) fn unquoted(&self) -> Cow<'a, [u8]> {
        let Some(inner) = self.raw.strip_prefix(b"\"") else {
            return Cow::Borrowed(self.raw);
        };
        let inner = inner.strip_suffix(b"\"").unwrap_or(inner);
        if !inner.contains(&b'"') {
            return Cow::Borrowed(inner);
        }
        let mut text = Vec::with_capacity(inner.len());
        let mut after_quote = false;
        for byte in inner {
            after_quote = *byte == b'"' && !after_quote;
            if !after_quote {
                text.push(*byte);
            }
        }
        Cow::Owned(text)
    }

    /// Whether its text is `text`.
    #[inline]
    pub(crate) fn is(&self, text: &[u8]) -> bool {
        match self.bare() {
            Some(bare) => bare == text,
            None => *self.unquoted() == *text,
        }
    }

    /// Name and value of `name=value`.
    pub(crate) fn split(&self) -> Option<(&'a [u8], Field<'a>)> {
        let equals = self.raw.iter().position(|byte| *byte == b'=')?;
        (equals > 0).then(|| {
            (
                &self.raw[..equals],
                Field {
                    raw: &self.raw[equals + 1..],
                },
            )
        })
    }
}
