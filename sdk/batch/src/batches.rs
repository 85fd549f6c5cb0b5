use crate::{BatchError, BatchHeader};

/// Goes through concatenated batches by their lengths; see [`iter_batches`].
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
}

/// The batches in `bytes`, one after the other: header and whole bytes of each. Only headers are looked at.
///
/// The first fault, be it a batch cut off at the end, is the last item.
#[inline]
pub fn iter_batches(bytes: &[u8]) -> Batches<'_> {
    Batches { rest: bytes }
}

impl<'a> Batches<'a> {
    /// The bytes that are not yet gone through.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<(BatchHeader, &'a [u8]), BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = BatchHeader::parse(self.rest).and_then(|header| {
            let needed = header.batch_len;
            let (batch, rest) = self.rest.split_at_checked(needed).ok_or(BatchError::Truncated {
                needed,
                have: self.rest.len(),
            })?;
            self.rest = rest;
            Ok((header, batch))
        });
        if item.is_err() {
            self.rest = &[];
        }
        Some(item)
    }
}

impl core::iter::FusedIterator for Batches<'_> {}
