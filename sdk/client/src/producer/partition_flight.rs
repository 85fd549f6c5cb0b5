use std::collections::VecDeque;
use std::time::Instant;

use weir_batch::next_sequence;
use weir_protocol::WireError;

use crate::ProduceError;
use crate::backoff::Backoff;
use crate::producer::pipeline::{ProducerIdentity, rewrite};
use crate::producer::sent_batch::SentBatch;

/// One partition's part of a pipeline.
#[derive(Debug, Default)]
pub(super) struct PartitionFlight {
    /// Sequence number of the next new batch.
    pub(super) next_sequence: i32,
    /// Batches in flight.
    pub(super) in_flight: usize,
    /// Batches that are to be sent again, by number.
    pub(super) refused: VecDeque<SentBatch>,
    /// Not before this time.
    pub(super) retry_at: Option<Instant>,
    /// The last try failed: the next one is with a single batch.
    pub(super) probing: bool,
    /// Why the last batch was refused.
    pub(super) last_error: Option<WireError>,
    backoff: Option<Backoff>,
}

impl PartitionFlight {
    /// A batch was stored.
    pub(super) fn succeeded(&mut self) {
        self.probing = false;
        self.backoff = None;
        self.retry_at = None;
        self.last_error = None;
    }

    /// A batch was refused: the next try is later. Refusals that come while nothing was tried anew do not add up.
    pub(super) fn retry_later(&mut self, now: Instant, fresh: Backoff) {
        if self.retry_at.is_none_or(|at| at <= now) {
            let delay = self.backoff.get_or_insert(fresh).next_delay();
            self.retry_at = Some(now + delay);
        }
        self.probing = true;
    }

    /// Whether the first refused batch may be sent again now.
    pub(super) fn may_retry(&self, now: Instant) -> bool {
        !self.refused.is_empty()
            && (!self.probing || self.in_flight == 0)
            && self.retry_at.is_none_or(|at| at <= now)
    }

    /// Puts a batch into its place among the refused.
    pub(super) fn insert_refused(&mut self, batch: SentBatch) {
        let at = self.refused.partition_point(|other| other.number < batch.number);
        self.refused.insert(at, batch);
    }

    /// Gives a batch the next sequence number under a new identity.
    pub(super) fn renumber(
        &mut self,
        batch: &mut SentBatch,
        identity: ProducerIdentity,
    ) -> Result<(), ProduceError> {
        batch.bytes = rewrite(&batch.bytes, identity, self.next_sequence)?;
        self.next_sequence = next_sequence(self.next_sequence, batch.records);
        Ok(())
    }
}
