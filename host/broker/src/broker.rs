//! The broker: opening it, shutting it down.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, RwLock};

use bytes::BytesMut;
use tokio::sync::Semaphore;
use weir_log::{Log, LogConfig, PartitionConfig, PartitionId};
use weir_runtime::{Runtime, RuntimeConfig};

use crate::core::Core;
use crate::flow::log_topic::{self, LogLines};
use crate::flow::{self, FlowPool, PoolBounds};
use crate::meta::{MetaError, MetaStore, TopicRow};
use crate::plugin::{Blobs, Compiler, Registry};
use crate::produce::ProduceTicket;
use crate::producer_id::{BLOCK_LEN, ProducerId, ProducerIds};
use crate::subscription::Filters;
use crate::topic::{TopicState, partition_config};
use crate::{BrokerError, DataFolder, Limits, OpenError, Topic, TopicConfig};

/// Where a broker keeps everything.
#[derive(Clone, Debug)]
pub enum Storage {
    /// In this folder.
    Folder(DataFolder),
    /// In memory: it is gone with the broker.
    Memory,
}

/// What a broker is opened with.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// Where everything is kept.
    pub storage: Storage,
    /// How the log works.
    pub log: LogConfig,
    /// How plugins are compiled and limited. The folder of compiled plugins is set by the broker.
    pub runtime: RuntimeConfig,
    /// The broker's own bounds.
    pub limits: Limits,
    /// Where the partitions are, instead of in `storage`. For tests that inject faults.
    #[doc(hidden)]
    pub log_storage: Option<weir_log::Storage>,
}

impl BrokerConfig {
    /// The defaults, on `storage`.
    pub fn new(storage: Storage) -> Self {
        Self {
            storage,
            log: LogConfig::default(),
            runtime: RuntimeConfig::default(),
            limits: Limits::default(),
            log_storage: None,
        }
    }
}

/// A broker without sockets: topics, producing, fetching, plugins, flows. Cheap to clone.
///
/// All methods can be called from any task of a tokio runtime with time enabled. Changes to topics, plugins and flows
/// are durable when they return, and run to their end even if the caller stops waiting.
///
/// Dropping the last clone stops the flows and closes the log; [`shutdown`](Self::shutdown) also waits for that.
#[derive(Clone)]
pub struct Broker {
    pub(crate) core: Arc<Core>,
    _stop: Arc<StopOnDrop>,
}

impl Broker {
    /// Opens the broker on its storage; flows that were running go on from where they were.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(config: BrokerConfig) -> Result<Self, OpenError> {
        let opened = tokio::task::spawn_blocking(move || open_core(config)).await;
        let (core, flows, lines) = match opened {
            Ok(opened) => opened?,
            Err(error) => {
                return Err(OpenError::Engine {
                    what: error.to_string(),
                });
            }
        };
        let core = Arc::new(core);
        tokio::spawn(log_topic::write(Arc::downgrade(&core), lines));
        flow::start_all(&core, flows).await;
        Ok(Self {
            _stop: Arc::new(StopOnDrop(Arc::clone(&core))),
            core,
        })
    }

    /// Stops the flows where a batch ends, waits until what is queued is stored, and closes the log. Whatever is called
    /// from then on fails with [`ShuttingDown`](crate::ErrorKind::ShuttingDown). Can be called again.
    pub async fn shutdown(&self) {
        {
            let mut closed = self.core.admin.lock().await;
            *closed = true;
        }
        flow::stop_all(&self.core).await;
        self.core.log_queue.flush().await;
        let closed = self.core.blocking(|core| {
            core.runtime.close_http();
            core.pool.close();
            core.log.close();
            Ok(())
        });
        if let Err(error) = closed.await {
            tracing::error!("the log was not closed: {error}");
        }
    }

    /// The broker's own id, made when its storage was: 22 characters, in the form of Kafka's cluster ids.
    pub fn cluster_id(&self) -> &str {
        &self.core.cluster_id
    }

    /// The broker's bounds.
    pub fn limits(&self) -> &Limits {
        &self.core.limits
    }

    /// A topic, ready to be written to and read from.
    ///
    /// # Errors
    /// [`UnknownTopicOrPartition`](crate::ErrorKind::UnknownTopicOrPartition).
    pub fn topic(&self, name: &str) -> Result<Topic, BrokerError> {
        self.core.topic(name)
    }

    /// The same as [`Topic::produce`].
    ///
    /// # Errors
    /// As there.
    pub async fn produce(
        &self,
        topic: &Topic,
        partition: u32,
        batch: BytesMut,
    ) -> Result<ProduceTicket, BrokerError> {
        topic.produce(partition, batch).await
    }

    /// An id for a new idempotent producer.
    ///
    /// # Errors
    /// [`StorageFull`](crate::ErrorKind::StorageFull), [`Storage`](crate::ErrorKind::Storage).
    pub async fn allocate_producer_id(&self) -> Result<ProducerId, BrokerError> {
        let take = || {
            self.core
                .blocking(|core| Ok(core.meta.take_producer_ids(BLOCK_LEN)?))
        };
        self.core.producer_ids.next(take).await
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker")
            .field("cluster_id", &self.core.cluster_id)
            .finish_non_exhaustive()
    }
}

/// Flows hold the core: without being told to stop they would keep a dropped broker alive.
struct StopOnDrop(Arc<Core>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        for flow in self.0.flows() {
            flow.signal_stop();
        }
    }
}

fn open_core(config: BrokerConfig) -> Result<(Core, Vec<crate::meta::FlowRow>, LogLines), OpenError> {
    let BrokerConfig {
        storage,
        log,
        mut runtime,
        limits,
        log_storage,
    } = config;
    let folder = match storage {
        Storage::Folder(folder) => Some(folder),
        Storage::Memory => None,
    };
    let meta_path = folder.as_ref().map(DataFolder::meta);
    let meta = MetaStore::open(meta_path.as_deref())?;
    let corrupt = |what: String| OpenError::Corrupt {
        path: meta_path.clone().unwrap_or_default(),
        what,
    };
    let snapshot = meta
        .load()
        .map_err(|error: MetaError| corrupt(error.to_string()))?;

    let log_storage = log_storage.unwrap_or_else(|| match &folder {
        Some(folder) => weir_log::Storage::Folder(folder.shards()),
        None => weir_log::Storage::Memory,
    });
    let log = Log::open(log_storage, log).map_err(|error| OpenError::Log {
        what: error.to_string(),
    })?;
    let known: HashSet<u32> = snapshot.topics.iter().map(|(_, row)| row.id).collect();
    log.retain_topics(|topic| known.contains(&topic))
        .map_err(|error| OpenError::Log {
            what: error.to_string(),
        })?;
    let mut topics = BTreeMap::new();
    for (name, row) in snapshot.topics {
        let topic = open_topic(&log, &name, row, &limits).map_err(|error| corrupt(error.to_string()))?;
        topics.insert(name, topic);
    }

    runtime.cache_dir = folder.as_ref().map(DataFolder::plugin_cache);
    let engine = |what: String| OpenError::Engine { what };
    let runtime = Runtime::new(runtime).map_err(|error| engine(error.to_string()))?;
    let compiler = Compiler::start().map_err(|error| engine(error.to_string()))?;
    let bounds = PoolBounds {
        running: limits.flow_threads,
        waiting: limits.flow_http_threads,
        waiting_per_flow: limits.flow_http_threads_per_flow,
    };
    let pool = FlowPool::start(bounds).map_err(|error| engine(error.to_string()))?;
    let blobs = match &folder {
        Some(folder) => Blobs::Folder(folder.plugins()),
        None => Blobs::Memory(Mutex::default()),
    };
    let blobs_known = snapshot
        .plugins
        .iter()
        .map(|(_, _, row)| row.sha256.as_str())
        .collect();
    if let Err(error) = blobs.sweep(&blobs_known) {
        tracing::warn!("the folder of plugins could not be tidied up: {error}");
    }
    let filters = Filters::new(limits.filtered_subscriptions_max);
    let (log_queue, lines) = log_topic::queue();
    let core = Core {
        uploads: Arc::new(Semaphore::new(limits.uploads_max.max(1))),
        limits,
        cluster_id: snapshot.cluster_id,
        log,
        runtime,
        meta,
        producer_ids: ProducerIds::default(),
        topics: RwLock::new(topics),
        registry: Registry::new(snapshot.plugin_names, snapshot.plugins),
        blobs,
        compiler,
        flows: RwLock::default(),
        pool,
        filters,
        log_queue,
        admin: tokio::sync::Mutex::new(false),
        _folder: folder,
    };
    let flows = snapshot.flows.into_iter().map(|(_, row)| row).collect();
    Ok((core, flows, lines))
}

/// The handle of a topic whose row is stored; makes its partitions in the log where they are missing.
pub(crate) fn open_topic(
    log: &Log,
    name: &str,
    row: TopicRow,
    limits: &Limits,
) -> Result<Topic, BrokerError> {
    let config = TopicConfig::parse(&row.config, limits)?;
    let partitions = open_partitions(log, row.id, 0..row.partitions, &partition_config(&config))?;
    let state = TopicState {
        deleted: false,
        overrides: row.config,
        config,
        partitions,
        guard: None,
    };
    Ok(Topic::new(
        name.to_owned(),
        row.id,
        log.clone(),
        limits.unpacked_batch_bytes_max,
        state,
    ))
}

pub(crate) fn open_partitions(
    log: &Log,
    topic: u32,
    indices: std::ops::Range<u32>,
    config: &PartitionConfig,
) -> Result<Vec<weir_log::Partition>, BrokerError> {
    let open = |index| {
        let id = PartitionId { topic, index };
        log.ensure_partition(id, config.clone())
            .map_err(BrokerError::storage)
    };
    indices.map(open).collect()
}
