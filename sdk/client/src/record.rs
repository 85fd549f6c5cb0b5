use std::borrow::Cow;

use crate::Payload;

/// A record to be sent: a value, and if wanted a key, headers, a timestamp and a partition.
///
/// Payloads are borrowed or owned, whichever is at hand; they are copied once, into the batch.
///
/// ```
/// use weir_client::Record;
///
/// let order = Record::value(r#"{"total": 12}"#).key("customer-7").header("source", "web");
/// let deletion = Record::tombstone("customer-7");
/// # let _ = (order, deletion);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Record<'a> {
    pub(crate) key: Option<Payload<'a>>,
    pub(crate) value: Option<Payload<'a>>,
    pub(crate) headers: Vec<(Cow<'a, str>, Option<Payload<'a>>)>,
    pub(crate) timestamp_ms: Option<i64>,
    pub(crate) partition: Option<u32>,
}

impl<'a> Record<'a> {
    /// A record with this value and nothing else.
    pub fn value(value: impl Into<Payload<'a>>) -> Self {
        Self {
            value: Some(value.into()),
            ..Self::default()
        }
    }

    /// A record with this key and no value: under compaction it deletes what the key had.
    pub fn tombstone(key: impl Into<Payload<'a>>) -> Self {
        Self {
            key: Some(key.into()),
            ..Self::default()
        }
    }

    /// Sets the key. Records of one key go to one partition, as Kafka's default partitioner places them, and so keep
    /// their order.
    #[must_use]
    pub fn key(mut self, key: impl Into<Payload<'a>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds a header. A name may occur more than once; order is kept.
    #[must_use]
    pub fn header(mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Payload<'a>>) -> Self {
        self.headers.push((name.into(), Some(value.into())));
        self
    }

    /// Sets the timestamp, in milliseconds since 1970. Without it a record gets the time at which it is sent.
    #[must_use]
    pub fn timestamp(mut self, timestamp_ms: i64) -> Self {
        self.timestamp_ms = Some(timestamp_ms);
        self
    }

    /// Sets the partition, which then overrules the key.
    #[must_use]
    pub fn partition(mut self, partition: u32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Most bytes that the record can take in a batch.
    #[inline]
    pub(crate) fn encoded_len_max(&self) -> usize {
        /// Attributes, and the varints of length, timestamp, offset, key length, value length and header count.
        const FIXED: usize = 1 + 5 + 10 + 5 + 5 + 5 + 5;
        let key = self.key.as_ref().map_or(0, |key| key.len());
        let value = self.value.as_ref().map_or(0, |value| value.len());
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| 10 + name.len() + value.as_ref().map_or(0, |value| value.len()))
            .sum();
        FIXED + key + value + headers
    }
}

/// Whatever can be a value is a record with this value.
impl<'a, V: Into<Payload<'a>>> From<V> for Record<'a> {
    #[inline]
    fn from(value: V) -> Self {
        Self::value(value)
    }
}
