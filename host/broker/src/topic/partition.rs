//! One partition, ready to be read.

use tokio::sync::watch;
use weir_log::{Fetched, Partition};

use crate::error::read_error;
use crate::topic::Topic;
use crate::{BrokerError, ErrorKind, Start};

/// One partition of a topic. Cheap to clone.
#[derive(Clone)]
pub struct TopicPartition {
    topic: Topic,
    partition: Partition,
}

impl TopicPartition {
    pub(crate) fn new(topic: Topic, partition: Partition) -> Self {
        Self { topic, partition }
    }

    /// The topic it belongs to.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Its index in the topic.
    pub fn index(&self) -> u32 {
        self.partition.id().index
    }

    /// The first offset that can be read.
    pub fn log_start_offset(&self) -> i64 {
        self.partition.log_start_offset()
    }

    /// The offset that the next record gets. Everything below is committed and can be read.
    pub fn high_watermark(&self) -> i64 {
        self.partition.high_watermark()
    }

    /// Follows the high watermark. Ends when the partition is gone or the broker shut down.
    pub fn watch(&self) -> watch::Receiver<i64> {
        self.partition.watch()
    }

    /// Whole batches from the one that holds `offset` on, up to `max_bytes` of them but one at least. The first batch may
    /// begin before `offset`. At the high watermark, there are none.
    ///
    /// What was written lately comes from memory; the rest is read on the blocking pool.
    ///
    /// # Errors
    /// [`ErrorKind::OffsetOutOfRange`] below the log start offset and above the high watermark;
    /// [`ErrorKind::CorruptMessage`] with the offset when what is stored is damaged; [`ErrorKind::Storage`];
    /// [`ErrorKind::UnknownTopicOrPartition`] once the topic is deleted; [`ErrorKind::ShuttingDown`].
    pub async fn fetch(&self, offset: i64, max_bytes: usize) -> Result<Fetched, BrokerError> {
        self.live()?;
        if let Some(fetched) = self.partition.read_cached(offset, max_bytes) {
            return Ok(fetched);
        }
        let partition = self.partition.clone();
        self.blocking(move || partition.read(offset, max_bytes)).await
    }

    /// Waits until the record at `offset` can be read, that is until the high watermark is above it.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTopicOrPartition`] when the topic is deleted; [`ErrorKind::ShuttingDown`].
    pub async fn wait_for(&self, offset: i64) -> Result<(), BrokerError> {
        let mut high_watermark = self.partition.watch();
        let mut topic = self.topic.watch();
        tokio::select! {
            biased;
            deleted = topic.wait_for(|state| state.deleted) => match deleted {
                Ok(_) => Err(self.gone()),
                Err(_) => Err(BrokerError::shutting_down()),
            },
            reached = high_watermark.wait_for(|&high_watermark| high_watermark > offset) => match reached {
                Ok(_) => Ok(()),
                Err(_) if self.topic.is_deleted() => Err(self.gone()),
                Err(_) => Err(BrokerError::shutting_down()),
            },
        }
    }

    /// The offset at which reading from `start` begins.
    ///
    /// # Errors
    /// [`ErrorKind::OffsetOutOfRange`] for an offset that is not there; otherwise as [`fetch`](Self::fetch).
    pub async fn resolve(&self, start: Start) -> Result<i64, BrokerError> {
        self.live()?;
        match start {
            Start::Earliest => Ok(self.log_start_offset()),
            Start::Latest => Ok(self.high_watermark()),
            Start::Offset(offset) => {
                let (first, end) = (self.log_start_offset(), self.high_watermark());
                if (first..=end).contains(&offset) {
                    return Ok(offset);
                }
                let message = format!(
                    "there is no offset {offset}: this partition of '{}' has {first} to {end} (the end)",
                    self.topic.name()
                );
                let error = BrokerError::new(ErrorKind::OffsetOutOfRange, message);
                Err(error.at_partition(self.index()).at_offset(offset))
            }
            Start::Time(timestamp_ms) => {
                let partition = self.partition.clone();
                let found = self
                    .blocking(move || partition.offset_for_time(timestamp_ms))
                    .await?;
                Ok(found.unwrap_or_else(|| self.high_watermark()))
            }
        }
    }

    /// The log's own handle.
    pub(crate) fn log_partition(&self) -> &Partition {
        &self.partition
    }

    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, weir_log::ReadError> + Send + 'static,
    ) -> Result<T, BrokerError> {
        match tokio::task::spawn_blocking(read).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) if self.topic.is_deleted() => Err(self.gone()),
            Ok(Err(error)) => Err(read_error(error, self.topic.name(), self.index())),
            Err(error) if error.is_cancelled() => Err(BrokerError::shutting_down()),
            Err(error) => Err(BrokerError::storage(error).at_partition(self.index())),
        }
    }

    fn live(&self) -> Result<(), BrokerError> {
        if self.topic.is_deleted() {
            Err(self.gone())
        } else {
            Ok(())
        }
    }

    fn gone(&self) -> BrokerError {
        BrokerError::unknown_topic(self.topic.name()).at_partition(self.index())
    }
}

impl std::fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TopicPartition")
            .field("topic", &self.topic.name())
            .field("index", &self.index())
            .finish_non_exhaustive()
    }
}
