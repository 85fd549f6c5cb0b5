mod headers;
mod records;
mod tail;

pub use headers::Headers;
pub use records::Records;
pub(crate) use records::validate;
pub use tail::Tail;

/// One record of a batch, borrowed from the batch's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    offset_delta: i32,
    timestamp_delta: i64,
    offset: i64,
    timestamp: i64,
    tail: Tail<'a>,
}

impl<'a> Record<'a> {
    /// Offset of the record less the batch's base offset.
    #[inline]
    pub fn offset_delta(&self) -> i32 {
        self.offset_delta
    }

    /// Timestamp of the record less the batch's base timestamp: milliseconds.
    #[inline]
    pub fn timestamp_delta(&self) -> i64 {
        self.timestamp_delta
    }

    /// Offset of the record in its partition, as far as the batch's base offset is set. A plugin sees the source's where it gets the source's
    /// batch; behind a filter of the same flow that dropped records, or a transform, the batch is made anew and counts from 0, as on
    /// ingest.
    #[inline]
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// Milliseconds since 1970: when the record was made, or appended where the batch says so.
    #[inline]
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// The key, if the record has one.
    #[inline]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.tail.key()
    }

    /// The value; none is a tombstone.
    #[inline]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.tail.value()
    }

    /// The headers, in the order they were written; names may repeat.
    #[inline]
    pub fn headers(&self) -> Headers<'a> {
        self.tail.headers()
    }

    /// The record's bytes from the key's length to the end: what an output frame and
    /// [`BatchBuilder::push_tail`](crate::BatchBuilder::push_tail) carry on unchanged.
    #[inline]
    pub fn tail(&self) -> &'a [u8] {
        self.tail.as_bytes()
    }
}
