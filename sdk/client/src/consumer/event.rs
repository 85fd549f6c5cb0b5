use crate::{Error, RecordBatch};

/// What the driver tells its consumer.
#[derive(Debug)]
pub(super) enum Event {
    /// Records of a partition.
    Records {
        partition: u32,
        /// How often the partition had been sought when the records were asked for.
        generation: u64,
        batches: Vec<RecordBatch>,
        /// Everything before this offset is in them, or is not for the consumer.
        next_offset: i64,
        high_watermark: Option<i64>,
        /// Nothing more comes from the partition.
        ended: bool,
    },
    /// A partition cannot go on; the others do.
    Failed {
        partition: u32,
        generation: u64,
        error: Error,
    },
    /// The consumer cannot go on.
    Fatal(Error),
}
