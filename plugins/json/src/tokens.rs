use crate::Malformed;
use crate::block::{BLOCK_BYTES, Carry, Masks};
use crate::skip;

/// The places of a text's tokens, in order: quotes that begin and end strings; outside strings braces, brackets, colons and commas.
#[derive(Clone, Debug)]
pub(crate) struct Tokens<'a> {
    text: &'a [u8],
    /// Those of the block before `next_block` that are still to come.
    rest: u64,
    next_block: usize,
    carry: Carry,
}

impl<'a> Tokens<'a> {
    /// From `at` on, which is not within a string.
    #[inline]
    pub(crate) fn new(text: &'a [u8], at: usize) -> Self {
        Self {
            text,
            rest: 0,
            next_block: at,
            carry: Carry::default(),
        }
    }

    #[inline]
    pub(crate) fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Whether there is no backslash up to the last token that was taken.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.carry.is_plain()
    }

    /// The place of the next token.
    ///
    /// # Errors
    ///
    /// At the end of the text.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Result<usize, Malformed> {
        while self.rest == 0 {
            if self.next_block >= self.text.len() {
                return Err(Malformed { at: self.text.len() });
            }
            self.rest = tokens(self.text, self.next_block, &mut self.carry);
            self.next_block += BLOCK_BYTES;
        }
        let at = self.next_block - BLOCK_BYTES + self.rest.trailing_zeros() as usize;
        self.rest &= self.rest - 1;
        Ok(at)
    }

    /// The next token, which has nothing but white space between it and `at`, and its place.
    ///
    /// # Errors
    ///
    /// When something else is there, or nothing.
    #[inline(always)]
    pub(crate) fn next_from(&mut self, at: usize) -> Result<(u8, usize), Malformed> {
        let place = self.next()?;
        if place != at {
            let at = skip::space(self.text, at);
            if place != at {
                return Err(Malformed { at });
            }
        }
        Ok((self.text[place], place))
    }

    /// Passes over a string whose opening quote is the next token: the place of its closing quote.
    ///
    /// # Errors
    ///
    /// When it does not end.
    #[inline(always)]
    pub(crate) fn string(&mut self) -> Result<usize, Malformed> {
        self.next()?;
        self.next()
    }

    /// Passes over an object or array whose opening bracket is the next token: the place after it.
    ///
    /// # Errors
    ///
    /// When it does not end.
    pub(crate) fn container(&mut self) -> Result<usize, Malformed> {
        let mut depth = 0_usize;
        loop {
            let at = self.next()?;
            match self.text[at] {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(at + 1);
                    }
                }
                _ => {}
            }
        }
    }
}

/// The tokens of the block that begins at `at`.
#[inline(never)]
fn tokens(text: &[u8], at: usize, carry: &mut Carry) -> u64 {
    let masks = Masks::of(text, at, [0; 2], carry);
    masks.quotes | masks.brackets | masks.colons | masks.commas
}
