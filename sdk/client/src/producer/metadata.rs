use std::sync::Arc;

/// Where a record was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordMetadata {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: u32,
    /// The record's offset. -1 in one rare case: after a reconnect the broker recognised the batch as one it has
    /// stored, but so long ago (in batches of this producer) that it no longer knows where.
    pub offset: i64,
    /// The record's timestamp, in milliseconds since 1970.
    pub timestamp: i64,
}
