//! Starts a flow, watches over it and lets it down when it cannot go on.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use weir_runtime::Plugin;

use crate::clock::now_ms;
use crate::core::Core;
use crate::flow::handle::Running;
use crate::flow::log::FlowLog;
use crate::flow::metrics::FlowMetrics;
use crate::flow::producing::{self, Producer};
use crate::flow::runner::{Runner, gone_reason};
use crate::flow::work::FlowWork;
use crate::flow::{Flow, FlowSpec, FlowStatus, Mode, Pause};
use crate::ingest;
use crate::meta::{FlowRow, PluginRow};
use crate::plugin::PluginRef;
use crate::{BrokerError, ErrorKind, Topic};

/// Starts `flow`: loads its plugins and runs it over all partitions of its source, until it is told to stop or fails.
pub(crate) fn start(core: &Arc<Core>, flow: &Arc<Flow>) {
    let (stop, stopped) = watch::channel(false);
    flow.set_status(FlowStatus::Starting);
    let supervisor = Supervisor {
        core: Arc::clone(core),
        flow: Arc::clone(flow),
        stop: stopped,
    };
    flow.set_running(Running {
        stop,
        supervisor: tokio::spawn(supervisor.run()),
    });
}

struct Supervisor {
    core: Arc<Core>,
    flow: Arc<Flow>,
    stop: watch::Receiver<bool>,
}

impl Supervisor {
    async fn run(mut self) {
        let ended = match self.flow.spec().mode {
            Mode::Stream if self.flow.spec().schedule.is_some() => {
                producing::run(&self.core, &self.flow, &mut self.stop).await
            }
            Mode::Stream => self.stream().await,
            Mode::Ingest => self.ingest().await,
        };
        let pause = match ended {
            Ok(pause) => pause,
            Err(error) if error.kind == ErrorKind::ShuttingDown => None,
            Err(error) => Some(pause(error.message)),
        };
        self.core.pool.forget(self.flow.id());
        if let Some(pause) = pause {
            self.pause(pause).await;
        }
    }

    /// Runs a flow between topics. Returns why it has to pause; `None` if it was told to stop.
    async fn stream(&mut self) -> Result<Option<Pause>, BrokerError> {
        let (work, source, sinks) = self.prepare().await?;
        Ok(self.watch_over(work, source, sinks).await)
    }

    /// The same for a flow in front of a topic.
    async fn ingest(&mut self) -> Result<Option<Pause>, BrokerError> {
        let spec = self.flow.spec();
        let name = spec.shown_topic();
        let topic = self.core.topic(name);
        let topic = topic.map_err(|_| BrokerError::new(ErrorKind::InvalidFlow, gone_reason(name)))?;
        let work = Arc::new(load_for(&self.core, &self.flow).await?);
        let ended = ingest::run(&self.core, &self.flow, work, topic, &mut self.stop).await;
        Ok(ended.map(pause))
    }

    /// Everything the runners need.
    async fn prepare(&self) -> Result<(Arc<FlowWork>, Topic, Vec<Topic>), BrokerError> {
        let spec = self.flow.spec();
        let gone = |name: &str| BrokerError::new(ErrorKind::InvalidFlow, gone_reason(name));
        let source = self.core.topic(&spec.from).map_err(|_| gone(&spec.from))?;
        let sinks = spec
            .to
            .iter()
            .map(|name| self.core.topic(name).map_err(|_| gone(name)));
        let sinks = sinks.collect::<Result<Vec<_>, _>>()?;
        let work = load_for(&self.core, &self.flow).await?;
        Ok((Arc::new(work), source, sinks))
    }

    /// Runs the flow over all partitions of its source. Returns why it has to pause; `None` if it was told to stop.
    async fn watch_over(&mut self, work: Arc<FlowWork>, source: Topic, sinks: Vec<Topic>) -> Option<Pause> {
        // Runners stop when this is set, or when it is dropped.
        let (stop_runners, runners_stop) = watch::channel(false);
        let mut runners = JoinSet::new();
        let mut source_state = source.watch();
        let mut deleted = watch_deletions(sinks.iter().chain([&source]));
        let mut partitions = 0;
        let mut pause_reason: Option<Pause> = None;
        let mut stopping = false;
        self.flow.started();
        loop {
            let wanted = source_state.borrow_and_update().partitions.len() as u32;
            while partitions < wanted && !stopping {
                let runner = Runner {
                    core: Arc::clone(&self.core),
                    flow: Arc::clone(&self.flow),
                    work: Arc::clone(&work),
                    source: source.clone(),
                    sinks: sinks.clone(),
                    partition: partitions,
                    stop: runners_stop.clone(),
                };
                runners.spawn(runner.run());
                partitions += 1;
            }
            if stopping && runners.is_empty() {
                return pause_reason;
            }
            tokio::select! {
                biased;
                Some(ended) = runners.join_next(), if !runners.is_empty() => {
                    let ended = ended.unwrap_or_else(|error| {
                        Some(pause(format!("the broker failed at this flow ({error}): see its log, then resume the flow")))
                    });
                    match ended {
                        Some(ended) => { pause_reason.get_or_insert(ended); }
                        // Its log closed: the broker shuts down.
                        None if !stopping => {}
                        None => continue,
                    }
                }
                Some(gone) = deleted.join_next(), if !stopping => {
                    pause_reason.get_or_insert(pause(gone_reason(&gone.unwrap_or_default())));
                }
                changed = source_state.changed(), if !stopping => {
                    if changed.is_ok() {
                        continue;
                    }
                }
                stopped = self.stop.wait_for(|&stop| stop), if !stopping => {
                    let _ = stopped;
                }
            }
            stopping = true;
            stop_runners.send_replace(true);
        }
    }

    async fn pause(&self, pause: Pause) {
        pause_flow(&self.core, &self.flow, pause).await;
    }
}

/// Pauses a flow that does not run, and says why. Returns whether that could be stored.
pub(super) async fn pause_flow(core: &Arc<Core>, flow: &Flow, pause: Pause) -> bool {
    let place = pause
        .place
        .as_ref()
        .map(|place| format!(" at {place}"))
        .unwrap_or_default();
    tracing::warn!(flow = flow.name(), "flow paused{place}: {}", pause.reason);
    flow.log()
        .push("error", &format!("paused{place}: {}", pause.reason));
    let row = FlowRow {
        pause: Some(pause.clone()),
        ..flow.row()
    };
    let stored = core.blocking(move |core| Ok(core.meta.put_flow(&row)?)).await;
    if let Err(error) = &stored {
        // After a restart the flow will try again and come to the same end.
        tracing::warn!(
            flow = flow.name(),
            "that the flow is paused could not be stored: {error}"
        );
    }
    flow.set_pause(Some(pause));
    stored.is_ok()
}

/// Tasks that end when a topic is deleted, with its name.
pub(super) fn watch_deletions<'a>(topics: impl IntoIterator<Item = &'a Topic>) -> JoinSet<String> {
    let mut deleted = JoinSet::new();
    for topic in topics {
        let topic = topic.clone();
        deleted.spawn(async move {
            let mut state = topic.watch();
            // An error means that the topic's last handle is gone, and this one holds one.
            let _ = state.wait_for(|state| state.deleted).await;
            topic.name().to_owned()
        });
    }
    deleted
}

pub(super) fn pause(reason: String) -> Pause {
    Pause {
        reason,
        requested: false,
        since_ms: now_ms(),
        place: None,
    }
}

/// Loads the plugins of a flow that is to be, and sets them up once. What is returned keeps them loaded.
///
/// # Errors
/// Why the flow would not start.
pub(crate) async fn try_out(core: &Arc<Core>, spec: &FlowSpec) -> Result<Box<dyn Send>, BrokerError> {
    if spec.schedule.is_some() {
        Ok(Box::new(
            Producer::load(core, spec, Arc::default(), Arc::default()).await?,
        ))
    } else {
        Ok(Box::new(load(core, spec, Arc::default(), Arc::default()).await?))
    }
}

/// Loads the plugins of a flow, to log and to count as the flow's.
async fn load_for(core: &Arc<Core>, flow: &Flow) -> Result<FlowWork, BrokerError> {
    load(
        core,
        flow.spec(),
        Arc::clone(flow.log()),
        Arc::clone(flow.metrics()),
    )
    .await
}

/// Loads the plugins of a flow and sets them up once, on the threads for compiling.
pub(crate) async fn load(
    core: &Arc<Core>,
    spec: &FlowSpec,
    log: Arc<FlowLog>,
    metrics: Arc<FlowMetrics>,
) -> Result<FlowWork, BrokerError> {
    let rows = plugin_rows(core, spec)?;
    let spec = spec.clone();
    let shared = Arc::clone(core);
    let load = move || {
        let mut plugins = Vec::with_capacity(rows.len());
        for (reference, row) in rows {
            let plugin = load_plugin(&shared, &reference, &row)?;
            plugins.push((reference, row.kind, plugin));
        }
        if spec.mode == Mode::Ingest
            && let Some((reference, ..)) = plugins.iter().find(|(.., plugin)| plugin.imports_state())
        {
            let message = format!(
                "plugin {reference} keeps state, and what stands in front of a topic has none: run it in a flow between topics"
            );
            return Err(BrokerError::new(ErrorKind::InvalidFlow, message));
        }
        let work = FlowWork::new(spec.name, plugins, spec.to, spec.config, log, metrics);
        let chain = work.chain().map_err(|(plugin, error)| {
            BrokerError::new(
                ErrorKind::InvalidFlow,
                format!("plugin {plugin} does not start: {error}"),
            )
        })?;
        work.rest(chain);
        Ok(work)
    };
    core.compiler.run(load).await?
}

/// The plugins of a flow, with their versions.
pub(super) fn plugin_rows(core: &Core, spec: &FlowSpec) -> Result<Vec<(String, PluginRow)>, BrokerError> {
    let rows = spec.plugins.iter().map(|reference| {
        let (_, row) = core.registry.resolve(&PluginRef::parse(reference)?)?;
        Ok((reference.clone(), row))
    });
    rows.collect()
}

/// Reads a plugin and loads it. Blocks, and may compile.
pub(super) fn load_plugin(core: &Core, reference: &str, row: &PluginRow) -> Result<Plugin, BrokerError> {
    let bytes = core
        .blobs
        .read(&row.sha256)
        .map_err(|error| read_error(reference, &error))?;
    core.runtime.load(&bytes).map_err(|error| {
        BrokerError::new(
            ErrorKind::InvalidPlugin,
            format!("plugin {reference} cannot be loaded: {error}"),
        )
    })
}

fn read_error(reference: &str, error: &io::Error) -> BrokerError {
    let message = match error.kind() {
        io::ErrorKind::NotFound => {
            format!("the file of plugin {reference} is missing: upload the plugin again")
        }
        _ => format!("plugin {reference} cannot be read: {error}"),
    };
    BrokerError::new(ErrorKind::InvalidPlugin, message)
}
