use crate::tokens::Tokens;
use crate::{Malformed, Text, Value, skip};

/// One member of an object, and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// The name.
    pub key: Text<'a>,
    /// The value.
    pub value: Value<'a>,
    /// The place of the quote before the name.
    pub start: usize,
    /// The place of the value's first byte.
    pub value_start: usize,
    /// The place after the value.
    pub end: usize,
}

/// The members of an object: names and values, in the order they are written.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    tokens: Tokens<'a>,
    at: usize,
    key_at: usize,
    first: bool,
    done: bool,
}

impl<'a> Members<'a> {
    /// Of the object whose `{` is at `at`.
    #[inline]
    pub(crate) fn at(text: &'a [u8], at: usize) -> Self {
        Self {
            tokens: Tokens::new(text, at + 1),
            at: at + 1,
            key_at: 0,
            first: true,
            done: false,
        }
    }

    /// The next member's name and the place where its value begins, which is to be [taken](Self::value_at) before the next.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<Option<(Text<'a>, usize)>, Malformed> {
        if self.done {
            return Ok(None);
        }
        let (mut token, mut at) = self.tokens.next_from(self.at)?;
        match token {
            b'}' => {
                self.done = true;
                self.at = at;
                return Ok(None);
            }
            b',' if !self.first => (token, at) = self.tokens.next_from(at + 1)?,
            _ if self.first => {}
            _ => return Err(Malformed { at }),
        }
        if token != b'"' {
            return Err(Malformed { at });
        }
        self.first = false;
        self.key_at = at;
        let text = self.tokens.text();
        let end = self.tokens.next()?;
        let key = Text::new(&text[at + 1..end]);
        let key = if self.tokens.is_plain() { key.plain() } else { key };
        let (token, colon) = self.tokens.next_from(end + 1)?;
        if token != b':' {
            return Err(Malformed { at: colon });
        }
        Ok(Some((key, skip::space(text, colon + 1))))
    }

    /// The value at `at`.
    #[inline]
    pub(crate) fn value_at(&mut self, at: usize) -> Result<Value<'a>, Malformed> {
        let (value, end) = Value::take(&mut self.tokens, at)?;
        self.at = end;
        Ok(value)
    }

    /// The next member: its name, its value, and where it stands in the object's text, from the name's quote to the value's end.
    ///
    /// # Errors
    ///
    /// When there is neither a member nor the object's end.
    #[inline]
    pub fn next_at(&mut self) -> Result<Option<Member<'a>>, Malformed> {
        let Some((key, value_at)) = self.key()? else {
            return Ok(None);
        };
        let start = self.key_at;
        let value = self.value_at(value_at)?;
        Ok(Some(Member {
            key,
            value,
            start,
            value_start: value_at,
            end: self.at,
        }))
    }

    /// The text that the object stands in: what the places of a [`Member`] count in.
    #[inline]
    pub fn text(&self) -> &'a [u8] {
        self.tokens.text()
    }

    /// The place after the object's `}`, once the last member has been taken.
    #[inline]
    pub fn end(&self) -> Option<usize> {
        self.done.then_some(self.at + 1)
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Result<(Text<'a>, Value<'a>), Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let member = self.next_at().transpose();
        self.done |= matches!(member, Some(Err(_)));
        member.map(|member| member.map(|member| (member.key, member.value)))
    }
}

/// The elements of an array.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    tokens: Tokens<'a>,
    at: usize,
    done: bool,
}

impl<'a> Elements<'a> {
    /// Of an array's text, brackets included.
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self {
            tokens: Tokens::new(text, 1),
            at: 1,
            done: false,
        }
    }

    fn element(&mut self) -> Result<Option<Value<'a>>, Malformed> {
        let text = self.tokens.text();
        let mut at = skip::space(text, self.at);
        match text.get(at) {
            Some(b']') => return Ok(None),
            Some(b',') if self.at > 1 => {
                self.tokens.next_from(at)?;
                at = skip::space(text, at + 1);
            }
            _ if self.at == 1 => {}
            _ => return Err(Malformed { at }),
        }
        let (value, end) = Value::take(&mut self.tokens, at)?;
        self.at = end;
        Ok(Some(value))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Value<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let element = self.element().transpose();
        self.done = !matches!(element, Some(Ok(_)));
        element
    }
}
