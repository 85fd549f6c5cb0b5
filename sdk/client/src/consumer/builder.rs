use weir_protocol::{OpenSubscribe, PartitionStart, Start, SubscriptionFilter, tuning};

use crate::consumer::stream::SubscribeStream;
use crate::consumer::subscription::Subscription;
use crate::{Client, Consumer, Error};

/// Most bytes that a batch may take when it is uncompressed.
const DECOMPRESSED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Settings of a [`Consumer`].
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `build`"]
pub struct ConsumerBuilder {
    client: Client,
    topic: String,
    partitions: Vec<PartitionStart>,
    start: Start,
    until_end: bool,
    frame_bytes: u32,
    decompressed_bytes_max: usize,
    filter: Option<SubscriptionFilter>,
}

impl ConsumerBuilder {
    pub(crate) fn new(client: Client, topic: String) -> Self {
        Self {
            client,
            topic,
            partitions: Vec::new(),
            start: Start::Earliest,
            until_end: false,
            frame_bytes: tuning::RECORDS_FRAME_BYTES,
            decompressed_bytes_max: DECOMPRESSED_BYTES_MAX,
            filter: None,
        }
    }

    /// Reads these partitions, from where [`start`](Self::start) says. Without any, all that the topic has now.
    pub fn partitions(mut self, partitions: impl IntoIterator<Item = u32>) -> Self {
        // The start is filled in by `build`: it may be set after this.
        self.partitions
            .extend(partitions.into_iter().map(|partition| PartitionStart {
                partition,
                start: Start::Offset(i64::MIN),
            }));
        self
    }

    /// Reads this partition, from a start of its own.
    pub fn partition_from(mut self, partition: u32, start: Start) -> Self {
        self.partitions.push(PartitionStart { partition, start });
        self
    }

    /// Where to begin: [`Start::Earliest`] unless set.
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Ends at the records that each partition has now, instead of waiting for more.
    pub fn until_end(mut self, until_end: bool) -> Self {
        self.until_end = until_end;
        self
    }

    /// How many bytes of batches the broker should send in one piece at most. 1 MiB unless set. Up to three pieces
    /// wait in memory, besides what the transport buffers.
    pub fn frame_bytes(mut self, bytes: u32) -> Self {
        self.frame_bytes = bytes;
        self
    }

    /// Most bytes that the records of one batch may take when they are uncompressed; a batch with more is treated as
    /// damaged. 64 MiB unless set.
    pub fn decompressed_bytes_max(mut self, bytes: usize) -> Self {
        self.decompressed_bytes_max = bytes;
        self
    }

    /// Has the broker send only what the filter `plugin` keeps: an uploaded plugin, `name@version`, or `name` for the newest
    /// version, which is then kept to when the connection is made anew. `config` is what it is set up with. What it leaves
    /// out never travels; offsets stay as they are.
    ///
    /// When the filter fails, the consumer ends with [`Error::Broker`] (`PLUGIN_FAILED`), which says where.
    pub fn filter<K, V>(mut self, plugin: impl Into<String>, config: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<String>,
        V: Into<String>,
    {
        self.filter = Some(SubscriptionFilter {
            plugin: plugin.into(),
            config: config
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        });
        self
    }

    /// Opens the subscription.
    ///
    /// # Errors
    /// [`Error::Broker`] if topic or partitions do not exist, or the broker refuses the filter; [`Error::Protocol`] if the
    /// broker is too old to know filters; those of connecting, if the connection was lost.
    pub async fn build(self) -> Result<Consumer, Error> {
        let partitions = self.partitions.iter().map(|partition| match partition.start {
            Start::Offset(i64::MIN) => PartitionStart {
                partition: partition.partition,
                start: self.start,
            },
            _ => *partition,
        });
        let request = OpenSubscribe {
            topic: self.topic.clone(),
            partitions: partitions.collect(),
            start: self.start,
            max_bytes_per_frame: self.frame_bytes,
            until_end: self.until_end,
            filter: self.filter.clone(),
        };
        let stream = SubscribeStream::open(&self.client, &request).await?;
        let subscription = Subscription::new(
            self.topic.as_str().into(),
            self.until_end,
            self.frame_bytes,
            self.decompressed_bytes_max,
            &stream.opened,
        )
        .with_filter(
            self.filter
                .zip(stream.opened.filter.clone())
                .map(|(filter, plugin)| SubscriptionFilter { plugin, ..filter }),
        );
        Ok(Consumer::start(self.client, self.topic, subscription, stream))
    }
}
