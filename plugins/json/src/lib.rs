//! Finds its way through JSON text without building anything of it.
//!
//! A [`Value`] is a slice of the text; what is inside is looked at when it is asked for. What is passed over is read as far as finding
//! its end takes: strings end, brackets close. Whether a number that nobody asks for is a number is not checked.
//!
//! Every function takes whatever bytes there are: what is not JSON is [`Malformed`].

mod block;
mod colons;
mod members;
mod number;
mod skip;
mod text;
mod tokens;
mod value;

pub use block::{BLOCK_BYTES, is_plain, places};
pub use colons::{Colon, Colons, Endings};
pub use members::{Elements, Member, Members};
pub use number::{is_number, parse_number};
pub use text::{Text, write_string};
pub use value::{Kind, Value};

use std::fmt;

/// The text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Bytes from the start of the text (of the value that was looked into) to where it stops making sense.
    pub at: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not JSON from byte {} on", self.at)
    }
}

impl std::error::Error for Malformed {}

/// The members of the object that `text` begins with, after white space; none if it begins with something else. Whether the object ends, and what
/// comes after it, is the caller's to look at: [`Members::end`], [`ends_at`].
#[inline]
pub fn members(text: &[u8]) -> Option<Members<'_>> {
    let at = skip::space(text, 0);
    (text.get(at) == Some(&b'{')).then(|| Members::at(text, at))
}

/// Whether nothing but white space follows from `at` on.
///
/// # Errors
///
/// When something else does.
#[inline]
pub fn ends_at(text: &[u8], at: usize) -> Result<(), Malformed> {
    let at = skip::space(text, at);
    if at == text.len() {
        Ok(())
    } else {
        Err(Malformed { at })
    }
}

/// The same for few of many members: those whose names have one of these endings, and perhaps others.
#[inline]
pub fn colons(text: &[u8], endings: Endings) -> Option<Colons<'_>> {
    let at = skip::space(text, 0);
    (text.get(at) == Some(&b'{')).then(|| Colons::at(text, at, endings))
}

/// The value at `path` (names of members, from the outermost in), if there is one. Of members of the same name, the first counts. The text
/// behind it is not looked at; of the members before it, only strings and brackets are.
///
/// # Errors
///
/// When the text is malformed before the value is found, in what is looked at.
#[inline]
pub fn find<'a>(text: &'a [u8], path: &[impl AsRef<[u8]>]) -> Result<Option<Value<'a>>, Malformed> {
    let mut at = skip::space(text, 0);
    for name in path {
        if text.get(at) != Some(&b'{') {
            // Whether it is JSON at all is worth knowing even so.
            Value::at(text, at)?;
            return Ok(None);
        }
        let Some(colon) = seek(text, at, name.as_ref())? else {
            return Ok(None);
        };
        at = colon.value_start();
    }
    Value::at(text, at).map(|(value, _)| Some(value))
}

/// The first member of this name in the object whose `{` is at `at`.
fn seek<'a>(text: &'a [u8], at: usize, name: &[u8]) -> Result<Option<Colon<'a>>, Malformed> {
    let mut colons = Colons::at(text, at, Endings::one(name));
    while let Some(colon) = colons.next_colon()? {
        if colon.start_of(name).is_some() {
            return Ok(Some(colon));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
