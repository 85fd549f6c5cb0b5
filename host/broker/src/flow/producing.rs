//! Flows without a source: a producer, polled on a schedule.
//!
//! A [`runner`] sleeps until the [`timetable`] says so and sends a [`poll`] to the threads for guests. What the plugin gives is a
//! page: records and the cursor at which it goes on. The [`ledger`] stores both as one; its [`row`]s are the layout.
//!
//! Times that pass while the broker is down, the flow is paused or a poll takes long are not made up for: the producer's cursor
//! says what is missing, not the number of polls.

mod check;
mod counters;
mod ledger;
mod plugin;
mod poll;
mod row;
mod runner;
mod timetable;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::core::Core;
use crate::flow::backoff::Backoff;
use crate::flow::runner::gone_reason;
use crate::flow::supervisor::{pause, watch_deletions};
use crate::flow::{Flow, Pause};
use crate::{BrokerError, ErrorKind, Topic};
use ledger::{Ledger, LedgerError};
use runner::Runner;

pub(crate) use check::{check_kind, check_schedule};
pub(crate) use counters::Counters;
pub use counters::FlowProducingInfo;
pub(crate) use plugin::Producer;

/// Runs a producer flow until it is told to stop (`None`), or until it cannot go on.
///
/// # Errors
/// Why it does not start.
pub(crate) async fn run(
    core: &Arc<Core>,
    flow: &Arc<Flow>,
    stop: &mut watch::Receiver<bool>,
) -> Result<Option<Pause>, BrokerError> {
    let (stop_runner, runner_stop) = watch::channel(false);
    let runner = prepare(core, flow, runner_stop).await?;
    let mut deleted = watch_deletions(&runner.sinks);
    // A task of its own, so that the flow outlives a fault in it.
    let mut task = JoinSet::new();
    task.spawn(runner.run());
    flow.started();
    let mut reason = None;
    loop {
        tokio::select! {
            biased;
            Some(ended) = task.join_next() => {
                let ended = ended.unwrap_or_else(|error| {
                    Some(pause(format!("the broker failed at this flow ({error}): see its log, then resume the flow")))
                });
                return Ok(reason.or(ended));
            }
            Some(gone) = deleted.join_next(), if reason.is_none() => {
                reason = Some(pause(gone_reason(&gone.unwrap_or_default())));
            }
            // An error means that whoever could stop it is gone.
            _ = stop.wait_for(|&stop| stop), if !*stop_runner.borrow() => {}
        }
        stop_runner.send_replace(true);
    }
}

async fn prepare(
    core: &Arc<Core>,
    flow: &Arc<Flow>,
    stop: watch::Receiver<bool>,
) -> Result<Runner, BrokerError> {
    let spec = flow.spec();
    let invalid = |message: String| BrokerError::new(ErrorKind::InvalidFlow, message);
    let sinks = spec
        .to
        .iter()
        .map(|name| core.topic(name).map_err(|_| invalid(gone_reason(name))));
    let sinks: Vec<Topic> = sinks.collect::<Result<_, _>>()?;
    let (producer, timetable, guest) = Producer::load(
        core,
        spec,
        Arc::clone(flow.log()),
        Arc::clone(flow.metrics()),
        Some(stop.clone()),
    )
    .await?;
    Ok(Runner {
        core: Arc::clone(core),
        flow: Arc::clone(flow),
        producer: Arc::new(producer),
        guest: Some(guest),
        sinks,
        timetable,
        polls: Backoff::new(),
        failures: 0,
        stop,
    })
}

/// A producer's progress as it is shown; for one that has not run since the broker started, what is stored.
///
/// # Errors
/// [`ErrorKind::Storage`] when that cannot be read.
pub(crate) async fn info(core: &Arc<Core>, flow: &Arc<Flow>) -> Result<FlowProducingInfo, BrokerError> {
    if let Some(info) = flow.producing().info() {
        return Ok(info);
    }
    let id = flow.id();
    let read = move |core: &Arc<Core>| match Ledger::read(core.log.clone(), id, 0) {
        Ok(ledger) => Ok(FlowProducingInfo::of(ledger.progress())),
        Err(LedgerError::Read(error)) => Err(BrokerError::storage(error)),
        Err(LedgerError::Damaged) => Ok(FlowProducingInfo::default()),
    };
    core.blocking(read).await
}
