use crate::{Malformed, Text, Value, skip};

/// The members of an object: names and values, in the order they are written.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    text: &'a [u8],
    at: usize,
    first: bool,
    done: bool,
}

impl<'a> Members<'a> {
    /// Of the object whose `{` is at `at`.
    #[inline]
    pub(crate) fn at(text: &'a [u8], at: usize) -> Self {
        Self {
            text,
            at: at + 1,
            first: true,
            done: false,
        }
    }

    /// The next member's name and the place where its value begins; [`pass`](Self::pass) has to be told where it ends.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<Option<(Text<'a>, usize)>, Malformed> {
        if self.done {
            return Ok(None);
        }
        let mut at = skip::space(self.text, self.at);
        match self.text.get(at) {
            Some(b'}') => {
                self.done = true;
                return Ok(None);
            }
            Some(b',') if !self.first => at = skip::space(self.text, at + 1),
            _ if self.first => {}
            _ => return Err(Malformed { at }),
        }
        self.first = false;
        if self.text.get(at) != Some(&b'"') {
            return Err(Malformed { at });
        }
        let end = skip::string(self.text, at + 1)?;
        let key = Text::new(&self.text[at + 1..end]);
        let colon = skip::space(self.text, end + 1);
        if self.text.get(colon) != Some(&b':') {
            return Err(Malformed { at: colon });
        }
        Ok(Some((key, skip::space(self.text, colon + 1))))
    }

    /// Goes on at `end`, after a value.
    #[inline]
    pub(crate) fn pass(&mut self, end: usize) {
        self.at = end;
    }

    #[inline]
    fn member(&mut self) -> Result<Option<(Text<'a>, Value<'a>)>, Malformed> {
        let Some((key, at)) = self.key()? else {
            return Ok(None);
        };
        let (value, end) = Value::at(self.text, at)?;
        self.pass(end);
        Ok(Some((key, value)))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Result<(Text<'a>, Value<'a>), Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let member = self.member().transpose();
        self.done |= matches!(member, Some(Err(_)));
        member
    }
}

/// The elements of an array.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    text: &'a [u8],
    at: usize,
    done: bool,
}

impl<'a> Elements<'a> {
    /// Of an array's text, brackets included.
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 1,
            done: false,
        }
    }

    fn element(&mut self) -> Result<Option<Value<'a>>, Malformed> {
        let mut at = skip::space(self.text, self.at);
        match self.text.get(at) {
            Some(b']') => return Ok(None),
            Some(b',') if self.at > 1 => at = skip::space(self.text, at + 1),
            _ if self.at == 1 => {}
            _ => return Err(Malformed { at }),
        }
        let (value, end) = Value::at(self.text, at)?;
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
