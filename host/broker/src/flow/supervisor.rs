//! Starts a flow, watches over it and lets it down when it cannot go on.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use weir_runtime::Plugin;

use crate::core::Core;
use crate::flow::handle::Running;
use crate::flow::http;
use crate::flow::log::FlowLog;
use crate::flow::metrics::FlowMetrics;
use crate::flow::producing::{self, Producer};
use crate::flow::runner::{Ended, Runner, gone_reason};
use crate::flow::work::FlowWork;
use crate::flow::{Flow, FlowSpec, FlowStatus, Lane, Mode, Pause};
use crate::ingest;
use crate::meta::{FlowRow, PluginRow};
use crate::plugin::PluginRef;
use crate::topic::TopicState;
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
        let (work, sources, sinks) = self.prepare().await?;
        Ok(self.watch_over(work, sources, sinks).await)
    }

    /// The same for a flow in front of a topic.
    async fn ingest(&mut self) -> Result<Option<Pause>, BrokerError> {
        let name = self.flow.spec().guarded_topic().unwrap_or_default();
        let topic = self.core.topic(name);
        let topic = topic.map_err(|_| BrokerError::new(ErrorKind::InvalidFlow, gone_reason(name)))?;
        let work = Arc::new(load_for(&self.core, &self.flow, self.stop.clone()).await?);
        let ended = ingest::run(&self.core, &self.flow, work, topic, &mut self.stop).await;
        Ok(ended.map(pause))
    }

    /// Everything the runners need.
    async fn prepare(&self) -> Result<(Arc<FlowWork>, Vec<Topic>, Vec<Topic>), BrokerError> {
        let topics = |names: &[String]| -> Result<Vec<Topic>, BrokerError> {
            let gone = |name: &str| BrokerError::new(ErrorKind::InvalidFlow, gone_reason(name));
            let topics = names
                .iter()
                .map(|name| self.core.topic(name).map_err(|_| gone(name)));
            topics.collect()
        };
        let spec = self.flow.spec();
        let (sources, sinks) = (topics(&spec.from)?, topics(&spec.to)?);
        let row = self.flow.row();
        let mut rows = row.sources.iter().zip(&sources);
        let other = rows.find(|(row, source)| row.topic != source.id());
        if let (Some(_), Some((_, source))) = (&row.bounded, other) {
            let message = format!(
                "topic '{}' was deleted and made anew: what this flow was to process is gone; delete the flow",
                source.name()
            );
            return Err(BrokerError::new(ErrorKind::InvalidFlow, message));
        }
        let work = load_for(&self.core, &self.flow, self.stop.clone()).await?;
        Ok((Arc::new(work), sources, sinks))
    }

    /// Runs the flow over all partitions of its sources. Returns why it has to pause, or that it is finished; `None` if it was told to
    /// stop.
    async fn watch_over(
        &mut self,
        work: Arc<FlowWork>,
        sources: Vec<Topic>,
        sinks: Vec<Topic>,
    ) -> Option<Pause> {
        // Runners stop when this is set, or when it is dropped.
        let (stop_runners, runners_stop) = watch::channel(false);
        let mut runners = JoinSet::new();
        let mut states: Vec<_> = sources.iter().map(Topic::watch).collect();
        let mut deleted = watch_deletions(sinks.iter().chain(&sources));
        // Partitions that have a runner, by source.
        let mut begun = vec![0; sources.len()];
        let row = self.flow.row();
        let mut pause_reason: Option<Pause> = None;
        let mut stopping = false;
        self.flow.started();
        loop {
            for (index, source) in (0..).zip(&sources) {
                let at = index as usize;
                let wanted = states[at].borrow_and_update().partitions.len() as u32;
                while begun[at] < wanted && !stopping {
                    let lane = Lane {
                        source: index,
                        partition: begun[at],
                    };
                    begun[at] += 1;
                    if !row.has_work(lane, source.id()) {
                        continue;
                    }
                    let runner = Runner {
                        core: Arc::clone(&self.core),
                        flow: Arc::clone(&self.flow),
                        work: Arc::clone(&work),
                        source: source.clone(),
                        sinks: sinks.clone(),
                        lane,
                        stop: runners_stop.clone(),
                    };
                    runners.spawn(runner.run());
                }
            }
            if stopping && runners.is_empty() {
                return pause_reason;
            }
            if row.bounded.is_some() && runners.is_empty() {
                return Some(self.flow.finish());
            }
            tokio::select! {
                biased;
                Some(ended) = runners.join_next(), if !runners.is_empty() => {
                    let ended = ended.unwrap_or_else(|error| {
                        let reason = format!("the broker failed at this flow ({error}): see its log, then resume the flow");
                        Ended::Paused(Pause::because(reason))
                    });
                    match ended {
                        Ended::Paused(ended) => { pause_reason.get_or_insert(ended); }
                        // Its log closed: the broker shuts down.
                        Ended::Stopped if !stopping => {}
                        Ended::Stopped | Ended::Finished => continue,
                    }
                }
                Some(gone) = deleted.join_next(), if !stopping => {
                    pause_reason.get_or_insert(pause(gone_reason(&gone.unwrap_or_default())));
                }
                changed = any_changed(&mut states), if !stopping => {
                    if changed {
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
    if pause.finished {
        tracing::info!(flow = flow.name(), "flow {}", pause.reason);
        flow.log().push("info", &pause.reason);
    } else {
        tracing::warn!(flow = flow.name(), "flow paused{place}: {}", pause.reason);
        flow.log()
            .push("error", &format!("paused{place}: {}", pause.reason));
    }
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

/// Waits until one of the topics changes; `false` if one of them is gone for good.
async fn any_changed(states: &mut [watch::Receiver<Arc<TopicState>>]) -> bool {
    if states.is_empty() {
        return std::future::pending().await;
    }
    let changes = states.iter_mut().map(|state| Box::pin(state.changed()));
    futures_util::future::select_all(changes).await.0.is_ok()
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
    Pause::because(reason)
}

/// The plugins of a flow that is to be, set up: they stay loaded as long as this is there.
pub(crate) enum TriedOut {
    /// Of a flow with a schedule.
    Producer { _loaded: Box<dyn Send + Sync> },
    /// Of any other.
    Work(Arc<FlowWork>),
}

/// Loads the plugins of a flow that is to be, and sets them up once.
///
/// # Errors
/// Why the flow would not start.
pub(crate) async fn try_out(core: &Arc<Core>, spec: &FlowSpec) -> Result<TriedOut, BrokerError> {
    if spec.schedule.is_some() {
        let (producer, ..) = Producer::load(core, spec, Arc::default(), Arc::default(), None).await?;
        let _loaded = Box::new(producer);
        return Ok(TriedOut::Producer { _loaded });
    }
    let work = load(core, spec, Arc::default(), Arc::default(), None).await?;
    Ok(TriedOut::Work(Arc::new(work)))
}

/// Loads the plugins of a flow, to log and to count as the flow's.
async fn load_for(
    core: &Arc<Core>,
    flow: &Flow,
    stop: watch::Receiver<bool>,
) -> Result<FlowWork, BrokerError> {
    load(
        core,
        flow.spec(),
        Arc::clone(flow.log()),
        Arc::clone(flow.metrics()),
        Some(stop),
    )
    .await
}

/// Loads the plugins of a flow and sets them up once, on the threads for compiling. Their calls to hosts outside end when `stop` says so.
pub(crate) async fn load(
    core: &Arc<Core>,
    spec: &FlowSpec,
    log: Arc<FlowLog>,
    metrics: Arc<FlowMetrics>,
    stop: Option<watch::Receiver<bool>>,
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
        let http = http::access(&shared, &spec, stop)?;
        let limits = spec.limits.over(shared.runtime.limits());
        let work = FlowWork::new(spec.name, plugins, spec.to, spec.config, log, metrics)
            .with_limits(limits)
            .with_http(http);
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
