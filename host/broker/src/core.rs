//! What all parts of the broker share.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Mutex, Semaphore};
use weir_log::Log;
use weir_runtime::Runtime;

use crate::flow::log_topic::LogQueue;
use crate::flow::{Flow, FlowLog, FlowPool};
use crate::meta::{MetaStore, PluginRow};
use crate::plugin::{Blobs, Compiler, PluginInfo, Registry};
use crate::producer_id::ProducerIds;
use crate::subscription::Filters;
use crate::{BrokerError, DataFolder, ErrorKind, Limits, Topic};

/// The broker's state and its tools.
///
/// The maps of topics and flows and the registry are what the metadata says; whoever changes them holds `admin`,
/// writes the metadata first and does so in [`change`](Self::change).
pub(crate) struct Core {
    pub(crate) limits: Limits,
    pub(crate) cluster_id: String,
    pub(crate) log: Log,
    pub(crate) runtime: Runtime,
    pub(crate) meta: MetaStore,
    pub(crate) producer_ids: ProducerIds,
    pub(crate) topics: RwLock<BTreeMap<String, Topic>>,
    pub(crate) registry: Registry,
    pub(crate) blobs: Blobs,
    pub(crate) compiler: Compiler,
    pub(crate) uploads: Arc<Semaphore>,
    pub(crate) flows: RwLock<BTreeMap<String, Arc<Flow>>>,
    pub(crate) pool: FlowPool,
    pub(crate) filters: Filters,
    /// Where log lines of flows wait to be written to their topics.
    pub(crate) log_queue: LogQueue,
    /// Held while topics, plugins or flows are changed. `true` once the broker shuts down: nothing changes any more.
    pub(crate) admin: Mutex<bool>,
    /// The lock of the data folder lasts as long as anything that uses the folder.
    pub(crate) _folder: Option<DataFolder>,
}

impl Core {
    /// Runs blocking work on the blocking pool.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> Result<T, BrokerError> + Send + 'static,
    ) -> Result<T, BrokerError> {
        let core = Arc::clone(self);
        join(tokio::task::spawn_blocking(move || work(&core)).await)
    }

    /// Runs a change to its end even if whoever asked for it goes away, so that what is in memory and what is stored
    /// never part. One change at a time.
    ///
    /// # Errors
    /// [`ErrorKind::ShuttingDown`] once the broker shuts down, and what `change` fails with.
    pub(crate) async fn change<T, F>(
        self: &Arc<Self>,
        change: impl FnOnce(Arc<Self>) -> F + Send + 'static,
    ) -> Result<T, BrokerError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, BrokerError>> + Send,
    {
        let core = Arc::clone(self);
        let task = tokio::spawn(async move {
            let closed = core.admin.lock().await;
            if *closed {
                return Err(BrokerError::shutting_down());
            }
            change(Arc::clone(&core)).await
        });
        join(task.await)
    }

    /// The topic `name`.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTopicOrPartition`].
    pub(crate) fn topic(&self, name: &str) -> Result<Topic, BrokerError> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics
            .get(name)
            .cloned()
            .ok_or_else(|| BrokerError::unknown_topic(&name.escape_debug().to_string()))
    }

    /// The flow `name`.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFlow`].
    pub(crate) fn flow(&self, name: &str) -> Result<Arc<Flow>, BrokerError> {
        let flows = self.flows.read().unwrap_or_else(PoisonError::into_inner);
        flows.get(name).cloned().ok_or_else(|| {
            let message = format!(
                "there is no flow '{}': see what there is (weir flow list)",
                name.escape_debug()
            );
            BrokerError::new(ErrorKind::UnknownFlow, message)
        })
    }

    /// The log of a flow that is to be.
    pub(crate) fn flow_log(&self, flow: &str) -> FlowLog {
        FlowLog::new(flow, self.limits.flow_log_lines_max, self.log_queue.clone())
    }

    /// All flows, by name.
    pub(crate) fn flows(&self) -> Vec<Arc<Flow>> {
        self.flows
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// A plugin version as it is shown.
    pub(crate) fn plugin_info(&self, name: &str, version: u32, row: &PluginRow) -> PluginInfo {
        let mut info = PluginInfo {
            name: name.to_owned(),
            version,
            kind: row.kind,
            sha256: row.sha256.clone(),
            size: row.size,
            created_ms: row.created_ms,
            imports: row.imports.clone(),
            used_by: Vec::new(),
            kept_for: Vec::new(),
        };
        let reference = info.reference();
        let flows = self.flows.read().unwrap_or_else(PoisonError::into_inner);
        // What is finished runs nothing any more.
        for flow in flows.values().filter(|flow| !flow.is_finished()) {
            if flow.spec().plugins.contains(&reference) {
                info.used_by.push(flow.name().to_owned());
            } else if flow.would_go_back_to(&reference) {
                info.kept_for.push(flow.name().to_owned());
            }
        }
        info
    }
}

fn join<T>(joined: Result<Result<T, BrokerError>, tokio::task::JoinError>) -> Result<T, BrokerError> {
    match joined {
        Ok(result) => result,
        Err(error) if error.is_cancelled() => Err(BrokerError::shutting_down()),
        Err(error) => Err(BrokerError::storage(format_args!(
            "the broker failed at this ({error})"
        ))),
    }
}
