//! The plugin of a producer flow.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use weir_runtime::{CallError, Grants, HttpAccess, Instance, InstanceOptions, Limits, Plugin};

use crate::clock::now_ms;
use crate::core::Core;
use crate::flow::log::{FlowLog, PluginLog};
use crate::flow::metrics::{FlowMetrics, GuestMetrics};
use crate::flow::plugin_config::plugin_config;
use crate::flow::producing::timetable::Timetable;
use crate::flow::supervisor::{load_plugin, plugin_rows};
use crate::flow::{FlowSpec, http};
use crate::{BrokerError, ErrorKind};

/// A producer, loaded.
pub(crate) struct Producer {
    /// `name@version`.
    reference: String,
    plugin: Plugin,
    config: BTreeMap<String, String>,
    sinks: Vec<String>,
    log: Arc<FlowLog>,
    metrics: Arc<GuestMetrics>,
    limits: Limits,
    http: Option<HttpAccess>,
}

impl Producer {
    /// Loads the producer of a flow and sets it up once, and reads its schedule, on the threads for compiling.
    pub(crate) async fn load(
        core: &Arc<Core>,
        spec: &FlowSpec,
        log: Arc<FlowLog>,
        metrics: Arc<FlowMetrics>,
        stop: Option<watch::Receiver<bool>>,
    ) -> Result<(Self, Timetable, Instance), BrokerError> {
        let invalid = |message: String| BrokerError::new(ErrorKind::InvalidFlow, message);
        let rows = plugin_rows(core, spec)?;
        let spec = spec.clone();
        let shared = Arc::clone(core);
        let load = move || {
            let [(reference, row)] = rows.as_slice() else {
                let message = "a flow with a schedule has exactly one plugin, a producer";
                return Err(invalid(message.to_owned()));
            };
            let schedule = spec.schedule.as_ref();
            let schedule = schedule.ok_or_else(|| invalid("the flow has no schedule".to_owned()))?;
            let timetable = Timetable::new(schedule).map_err(invalid)?;
            timetable.check_comes(now_ms()).map_err(invalid)?;
            let name = reference
                .split_once('@')
                .map_or(reference.as_str(), |(name, _)| name);
            let producer = Self {
                reference: reference.clone(),
                plugin: load_plugin(&shared, reference, row)?,
                config: plugin_config(&spec.config, name, &[name]),
                limits: spec.limits.over(shared.runtime.limits()),
                http: http::access(&shared, &spec, stop)?,
                sinks: spec.to,
                log,
                metrics: metrics.guest(name),
            };
            let guest = producer
                .instantiate()
                .map_err(|error| invalid(format!("plugin {reference} does not start: {error}")))?;
            Ok((producer, timetable, guest))
        };
        core.compiler.run(load).await?
    }

    pub(super) fn instantiate(&self) -> Result<Instance, CallError> {
        let options = InstanceOptions {
            config: self.config.clone(),
            outputs: self.sinks.clone(),
            log: Arc::new(PluginLog::new(Arc::clone(&self.log), &self.reference)),
            limits: Some(self.limits.clone()),
        };
        let mut grants = Grants::none().metrics(Arc::clone(&self.metrics) as _);
        if let Some(http) = &self.http {
            grants = grants.http(http.clone());
        }
        self.plugin.instantiate_with(options, grants)
    }

    /// Whether a poll of it may wait for a host outside.
    pub(super) fn waits(&self) -> bool {
        self.http.is_some()
    }

    /// Where its instances are accounted for.
    pub(super) fn metrics(&self) -> &GuestMetrics {
        &self.metrics
    }
}
