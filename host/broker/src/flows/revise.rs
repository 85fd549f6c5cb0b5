//! Changing what a flow runs, at an exact offset.

use std::sync::{Arc, PoisonError};

use super::{info, shown, stored_progress};
use crate::clock::now_ms;
use crate::core::Core;
use crate::flow::{self, Flow, Lane, REVISIONS_MAX, TriedOut};
use crate::meta::{FlowRow, SourceRow};
use crate::plugin::PluginRef;
use crate::{
    Broker, BrokerError, ErrorKind, FlowChange, FlowInfo, FlowRevision, FlowSpec, Mode, Topic, ingest,
};

impl Broker {
    /// Has a flow run other versions of its plugins, or with other settings. What runs is stopped where a batch ends, and what
    /// replaces it goes on there: no record is lost or processed by both. State and cursors are kept. A flow that had stopped at
    /// a failure goes on; one that was paused on request stays so. If there is nothing to change, nothing happens.
    ///
    /// The plugins are set up once before anything is stopped: if that fails, the flow runs on as it was. So it does if one of them
    /// refuses, or fails at, state of another version than it knows; that is tried for 15 seconds, and what was not tried by then is
    /// migrated when the changed flow starts.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFlow`], [`ErrorKind::UnknownPlugin`], [`ErrorKind::InvalidFlow`] for a change that cannot be made;
    /// [`ErrorKind::StorageFull`], [`ErrorKind::Storage`] while its last outputs cannot be completed,
    /// [`ErrorKind::ShuttingDown`].
    pub async fn upgrade_flow(&self, name: &str, change: FlowChange) -> Result<FlowInfo, BrokerError> {
        let spec = change.applied_to(self.core.flow(name)?.spec());
        let spec = spec.map_err(|message| BrokerError::new(ErrorKind::InvalidFlow, message))?;
        self.revise(name, spec, None).await
    }

    /// Has a flow run what it ran at revision `to`, or at the revision in front of the one that it runs: its cursors and its state stay
    /// where they are. A revision that came about by going back counts as the one that it repeats, so that each rollback goes further back.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFlow`] if there is no such revision, or its plugins were deleted; otherwise as
    /// [`upgrade_flow`](Self::upgrade_flow).
    pub async fn rollback_flow(&self, name: &str, to: Option<u32>) -> Result<FlowInfo, BrokerError> {
        let row = self.core.flow(name)?.row();
        let revision = match to {
            Some(number) => row.revisions.iter().find(|revision| revision.number == number),
            None => flow::before_running(&row.revisions),
        };
        let Some(revision) = revision else {
            return Err(BrokerError::new(
                ErrorKind::InvalidFlow,
                nothing_to_go_back_to(&row, to),
            ));
        };
        for plugin in &revision.plugins {
            if self.core.registry.resolve(&PluginRef::parse(plugin)?).is_err() {
                let message = format!(
                    "flow '{name}' cannot go back to revision {}: it ran plugin {plugin}, which was deleted; upload that anew and \
                     upgrade to the version that it gets, or choose another revision (weir flow describe {name})",
                    revision.number
                );
                return Err(BrokerError::new(ErrorKind::InvalidFlow, message));
            }
        }
        let spec = revision.applied_to(&row.spec);
        self.revise(name, spec, Some(revision.number)).await
    }

    async fn revise(
        &self,
        name: &str,
        spec: FlowSpec,
        back_to: Option<u32>,
    ) -> Result<FlowInfo, BrokerError> {
        let spec = flow::check_change(&self.core, spec)?;
        let before = self.core.flow(name)?;
        if *before.spec() == spec {
            return info(&self.core, &before, true).await;
        }
        // Outside of the change: compiling may take seconds, while the flow runs on.
        let loaded = Arc::new(flow::try_out(&self.core, &spec).await?);
        let tried = Arc::clone(&loaded);
        let basis = before.spec().clone();
        let name = name.to_owned();
        let revised = self
            .core
            .change(move |core| async move {
                let flow = core.flow(&name)?;
                if *flow.spec() != basis {
                    let message = format!("flow '{name}' was changed by somebody else meanwhile: try again");
                    return Err(BrokerError::new(ErrorKind::InvalidFlow, message));
                }
                let change = Revised {
                    back_to,
                    range: None,
                    tried,
                };
                replace(&core, &flow, spec, change).await
            })
            .await;
        drop(loaded);
        revised
    }
}

fn nothing_to_go_back_to(row: &FlowRow, to: Option<u32>) -> String {
    let name = &row.spec.name;
    if row.revisions.len() < 2 {
        return format!("flow '{name}' was never changed: there is nothing to go back to");
    }
    let numbers: Vec<String> = row
        .revisions
        .iter()
        .map(|known| known.number.to_string())
        .collect();
    let numbers = numbers.join(", ");
    match to {
        Some(number) => format!("flow '{name}' remembers no revision {number}: choose one of {numbers}"),
        None => format!(
            "flow '{name}' runs the first revision that it remembers again: choose one of {numbers} with --to to run another"
        ),
    }
}

/// What a change of a flow is beside its new spec.
pub(super) struct Revised {
    /// The revision that it goes back to.
    pub(super) back_to: Option<u32>,
    /// What a flow that comes to an end is to process now. It goes on, whether it was finished or stood still.
    pub(super) range: Option<Vec<SourceRow>>,
    /// The plugins of the new spec.
    pub(super) tried: Arc<TriedOut>,
}

/// Puts a flow with `spec` into the place of `flow`.
pub(super) async fn replace(
    core: &Arc<Core>,
    flow: &Arc<Flow>,
    spec: FlowSpec,
    change: Revised,
) -> Result<FlowInfo, BrokerError> {
    flow.stop().await;
    let stopped = flow.row();
    let taken = takes_state(core, &stopped, spec.mode, &change.tried).await;
    let stored = match taken {
        Ok(()) => store(core, &stopped, spec, change).await,
        Err(error) => Err(error),
    };
    let row = match stored {
        Ok(row) => row,
        Err(error) => {
            if stopped.pause.is_none() {
                flow::start(core, flow);
            }
            return Err(error);
        }
    };
    let runs = row.pause.is_none();
    let number = row.revisions.last().map_or(1, |revision| revision.number);
    let revised = Arc::new(flow.revised(row));
    {
        let mut flows = core.flows.write().unwrap_or_else(PoisonError::into_inner);
        flows.insert(revised.name().to_owned(), Arc::clone(&revised));
    }
    if flow.spec() != revised.spec() {
        revised.log().push(
            "info",
            &format!("revision {number}: {}", revised.spec().plugins.join(" -> ")),
        );
    }
    // What is on its way to an ingest flow's topic meanwhile is refused, and its producers send it again.
    ingest::install(core, &revised);
    if runs {
        flow::start(core, &revised);
        ingest::settled(&revised).await;
    }
    tracing::info!(flow = revised.name(), revision = number, "flow changed");
    info(core, &revised, true).await
}

/// Whether the plugins take the state that the stopped flow has.
async fn takes_state(
    core: &Arc<Core>,
    stopped: &FlowRow,
    mode: Mode,
    tried: &TriedOut,
) -> Result<(), BrokerError> {
    let (Mode::Stream, TriedOut::Work(work)) = (mode, tried) else {
        return Ok(());
    };
    if !work.is_stateful() {
        return Ok(());
    }
    let progress = stored_progress(core, stopped.id, stopped).await?;
    // Where nothing was processed, and of topics that are gone, there is no state to run on.
    let sources: Vec<Option<Topic>> = shown(core, stopped).collect();
    let mut places = Vec::new();
    for (lane, progress) in progress {
        let source = sources.get(lane.source as usize).and_then(Option::as_ref);
        if let Some(source) = source.filter(|source| lane.partition < source.partitions()) {
            places.push((source.clone(), lane, progress.position));
        }
    }
    places.sort_unstable_by_key(|(_, lane, _)| *lane);
    flow::try_migration(core, stopped.id, work, places).await
}

/// Makes the row of a stopped flow, with `spec` from where it stopped, and stores it.
async fn store(
    core: &Arc<Core>,
    stopped: &FlowRow,
    spec: FlowSpec,
    change: Revised,
) -> Result<FlowRow, BrokerError> {
    let progress = stored_progress(core, stopped.id, stopped).await?;
    let mut from = Vec::new();
    for (index, source) in (0..).zip(shown(core, stopped)) {
        let mut offsets = Vec::new();
        for partition in 0..source.as_ref().map_or(0, Topic::partitions) {
            let Some(source) = &source else { break };
            let lane = Lane {
                source: index,
                partition,
            };
            let progress = progress.get(&lane);
            if progress.is_some_and(|progress| progress.partly) {
                // What is missing must be made by what made the rest.
                let message = format!(
                    "the outputs of '{}' partition {partition} are stored in part: let the flow complete them, then try again",
                    source.name()
                );
                return Err(BrokerError::new(ErrorKind::Storage, message));
            }
            offsets.push(match (spec.mode, progress) {
                (Mode::Ingest, _) => source.partition(partition)?.high_watermark(),
                (Mode::Stream, Some(progress)) => progress.position,
                (Mode::Stream, None) => stopped.start_of(lane, source.id()),
            });
        }
        from.push(offsets);
    }
    let mut row = stopped.clone();
    if row.spec != spec {
        let last = row.revisions.last().map_or(1, |revision| revision.number);
        let mut revision = FlowRevision::of(&spec, last + 1, now_ms(), from);
        revision.back_to = change.back_to;
        row.revisions.push(revision);
        let forgotten = row.revisions.len().saturating_sub(REVISIONS_MAX);
        row.revisions.drain(..forgotten);
        row.spec = spec;
    }
    // What stopped it may be what the change mends.
    row.pause = row.pause.filter(|pause| pause.requested);
    if let Some(sources) = change.range {
        row.sources = sources;
        row.pause = None;
    }
    let stored = row.clone();
    core.blocking(move |core| Ok(core.meta.put_flow(&stored)?))
        .await?;
    Ok(row)
}
