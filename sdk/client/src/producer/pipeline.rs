//! Batches between the first time they are handed to the stream and their ack: sequence numbers, the window, retries,
//! and what to do when a batch of a sequence is lost. No I/O, no clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use weir_batch::{next_sequence, set_producer};
use weir_protocol::{Ack, ErrorCode, ProduceOpened, WireError};

use crate::ProduceError;
use crate::backoff::Backoff;
use crate::producer::batch_state::{BatchResult, Stored};
use crate::producer::finished::Finished;
use crate::producer::partition_flight::PartitionFlight;
use crate::producer::record_fates::RecordFates;
use crate::producer::sent_batch::SentBatch;

/// Bounds and habits of a pipeline.
#[derive(Debug, Clone)]
pub(super) struct PipelineConfig {
    pub(super) idempotent: bool,
    /// Most frames and bytes in flight; the broker may ask for less.
    pub(super) window_frames: usize,
    pub(super) window_bytes: usize,
    pub(super) retry_delay: Duration,
    pub(super) retry_delay_max: Duration,
    /// A batch that is unanswered for this long is a reason to give up the stream.
    pub(super) ack_timeout: Duration,
}

/// Who the broker takes this producer for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProducerIdentity {
    pub(super) id: i64,
    pub(super) epoch: i16,
}

impl ProducerIdentity {
    /// The identity of a producer without idempotence.
    const NONE: Self = Self { id: -1, epoch: -1 };
}

/// The state machine of a produce stream, and of those that follow it.
///
/// A batch is in exactly one place: `in_flight` (handed to the stream, in stream order), `resend` (was in flight when
/// the stream ended), or its partition's `refused` (the broker said no, and it is to be tried again). While a
/// partition has refused batches nothing new of it leaves, so its order is kept.
#[derive(Debug)]
pub(super) struct Pipeline {
    config: PipelineConfig,
    identity: Option<ProducerIdentity>,
    topic_id: Option<u32>,
    window_frames: usize,
    window_bytes: usize,
    in_flight: VecDeque<SentBatch>,
    in_flight_bytes: usize,
    resend: VecDeque<SentBatch>,
    partitions: Vec<PartitionFlight>,
    /// Batches in the partitions' `refused`, all together.
    refused: usize,
    /// A batch with a sequence number was lost: its sequence cannot go on, a new identity is needed.
    renewal: bool,
}

impl Pipeline {
    pub(super) fn new(config: PipelineConfig) -> Self {
        Self {
            window_frames: config.window_frames,
            window_bytes: config.window_bytes,
            config,
            identity: None,
            topic_id: None,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            resend: VecDeque::new(),
            partitions: Vec::new(),
            refused: 0,
            renewal: false,
        }
    }

    /// The identity to ask for when a stream is opened; `None` asks for a new one. What has to be sent again goes out
    /// under the identity it had, or the broker could not tell that it has it.
    pub(super) fn identity(&self) -> Option<ProducerIdentity> {
        if self.wants_renewal() {
            None
        } else {
            self.identity.filter(|identity| identity.id >= 0)
        }
    }

    /// A stream is open. Nothing is in flight on it yet.
    ///
    /// # Errors
    /// [`ProduceError::InvalidRecord`] if a kept batch cannot take a new identity, which is a defect.
    pub(super) fn opened(&mut self, opened: &ProduceOpened) -> Result<(), ProduceError> {
        self.window_frames = self
            .config
            .window_frames
            .min(opened.window_frames.max(1) as usize);
        self.window_bytes = self
            .config
            .window_bytes
            .min(usize::try_from(opened.window_bytes).unwrap_or(usize::MAX));
        let partitions = self.partitions.len().max(opened.partitions as usize);
        self.partitions.resize_with(partitions, PartitionFlight::default);
        let identity = if self.config.idempotent {
            ProducerIdentity {
                id: opened.producer_id,
                epoch: opened.producer_epoch,
            }
        } else {
            ProducerIdentity::NONE
        };
        let other_topic = self
            .topic_id
            .replace(opened.topic_id)
            .is_some_and(|id| id != opened.topic_id);
        let other_identity = self
            .identity
            .replace(identity)
            .is_some_and(|known| known != identity);
        if self.config.idempotent && (other_topic || other_identity) {
            self.renewal = false;
            self.renumber(identity)?;
        }
        Ok(())
    }

    /// Whether `bytes` more may be in flight now. A single batch always may.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.in_flight.is_empty()
            || (self.in_flight.len() < self.window_frames
                && self.in_flight_bytes + bytes <= self.window_bytes)
    }

    /// The same, when `frames` of `frames_bytes` have been chosen to leave already.
    pub(super) fn has_room_after(&self, frames: usize, frames_bytes: usize, bytes: usize) -> bool {
        let in_flight = self.in_flight.len() + frames;
        in_flight == 0
            || (in_flight < self.window_frames
                && self.in_flight_bytes + frames_bytes + bytes <= self.window_bytes)
    }

    /// How long an ack may take.
    pub(super) fn ack_timeout(&self) -> Duration {
        self.config.ack_timeout
    }

    /// Whether new batches may leave at all: not while old ones are to be sent again, nor before a renewal.
    pub(super) fn takes_new(&self) -> bool {
        !self.renewal && self.resend.is_empty()
    }

    /// Whether new batches of a partition have to wait for older ones.
    pub(super) fn is_blocked(&self, partition: u32) -> bool {
        self.partitions
            .get(partition as usize)
            .is_some_and(|flight| !flight.refused.is_empty())
    }

    /// Batches in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Producer id, epoch and base sequence for a new batch of `records`, which must then be sent.
    pub(super) fn number(&mut self, partition: u32, records: i32) -> (i64, i16, i32) {
        let identity = self.identity.unwrap_or(ProducerIdentity::NONE);
        if identity.id < 0 {
            return (-1, -1, -1);
        }
        let flight = self.flight(partition);
        let sequence = flight.next_sequence;
        flight.next_sequence = next_sequence(sequence, records);
        (identity.id, identity.epoch, sequence)
    }

    /// A new batch is handed to the stream.
    pub(super) fn sent(&mut self, batch: SentBatch) {
        self.flight(batch.partition).in_flight += 1;
        self.in_flight_bytes += batch.bytes.len();
        self.in_flight.push_back(batch);
    }

    /// The next batch that is to be handed to the stream again, if there is one and room for it.
    pub(super) fn next_again(&mut self, now: Instant) -> Option<(u32, Bytes)> {
        let mut batch = if let Some(next) = self.resend.front() {
            if !self.has_room(next.bytes.len()) {
                return None;
            }
            self.resend.pop_front()?
        } else {
            self.next_refused(now)?
        };
        batch.sent = now;
        let frame = (batch.partition, batch.bytes.clone());
        self.sent(batch);
        Some(frame)
    }

    /// The broker's answer to the batch that has been in flight longest.
    ///
    /// # Errors
    /// What is wrong with the answer; the stream is then of no more use.
    pub(super) fn acked(
        &mut self,
        ack: Ack,
        now: Instant,
        finished: &mut Vec<Finished>,
    ) -> Result<(), String> {
        let Some(front) = self.in_flight.front() else {
            return Err(format!(
                "an ack for partition {} with nothing in flight",
                ack.partition
            ));
        };
        if front.partition != ack.partition {
            return Err(format!(
                "an ack for partition {} where one for {} is due",
                ack.partition, front.partition
            ));
        }
        let Some(batch) = self.in_flight.pop_front() else {
            return Ok(());
        };
        self.in_flight_bytes -= batch.bytes.len();
        let flight = self.flight(batch.partition);
        flight.in_flight -= 1;
        match ack.error {
            None => {
                flight.succeeded();
                let records = match ack.records {
                    None => None,
                    Some(results) => {
                        let fates = RecordFates::new(*results, batch.records, batch.partition)?;
                        Some(Arc::new(fates))
                    }
                };
                if batch.given_up {
                    finished.push(Finished::released(batch));
                    return Ok(());
                }
                finished.push(Finished::resolved(
                    batch,
                    Ok(Stored {
                        base_offset: ack.base_offset,
                        records,
                    }),
                ));
            }
            Some(error) => self.refused(batch, error, now, finished),
        }
        Ok(())
    }

    /// The stream has ended: what was in flight is to be sent again, in order, on the next one.
    pub(super) fn disconnected(&mut self, finished: &mut Vec<Finished>) {
        self.in_flight_bytes = 0;
        for flight in &mut self.partitions {
            flight.in_flight = 0;
            flight.retry_at = None;
            flight.probing = false;
        }
        // What was in flight left before what still waits to be sent again.
        let mut sent = std::mem::take(&mut self.in_flight);
        sent.append(&mut self.resend);
        for batch in sent {
            let flight = self.flight(batch.partition);
            if batch.given_up {
                // If it was not stored, its successors will be refused for their sequence, and that is dealt with then.
                finished.push(Finished::released(batch));
            } else if flight.refused.is_empty() {
                self.resend.push_back(batch);
            } else {
                flight.insert_refused(batch);
                self.refused += 1;
            }
        }
    }

    /// Gives up the batches begun at or before `created`.
    pub(super) fn give_up(&mut self, created: Instant, error: &ProduceError, finished: &mut Vec<Finished>) {
        for batch in &mut self.in_flight {
            if batch.created <= created && !batch.given_up {
                batch.given_up = true;
                finished.push(Finished::failed_in_flight(batch, error.clone()));
            }
        }
        let mut lost = false;
        let mut drop_old = |queue: &mut VecDeque<SentBatch>, finished: &mut Vec<Finished>| {
            for batch in std::mem::take(queue) {
                if batch.created <= created {
                    lost = true;
                    finished.push(Finished::resolved(batch, Err(error.clone())));
                } else {
                    queue.push_back(batch);
                }
            }
        };
        drop_old(&mut self.resend, finished);
        for flight in &mut self.partitions {
            drop_old(&mut flight.refused, finished);
        }
        self.refused = self.partitions.iter().map(|flight| flight.refused.len()).sum();
        self.renewal |= lost && self.config.idempotent;
    }

    /// A batch that got its sequence number was not sent after all.
    pub(super) fn sequence_lost(&mut self) {
        self.renewal |= self.config.idempotent;
    }

    /// Gives up everything that is kept, once nothing is in flight any more.
    pub(super) fn fail_all(&mut self, error: &ProduceError, finished: &mut Vec<Finished>) {
        debug_assert!(self.in_flight.is_empty(), "the stream has ended");
        let refused = self
            .partitions
            .iter_mut()
            .flat_map(|flight| std::mem::take(&mut flight.refused));
        let kept: Vec<SentBatch> = std::mem::take(&mut self.resend)
            .into_iter()
            .chain(refused)
            .collect();
        self.refused = 0;
        self.renewal |= self.config.idempotent && !kept.is_empty();
        finished.extend(
            kept.into_iter()
                .map(|batch| Finished::resolved(batch, Err(error.clone()))),
        );
    }

    /// Whether the stream is to be replaced by one with a new identity, now that nothing is in flight any more.
    pub(super) fn wants_renewal(&self) -> bool {
        self.renewal && self.in_flight.is_empty() && self.resend.is_empty()
    }

    /// When the oldest batch in flight will have waited too long for its ack.
    pub(super) fn ack_due(&self) -> Option<Instant> {
        self.in_flight
            .front()
            .map(|batch| batch.sent + self.config.ack_timeout)
    }

    /// When the next refused batch is to be tried again.
    pub(super) fn retry_due(&self) -> Option<Instant> {
        if self.refused == 0 {
            return None;
        }
        self.partitions
            .iter()
            .filter(|flight| flight.in_flight == 0 && !flight.refused.is_empty())
            .filter_map(|flight| flight.retry_at)
            .min()
    }

    fn refused(&mut self, batch: SentBatch, error: WireError, now: Instant, finished: &mut Vec<Finished>) {
        let idempotent = self.config.idempotent;
        let backoff = Backoff::new(self.config.retry_delay, self.config.retry_delay_max);
        if batch.given_up {
            // Not stored and never sent again: its sequence has a hole from here on.
            self.renewal |= idempotent;
            finished.push(Finished::released(batch));
            return;
        }
        let again = match error.error_code() {
            // It was stored before, too long ago for the broker to know where.
            Some(ErrorCode::DuplicateSequence) if idempotent => {
                finished.push(Finished::resolved(batch, Ok(Stored::whole(-1))));
                return;
            }
            // The consequence of an earlier refusal that will be made good, or else the sequence is broken.
            Some(ErrorCode::OutOfOrderSequence) if idempotent => {
                self.renewal |= !self.is_blocked(batch.partition);
                true
            }
            Some(ErrorCode::InvalidProducerEpoch) if idempotent => {
                self.renewal = true;
                true
            }
            _ => error.retriable,
        };
        if again {
            let flight = self.flight(batch.partition);
            flight.last_error = Some(error);
            flight.retry_later(now, backoff);
            flight.insert_refused(batch);
            self.refused += 1;
        } else {
            self.renewal |= idempotent;
            let result: BatchResult = Err(ProduceError::Broker(error));
            finished.push(Finished::resolved(batch, result));
        }
    }

    /// A refused batch whose time has come. The first one of a partition goes alone, the others follow its success.
    fn next_refused(&mut self, now: Instant) -> Option<SentBatch> {
        if self.renewal || self.refused == 0 {
            return None;
        }
        let (frames, bytes) = (self.window_frames, self.window_bytes);
        let (in_flight, in_flight_bytes) = (self.in_flight.len(), self.in_flight_bytes);
        let room = |len: usize| in_flight == 0 || (in_flight < frames && in_flight_bytes + len <= bytes);
        let flight = self.partitions.iter_mut().find(|flight| {
            flight.may_retry(now)
                && flight
                    .refused
                    .front()
                    .is_some_and(|batch| room(batch.bytes.len()))
        })?;
        let batch = flight.refused.pop_front()?;
        self.refused -= 1;
        Some(batch)
    }

    /// Writes a new identity and new sequence numbers into every kept batch, in order.
    fn renumber(&mut self, identity: ProducerIdentity) -> Result<(), ProduceError> {
        for flight in &mut self.partitions {
            flight.next_sequence = 0;
        }
        // A partition has batches to resend or refused ones, never both: `disconnected` sees to that.
        let mut resend = std::mem::take(&mut self.resend);
        for batch in &mut resend {
            let flight = self.flight(batch.partition);
            flight.renumber(batch, identity)?;
        }
        self.resend = resend;
        for flight in &mut self.partitions {
            let mut refused = std::mem::take(&mut flight.refused);
            for batch in &mut refused {
                flight.renumber(batch, identity)?;
            }
            flight.refused = refused;
        }
        Ok(())
    }

    fn flight(&mut self, partition: u32) -> &mut PartitionFlight {
        let needed = partition as usize + 1;
        if self.partitions.len() < needed {
            self.partitions.resize_with(needed, PartitionFlight::default);
        }
        &mut self.partitions[partition as usize]
    }
}

/// The bytes of a batch with another identity and sequence.
pub(super) fn rewrite(
    bytes: &Bytes,
    identity: ProducerIdentity,
    sequence: i32,
) -> Result<Bytes, ProduceError> {
    let mut copy = bytes.to_vec();
    set_producer(&mut copy, identity.id, identity.epoch, sequence)
        .map_err(|error| ProduceError::InvalidRecord(error.to_string()))?;
    Ok(Bytes::from(copy))
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
