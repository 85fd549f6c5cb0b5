use std::time::Duration;

use weir_batch::Codec;
use weir_protocol::tuning;

use crate::producer::accumulator::{Accumulator, AccumulatorConfig};
use crate::producer::pipeline::{Pipeline, PipelineConfig};
use crate::producer::stream::ProduceStream;
use crate::{Client, Error, Producer};

const BATCH_BYTES: usize = 64 * 1024;
const BUFFER_BYTES: usize = 32 * 1024 * 1024;
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(120);
const ACK_TIMEOUT: Duration = Duration::from_secs(30);
const RETRY_DELAY: Duration = Duration::from_millis(100);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(2);

/// Settings of a [`Producer`].
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `build`"]
pub struct ProducerBuilder {
    client: Client,
    topic: String,
    linger: Duration,
    batch_bytes: usize,
    buffer_bytes: usize,
    compression: Option<Codec>,
    idempotent: bool,
    window_frames: usize,
    window_bytes: usize,
    delivery_timeout: Duration,
    ack_timeout: Duration,
}

impl ProducerBuilder {
    pub(crate) fn new(client: Client, topic: String) -> Self {
        Self {
            client,
            topic,
            linger: Duration::ZERO,
            batch_bytes: BATCH_BYTES,
            buffer_bytes: BUFFER_BYTES,
            compression: None,
            idempotent: true,
            window_frames: tuning::PRODUCE_WINDOW_FRAMES as usize,
            window_bytes: tuning::PRODUCE_WINDOW_BYTES as usize,
            delivery_timeout: DELIVERY_TIMEOUT,
            ack_timeout: ACK_TIMEOUT,
        }
    }

    /// How long a batch waits for more records. Zero, the default: what is there is sent at once, and what comes while
    /// earlier batches are on their way forms the next one.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Size in bytes at which a batch is full. 64 KiB unless set; never more than the topic takes. A record that is
    /// larger gets a batch of its own.
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.batch_bytes = bytes;
        self
    }

    /// Most bytes of records that may wait for their acknowledgement in this producer. 32 MiB unless set. When it is
    /// full, [`Producer::send`] waits.
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.buffer_bytes = bytes;
        self
    }

    /// How batches are compressed. Unless set, as the topic's `compression.type` says, and not at all if that leaves it
    /// to the producer.
    pub fn compression(mut self, codec: Codec) -> Self {
        self.compression = Some(codec);
        self
    }

    /// Whether the broker is to recognise batches that are sent again, so that a record is stored once and in order
    /// whatever happens to the connection. On unless set.
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }

    /// Most batches, and bytes of batches, on their way at the same time. The broker may allow less.
    pub fn window(mut self, frames: usize, bytes: usize) -> Self {
        self.window_frames = frames;
        self.window_bytes = bytes;
        self
    }

    /// Most time from [`Producer::send`] to the acknowledgement, retries and reconnects included. 2 min unless set.
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.delivery_timeout = timeout;
        self
    }

    /// How long an acknowledgement may take before the stream is given up and its batches are sent again on a new one.
    /// 30 s unless set.
    pub fn ack_timeout(mut self, timeout: Duration) -> Self {
        self.ack_timeout = timeout;
        self
    }

    /// Opens the producer's stream.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a size or window of zero; [`Error::Broker`] if the topic does not exist or may not
    /// be written; those of connecting, if the connection was lost.
    pub async fn build(self) -> Result<Producer, Error> {
        let zero = [
            (self.batch_bytes, "batch_bytes"),
            (self.buffer_bytes, "buffer_bytes"),
            (self.window_frames, "window frames"),
            (self.window_bytes, "window bytes"),
        ];
        if let Some((_, name)) = zero.iter().find(|(value, _)| *value == 0) {
            return Err(Error::InvalidArgument(format!("a producer's {name} cannot be 0")));
        }
        let mut pipeline = Pipeline::new(PipelineConfig {
            idempotent: self.idempotent,
            window_frames: self.window_frames,
            window_bytes: self.window_bytes,
            retry_delay: RETRY_DELAY,
            retry_delay_max: RETRY_DELAY_MAX,
            ack_timeout: self.ack_timeout.min(self.delivery_timeout),
        });
        let stream = ProduceStream::open(&self.client, &self.topic, self.idempotent, None).await?;
        let opened = &stream.opened;
        if opened.partitions == 0 {
            return Err(Error::Protocol(format!(
                "the topic {} has no partitions",
                self.topic
            )));
        }
        pipeline.opened(opened)?;
        let record_bytes_max = opened.max_message_bytes as usize;
        let accumulator = Accumulator::new(
            self.topic.as_str().into(),
            opened.partitions,
            first_sticky(),
            AccumulatorConfig {
                batch_bytes: self.batch_bytes.min(record_bytes_max),
                linger: self.linger,
                buffer_bytes: self.buffer_bytes,
                record_bytes_max,
                codec: self
                    .compression
                    .or_else(|| Codec::from_name(&opened.compression))
                    .unwrap_or_default(),
            },
        );
        Ok(Producer::start(
            self.client,
            self.topic,
            self.idempotent,
            self.delivery_timeout,
            accumulator,
            pipeline,
            stream,
        ))
    }
}

/// Where a producer without keys begins: not all of them at partition 0.
fn first_sticky() -> u32 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish() as u32
}
