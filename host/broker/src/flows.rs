//! Making, showing, stopping and deleting flows.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use crate::clock::now_ms;
use crate::core::Core;
use crate::flow::{self, Flow};
use crate::meta::FlowRow;
use crate::{Broker, BrokerError, ErrorKind, FlowInfo, FlowSpec, FlowStatus, Pause};

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
        let loaded = flow::load(&self.core, &spec, Arc::default()).await?;
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
        wanted: impl FnMut(&FlowStatus) -> bool,
    ) -> Result<FlowStatus, BrokerError> {
        let mut status = self.core.flow(name)?.watch_status();
        let reached = status.wait_for(wanted).await.map(|status| status.clone());
        match reached {
            Ok(status) => Ok(status),
            Err(_) => self.core.flow(name).map(|flow| flow.status()),
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
    /// [`ErrorKind::UnknownFlow`], [`ErrorKind::InvalidFlow`] while one of its topics is missing;
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
    let source = core.topic(&spec.from)?;
    let mut start_offsets = Vec::new();
    for index in 0..source.partitions() {
        start_offsets.push(source.partition(index)?.resolve(spec.start).await?);
    }
    let row = FlowRow {
        id: 0,
        spec,
        created_ms: now_ms(),
        source_topic: source.id(),
        start_offsets,
        pause: None,
    };
    let row = core.blocking(move |core| Ok(core.meta.create_flow(row)?)).await?;
    let flow = Arc::new(Flow::new(row, core.limits.flow_log_lines_max));
    {
        let mut flows = core.flows.write().unwrap_or_else(PoisonError::into_inner);
        flows.insert(flow.name().to_owned(), Arc::clone(&flow));
    }
    flow::start(core, &flow);
    tracing::info!(flow = flow.name(), "flow created");
    info(core, &flow, true).await
}

async fn pause(core: &Arc<Core>, name: &str) -> Result<FlowInfo, BrokerError> {
    let flow = core.flow(name)?;
    flow.stop().await;
    if flow.row().pause.is_none() {
        let pause = Pause {
            reason: "paused on request".to_owned(),
            requested: true,
            since_ms: now_ms(),
            place: None,
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
    if flow.row().pause.is_none() {
        return info(core, &flow, true).await;
    }
    let spec = flow.spec();
    if let Some(missing) = spec
        .to
        .iter()
        .chain([&spec.from])
        .find(|name| core.topic(name).is_err())
    {
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

async fn info(core: &Arc<Core>, flow: &Arc<Flow>, with_log: bool) -> Result<FlowInfo, BrokerError> {
    let row = flow.row();
    let mut partitions = Vec::new();
    if let Ok(source) = core.topic(&row.spec.from) {
        let mut stored: Option<HashMap<u32, i64>> = None;
        for partition in source.info().partitions {
            let counters = flow.counters(partition.partition);
            let cursor = match counters.cursor() {
                Some(cursor) => cursor,
                None => {
                    if stored.is_none() {
                        let (id, topic) = (flow.id(), source.id());
                        let read = core.blocking(move |core| flow::stored_cursors(core, id, topic));
                        stored = Some(read.await?);
                    }
                    let start = row.start_offsets.get(partition.partition as usize);
                    let start = start
                        .copied()
                        .filter(|_| row.source_topic == source.id())
                        .unwrap_or(0);
                    stored
                        .as_ref()
                        .and_then(|stored| stored.get(&partition.partition))
                        .copied()
                        .unwrap_or(start)
                }
            };
            partitions.push(counters.info(partition.partition, cursor, partition.high_watermark));
        }
    }
    Ok(FlowInfo {
        id: flow.id(),
        spec: row.spec,
        created_ms: row.created_ms,
        status: flow.status(),
        dead_letter: Some(flow::dead_letter_topic(flow.name())).filter(|topic| core.topic(topic).is_ok()),
        partitions,
        log: if with_log { flow.log().lines() } else { Vec::new() },
    })
}
