use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{HttpAccess, Limits, LogSink, MetricsSink, NoLog};

/// What an instance is made with.
#[derive(Clone)]
pub struct InstanceOptions {
    /// What the plugin's `configure` is given.
    pub config: BTreeMap<String, String>,
    /// Names of the outputs, in the order of a frame's output indices; of no meaning to a filter. A transform has at least one.
    pub outputs: Vec<String>,
    /// Where its log lines go.
    pub log: Arc<dyn LogSink>,
    /// What it may use; the runtime's limits if none.
    pub limits: Option<Limits>,
}

impl InstanceOptions {
    /// No configuration, one output called `out`, the runtime's limits.
    pub fn new(log: Arc<dyn LogSink>) -> Self {
        Self {
            config: BTreeMap::new(),
            outputs: vec!["out".to_owned()],
            log,
            limits: None,
        }
    }
}

impl Default for InstanceOptions {
    fn default() -> Self {
        Self::new(Arc::new(NoLog))
    }
}

/// What an instance may use beyond log, clock and random numbers, which every plugin has.
#[derive(Clone, Default)]
pub struct Grants {
    pub(super) metrics: Option<Arc<dyn MetricsSink>>,
    pub(super) state: bool,
    pub(super) http: Option<HttpAccess>,
}

impl Grants {
    /// Nothing more. Metrics may be recorded, and go nowhere.
    pub fn none() -> Self {
        Self::default()
    }

    /// Metrics go to `sink`.
    #[must_use]
    pub fn metrics(mut self, sink: Arc<dyn MetricsSink>) -> Self {
        self.metrics = Some(sink);
        self
    }

    /// Outbound HTTP, as `access` has it.
    #[must_use]
    pub fn http(mut self, access: HttpAccess) -> Self {
        self.http = Some(access);
        self
    }

    /// Keyed state: the caller gives it for each call, with [`Instance::set_state`](crate::Instance::set_state).
    #[must_use]
    pub fn state(mut self) -> Self {
        self.state = true;
        self
    }
}
