//! Making, showing, stopping and deleting flows.

mod bounded;
mod revise;
mod settle;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use crate::clock::now_ms;
use crate::core::Core;
use crate::flow::{self, Flow, Lane, Progress};
use crate::meta::{FlowRow, SourceRow};
use crate::{
    Broker, BrokerError, ErrorKind, FlowBounded, FlowInfo, FlowPartitionInfo, FlowRevision, FlowSpec,
    FlowStatus, Mode, Pause, Topic, ingest,
};

impl Broker {
    /// Makes a flow and starts it. Its plugins are set up once before anything is stored, so that a configuration they refuse
    /// makes no flow.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFlow`] for a flow that cannot run as described (a cycle among them), or whose plugin refuses
    /// the configuration; [`ErrorKind::UnknownTopicOrPartition`], [`ErrorKind::UnknownPlugin`],
    /// [`ErrorKind::FlowAlreadyExists`], [`ErrorKind::OffsetOutOfRange`] for the start, [`ErrorKind::LimitExceeded`];
    /// [`ErrorKind::StorageFull`], [`ErrorKind::Storage`], [`ErrorKind::ShuttingDown`].
    pub async fn create_flow(&self, spec: FlowSpec) -> Result<FlowInfo, BrokerError> {
        let spec = flow::check(&self.core, spec)?;
        // Outside of the change: compiling may take seconds, and what is loaded is there when the flow starts.
        let loaded = flow::try_out(&self.core, &spec).await?;
        let made = self
            .core
            .change(move |core| async move { create(&core, spec).await })
            .await;
        drop(loaded);
        made
    }

    /// All flows, by name, without their logs.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`] when the cursor of a paused flow cannot be read.
    pub async fn list_flows(&self) -> Result<Vec<FlowInfo>, BrokerError> {
        let mut infos = Vec::new();
        for flow in self.core.flows() {
            infos.push(info(&self.core, &flow, false).await?);
        }
        Ok(infos)
    }

    /// One flow, with the last lines of its log.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFlow`]; [`ErrorKind::Storage`] when the cursor of a paused flow cannot be read.
    pub async fn describe_flow(&self, name: &str) -> Result<FlowInfo, BrokerError> {
        let flow = self.core.flow(name)?;
        info(&self.core, &flow, true).await
    }

    /// Waits until the flow's status is one that `wanted` accepts; returns that status.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFlow`] when there is no such flow, or it is deleted meanwhile.
    pub async fn wait_for_flow(
        &self,
        name: &str,
        mut wanted: impl FnMut(&FlowStatus) -> bool,
    ) -> Result<FlowStatus, BrokerError> {
        loop {
            let mut status = self.core.flow(name)?.watch_status();
            // An error means that another revision took its place.
            if let Ok(status) = status.wait_for(&mut wanted).await {
                return Ok(status.clone());
            }
        }
    }

    /// Stops a flow where a batch ends, until it is resumed. A flow that stands still already does so for the reason it had.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFlow`]; [`ErrorKind::StorageFull`], [`ErrorKind::Storage`], [`ErrorKind::ShuttingDown`].
    pub async fn pause_flow(&self, name: &str) -> Result<FlowInfo, BrokerError> {
        let name = name.to_owned();
        self.core
            .change(move |core| async move { pause(&core, &name).await })
            .await
    }

    /// Has a flow go on from its cursor: what it stopped at is tried again. A flow that runs is left alone.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFlow`], [`ErrorKind::InvalidFlow`] while one of its topics is missing, and for a flow that is finished;
    /// [`ErrorKind::StorageFull`], [`ErrorKind::Storage`], [`ErrorKind::ShuttingDown`].
    pub async fn resume_flow(&self, name: &str) -> Result<FlowInfo, BrokerError> {
        let name = name.to_owned();
        self.core
            .change(move |core| async move { resume(&core, &name).await })
            .await
    }

    /// Stops a flow and deletes it with its cursors and its state. What it has written stays.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFlow`]; [`ErrorKind::StorageFull`], [`ErrorKind::Storage`], [`ErrorKind::ShuttingDown`].
    pub async fn delete_flow(&self, name: &str) -> Result<(), BrokerError> {
        let name = name.to_owned();
        self.core
            .change(move |core| async move { delete(&core, &name).await })
            .await
    }
}

async fn create(core: &Arc<Core>, spec: FlowSpec) -> Result<FlowInfo, BrokerError> {
    let spec = flow::check(core, spec)?;
    let mut sources = Vec::with_capacity(spec.from.len());
    for name in &spec.from {
        let source = core.topic(name)?;
        let mut start = Vec::new();
        for index in 0..source.partitions() {
            start.push(source.partition(index)?.resolve(spec.start).await?);
        }
        sources.push(SourceRow {
            topic: source.id(),
            start,
            end: Vec::new(),
        });
    }
    begin(core, spec, sources, None).await
}

/// Stores a flow that was checked, and starts it.
async fn begin(
    core: &Arc<Core>,
    spec: FlowSpec,
    sources: Vec<SourceRow>,
    bounded: Option<FlowBounded>,
) -> Result<FlowInfo, BrokerError> {
    let created_ms = now_ms();
    let from = sources.iter().map(|source| source.start.clone()).collect();
    let row = FlowRow {
        id: 0,
        sources,
        bounded,
        revisions: vec![FlowRevision::of(&spec, 1, created_ms, from)],
        spec,
        created_ms,
        pause: None,
    };
    let row = core.blocking(move |core| Ok(core.meta.create_flow(row)?)).await?;
    let log = core.flow_log(&row.spec.name);
    let flow = Arc::new(Flow::new(row, log));
    {
        let mut flows = core.flows.write().unwrap_or_else(PoisonError::into_inner);
        flows.insert(flow.name().to_owned(), Arc::clone(&flow));
    }
    ingest::install(core, &flow);
    flow::start(core, &flow);
    ingest::settled(&flow).await;
    tracing::info!(flow = flow.name(), "flow created");
    info(core, &flow, true).await
}

async fn pause(core: &Arc<Core>, name: &str) -> Result<FlowInfo, BrokerError> {
    let flow = core.flow(name)?;
    flow.stop().await;
    if flow.row().pause.is_none() {
        let pause = Pause {
            requested: true,
            ..Pause::because("paused on request")
        };
        let row = FlowRow {
            pause: Some(pause.clone()),
            ..flow.row()
        };
        let stored = core.blocking(move |core| Ok(core.meta.put_flow(&row)?)).await;
        if let Err(error) = stored {
            flow::start(core, &flow);
            return Err(error);
        }
        flow.set_pause(Some(pause));
    }
    info(core, &flow, true).await
}

async fn resume(core: &Arc<Core>, name: &str) -> Result<FlowInfo, BrokerError> {
    let flow = core.flow(name)?;
    let Some(pause) = flow.row().pause else {
        return info(core, &flow, true).await;
    };
    if pause.finished {
        let message = format!(
            "flow '{name}' is finished, there is nothing left for it to do: make another backfill or replay"
        );
        return Err(BrokerError::new(ErrorKind::InvalidFlow, message));
    }
    let mut topics = flow.spec().topics();
    if let Some(missing) = topics.find(|name| core.topic(name).is_err()) {
        let message = format!("topic '{missing}' does not exist: create it, then resume the flow");
        return Err(BrokerError::new(ErrorKind::InvalidFlow, message));
    }
    // It has come to its end already, or is about to.
    flow.stop().await;
    let row = FlowRow {
        pause: None,
        ..flow.row()
    };
    core.blocking(move |core| Ok(core.meta.put_flow(&row)?)).await?;
    flow.set_pause(None);
    flow::start(core, &flow);
    ingest::settled(&flow).await;
    info(core, &flow, true).await
}

async fn delete(core: &Arc<Core>, name: &str) -> Result<(), BrokerError> {
    let flow = core.flow(name)?;
    let stored = name.to_owned();
    let was_running = flow.row().pause.is_none();
    flow.stop().await;
    let deleted = core
        .blocking(move |core| Ok(core.meta.delete_flow(&stored)?))
        .await;
    if let Err(error) = deleted {
        if was_running && flow.row().pause.is_none() {
            flow::start(core, &flow);
        }
        return Err(error);
    }
    core.flows
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(name);
    ingest::remove(core, &flow);
    let id = flow.id();
    let forgotten = core.blocking(move |core| {
        flow::delete_cursors(core, &flow::cursor_prefix(id), |flow| flow == id)?;
        flow::delete_state(&core.log, id)
    });
    if let Err(error) = forgotten.await {
        tracing::warn!(
            flow = name,
            "the cursors and the state of the deleted flow are removed at the next start: {error}"
        );
    }
    tracing::info!(flow = name, "flow deleted");
    Ok(())
}

pub(crate) async fn info(
    core: &Arc<Core>,
    flow: &Arc<Flow>,
    with_log: bool,
) -> Result<FlowInfo, BrokerError> {
    let row = flow.row();
    let partitions = partitions(core, flow, &row).await?;
    let producing = match row.spec.schedule {
        Some(_) => Some(flow::producing_info(core, flow).await?),
        None => None,
    };
    Ok(FlowInfo {
        id: flow.id(),
        bounded: row.bounded,
        spec: row.spec,
        created_ms: row.created_ms,
        revisions: if with_log {
            row.revisions
        } else {
            row.revisions.into_iter().next_back().into_iter().collect()
        },
        status: flow.status(),
        dead_letter: Some(flow::dead_letter_topic(flow.letters_of()))
            .filter(|topic| core.topic(topic).is_ok()),
        partitions,
        producing,
        guests: if with_log {
            flow.metrics().guests()
        } else {
            Vec::new()
        },
        log: if with_log { flow.log().lines() } else { Vec::new() },
    })
}

/// How far a flow is in each of its lanes; those of topics that do not exist are left out.
async fn partitions(
    core: &Arc<Core>,
    flow: &Arc<Flow>,
    row: &FlowRow,
) -> Result<Vec<FlowPartitionInfo>, BrokerError> {
    let topics: Vec<_> = shown(core, row).collect();
    let mut stored: Option<HashMap<Lane, Progress>> = None;
    let mut partitions = Vec::new();
    for (index, topic) in (0..).zip(&topics) {
        let Some(topic) = topic else { continue };
        for partition in topic.info().partitions {
            let lane = Lane {
                source: index,
                partition: partition.partition,
            };
            if !row.has_work(lane, topic.id()) {
                continue;
            }
            let counters = flow.counters(lane);
            let cursor = match counters.cursor() {
                Some(cursor) => cursor,
                // What an ingest flow has let in is there, and nothing waits.
                None if row.spec.mode == Mode::Ingest => partition.high_watermark,
                None => {
                    let stored = match &mut stored {
                        Some(stored) => stored,
                        none => none.insert(stored_progress(core, flow.id(), row).await?),
                    };
                    let start = row.start_of(lane, topic.id());
                    stored.get(&lane).map_or(start, |progress| progress.position)
                }
            };
            let until = row.end_of(lane, topic.id());
            let end = until.map_or(partition.high_watermark, |until| {
                until.min(partition.high_watermark)
            });
            partitions.push(FlowPartitionInfo {
                until,
                ..counters.info(lane, cursor, end)
            });
        }
    }
    Ok(partitions)
}

/// The topics that a flow's progress is shown for, as far as they exist.
fn shown(core: &Core, row: &FlowRow) -> impl Iterator<Item = Option<Topic>> {
    row.spec.shown_topics().iter().map(|name| core.topic(name).ok())
}

/// How far a flow that does not run has got, by lane.
async fn stored_progress(
    core: &Arc<Core>,
    flow: u32,
    row: &FlowRow,
) -> Result<HashMap<Lane, Progress>, BrokerError> {
    let sources: Vec<Option<u32>> = shown(core, row)
        .map(|topic| topic.map(|topic| topic.id()))
        .collect();
    core.blocking(move |core| flow::stored_progress(core, flow, &sources))
        .await
}
