//! Why outputs cannot be gathered.

use std::fmt;

use weir_batch::BatchError;

/// Why a record cannot be put into a sink.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum CollectError {
    /// It is larger than the sink's `max.message.bytes` by itself.
    Oversized { sink: String, bytes: usize, max: usize },
    /// The plugin chose a partition that the sink does not have.
    NoSuchPartition {
        sink: String,
        partition: u32,
        partitions: u32,
    },
    /// No batch can be made of it.
    Batch(BatchError),
}

impl fmt::Display for CollectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oversized { sink, bytes, max } => write!(
                f,
                "an output record makes a batch of {bytes} bytes and topic '{sink}' takes {max}: raise its \
                 max.message.bytes, or make the plugin write less"
            ),
            Self::NoSuchPartition {
                sink,
                partition,
                partitions,
            } => write!(
                f,
                "the plugin wants an output record to go to partition {partition} of topic '{sink}', which has {partitions} \
                 (from 0 on)"
            ),
            Self::Batch(error) => write!(f, "an output batch cannot be made: {error}"),
        }
    }
}
