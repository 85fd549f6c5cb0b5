use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use weir_batch::BatchBuilder;

use crate::producer::accumulator::{Accepted, Accumulator};
use crate::producer::driver::Driver;
use crate::producer::pipeline::Pipeline;
use crate::producer::shared::{Shared, Waiting};
use crate::producer::stream::ProduceStream;
use crate::{Client, Record};

mod accumulator;
mod batch_state;
mod builder;
mod deliveries;
mod delivery;
mod driver;
mod finished;
mod metadata;
mod obstacle;
mod open_batch;
mod partition_flight;
mod partitioner;
mod pipeline;
mod produce_error;
mod record_fates;
mod sent_batch;
mod shared;
mod stream;

pub use builder::ProducerBuilder;
pub use deliveries::Deliveries;
pub use delivery::Delivery;
pub use metadata::{RecordFate, RecordMetadata};
pub use obstacle::Obstacle;
pub use produce_error::ProduceError;

/// Records taken from an iterator at once.
const SEND_ALL_CHUNK: usize = 64;

/// Sends records to one topic.
///
/// Records are collected into batches per partition and sent over one stream, many batches at a time; the broker
/// acknowledges a batch when it is on disk. If the connection is lost it is made again, and what was not acknowledged is
/// sent again: with idempotence, the default, every record is stored once and the order within a partition is kept.
///
/// A producer is cheap to clone; clones share buffer and stream. When the last one is dropped, what was sent still goes
/// out in the background as long as the runtime lives; [`close`](Self::close) waits for it.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = weir::Broker::builder().in_memory().start().await?;
/// # let client = broker.client().await?;
/// # client.admin().create_topic(weir_client::NewTopic::new("orders")).await?;
/// use weir_client::Record;
///
/// let producer = client.producer("orders").build().await?;
///
/// // Waits for room in the buffer, not for the broker.
/// let delivery = producer.send(Record::value("12 apples").key("customer-7")).await?;
/// // Waits for the broker.
/// let stored = delivery.await?;
/// println!("partition {}, offset {}", stored.partition, stored.offset);
///
/// producer.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Producer {
    handle: Arc<Handle>,
}

/// Closes the producer when its last clone is gone.
#[derive(Debug)]
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.accumulator().close();
        self.0.work.notify_one();
    }
}

impl Producer {
    fn start(
        client: Client,
        topic: String,
        idempotent: bool,
        delivery_timeout: Duration,
        accumulator: Accumulator,
        pipeline: Pipeline,
        stream: ProduceStream,
    ) -> Self {
        let shared = Arc::new(Shared::new(
            client,
            topic,
            idempotent,
            delivery_timeout,
            accumulator,
        ));
        let driver = Driver::new(Arc::clone(&shared), pipeline);
        tokio::spawn(driver.run(stream));
        Self {
            handle: Arc::new(Handle(shared)),
        }
    }

    /// Takes a record into its batch; waits while the buffer is full. The delivery says later what became of it.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, the record is not sent. One task's records of one
    /// partition keep their order.
    ///
    /// # Errors
    /// [`ProduceError::RecordTooLarge`], [`ProduceError::UnknownPartition`], [`ProduceError::InvalidRecord`],
    /// [`ProduceError::Closed`], and [`ProduceError::BufferFull`] if there is no room within the delivery timeout.
    #[inline]
    pub async fn send<'a>(&self, record: impl Into<Record<'a>>) -> Result<Delivery, ProduceError> {
        let record = record.into();
        match self.append(&record, false) {
            Err(ProduceError::BufferFull { .. }) => self.in_turn(|| self.append(&record, true)).await,
            outcome => outcome,
        }
    }

    /// Takes a record into its batch if there is room now.
    ///
    /// # Errors
    /// As [`send`](Self::send), with [`ProduceError::BufferFull`] at once; also while other senders wait for room.
    #[inline]
    pub fn try_send<'a>(&self, record: impl Into<Record<'a>>) -> Result<Delivery, ProduceError> {
        self.append(&record.into(), false)
    }

    /// Takes many records, with less work for each than [`send`](Self::send); waits while the buffer is full.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let broker = weir::Broker::builder().in_memory().start().await?;
    /// # let client = broker.client().await?;
    /// # client.admin().create_topic(weir_client::NewTopic::new("lines")).await?;
    /// # let producer = client.producer("lines").build().await?;
    /// let text = "one\ntwo\nthree";
    /// let stored = producer.send_all(text.lines()).await?.await?;
    /// assert_eq!(stored, 3);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`send`](Self::send), of the first record that fails. Those before it are sent, those after it are not.
    pub async fn send_all<'a, I>(&self, records: I) -> Result<Deliveries, ProduceError>
    where
        I: IntoIterator,
        I::Item: Into<Record<'a>>,
    {
        let mut deliveries = Deliveries::new();
        let mut records = records.into_iter().map(Into::into);
        let mut chunk: Vec<Record<'a>> = Vec::with_capacity(SEND_ALL_CHUNK);
        loop {
            // Taken before the buffer is locked: the iterator is the caller's code.
            chunk.clear();
            chunk.extend(records.by_ref().take(SEND_ALL_CHUNK));
            if chunk.is_empty() {
                return Ok(deliveries);
            }
            let mut rest = chunk.as_slice();
            while !rest.is_empty() {
                match self.append_some(&mut rest, &mut deliveries, false) {
                    Err(ProduceError::BufferFull { .. }) => {
                        self.in_turn(|| self.append_some(&mut rest, &mut deliveries, true))
                            .await?;
                    }
                    outcome => outcome?,
                }
            }
        }
    }

    /// Sends a batch that was built elsewhere, as one batch, behind what the partition already has. Its producer fields
    /// are overwritten; compression and timestamps are the builder's. Waits while the buffer is full.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`ProduceError::InvalidRecord`] for a batch without records.
    pub async fn send_batch(&self, partition: u32, batch: BatchBuilder) -> Result<Deliveries, ProduceError> {
        let records = batch.len() as u32;
        let mut batch = Some(batch);
        let mut append = |in_turn| {
            let mut accumulator = self.handle.0.accumulator();
            let accepted = accumulator.append_batch(partition, &mut batch, in_turn, Instant::now())?;
            drop(accumulator);
            self.wake_if(&accepted);
            let mut deliveries = Deliveries::new();
            deliveries.add(accepted.batch, accepted.index, records);
            Ok(deliveries)
        };
        match append(false) {
            Err(ProduceError::BufferFull { .. }) => self.in_turn(|| append(true)).await,
            outcome => outcome,
        }
    }

    /// Sends what is collected without further waiting, and waits until everything that was sent before this call is
    /// acknowledged or has failed.
    ///
    /// # Errors
    /// The first failure of any record since the last flush, whether or not its delivery was looked at.
    pub async fn flush(&self) -> Result<(), ProduceError> {
        let shared = &self.handle.0;
        let outstanding = {
            let mut accumulator = shared.accumulator();
            accumulator.seal_all();
            accumulator.outstanding()
        };
        shared.work.notify_one();
        for batch in outstanding {
            let mut slot = None;
            // Each batch's own result is for its deliveries.
            let _ = std::future::poll_fn(|context| batch.poll(&mut slot, context.waker()).map(|_| ())).await;
        }
        shared.accumulator().take_failure().map_or(Ok(()), Err)
    }

    /// Takes no more records, flushes, and ends the stream. Clones of this producer are closed with it.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub async fn close(&self) -> Result<(), ProduceError> {
        let shared = &self.handle.0;
        shared.accumulator().close();
        let outcome = self.flush().await;
        // The sender lives as long as `shared` does, so that waiting cannot fail.
        let _ = shared.ended.subscribe().wait_for(|ended| *ended).await;
        outcome
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.handle.0.topic
    }

    /// How many partitions the topic has, as far as this producer knows.
    pub fn partitions(&self) -> u32 {
        self.handle.0.accumulator().partitions()
    }

    /// What keeps records from being acknowledged at the moment: the broker refuses them for now, or cannot be reached. They are tried
    /// until the delivery timeout all the same; this is for telling somebody before. `None` while all is well, or nothing waits.
    pub fn obstacle(&self) -> Option<Obstacle> {
        self.handle.0.obstacle()
    }

    /// Bytes in the buffer: records, and a little for each batch, that are not yet acknowledged.
    pub fn buffered_bytes(&self) -> usize {
        self.handle.0.accumulator().buffered_bytes()
    }

    #[inline]
    fn append(&self, record: &Record<'_>, in_turn: bool) -> Result<Delivery, ProduceError> {
        let timestamp_ms = record.timestamp_ms.unwrap_or_else(now_ms);
        let accepted = self
            .handle
            .0
            .accumulator()
            .append(record, timestamp_ms, in_turn, Instant::now)?;
        self.wake_if(&accepted);
        Ok(Delivery::new(accepted.batch, accepted.index, timestamp_ms))
    }

    /// Takes records off the front of `rest` until it is empty or the buffer is full.
    fn append_some(
        &self,
        rest: &mut &[Record<'_>],
        deliveries: &mut Deliveries,
        in_turn: bool,
    ) -> Result<(), ProduceError> {
        let now_ms = now_ms();
        let mut wake = false;
        let mut accumulator = self.handle.0.accumulator();
        let mut outcome = Ok(());
        while let Some((record, others)) = rest.split_first() {
            match accumulator.append(
                record,
                record.timestamp_ms.unwrap_or(now_ms),
                in_turn,
                Instant::now,
            ) {
                Ok(accepted) => {
                    wake |= accepted.wake;
                    deliveries.add(accepted.batch, accepted.index, 1);
                    *rest = others;
                }
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        drop(accumulator);
        if wake {
            self.handle.0.work.notify_one();
        }
        outcome
    }

    /// Waits for its turn and then for room.
    #[cold]
    async fn in_turn<T>(
        &self,
        mut append: impl FnMut() -> Result<T, ProduceError>,
    ) -> Result<T, ProduceError> {
        let shared = &self.handle.0;
        let mut full = None;
        let wait = async {
            let _turn = shared.turn.lock().await;
            let _waiting = Waiting::new(shared);
            loop {
                match append() {
                    Err(error @ ProduceError::BufferFull { .. }) => full = Some(error),
                    outcome => return outcome,
                }
                // Nothing will become of lingering: there is no room for more records to come.
                shared.accumulator().seal_all();
                shared.work.notify_one();
                shared.room.notified().await;
            }
        };
        match tokio::time::timeout(shared.delivery_timeout, wait).await {
            Ok(outcome) => outcome,
            Err(_) => Err(full.unwrap_or(ProduceError::BufferFull {
                limit: shared.accumulator().buffer_bytes(),
            })),
        }
    }

    #[inline]
    fn wake_if(&self, accepted: &Accepted) {
        if accepted.wake {
            self.handle.0.work.notify_one();
        }
    }
}

/// Milliseconds since 1970.
#[inline]
fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}
