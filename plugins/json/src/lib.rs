//! Finds its way through JSON text without building anything of it.
//!
//! A [`Value`] is a slice of the text; what is inside is looked at when it is asked for. What is passed over is read as far as finding
//! its end takes: strings end, brackets close. Whether a number that nobody asks for is a number is not checked.
//!
//! Every function takes whatever bytes there are: what is not JSON is [`Malformed`].

mod members;
mod number;
mod skip;
mod text;
mod value;

pub use members::{Elements, Member, Members};
pub use number::parse_number;
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

/// The value at `path` (names of members, from the outermost in), if there is one. Of members of the same name, the first counts. The text
/// behind it is not looked at.
///
/// # Errors
///
/// When the text is malformed before the value is found.
pub fn find<'a>(text: &'a [u8], path: &[impl AsRef<[u8]>]) -> Result<Option<Value<'a>>, Malformed> {
    let mut at = skip::space(text, 0);
    'path: for name in path {
        if text.get(at) != Some(&b'{') {
            // Whether it is JSON at all is worth knowing even so.
            skip::value(text, at)?;
            return Ok(None);
        }
        let mut members = Members::at(text, at);
        while let Some((key, value_at)) = members.key()? {
            if key.is(name.as_ref()) {
                at = value_at;
                continue 'path;
            }
            members.pass(skip::value(text, value_at)?);
        }
        return Ok(None);
    }
    Value::at(text, at).map(|(value, _)| Some(value))
}

#[cfg(test)]
mod tests;
