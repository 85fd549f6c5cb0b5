//! What comes of a batch.

use bytes::BytesMut;

use crate::BrokerError;
use crate::flow::collector::OutBatch;
use crate::flow::counters::PassStats;
use crate::ingest::RecordResults;
use crate::ingest::letters::Target;
use crate::ingest::pass::IngestPass;

/// How far a turn has come.
pub(super) enum Step {
    /// There is more to do.
    More(Box<IngestPass>),
    /// The batch, all of which is to be done again once there is a dead-letter topic.
    NoDeadLetter(BytesMut),
    Done(Made),
    /// The plugins do not start: why.
    Unable(String),
    /// The batch as a whole cannot be stored.
    Refused(BrokerError),
}

/// What has become of a batch.
pub(super) struct Made {
    pub(super) output: Output,
    pub(super) letters: Vec<OutBatch>,
    pub(super) letters_to: Option<Target>,
    /// Producer id, epoch and base sequence of the batch, if its producer has an id.
    pub(super) sequence: Option<(i64, i16, i32)>,
    /// Records that were sent.
    pub(super) records: u32,
    pub(super) stats: PassStats,
}

/// What is to be stored.
pub(super) enum Output {
    /// The batch as it was sent.
    Untouched(BytesMut),
    /// This instead.
    Changed {
        batches: Vec<BytesMut>,
        records: Option<Box<RecordResults>>,
    },
}
