use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::sync::mpsc;
use weir_protocol::Start;

use crate::consumer::command::Command;
use crate::consumer::driver::Driver;
use crate::consumer::event::Event;
use crate::consumer::stream::SubscribeStream;
use crate::consumer::subscription::Subscription;
use crate::{Client, Error};

mod builder;
mod command;
mod consumer_record;
mod cursor;
mod driver;
mod event;
mod read_batches;
mod record_batch;
mod stream;
mod subscription;

pub use builder::ConsumerBuilder;
pub use consumer_record::ConsumerRecord;
pub use record_batch::RecordBatch;

/// Frames that wait for the consumer; the broker is held back by flow control beyond that.
const EVENTS_MAX: usize = 2;
/// Commands that wait for the driver, which takes them at once.
const COMMANDS_MAX: usize = 16;

/// Reads partitions of one topic, in order of their offsets.
///
/// The broker pushes; a consumer that is slow holds it back. When the connection is lost it is made again, and each
/// partition goes on at the very record after the last one received: nothing is left out and nothing comes twice.
/// Every batch's checksum is verified before any of its records is seen.
///
/// A consumer is a [`Stream`] of records, too.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = weir::Broker::builder().in_memory().start().await?;
/// # let client = broker.client().await?;
/// # client.admin().create_topic(weir_client::NewTopic::new("orders")).await?;
/// # client.producer("orders").build().await?.send("12 apples").await?.await?;
/// use weir_client::Start;
///
/// let mut consumer = client.consumer("orders").start(Start::Earliest).until_end(true).build().await?;
/// while let Some(record) = consumer.next().await {
///     let record = record?;
///     println!("{}/{}: {:?}", record.partition(), record.offset(), record.value());
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Consumer {
    topic: String,
    partitions: BTreeMap<u32, Partition>,
    events: mpsc::Receiver<Event>,
    commands: mpsc::Sender<Command>,
    /// Batches that were received and not yet handed out.
    batches: VecDeque<RecordBatch>,
    /// The batch that `next` is handing out record by record, and what is left of it.
    current: Option<(RecordBatch, std::vec::IntoIter<ConsumerRecord>)>,
    /// The driver is gone.
    over: bool,
}

/// A partition as the consumer sees it.
#[derive(Debug, Default)]
struct Partition {
    /// How often it was sought; what comes of earlier generations is dropped.
    generation: u64,
    /// Offset of the next record to be handed out; not known before the first one and after a seek by name or time.
    position: Option<i64>,
    high_watermark: Option<i64>,
    /// It was paused: where it goes on when it is resumed.
    paused: Option<Start>,
    /// It has ended or failed: nothing more comes.
    stopped: bool,
}

impl Consumer {
    fn start(client: Client, topic: String, subscription: Subscription, stream: SubscribeStream) -> Self {
        let (event_sender, events) = mpsc::channel(EVENTS_MAX);
        let (commands, command_receiver) = mpsc::channel(COMMANDS_MAX);
        let mut partitions: BTreeMap<u32, Partition> = subscription
            .partitions()
            .map(|partition| (partition, Partition::default()))
            .collect();
        for opened in &stream.opened.partitions {
            if let Some(partition) = partitions.get_mut(&opened.partition) {
                partition.position = Some(opened.start_offset);
                partition.high_watermark = Some(opened.high_watermark);
            }
        }
        tokio::spawn(Driver::new(client, subscription, event_sender, command_receiver).run(stream));
        Self {
            topic,
            partitions,
            events,
            commands,
            batches: VecDeque::new(),
            current: None,
            over: false,
        }
    }

    /// The next record. `None` when nothing more comes: every partition has reached its end ([`until_end`]) or has
    /// failed. A partition that was sought goes on.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, no record is lost.
    ///
    /// # Errors
    /// [`Error::Corrupt`] and [`Error::Broker`] with a partition for a partition that cannot go on from where it stands,
    /// until it is sought: the others go on, call again. Any other error is the consumer's end.
    ///
    /// [`until_end`]: ConsumerBuilder::until_end
    pub async fn next(&mut self) -> Option<Result<ConsumerRecord, Error>> {
        std::future::poll_fn(|context| self.poll_record(context)).await
    }

    /// The next batch: the records that were stored together, at once and without copying. May be mixed with
    /// [`next`](Self::next): what is left of a batch comes as a batch.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let broker = weir::Broker::builder().in_memory().start().await?;
    /// # let client = broker.client().await?;
    /// # client.admin().create_topic(weir_client::NewTopic::new("lines").partitions(1)).await?;
    /// # client.producer("lines").build().await?.send_all(["one", "two"]).await?.await?;
    /// # let mut consumer = client.consumer("lines").until_end(true).build().await?;
    /// let mut bytes = 0;
    /// while let Some(batch) = consumer.next_batch().await {
    ///     for record in batch?.records() {
    ///         bytes += record.value().map_or(0, <[u8]>::len);
    ///     }
    /// }
    /// assert_eq!(bytes, 6);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn next_batch(&mut self) -> Option<Result<RecordBatch, Error>> {
        std::future::poll_fn(|context| self.poll_batch(context)).await
    }

    /// Goes on with `partition` from elsewhere; a partition that has ended or failed comes to life again. Records that
    /// were received from the old position are dropped. With [`until_end`](ConsumerBuilder::until_end) the end stays
    /// where it was.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the consumer does not read the partition, [`Error::Closed`] if it is over. Whether
    /// the position exists is said by [`next`](Self::next).
    pub async fn seek(&mut self, partition: u32, start: Start) -> Result<(), Error> {
        let state = self.partition(partition)?;
        state.generation += 1;
        state.stopped = false;
        state.position = match start {
            Start::Offset(offset) => Some(offset),
            _ => None,
        };
        let generation = state.generation;
        let paused = state
            .paused
            .as_mut()
            .map(|resume_at| *resume_at = start)
            .is_some();
        self.drop_received(partition);
        if paused {
            return Ok(());
        }
        self.tell(Command::Seek {
            partition,
            start,
            generation,
        })
        .await
    }

    /// Hands out nothing more of `partition` until it is resumed.
    ///
    /// # Errors
    /// As [`seek`](Self::seek); [`Error::InvalidArgument`] also right after a seek to a place other than an offset,
    /// while it is not known where that is.
    pub async fn pause(&mut self, partition: u32) -> Result<(), Error> {
        let state = self.partition(partition)?;
        if state.paused.is_some() {
            return Ok(());
        }
        let Some(position) = state.position else {
            return Err(Error::InvalidArgument(format!(
                "where partition {partition} stands is not known yet"
            )));
        };
        state.paused = Some(Start::Offset(position));
        state.generation += 1;
        // Its last records may be among those that are dropped now and come again later.
        state.stopped = false;
        self.drop_received(partition);
        self.tell(Command::Pause { partition }).await
    }

    /// Goes on with a paused `partition` at the next record, or where it was sought meanwhile.
    ///
    /// # Errors
    /// As [`seek`](Self::seek).
    pub async fn resume(&mut self, partition: u32) -> Result<(), Error> {
        let state = self.partition(partition)?;
        match state.paused.take() {
            Some(start) if !state.stopped => self.seek(partition, start).await,
            _ => Ok(()),
        }
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partitions that are read.
    pub fn partitions(&self) -> impl Iterator<Item = u32> {
        self.partitions.keys().copied()
    }

    /// Offset of the next record of `partition` to be handed out. `None` if the partition is not read, or after a seek
    /// to a place other than an offset until the first record from there.
    pub fn position(&self, partition: u32) -> Option<i64> {
        self.partitions.get(&partition)?.position
    }

    /// The high watermark of `partition` as it came with the latest records: the offset after its last committed record.
    pub fn high_watermark(&self, partition: u32) -> Option<i64> {
        self.partitions.get(&partition)?.high_watermark
    }

    fn poll_record(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<ConsumerRecord, Error>>> {
        loop {
            if let Some((batch, records)) = &mut self.current {
                if let Some(record) = records.next() {
                    if let Some(state) = self.partitions.get_mut(&batch.partition()) {
                        state.position = Some(record.offset() + 1);
                    }
                    return Poll::Ready(Some(Ok(record)));
                }
                let (partition, next) = (batch.partition(), batch.next_offset());
                self.current = None;
                self.moved(partition, next);
            }
            match std::task::ready!(self.poll_received(context)) {
                Some(Ok(batch)) => {
                    let records = batch.split().into_iter();
                    self.current = Some((batch, records));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn poll_batch(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<RecordBatch, Error>>> {
        if let Some((batch, mut records)) = self.current.take()
            && let Some(record) = records.next()
        {
            let rest = batch.after(record.offset());
            self.moved(rest.partition(), rest.next_offset());
            return Poll::Ready(Some(Ok(rest)));
        }
        let batch = std::task::ready!(self.poll_received(context));
        if let Some(Ok(batch)) = &batch {
            self.moved(batch.partition(), batch.next_offset());
        }
        Poll::Ready(batch)
    }

    /// The next batch that was received.
    fn poll_received(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<RecordBatch, Error>>> {
        loop {
            if let Some(batch) = self.batches.pop_front() {
                return Poll::Ready(Some(Ok(batch)));
            }
            if self.over || self.partitions.values().all(|partition| partition.stopped) {
                return Poll::Ready(None);
            }
            match std::task::ready!(self.events.poll_recv(context)) {
                Some(event) => {
                    if let Some(error) = self.take_in(event) {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                None => self.over = true,
            }
        }
    }

    fn take_in(&mut self, event: Event) -> Option<Error> {
        match event {
            Event::Records {
                partition,
                generation,
                batches,
                next_offset,
                high_watermark,
                ended,
            } => {
                let state = self
                    .partitions
                    .get_mut(&partition)
                    .filter(|state| state.generation == generation)?;
                state.stopped = ended;
                state.high_watermark = high_watermark.or(state.high_watermark);
                self.batches.extend(batches);
                self.reached(partition, next_offset);
                None
            }
            Event::Failed {
                partition,
                generation,
                error,
            } => {
                let state = self
                    .partitions
                    .get_mut(&partition)
                    .filter(|state| state.generation == generation)?;
                state.stopped = true;
                Some(error)
            }
            Event::Fatal(error) => {
                self.over = true;
                Some(error)
            }
        }
    }

    async fn tell(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).await.map_err(|_| Error::Closed)
    }

    fn partition(&mut self, partition: u32) -> Result<&mut Partition, Error> {
        let topic = &self.topic;
        self.partitions.get_mut(&partition).ok_or_else(|| {
            Error::InvalidArgument(format!(
                "this consumer does not read partition {partition} of {topic}"
            ))
        })
    }

    fn moved(&mut self, partition: u32, next: i64) {
        if let Some(state) = self.partitions.get_mut(&partition) {
            state.position = Some(next);
        }
    }

    /// Behind the last records of `partition` that were received, nothing is for the consumer before `next`.
    fn reached(&mut self, partition: u32, next: i64) {
        let mut received = self.batches.iter_mut().rev();
        if let Some(last) = received.find(|batch| batch.partition() == partition) {
            last.extend_to(next);
        } else if let Some((current, _)) = &mut self.current
            && current.partition() == partition
        {
            current.extend_to(next);
        } else if let Some(state) = self.partitions.get_mut(&partition) {
            state.position = state.position.max(Some(next));
        }
    }

    fn drop_received(&mut self, partition: u32) {
        self.batches.retain(|batch| batch.partition() != partition);
        if self
            .current
            .as_ref()
            .is_some_and(|(batch, _)| batch.partition() == partition)
        {
            self.current = None;
        }
    }
}

impl Stream for Consumer {
    type Item = Result<ConsumerRecord, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_record(context)
    }
}
