//! The packed lists of keyed state: what the WIT interface `weir:plugin/state` passes over the border.
//!
//! ```text
//! key     = length uvarint, bytes
//! value   = length uvarint, bytes
//! maybe   = length zigzag varint, bytes                       (-1 and no bytes: none)
//!
//! keys    = key*
//! found   = maybe*
//! changes = change*
//! change  = 0 u8, key, value                                  (put)
//!         | 1 u8, time to live in ms, zigzag varlong, key, value
//!         | 2 u8, key                                         (delete)
//! rows    = more u8, (key, value)*
//! ```
//!
//! A list ends where its bytes end. The readers are iterators that allocate nothing and end after the first fault; lengths are
//! checked against the bytes that are there before anything is made of them.

use alloc::vec::Vec;
use core::fmt;

use crate::cursor::Cursor;
use crate::varint::{MAX_VARINT, MAX_VARLONG, Scratch};

const PUT: u8 = 0;
const PUT_WITH_TTL: u8 = 1;
const DELETE: u8 = 2;

/// The bytes are no list of the expected kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Bytes from the end of the list to the element that is at fault, that element included.
    pub left: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the packed list is malformed {} bytes before its end",
            self.left
        )
    }
}

impl core::error::Error for Malformed {}

/// One change of what is stored under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Stores a value.
    Put {
        /// Under this key.
        key: &'a [u8],
        /// The value.
        value: &'a [u8],
        /// Milliseconds of record time until it is gone; it stays if none. Not negative.
        ttl_ms: Option<i64>,
    },
    /// Removes whatever is stored.
    Delete {
        /// Under this key.
        key: &'a [u8],
    },
}

impl<'a> Change<'a> {
    /// The key that it is about.
    #[inline]
    pub fn key(&self) -> &'a [u8] {
        match *self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }

    /// Bytes of key and value.
    #[inline]
    pub fn payload_len(&self) -> usize {
        match self {
            Self::Put { key, value, .. } => key.len() + value.len(),
            Self::Delete { key } => key.len(),
        }
    }
}

/// Appends `bytes`, a key or a value, behind their length. They are less than 4 GiB, as all of a guest's memory is.
#[inline]
pub fn put_bytes(list: &mut Vec<u8>, bytes: &[u8]) {
    let mut head = Scratch::<MAX_VARINT>::new();
    head.u32(bytes.len() as u32);
    head.append_to(list);
    list.extend_from_slice(bytes);
}

/// Appends what is stored under a key, or that nothing is. A value is less than 2 GiB.
#[inline]
pub fn put_found(list: &mut Vec<u8>, value: Option<&[u8]>) {
    let mut head = Scratch::<MAX_VARINT>::new();
    head.i32(value.map_or(-1, |value| value.len() as i32));
    head.append_to(list);
    list.extend_from_slice(value.unwrap_or_default());
}

/// Appends a change.
#[inline]
pub fn put_change(list: &mut Vec<u8>, change: &Change<'_>) {
    match *change {
        Change::Put {
            key,
            value,
            ttl_ms: None,
        } => {
            list.push(PUT);
            put_bytes(list, key);
            put_bytes(list, value);
        }
        Change::Put {
            key,
            value,
            ttl_ms: Some(ttl_ms),
        } => {
            let mut head = Scratch::<{ 1 + MAX_VARLONG }>::new();
            head.u8(PUT_WITH_TTL);
            head.i64(ttl_ms);
            head.append_to(list);
            put_bytes(list, key);
            put_bytes(list, value);
        }
        Change::Delete { key } => {
            list.push(DELETE);
            put_bytes(list, key);
        }
    }
}

/// What every reader here does: takes elements off the front until the bytes end or one is malformed.
macro_rules! reader {
    ($(#[$doc:meta])* $name:ident, $item:ty, $take:expr) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name<'a> {
            cursor: Cursor<'a>,
        }

        impl<'a> $name<'a> {
            /// Reads `list` from its start.
            #[inline]
            pub fn new(list: &'a [u8]) -> Self {
                Self {
                    cursor: Cursor::new(list),
                }
            }
        }

        impl<'a> Iterator for $name<'a> {
            type Item = Result<$item, Malformed>;

            #[inline]
            fn next(&mut self) -> Option<Self::Item> {
                let left = self.cursor.rest().len();
                if left == 0 {
                    return None;
                }
                let taken: Option<$item> = $take(&mut self.cursor);
                if taken.is_none() {
                    self.cursor = Cursor::new(&[]);
                }
                Some(taken.ok_or(Malformed { left }))
            }
        }

        impl core::iter::FusedIterator for $name<'_> {}

        impl fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_list().entries(self.clone()).finish()
            }
        }
    };
}

reader!(
    /// The keys of `keys`.
    Keys,
    &'a [u8],
    take_bytes
);

reader!(
    /// The values of `found`, in the order of the keys that were asked for.
    Found,
    Option<&'a [u8]>,
    Cursor::nullable
);

reader!(
    /// The changes of `changes`.
    Changes,
    Change<'a>,
    take_change
);

reader!(
    /// The keys and values of `rows`, behind the byte that says whether there may be more.
    Rows,
    (&'a [u8], &'a [u8]),
    |cursor: &mut Cursor<'a>| Some((take_bytes(cursor)?, take_bytes(cursor)?))
);

/// Takes `rows` apart: whether there may be more, and the rows.
///
/// # Errors
///
/// When the first byte is neither 0 nor 1.
pub fn rows(list: &[u8]) -> Result<(bool, Rows<'_>), Malformed> {
    match list {
        [more @ (0 | 1), rows @ ..] => Ok((*more == 1, Rows::new(rows))),
        _ => Err(Malformed { left: list.len() }),
    }
}

#[inline]
fn take_bytes<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let len = cursor.uvarint()?;
    cursor.take(len as usize)
}

fn take_change<'a>(cursor: &mut Cursor<'a>) -> Option<Change<'a>> {
    let kind = cursor.u8()?;
    let ttl_ms = match kind {
        PUT | DELETE => None,
        PUT_WITH_TTL => Some(cursor.varlong().filter(|ttl_ms| *ttl_ms >= 0)?),
        _ => return None,
    };
    let key = take_bytes(cursor)?;
    if kind == DELETE {
        return Some(Change::Delete { key });
    }
    let value = take_bytes(cursor)?;
    Some(Change::Put { key, value, ttl_ms })
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
