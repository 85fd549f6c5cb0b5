//! Filters of subscriptions: a plugin that runs over what one consumer reads.

mod pass;
mod sparse;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::core::Core;
use crate::flow::{self, FlowWork};
use crate::plugin::PluginRef;
use crate::{Broker, BrokerError, ErrorKind, FlowSpec, PluginKind};
use pass::FilterPass;

/// Turns on the threads for guests are taken by number: those of flows count up from 1, those of subscriptions from here
/// on.
const FIRST_ID: u32 = 1 << 31;

/// What subscriptions with filters share.
pub(crate) struct Filters {
    /// One permit for each subscription that may still have one.
    slots: Arc<tokio::sync::Semaphore>,
    next_id: AtomicU32,
}

impl Filters {
    pub(crate) fn new(subscriptions_max: usize) -> Self {
        Self {
            slots: Arc::new(tokio::sync::Semaphore::new(
                subscriptions_max.min(tokio::sync::Semaphore::MAX_PERMITS),
            )),
            next_id: AtomicU32::new(0),
        }
    }

    fn take(&self, max: usize) -> Result<(OwnedSemaphorePermit, u32), BrokerError> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().map_err(|_| {
            let message = format!(
                "there are {max} subscriptions with a filter, the most this broker runs: close one, or raise the limit"
            );
            BrokerError::new(ErrorKind::LimitExceeded, message)
        })?;
        // After 2^31 subscriptions an id is used again; what it may get then is a smaller share of time.
        let id = FIRST_ID | self.next_id.fetch_add(1, Ordering::Relaxed);
        Ok((slot, id))
    }
}

/// A filter plugin, set up for one subscription. Its calls run on the threads for guests, which it shares with flows and
/// other subscriptions in equal turns, under the same limits.
pub struct RecordFilter {
    core: Arc<Core>,
    work: Arc<FlowWork>,
    plugin: String,
    id: u32,
    _slot: OwnedSemaphorePermit,
}

/// What a filter made of batches.
#[derive(Debug)]
pub struct Filtered {
    /// The batches without the records that it does not keep. Offsets are as they were: what is left of a batch has gaps
    /// among its offset deltas and keeps the last one, and is not compressed. Batches that are kept whole are as they
    /// were, to the byte; those of which nothing is kept are not there.
    pub batches: Bytes,
    /// Everything before this offset has been looked at.
    pub next_offset: i64,
    /// Everything before this offset is covered by `batches`: where a reader of them believes to stand. `None` if there
    /// are none.
    pub covered: Option<i64>,
    /// Why the filter cannot go on from `next_offset`. [`ErrorKind::PluginFailed`] and [`ErrorKind::CorruptMessage`].
    pub failure: Option<BrokerError>,
}

impl Broker {
    /// Sets up the filter `plugin` (`name@version`, or `name` for the newest version) with `config`, for one subscription.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownPlugin`]; [`ErrorKind::InvalidRequest`] for a name that is none, a plugin of another kind, too
    /// large a configuration, or one that the plugin refuses; [`ErrorKind::InvalidPlugin`] for a plugin that cannot be
    /// loaded; [`ErrorKind::LimitExceeded`] with as many filtered subscriptions as the broker runs;
    /// [`ErrorKind::ShuttingDown`].
    pub async fn record_filter(
        &self,
        plugin: &str,
        config: BTreeMap<String, String>,
    ) -> Result<RecordFilter, BrokerError> {
        let core = &self.core;
        let invalid = |message: String| BrokerError::new(ErrorKind::InvalidRequest, message);
        let mut reference = PluginRef::parse(plugin)?;
        let (version, row) = core.registry.resolve(&reference)?;
        reference.version = Some(version);
        let plugin = reference.to_string();
        if row.kind != PluginKind::Filter {
            return Err(invalid(format!(
                "plugin {plugin} is a {}: a subscription takes a filter",
                row.kind.name()
            )));
        }
        if flow::http::imports_http(&row.imports) {
            return Err(invalid(format!(
                "filter {plugin} calls out over HTTP, and a subscription is granted no host: run it in a flow between topics"
            )));
        }
        let config_bytes: usize = config.iter().map(|(key, value)| key.len() + value.len()).sum();
        let config_bytes_max = core.limits.flow_config_bytes_max;
        if config_bytes > config_bytes_max {
            return Err(invalid(format!(
                "the configuration of the filter has {config_bytes} bytes and can have {config_bytes_max}"
            )));
        }
        let (slot, id) = core.filters.take(core.limits.filtered_subscriptions_max)?;
        let spec = FlowSpec {
            config,
            ..FlowSpec::new("subscription", "", [plugin.as_str()], [""; 0])
        };
        let work = flow::load(core, &spec, Arc::default(), Arc::default(), None)
            .await
            .map_err(|error| match error.kind {
                ErrorKind::InvalidFlow => invalid(error.message),
                _ => error,
            })?;
        if work.is_stateful() {
            return Err(invalid(format!(
                "filter {plugin} keeps state, and a subscription has none: run it in a flow between topics"
            )));
        }
        Ok(RecordFilter {
            core: Arc::clone(core),
            work: Arc::new(work),
            plugin,
            id,
            _slot: slot,
        })
    }
}

impl RecordFilter {
    /// The plugin, `name@version`.
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// Runs the filter over the records from `from` on in `batches`, which come from a partition as
    /// [`fetch`](crate::TopicPartition::fetch) reads them; batches that begin at `end` or later are left alone. Takes as many
    /// as fit into a turn, at least one.
    ///
    /// What the filter fails at, or refuses, is in [`Filtered::failure`], with everything before it done.
    ///
    /// # Errors
    /// [`ErrorKind::ShuttingDown`].
    pub async fn apply(
        &self,
        place: &crate::TopicPartition,
        batches: Bytes,
        from: i64,
        end: Option<i64>,
    ) -> Result<Filtered, BrokerError> {
        let pass = FilterPass {
            work: Arc::clone(&self.work),
            plugin: self.plugin.clone(),
            topic: place.topic().name().to_owned(),
            partition: place.index(),
            unpacked_bytes_max: self.core.limits.unpacked_batch_bytes_max,
            batches,
            from,
            end,
        };
        let (done, result) = oneshot::channel();
        self.core.pool.push(self.id, move || {
            // Who waited may be gone.
            let _ = done.send(pass.run());
        });
        result.await.map_err(|_| {
            // The threads are closed, or the pass panicked, which is in the log.
            BrokerError::shutting_down()
        })
    }
}

impl Drop for RecordFilter {
    fn drop(&mut self) {
        self.core.pool.forget(self.id);
    }
}

impl std::fmt::Debug for RecordFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordFilter")
            .field("plugin", &self.plugin)
            .finish_non_exhaustive()
    }
}
