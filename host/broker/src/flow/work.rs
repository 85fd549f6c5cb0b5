//! What a flow runs: its plugins, loaded, and the instances of them that are at rest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use weir_runtime::{CallError, Grants, HttpAccess, InstanceOptions, Limits, Plugin, Stats};

use crate::PluginKind;
use crate::flow::chain::{Chain, Stage};
use crate::flow::counters::Counters;
use crate::flow::lane::Lane;
use crate::flow::log::{FlowLog, PluginLog};
use crate::flow::metrics::FlowMetrics;
use crate::flow::plugin_config::plugin_config;
use crate::flow::state::stage_labels;

/// The loaded plugins of one flow. Threads borrow a chain of instances for one pass each, so that there are never
/// more of them than threads, however many partitions the source has.
pub(crate) struct FlowWork {
    flow: String,
    /// `name@version` and the plugin, in the order of the chain.
    plugins: Vec<(String, PluginKind, Plugin)>,
    sinks: Vec<String>,
    config: BTreeMap<String, String>,
    log: Arc<FlowLog>,
    metrics: Arc<FlowMetrics>,
    limits: Option<Limits>,
    http: Option<HttpAccess>,
    resting: Mutex<Vec<Chain>>,
}

impl FlowWork {
    pub(crate) fn new(
        flow: String,
        plugins: Vec<(String, PluginKind, Plugin)>,
        sinks: Vec<String>,
        config: BTreeMap<String, String>,
        log: Arc<FlowLog>,
        metrics: Arc<FlowMetrics>,
    ) -> Self {
        Self {
            flow,
            plugins,
            sinks,
            config,
            log,
            metrics,
            limits: None,
            http: None,
            resting: Mutex::default(),
        }
    }

    /// The same under `limits`.
    pub(crate) fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// The same with a way out for its plugins, if it has one.
    pub(crate) fn with_http(mut self, http: Option<HttpAccess>) -> Self {
        self.http = http;
        self
    }

    /// Whether a pass of it may wait for a host outside.
    pub(crate) fn waits(&self) -> bool {
        self.http.is_some()
    }

    /// The flow's name.
    pub(crate) fn flow(&self) -> &str {
        &self.flow
    }

    /// The flow's counters for a lane.
    pub(crate) fn counters(&self, lane: Lane) -> Arc<Counters> {
        self.metrics.lane(lane)
    }

    /// Whether any of its plugins keeps state.
    pub(crate) fn is_stateful(&self) -> bool {
        self.plugins.iter().any(|(.., plugin)| plugin.imports_state())
    }

    /// Whether any of them says which version of its state it knows.
    pub(crate) fn has_state_schema(&self) -> bool {
        let mut plugins = self.plugins.iter();
        plugins.any(|(.., plugin)| plugin.imports_state() && plugin.has_state_schema())
    }

    /// A chain of instances: one at rest, or a new one.
    ///
    /// # Errors
    /// The plugin, and why it does not start.
    pub(crate) fn chain(&self) -> Result<Chain, (String, CallError)> {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match resting {
            Some(chain) => Ok(chain),
            None => self.instantiate(),
        }
    }

    /// Takes a chain back, for the next pass.
    pub(crate) fn rest(&self, mut chain: Chain) {
        chain.account();
        self.resting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(chain);
    }

    fn instantiate(&self) -> Result<Chain, (String, CallError)> {
        let chooser = self
            .plugins
            .iter()
            .rposition(|(_, kind, _)| *kind == PluginKind::Transform);
        let name = |reference: &'_ str| {
            reference
                .split_once('@')
                .map_or(reference.to_owned(), |(n, _)| n.to_owned())
        };
        let names: Vec<String> = self
            .plugins
            .iter()
            .map(|(reference, ..)| name(reference))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut labels = stage_labels(&names).into_iter();
        let mut stages = Vec::with_capacity(self.plugins.len());
        let mut logs = Vec::with_capacity(self.plugins.len());
        for (index, (reference, kind, plugin)) in self.plugins.iter().enumerate() {
            let log = Arc::new(PluginLog::new(Arc::clone(&self.log), reference));
            let options = InstanceOptions {
                config: plugin_config(&self.config, names[index], &names),
                // Only the last transform chooses among the sinks; what comes before has the next plugin as its output.
                outputs: if chooser == Some(index) {
                    self.sinks.clone()
                } else {
                    vec!["next".to_owned()]
                },
                log: Arc::clone(&log) as Arc<dyn weir_runtime::LogSink>,
                limits: self.limits.clone(),
            };
            let metrics = self.metrics.guest(names[index]);
            let mut grants = Grants::none().state().metrics(Arc::clone(&metrics) as _);
            if let Some(http) = &self.http {
                grants = grants.http(http.clone());
            }
            let guest = plugin
                .instantiate_with(options, grants)
                .map_err(|error| (reference.clone(), error))?;
            logs.push(log);
            stages.push(Stage {
                plugin: reference.clone(),
                kind: *kind,
                guest: Box::new(guest),
                metrics,
                accounted: Stats::default(),
                state_label: labels.next().filter(|_| plugin.imports_state()),
            });
        }
        Ok(Chain::new(stages).with_logs(logs))
    }
}
