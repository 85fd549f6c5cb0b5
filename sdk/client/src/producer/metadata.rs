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
    /// stored, but so long ago (in batches of this producer) that it no longer knows where. -1 also for a record that was
    /// [dropped](RecordFate::Dropped). Where an ingest flow made several records of it, that of the first.
    pub offset: i64,
    /// Whether it is stored.
    pub fate: RecordFate,
    /// The record's timestamp, in milliseconds since 1970.
    pub timestamp: i64,
}

/// What became of a record that was sent without failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecordFate {
    /// It is stored, or what the topic's ingest flow made of it.
    Stored,
    /// The topic's ingest flow left it out, or put it into its dead-letter topic.
    Dropped,
}
