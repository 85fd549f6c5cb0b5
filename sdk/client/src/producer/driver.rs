use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::VarInt;
use tokio::time::Sleep;
use weir_protocol::{Ack, CloseCode, Frame, FrameKind, Goodbye, ProduceHeader};

use crate::backoff::Backoff;
use crate::producer::accumulator::BATCH_OVERHEAD_BYTES;
use crate::producer::finished::Finished;
use crate::producer::open_batch::OpenBatch;
use crate::producer::pipeline::Pipeline;
use crate::producer::sent_batch::SentBatch;
use crate::producer::shared::Shared;
use crate::producer::stream::ProduceStream;
use crate::wire::{message, write_error};
use crate::{Error, ProduceError};

/// Frames and bytes prepared before they are written: enough to keep the transport busy, little enough that batches
/// go on filling while it is.
const PREPARED_FRAMES_MAX: usize = 8;
const PREPARED_BYTES_MAX: usize = 256 * 1024;
/// With so many batches in flight, batches that could take more records wait for an ack before they leave.
const PARTIALS_IN_FLIGHT_MAX: usize = 16;
const RECONNECT_DELAY: Duration = Duration::from_millis(50);
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(2);

/// Carries a producer's batches to the broker: owns its stream, and opens another one when it is lost.
#[derive(Debug)]
pub(super) struct Driver {
    shared: Arc<Shared>,
    pipeline: Pipeline,
    finished: Vec<Finished>,
    /// Chunks to be written; those before `written` are.
    prepared: Vec<Bytes>,
    written: usize,
    /// The last thing that stood in the way, for the message of those that expire.
    obstacle: String,
    /// It does so at present: nothing was acknowledged since.
    held_up: bool,
}

/// Why a stream is left.
enum End {
    /// The producer is closed and everything is resolved.
    Done,
    /// A new identity is needed.
    Renew,
    Lost(Error),
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>, pipeline: Pipeline) -> Self {
        Self {
            shared,
            pipeline,
            finished: Vec::new(),
            prepared: Vec::new(),
            written: 0,
            obstacle: "the broker has not acknowledged it".to_owned(),
            held_up: false,
        }
    }

    /// Something stands in the way.
    fn hold_up(&mut self, reason: String) {
        self.shared.set_obstacle(Some(reason.clone()));
        self.obstacle = reason;
        self.held_up = true;
    }

    /// Something was acknowledged.
    fn gets_on(&mut self) {
        if std::mem::take(&mut self.held_up) {
            self.shared.set_obstacle(None);
        }
    }

    /// Runs until the producer is closed and has nothing left to do.
    pub(super) async fn run(mut self, first: ProduceStream) {
        let mut stream = first;
        loop {
            let end = self.serve(&mut stream).await;
            // Whether the stream still exists or not: nothing more is said on it.
            let _ = match &end {
                End::Lost(_) => stream.sender.reset(VarInt::from_u32(CloseCode::Done.number())),
                End::Done | End::Renew => stream.sender.finish(),
            };
            self.pipeline.disconnected(&mut self.finished);
            self.prepared.clear();
            self.written = 0;
            match end {
                End::Done => break,
                End::Renew => {
                    tracing::debug!(topic = %self.shared.topic, "the producer needs a new identity");
                }
                End::Lost(error) => {
                    tracing::debug!(topic = %self.shared.topic, %error, "the produce stream was lost");
                    self.hold_up(error.to_string());
                    if matches!(&error, Error::Broker(error) if !error.retriable) {
                        self.pipeline.fail_all(&error.into(), &mut self.finished);
                    }
                }
            }
            self.settle();
            match self.reopen().await {
                Some(next) => stream = next,
                None => break,
            }
        }
        self.settle();
    }

    /// Writes batches and reads acks until the stream is of no more use.
    async fn serve(&mut self, stream: &mut ProduceStream) -> End {
        let ProduceStream { sender, reader, .. } = stream;
        let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
        loop {
            let now = Instant::now();
            self.give_up_expired(now);
            let mut due = None;
            if self.written == self.prepared.len() {
                self.prepared.clear();
                self.written = 0;
                due = self.prepare(now);
            }
            self.settle();
            if self.is_done() {
                return End::Done;
            }
            if self.pipeline.wants_renewal() {
                return End::Renew;
            }
            let ack_due = self.pipeline.ack_due();
            if ack_due.is_some_and(|due| due <= now) {
                return End::Lost(Error::Timeout {
                    what: "a batch on the produce stream",
                    after: self.pipeline.ack_timeout(),
                });
            }
            let due = [due, ack_due, self.pipeline.retry_due(), self.expiry()]
                .into_iter()
                .flatten()
                .min();
            arm(timer.as_mut(), due);

            let writing = self.written < self.prepared.len();
            tokio::select! {
                frame = reader.next() => match frame {
                    Ok(Some(frame)) => {
                        let mut frame = frame;
                        loop {
                            if let Err(error) = self.answered(&frame) {
                                return End::Lost(error);
                            }
                            match reader.buffered() {
                                Ok(Some(next)) => frame = next,
                                Ok(None) => break,
                                Err(error) => return End::Lost(error),
                            }
                        }
                    }
                    Ok(None) => {
                        return End::Lost(Error::ConnectionLost {
                            broker: self.shared.client.broker().to_owned(),
                            reason: "the broker ended the stream".to_owned(),
                        });
                    }
                    Err(error) => return End::Lost(error),
                },
                outcome = sender.write_chunks(&mut self.prepared[self.written..]), if writing => match outcome {
                    Ok(progress) => self.written += progress.chunks,
                    // The broker says why on its own half of the stream, if it says so at all.
                    Err(quinn::WriteError::Stopped(_)) => return End::Lost(last_word(reader, self.shared.client.broker()).await),
                    Err(error) => return End::Lost(write_error(self.shared.client.broker(), &error)),
                },
                () = self.shared.work.notified(), if !writing => {}
                () = timer.as_mut(), if due.is_some() => {}
            }
        }
    }

    /// Prepares the next frames: those to be sent again, then new ones. Returns when there will be more to do, if
    /// nothing happens before.
    fn prepare(&mut self, now: Instant) -> Option<Instant> {
        let mut bytes = 0;
        while self.prepared.len() < 2 * PREPARED_FRAMES_MAX && bytes < PREPARED_BYTES_MAX {
            let Some((partition, batch)) = self.pipeline.next_again(now) else {
                break;
            };
            bytes += batch.len();
            push_frame(&mut self.prepared, partition, batch);
        }
        let mut taken = Vec::new();
        let mut taken_bytes = 0;
        let mut due = None;
        {
            let mut accumulator = self.shared.accumulator();
            while self.pipeline.takes_new()
                && self.pipeline.has_room_after(taken.len(), taken_bytes, 0)
                && taken.len() < PREPARED_FRAMES_MAX
                && bytes + taken_bytes < PREPARED_BYTES_MAX
            {
                let in_flight = self.pipeline.in_flight() + taken.len();
                let partials = in_flight < PARTIALS_IN_FLIGHT_MAX || accumulator.is_closed();
                let held = |partition, len: usize| {
                    self.pipeline.is_blocked(partition)
                        || !self.pipeline.has_room_after(taken.len(), taken_bytes, len)
                };
                let Some(batch) = accumulator.take(now, partials, held) else {
                    break;
                };
                taken_bytes += batch.builder.encoded_len();
                taken.push(batch);
            }
            if taken.is_empty() && self.prepared.is_empty() {
                due = accumulator.rest();
            }
        }
        if !taken.is_empty() {
            self.finish(taken, now);
        }
        due
    }

    /// Numbers, compresses and seals batches, and hands them to the pipeline.
    fn finish(&mut self, taken: Vec<OpenBatch>, now: Instant) {
        let mut spare = Vec::with_capacity(taken.len());
        let mut saved_bytes = 0;
        for batch in taken {
            let OpenBatch {
                number,
                partition,
                mut builder,
                state,
                created,
                charged_bytes,
            } = batch;
            let records = builder.len() as i32;
            let (id, epoch, sequence) = self.pipeline.number(partition, records);
            builder.set_producer(id, epoch, sequence);
            match builder.finish() {
                Ok(bytes) => {
                    let bytes = Bytes::from(bytes);
                    let charge = (bytes.len() + BATCH_OVERHEAD_BYTES).min(charged_bytes);
                    saved_bytes += charged_bytes - charge;
                    push_frame(&mut self.prepared, partition, bytes.clone());
                    self.pipeline.sent(SentBatch {
                        number,
                        partition,
                        bytes,
                        records,
                        state,
                        created,
                        sent: now,
                        charged_bytes: charge,
                        given_up: false,
                    });
                }
                Err(error) => {
                    builder.clear();
                    self.pipeline.sequence_lost();
                    self.finished.push(Finished {
                        number,
                        state,
                        released_bytes: charged_bytes,
                        result: Some(Err(ProduceError::InvalidRecord(error.to_string()))),
                    });
                }
            }
            spare.push(builder);
        }
        let mut accumulator = self.shared.accumulator();
        let waiting = saved_bytes > 0 && accumulator.release(saved_bytes);
        spare.into_iter().for_each(|builder| accumulator.recycle(builder));
        drop(accumulator);
        if waiting {
            self.shared.room.notify_one();
        }
    }

    /// Takes in what the broker sent.
    fn answered(&mut self, frame: &Frame) -> Result<(), Error> {
        match frame.kind() {
            FrameKind::Ack => {
                let ack = Ack::decode(&frame.body).map_err(|error| Error::Protocol(error.to_string()))?;
                match &ack.error {
                    Some(error) if error.retriable => self.hold_up(error.to_string()),
                    // What follows from the obstacle, a gap in the sequence, is not to hide it.
                    Some(_) if self.held_up => {}
                    Some(error) => self.obstacle = error.to_string(),
                    None => self.gets_on(),
                }
                self.pipeline
                    .acked(ack, Instant::now(), &mut self.finished)
                    .map_err(Error::Protocol)
            }
            FrameKind::Goodbye => {
                tracing::debug!(goodbye = ?message::<Goodbye>(frame), "the broker is about to close the connection");
                Ok(())
            }
            // An error, or else a frame that has no place here.
            _ => Err(message::<weir_protocol::ProduceOpened>(frame)
                .err()
                .unwrap_or_else(|| Error::Protocol("a produce stream was opened twice".to_owned()))),
        }
    }

    /// Opens the next stream, however often it takes. `None` when the producer is closed and has nothing left to do,
    /// or when its client is closed.
    async fn reopen(&mut self) -> Option<ProduceStream> {
        let mut backoff = Backoff::new(RECONNECT_DELAY, RECONNECT_DELAY_MAX);
        loop {
            let shared = Arc::clone(&self.shared);
            let identity = self.pipeline.identity();
            let open = ProduceStream::open(&shared.client, &shared.topic, shared.idempotent, identity);
            let error = match self.meanwhile(open).await? {
                Ok(stream) => match self.pipeline.opened(&stream.opened) {
                    Ok(()) => {
                        let limit = stream.opened.max_message_bytes as usize;
                        shared.accumulator().adapt(stream.opened.partitions, limit);
                        return Some(stream);
                    }
                    Err(error) => Error::Produce(error),
                },
                Err(error) => error,
            };
            tracing::debug!(topic = %shared.topic, %error, "the produce stream cannot be opened");
            self.hold_up(error.to_string());
            if !error.retriable() {
                let client_closed = matches!(error, Error::Closed);
                self.fail_all(&error.into());
                if client_closed {
                    shared.accumulator().close();
                    return None;
                }
                self.wait_for_work().await?;
            }
            self.meanwhile(tokio::time::sleep(backoff.next_delay())).await?;
        }
    }

    /// Awaits something, and gives up what expires meanwhile. `None` as soon as there is nothing left to do.
    async fn meanwhile<T>(&mut self, something: impl Future<Output = T>) -> Option<T> {
        let mut something = pin!(something);
        let shared = Arc::clone(&self.shared);
        loop {
            let now = Instant::now();
            self.give_up_expired(now);
            self.settle();
            if self.is_done() {
                return None;
            }
            let expiry = self.expiry().unwrap_or(now + shared.delivery_timeout);
            tokio::select! {
                output = something.as_mut() => return Some(output),
                () = tokio::time::sleep_until(expiry.into()) => {}
                () = shared.work.notified() => {}
            }
        }
    }

    /// Waits until there is something to send. `None` if there never will be.
    async fn wait_for_work(&mut self) -> Option<()> {
        loop {
            if self.is_done() {
                return None;
            }
            {
                let mut accumulator = self.shared.accumulator();
                if accumulator.has_outstanding() {
                    return Some(());
                }
                accumulator.rest();
            }
            self.shared.work.notified().await;
        }
    }

    /// When the oldest unresolved batch expires.
    fn expiry(&self) -> Option<Instant> {
        self.shared
            .accumulator()
            .oldest()
            .map(|created| created + self.shared.delivery_timeout)
    }

    fn give_up_expired(&mut self, now: Instant) {
        if self.expiry().is_none_or(|expiry| expiry > now) {
            return;
        }
        let Some(created) = now.checked_sub(self.shared.delivery_timeout) else {
            return;
        };
        let error = ProduceError::Expired {
            after: self.shared.delivery_timeout,
            last: self.obstacle.clone(),
        };
        self.pipeline.give_up(created, &error, &mut self.finished);
        self.give_up_unsent(created, &error);
    }

    /// Fails everything there is, in the pipeline and in the accumulator.
    fn fail_all(&mut self, error: &ProduceError) {
        self.pipeline.fail_all(error, &mut self.finished);
        self.give_up_unsent(Instant::now(), error);
        self.settle();
    }

    fn give_up_unsent(&mut self, created: Instant, error: &ProduceError) {
        let unsent = self.shared.accumulator().give_up(created);
        self.finished.extend(unsent.into_iter().map(|batch| Finished {
            number: batch.number,
            state: batch.state,
            released_bytes: batch.charged_bytes,
            result: Some(Err(error.clone())),
        }));
    }

    /// Tells everybody concerned what is finished.
    fn settle(&mut self) {
        if self.finished.is_empty() {
            return;
        }
        let mut waiting = false;
        {
            let mut accumulator = self.shared.accumulator();
            for finished in &self.finished {
                match &finished.result {
                    Some(Ok(stored)) => accumulator.resolve(finished.number, stored.failure()),
                    Some(Err(error)) => accumulator.resolve(finished.number, Some(error.clone())),
                    None => {}
                }
                waiting |= accumulator.release(finished.released_bytes);
            }
        }
        if waiting {
            self.shared.room.notify_one();
        }
        for finished in self.finished.drain(..) {
            if let Some(result) = finished.result {
                finished.state.complete(result);
            }
        }
    }

    fn is_done(&self) -> bool {
        let accumulator = self.shared.accumulator();
        accumulator.is_closed() && !accumulator.has_outstanding()
    }
}

impl Drop for Driver {
    /// Also when the runtime ends: nobody is left waiting.
    fn drop(&mut self) {
        let outstanding = {
            let mut accumulator = self.shared.accumulator();
            accumulator.close();
            accumulator.outstanding()
        };
        for batch in outstanding {
            batch.complete(Err(ProduceError::Closed));
        }
        self.shared.room.notify_one();
        self.shared.ended.send_replace(true);
    }
}

/// What the broker said before it stopped reading.
async fn last_word(reader: &mut crate::wire::FrameReader, broker: &str) -> Error {
    const PATIENCE: Duration = Duration::from_secs(1);
    let said = tokio::time::timeout(PATIENCE, reader.message::<weir_protocol::WireError>()).await;
    match said {
        Ok(Ok(error)) => Error::Broker(error),
        _ => Error::ConnectionLost {
            broker: broker.to_owned(),
            reason: "the broker stopped reading the stream".to_owned(),
        },
    }
}

fn push_frame(prepared: &mut Vec<Bytes>, partition: u32, batch: Bytes) {
    // A batch is far below the 4 GiB that a frame can say: its own length field has 31 bits.
    let Ok(header) = (ProduceHeader { partition }).encode(batch.len()) else {
        return;
    };
    prepared.push(Bytes::copy_from_slice(&header));
    prepared.push(batch);
}

/// Sets the timer, unless it will fire early enough as it is.
fn arm(timer: Pin<&mut Sleep>, due: Option<Instant>) {
    let Some(due) = due else { return };
    let due = tokio::time::Instant::from_std(due);
    if timer.is_elapsed() || timer.deadline() > due {
        timer.reset(due);
    }
}
