//! Records on their way to a batch, and batches on their way to the wire. No I/O, no clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_batch::{BatchBuilder, Codec, HEADER_LEN};

use crate::producer::batch_state::BatchState;
use crate::producer::open_batch::OpenBatch;
use crate::producer::partitioner::Partitioner;
use crate::{Payload, ProduceError, Record};

/// What a batch costs in memory besides its bytes. Counted, so that batches of one byte are bounded too.
pub(super) const BATCH_OVERHEAD_BYTES: usize = 256;
/// Builders kept for reuse, with the room that their last batch took.
const SPARE_BUILDERS_MAX: usize = 8;

/// Bounds and habits of an accumulator.
#[derive(Debug, Clone)]
pub(super) struct AccumulatorConfig {
    /// A batch is sealed when the next record would take it over this many bytes.
    pub(super) batch_bytes: usize,
    /// How long a batch waits for more records; zero: not at all.
    pub(super) linger: Duration,
    /// Most bytes of records that are not yet acknowledged.
    pub(super) buffer_bytes: usize,
    /// Largest batch in bytes that the topic takes.
    pub(super) record_bytes_max: usize,
    pub(super) codec: Codec,
}

/// A record that was taken.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) batch: Arc<BatchState>,
    pub(super) index: u32,
    /// There is something new to do for whoever drains the accumulator, and it is idle.
    pub(super) wake: bool,
}

/// A batch that is not resolved yet.
#[derive(Debug)]
struct Outstanding {
    created: Instant,
    state: Arc<BatchState>,
}

/// One partition's batches that have not been taken.
#[derive(Debug, Default)]
struct Queue {
    open: Option<OpenBatch>,
    sealed: VecDeque<OpenBatch>,
    /// Whether the partition is in `Accumulator::ready`.
    ready: bool,
}

/// An open batch that is due at a time.
#[derive(Debug)]
struct Lingering {
    until: Instant,
    partition: u32,
    number: u64,
}

/// Collects records into batches per partition, within a bound on memory.
///
/// Batches carry numbers that only grow, in the order of their creation; within a partition they leave in that order.
#[derive(Debug)]
pub(super) struct Accumulator {
    topic: Arc<str>,
    config: AccumulatorConfig,
    partitioner: Partitioner,
    queues: Vec<Queue>,
    /// Partitions that have a batch to give, each once, in the order in which they take turns.
    ready: VecDeque<u32>,
    /// Open batches by the time at which they are due. All wait equally long, so creation order is due order.
    lingering: VecDeque<Lingering>,
    outstanding: BTreeMap<u64, Outstanding>,
    buffered_bytes: usize,
    next_number: u64,
    spare: Vec<BatchBuilder>,
    /// Senders that wait for room. While there are any, nobody overtakes them.
    waiting: usize,
    idle: bool,
    closed: bool,
    first_failure: Option<ProduceError>,
}

impl Accumulator {
    /// For a topic of `partitions`; records without a key begin at `first_sticky`.
    pub(super) fn new(
        topic: Arc<str>,
        partitions: u32,
        first_sticky: u32,
        config: AccumulatorConfig,
    ) -> Self {
        let mut queues = Vec::new();
        queues.resize_with(partitions as usize, Queue::default);
        Self {
            topic,
            config,
            partitioner: Partitioner::new(partitions, first_sticky),
            queues,
            ready: VecDeque::new(),
            lingering: VecDeque::new(),
            outstanding: BTreeMap::new(),
            buffered_bytes: 0,
            next_number: 0,
            spare: Vec::new(),
            waiting: 0,
            idle: false,
            closed: false,
            first_failure: None,
        }
    }

    /// Takes a record, encoded into its partition's open batch. `now` is asked only when a batch is begun.
    ///
    /// # Errors
    /// [`ProduceError::BufferFull`] if it has to wait (never if the buffer is empty), otherwise what is wrong with it.
    /// `in_turn`: the caller has waited and is the first of those who do.
    #[inline]
    pub(super) fn append(
        &mut self,
        record: &Record<'_>,
        timestamp_ms: i64,
        in_turn: bool,
        now: impl FnOnce() -> Instant,
    ) -> Result<Accepted, ProduceError> {
        if self.closed {
            return Err(ProduceError::Closed);
        }
        let len = record.encoded_len_max();
        let mut partition = self.place(record, len)?;
        self.check_room(len, in_turn)?;

        // Each turn leaves one partition without an open batch, and a record without a key goes on to the next one: it is not to begin
        // another batch where the last one has just left.
        while self.is_too_full(partition, len) {
            self.seal(partition);
            partition = self.place(record, len)?;
        }
        let mut wake = false;
        if self.queues[partition as usize].open.is_none() {
            self.begin(partition, now());
            wake = true;
        }
        let queue = &mut self.queues[partition as usize];
        // `begin` has just made it if it was not there.
        let Some(open) = queue.open.as_mut() else {
            return Err(ProduceError::Closed);
        };
        let before = open.builder.encoded_len();
        push(&mut open.builder, record, timestamp_ms)?;
        let after = open.builder.encoded_len();
        let index = open.builder.len() as u32 - 1;
        let batch = Arc::clone(&open.state);
        open.charged_bytes += after - before;
        self.buffered_bytes += after - before;
        if after >= self.config.batch_bytes {
            self.seal(partition);
            wake = true;
        }
        let wake = wake && std::mem::take(&mut self.idle);
        Ok(Accepted { batch, index, wake })
    }

    /// Takes a whole batch as it is, out of `builder`; it goes out behind what its partition has.
    ///
    /// # Errors
    /// As [`append`](Self::append); the builder is then still there.
    pub(super) fn append_batch(
        &mut self,
        partition: u32,
        builder: &mut Option<BatchBuilder>,
        in_turn: bool,
        now: Instant,
    ) -> Result<Accepted, ProduceError> {
        if self.closed {
            return Err(ProduceError::Closed);
        }
        let Some(len) = builder
            .as_ref()
            .filter(|builder| !builder.is_empty())
            .map(BatchBuilder::encoded_len)
        else {
            return Err(ProduceError::InvalidRecord("the batch has no records".to_owned()));
        };
        if partition >= self.partitions() {
            return Err(self.unknown_partition(partition));
        }
        if len > self.config.record_bytes_max {
            return Err(ProduceError::RecordTooLarge {
                bytes: len,
                limit: self.config.record_bytes_max,
            });
        }
        self.check_room(len, in_turn)?;
        self.seal(partition);
        let mut batch = self.new_batch(partition, builder.take().unwrap_or_default(), now);
        batch.charged_bytes += len;
        self.buffered_bytes += len;
        let state = Arc::clone(&batch.state);
        self.queues[partition as usize].sealed.push_back(batch);
        self.mark_ready(partition);
        Ok(Accepted {
            batch: state,
            index: 0,
            wake: std::mem::take(&mut self.idle),
        })
    }

    /// The next batch that may leave. With `partials` batches that could take more records may leave too, if they do
    /// not linger. A batch for whose partition and bytes `held` holds stays. Partitions take turns.
    pub(super) fn take(
        &mut self,
        now: Instant,
        partials: bool,
        held: impl Fn(u32, usize) -> bool,
    ) -> Option<OpenBatch> {
        self.seal_due(now);
        let at_once = self.config.linger.is_zero();
        for _ in 0..self.ready.len() {
            let partition = self.ready.pop_front()?;
            let queue = &mut self.queues[partition as usize];
            let partial = queue.open.as_ref().filter(|_| at_once && partials);
            let next = queue.sealed.front().or(partial);
            let taken = match next {
                Some(next) if !held(partition, next.builder.encoded_len()) => {
                    if queue.sealed.is_empty() {
                        self.seal(partition);
                    }
                    self.queues[partition as usize].sealed.pop_front()
                }
                _ => None,
            };
            let queue = &mut self.queues[partition as usize];
            queue.ready = !queue.sealed.is_empty() || (at_once && queue.open.is_some());
            if queue.ready {
                self.ready.push_back(partition);
            }
            if taken.is_some() {
                return taken;
            }
        }
        None
    }

    /// Nobody drains until the next `wake`, or until the time that this returns: when the next batch is due.
    pub(super) fn rest(&mut self) -> Option<Instant> {
        self.idle = true;
        self.lingering.front().map(|lingering| lingering.until)
    }

    /// Seals everything, whether full or not.
    pub(super) fn seal_all(&mut self) {
        for partition in 0..self.partitions() {
            self.seal(partition);
        }
    }

    /// Every batch that is not resolved, oldest first.
    pub(super) fn outstanding(&self) -> Vec<Arc<BatchState>> {
        self.outstanding
            .values()
            .map(|outstanding| Arc::clone(&outstanding.state))
            .collect()
    }

    pub(super) fn has_outstanding(&self) -> bool {
        !self.outstanding.is_empty()
    }

    /// When the oldest batch that is not resolved was begun.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.outstanding
            .first_key_value()
            .map(|(_, oldest)| oldest.created)
    }

    /// Gives up the batches begun at or before `created` that nobody has taken.
    pub(super) fn give_up(&mut self, created: Instant) -> Vec<OpenBatch> {
        let mut given_up = Vec::new();
        for queue in &mut self.queues {
            while queue.sealed.front().is_some_and(|batch| batch.created <= created) {
                given_up.extend(queue.sealed.pop_front());
            }
            if queue.open.as_ref().is_some_and(|batch| batch.created <= created) {
                given_up.extend(queue.open.take());
            }
        }
        given_up
    }

    /// A batch is resolved. Its memory is given back by `release`.
    pub(super) fn resolve(&mut self, number: u64, failure: Option<ProduceError>) {
        self.outstanding.remove(&number);
        if self.first_failure.is_none() {
            self.first_failure = failure;
        }
    }

    /// Gives `bytes` of memory back. True if somebody waits for room.
    pub(super) fn release(&mut self, bytes: usize) -> bool {
        self.buffered_bytes = self.buffered_bytes.saturating_sub(bytes);
        self.waiting > 0
    }

    /// A builder that is of no use to its batch any more.
    pub(super) fn recycle(&mut self, builder: BatchBuilder) {
        if self.spare.len() < SPARE_BUILDERS_MAX {
            // It may be a caller's, with habits of its own.
            self.spare.push(builder.transactional(false).control(false));
        }
    }

    /// The first failure since the last call.
    pub(super) fn take_failure(&mut self) -> Option<ProduceError> {
        self.first_failure.take()
    }

    pub(super) fn add_waiting(&mut self) {
        self.waiting += 1;
    }

    pub(super) fn remove_waiting(&mut self) {
        self.waiting -= 1;
    }

    /// Takes no more records.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.seal_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn partitions(&self) -> u32 {
        self.partitioner.partitions()
    }

    pub(super) fn buffer_bytes(&self) -> usize {
        self.config.buffer_bytes
    }

    pub(super) fn buffered_bytes(&self) -> usize {
        self.buffered_bytes
    }

    /// What the broker says about the topic has changed.
    pub(super) fn adapt(&mut self, partitions: u32, record_bytes_max: usize) {
        self.partitioner.grow(partitions);
        let partitions = self.partitions() as usize;
        self.queues.resize_with(partitions, Queue::default);
        self.config.record_bytes_max = record_bytes_max;
        self.config.batch_bytes = self.config.batch_bytes.min(record_bytes_max);
    }

    /// The partition of a record that is fit to be sent.
    #[inline]
    fn place(&self, record: &Record<'_>, len: usize) -> Result<u32, ProduceError> {
        let limit = self.config.record_bytes_max;
        if HEADER_LEN + len > limit {
            return Err(ProduceError::RecordTooLarge {
                bytes: HEADER_LEN + len,
                limit,
            });
        }
        match record.partition {
            Some(partition) if partition < self.partitions() => Ok(partition),
            Some(partition) => Err(self.unknown_partition(partition)),
            None => Ok(self.partitioner.choose(record.key.as_deref())),
        }
    }

    /// Whether the partition's open batch has no room for a record of so many bytes.
    #[inline]
    fn is_too_full(&self, partition: u32, len: usize) -> bool {
        let open = self.queues[partition as usize].open.as_ref();
        open.is_some_and(|open| open.builder.encoded_len() + len > self.config.batch_bytes)
    }

    #[inline]
    fn check_room(&self, len: usize, in_turn: bool) -> Result<(), ProduceError> {
        let limit = self.config.buffer_bytes;
        let full = self.buffered_bytes > 0 && self.buffered_bytes + len + BATCH_OVERHEAD_BYTES > limit;
        if full || (self.waiting > 0 && !in_turn) {
            return Err(ProduceError::BufferFull { limit });
        }
        Ok(())
    }

    #[cold]
    fn unknown_partition(&self, partition: u32) -> ProduceError {
        ProduceError::UnknownPartition {
            partition,
            partitions: self.partitions(),
        }
    }

    /// Opens a batch.
    fn begin(&mut self, partition: u32, now: Instant) {
        let mut builder = self.spare.pop().unwrap_or_default();
        builder.set_codec(self.config.codec);
        let batch = self.new_batch(partition, builder, now);
        let number = batch.number;
        self.queues[partition as usize].open = Some(batch);
        if self.config.linger.is_zero() {
            self.mark_ready(partition);
        } else {
            self.lingering.push_back(Lingering {
                until: now + self.config.linger,
                partition,
                number,
            });
        }
    }

    fn new_batch(&mut self, partition: u32, builder: BatchBuilder, now: Instant) -> OpenBatch {
        let number = self.next_number;
        self.next_number += 1;
        let state = Arc::new(BatchState::new(Arc::clone(&self.topic), partition));
        self.outstanding.insert(
            number,
            Outstanding {
                created: now,
                state: Arc::clone(&state),
            },
        );
        self.buffered_bytes += BATCH_OVERHEAD_BYTES;
        OpenBatch {
            number,
            partition,
            builder,
            state,
            created: now,
            charged_bytes: BATCH_OVERHEAD_BYTES,
        }
    }

    fn seal(&mut self, partition: u32) {
        let queue = &mut self.queues[partition as usize];
        let Some(open) = queue.open.take() else { return };
        queue.sealed.push_back(open);
        self.mark_ready(partition);
        self.partitioner.batch_left(partition);
    }

    fn seal_due(&mut self, now: Instant) {
        while let Some(due) = self.lingering.pop_front_if(|lingering| lingering.until <= now) {
            let open = self.queues[due.partition as usize].open.as_ref();
            if open.is_some_and(|open| open.number == due.number) {
                self.seal(due.partition);
            }
        }
    }

    fn mark_ready(&mut self, partition: u32) {
        let queue = &mut self.queues[partition as usize];
        if !std::mem::replace(&mut queue.ready, true) {
            self.ready.push_back(partition);
        }
    }
}

#[inline]
fn push(builder: &mut BatchBuilder, record: &Record<'_>, timestamp_ms: i64) -> Result<(), ProduceError> {
    let (key, value) = (record.key.as_deref(), record.value.as_deref());
    let pushed = if record.headers.is_empty() {
        builder.push(timestamp_ms, key, value, &[])
    } else {
        let headers: Vec<(&str, Option<&[u8]>)> = record
            .headers
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref().map(Payload::as_ref)))
            .collect();
        builder.push(timestamp_ms, key, value, &headers)
    };
    pushed.map_err(|error| ProduceError::InvalidRecord(error.to_string()))
}

#[cfg(test)]
#[path = "accumulator_tests.rs"]
mod tests;
