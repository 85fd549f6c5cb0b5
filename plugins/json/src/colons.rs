use std::ops::Range;

use crate::block::{BLOCK_BYTES, Carry, Masks};
use crate::{Malformed, Text, Value, skip};

/// The members of an object, each by the colon between name and value: the fastest way to a few of many. Of what is between the members that
/// are asked for, only strings and brackets are read.
#[derive(Clone, Debug)]
pub struct Colons<'a> {
    text: &'a [u8],
    /// Where the block after that of `events` begins.
    next_block: usize,
    /// Colons and brackets of a block that are still to come; of a block without brackets, only those colons that are the object's own.
    events: u64,
    brackets: u64,
    /// Objects and arrays that are open, this one included.
    depth: usize,
    carry: Carry,
    endings: Endings,
    end: usize,
}

/// The last characters of names: what tells most members from those that are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Endings {
    /// None if there are more than that.
    last: Option<[u8; 2]>,
}

impl Endings {
    /// Of these names.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n [u8]>) -> Self {
        let mut last: Vec<u8> = names.into_iter().map(last).collect();
        last.sort_unstable();
        last.dedup();
        Self {
            last: match last[..] {
                [one] => Some([one, one]),
                [one, two] => Some([one, two]),
                _ => None,
            },
        }
    }

    /// Of one name.
    #[inline]
    pub(crate) fn one(name: &[u8]) -> Self {
        let last = last(name);
        Self {
            last: Some([last, last]),
        }
    }
}

#[inline]
fn last(name: &[u8]) -> u8 {
    // Before the quote that ends an empty name is the one that begins it.
    name.last().copied().unwrap_or(b'"')
}

/// One member, by its colon.
#[derive(Clone, Copy, Debug)]
pub struct Colon<'a> {
    text: &'a [u8],
    at: usize,
    /// Known to have no escapes in its name.
    plain: bool,
}

impl<'a> Colons<'a> {
    /// Of the object whose `{` is at `at`. Members whose names end otherwise may be left out.
    #[inline]
    pub(crate) fn at(text: &'a [u8], at: usize, endings: Endings) -> Self {
        Self {
            text,
            next_block: at + 1,
            events: 0,
            brackets: 0,
            depth: 1,
            carry: Carry::default(),
            endings,
            end: 0,
        }
    }

    /// The next member, unless the object has ended.
    ///
    /// # Errors
    ///
    /// At the end of the text.
    #[inline(always)]
    pub fn next_colon(&mut self) -> Result<Option<Colon<'a>>, Malformed> {
        loop {
            while self.events == 0 {
                if self.next_block >= self.text.len() {
                    return if self.depth == 0 {
                        Ok(None)
                    } else {
                        Err(Malformed { at: self.text.len() })
                    };
                }
                let wanted = self.endings.last.unwrap_or_default();
                let masks = Masks::of(self.text, self.next_block, wanted, &mut self.carry);
                let mut colons = masks.colons_after_wanted(&mut self.carry);
                if self.endings.last.is_none() || !self.carry.is_plain() {
                    colons = masks.colons;
                }
                self.brackets = masks.brackets;
                self.events = match (masks.brackets, self.depth) {
                    (0, 1) => colons,
                    (0, _) => 0,
                    (brackets, _) => colons | brackets,
                };
                self.next_block += BLOCK_BYTES;
            }
            let bit = self.events.trailing_zeros();
            self.events &= self.events - 1;
            let at = self.next_block - BLOCK_BYTES + bit as usize;
            if self.brackets >> bit & 1 == 0 {
                if self.depth == 1 {
                    let plain = self.carry.is_plain();
                    return Ok(Some(Colon {
                        text: self.text,
                        at,
                        plain,
                    }));
                }
            } else if matches!(self.text[at], b'{' | b'[') {
                self.depth += 1;
            } else {
                self.depth -= 1;
                if self.depth == 0 {
                    // Nothing more is looked at.
                    (self.events, self.next_block) = (0, self.text.len());
                    self.end = at + 1;
                    return Ok(None);
                }
            }
        }
    }

    /// The place after the object's `}`, once the last member has been taken.
    #[inline]
    pub fn end(&self) -> Option<usize> {
        (self.depth == 0).then_some(self.end)
    }
}

impl<'a> Colon<'a> {
    /// The place of the quote before the member's name, if that means `name`.
    #[inline(always)]
    pub fn start_of(&self, name: &[u8]) -> Option<usize> {
        if self.plain
            && let Some((last, _)) = name.split_last()
            && let [.., byte, b'"'] = &self.text[..self.at]
        {
            return if byte == last { self.exactly(name) } else { None };
        }
        start_of_meaning(self.text, self.at, name)
    }

    /// The same where the name is written as `name`, right before the colon. There are no escapes.
    #[inline]
    fn exactly(&self, name: &[u8]) -> Option<usize> {
        let start = self.at.checked_sub(name.len() + 2)?;
        (self.text[start] == b'"' && is_same(&self.text[start + 1..self.at - 1], name)).then_some(start)
    }

    /// The value, the place where it begins, and the one after it.
    ///
    /// # Errors
    ///
    /// When there is none.
    #[inline]
    pub fn value(&self) -> Result<(Value<'a>, Range<usize>), Malformed> {
        let start = self.value_start();
        let (value, end) = Value::at(self.text, start)?;
        Ok((value, start..end))
    }

    /// The place of the value's first byte.
    #[inline]
    pub(crate) fn value_start(&self) -> usize {
        skip::space(self.text, self.at + 1)
    }
}

/// Equality without a call: names are short.
#[inline(always)]
fn is_same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    match (left.first_chunk::<8>(), right.first_chunk::<8>()) {
        (Some(first), Some(other)) => first == other && (left.len() == 8 || left[8..] == right[8..]),
        _ => left.iter().zip(right).all(|(byte, other)| byte == other),
    }
}

/// [`Colon::start_of`], however the name before the colon at `at` is written. Not a method: what methods are called on is in memory.
#[cold]
fn start_of_meaning(text: &[u8], at: usize, name: &[u8]) -> Option<usize> {
    let before = text[..at].trim_ascii_end();
    let before = before.strip_suffix(b"\"")?;
    let mut start = before.len();
    loop {
        start = before[..start].iter().rposition(|byte| *byte == b'"')?;
        let backslashes = before[..start].iter().rev().take_while(|byte| **byte == b'\\');
        if backslashes.count() % 2 == 0 {
            let key = Text::new(&before[start + 1..]);
            return key.is(name).then_some(start);
        }
    }
}
