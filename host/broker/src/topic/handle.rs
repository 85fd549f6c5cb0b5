//! A topic, ready to be written to and read from.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::watch;
use weir_log::{Append, Entry, Log, Partition};

use crate::batch;
use crate::clock::now_ms;
use crate::error::append_error;
use crate::ingest::Guard;
use crate::produce::ProduceTicket;
use crate::topic::{DamagedOffsets, Durability, PartitionInfo, TopicConfig, TopicInfo, TopicPartition};
use crate::{BrokerError, ErrorKind};

/// A topic of this broker. Cheap to clone and to keep; every call sees the topic's present configuration.
///
/// Once the topic is deleted, every call fails with [`ErrorKind::UnknownTopicOrPartition`], also if a topic of the
/// same name is created later.
#[derive(Clone)]
pub struct Topic(Arc<Inner>);

struct Inner {
    name: String,
    id: u32,
    log: Log,
    unpacked_batch_bytes_max: usize,
    state: watch::Sender<Arc<TopicState>>,
}

/// What of a topic can change.
pub(crate) struct TopicState {
    pub(crate) deleted: bool,
    /// What differs from the defaults, as it was given.
    pub(crate) overrides: BTreeMap<String, String>,
    pub(crate) config: TopicConfig,
    pub(crate) partitions: Vec<Partition>,
    /// What everything goes through that producers send.
    pub(crate) guard: Option<Arc<Guard>>,
}

impl Topic {
    pub(crate) fn new(
        name: String,
        id: u32,
        log: Log,
        unpacked_batch_bytes_max: usize,
        state: TopicState,
    ) -> Self {
        let state = watch::Sender::new(Arc::new(state));
        Self(Arc::new(Inner {
            name,
            id,
            log,
            unpacked_batch_bytes_max,
            state,
        }))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its id, which no other topic of this broker ever has.
    pub fn id(&self) -> u32 {
        self.0.id
    }

    /// Its number of partitions, now.
    pub fn partitions(&self) -> u32 {
        self.0.state.borrow().partitions.len() as u32
    }

    /// Its configuration, now.
    pub fn config(&self) -> TopicConfig {
        self.0.state.borrow().config.clone()
    }

    /// Whether it was deleted.
    pub fn is_deleted(&self) -> bool {
        self.0.state.borrow().deleted
    }

    /// One of its partitions.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTopicOrPartition`] when there is none of that index, or the topic was deleted.
    pub fn partition(&self, index: u32) -> Result<TopicPartition, BrokerError> {
        let state = self.live_state()?;
        let partition = state
            .partitions
            .get(index as usize)
            .ok_or_else(|| self.no_partition(index, &state))?;
        Ok(TopicPartition::new(self.clone(), partition.clone()))
    }

    /// Checks `batch` and queues it for the partition; waits while the queue is full. Batches of one caller are
    /// appended in the order of their calls. The ticket tells when it is stored, and where.
    ///
    /// `batch` is exactly one record batch (magic 2), of any codec. Its base offset and leader epoch do not matter. A batch
    /// with a producer id is checked against the producer's epoch and sequence numbers when it is appended.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTopicOrPartition`]; [`ErrorKind::MessageTooLarge`], [`ErrorKind::CorruptMessage`],
    /// [`ErrorKind::InvalidRecord`] and [`ErrorKind::UnsupportedCompression`] for the batch itself;
    /// [`ErrorKind::StorageFull`] and [`ErrorKind::ShuttingDown`] when it can be tried again, and
    /// [`ErrorKind::FlowNotRunning`] while the topic has an ingest flow that does not run. Errors that show only
    /// when it is appended come from the ticket.
    pub async fn produce(&self, partition: u32, batch: BytesMut) -> Result<ProduceTicket, BrokerError> {
        let at = |error: BrokerError| error.at_partition(partition);
        let state = self.live_state().map_err(at)?;
        let Some(target) = state.partitions.get(partition as usize) else {
            return Err(self.no_partition(partition, &state));
        };
        let id = target.id();
        let unpacked_bytes_max = self
            .0
            .unpacked_batch_bytes_max
            .min(unpacked_bytes_max(&state.config));
        let admitted = if batch::is_work(&batch, &state.config) {
            // Other connections have their turn meanwhile.
            let state = Arc::clone(&state);
            let work = move || batch::admit(batch, &state.config, unpacked_bytes_max, now_ms());
            let admitted = tokio::task::spawn_blocking(work).await;
            admitted.unwrap_or_else(|_| Err(BrokerError::shutting_down()))
        } else {
            batch::admit(batch, &state.config, unpacked_bytes_max, now_ms())
        };
        let batch = admitted.map_err(at)?;
        if let Some(guard) = &state.guard {
            return guard.submit(self, partition, batch).await.map_err(at);
        }
        let durability = log_durability(state.config.durability);
        let entry = Entry {
            appends: vec![Append { partition: id, batch }],
            puts: Vec::new(),
            durability,
        };
        let receipt = self.0.log.submit(self.0.log.shard_of(id), entry).await;
        let receipt = receipt.map_err(|error| at(append_error(error)))?;
        Ok(ProduceTicket::new(receipt, partition))
    }

    /// The topic as it is shown.
    pub fn info(&self) -> TopicInfo {
        let state = self.state();
        let partitions = state.partitions.iter().map(|partition| PartitionInfo {
            partition: partition.id().index,
            log_start_offset: partition.log_start_offset(),
            high_watermark: partition.high_watermark(),
            bytes: partition.stats().bytes,
            damaged: DamagedOffsets::of(partition),
        });
        TopicInfo {
            name: self.0.name.clone(),
            id: self.0.id,
            partitions: partitions.collect(),
            config: state.config.to_map(),
        }
    }

    pub(crate) fn state(&self) -> Arc<TopicState> {
        Arc::clone(&self.0.state.borrow())
    }

    /// The state, unless the topic is deleted.
    pub(crate) fn live_state(&self) -> Result<Arc<TopicState>, BrokerError> {
        let state = self.state();
        if state.deleted {
            Err(BrokerError::unknown_topic(&self.0.name))
        } else {
            Ok(state)
        }
    }

    /// Learns of every change, the deletion included.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<TopicState>> {
        self.0.state.subscribe()
    }

    pub(crate) fn set_state(&self, state: TopicState) {
        self.0.state.send_replace(Arc::new(state));
    }

    /// Changes what stands in front of the topic.
    pub(crate) fn set_guard(&self, guard: Option<Arc<Guard>>) {
        self.0.state.send_modify(|state| {
            *state = Arc::new(TopicState {
                deleted: state.deleted,
                overrides: state.overrides.clone(),
                config: state.config.clone(),
                partitions: state.partitions.clone(),
                guard,
            });
        });
    }

    pub(crate) fn log(&self) -> &Log {
        &self.0.log
    }

    fn no_partition(&self, index: u32, state: &TopicState) -> BrokerError {
        let count = state.partitions.len();
        let message = format!(
            "topic '{}' has no partition {index}: it has {count}, from 0 to {}",
            self.0.name,
            count.saturating_sub(1)
        );
        BrokerError::new(ErrorKind::UnknownTopicOrPartition, message).at_partition(index)
    }
}

impl std::fmt::Debug for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Topic")
            .field("name", &self.0.name)
            .field("id", &self.0.id)
            .finish_non_exhaustive()
    }
}

/// What the records of one compressed batch may unpack to: producers bound their batches before they compress them, so
/// that more than a few times the topic's limit is nothing that one of them sends, and unpacking takes time here.
fn unpacked_bytes_max(config: &TopicConfig) -> usize {
    const AT_LEAST: usize = 8 * 1024 * 1024;
    config.message_bytes_max.saturating_mul(16).max(AT_LEAST)
}

/// As the log calls it.
pub(crate) fn log_durability(durability: Durability) -> weir_log::Durability {
    match durability {
        Durability::Fsync => weir_log::Durability::Fsync,
        Durability::Relaxed => weir_log::Durability::Relaxed,
    }
}
