//! What comes of a batch.

use std::sync::Arc;

use bytes::BytesMut;

use crate::BrokerError;
use crate::flow::collector::OutBatch;
use crate::flow::counters::PassStats;
use crate::ingest::RecordResults;
use crate::ingest::pass::IngestPass;
use crate::ingest::route::Route;

/// How far a turn has come.
pub(super) enum Step {
    /// There is more to do.
    More(Box<IngestPass>),
    /// The batch, all of which is to be done again once there is a dead-letter topic.
    NoDeadLetter(BytesMut),
    Done(Made),
    /// The batch as a whole cannot be stored.
    Refused(BrokerError),
}

/// What has become of a batch.
pub(super) struct Made {
    pub(super) output: Output,
    pub(super) letters: Vec<OutBatch>,
    /// Producer id, epoch and base sequence of the batch, if its producer has an id.
    pub(super) sequence: Option<(i64, i16, i32)>,
    /// Records that were sent.
    pub(super) records: u32,
    pub(super) stats: PassStats,
    /// Where all of it goes.
    pub(super) route: Arc<Route>,
}

impl Made {
    /// Bytes of what is to be stored.
    pub(super) fn bytes(&self) -> u64 {
        let letters: usize = self.letters.iter().map(|letter| letter.batch.len()).sum();
        self.stats.bytes_out + letters as u64
    }
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
