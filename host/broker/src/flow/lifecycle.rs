//! Flows when the broker starts and stops, and the cursors of flows that are no more.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};

use weir_log::{Durability, Entry, KvOp};

use crate::BrokerError;
use crate::core::Core;
use crate::flow::cursor::{self, CursorRow};
use crate::flow::recovery::Recovery;
use crate::flow::state;
use crate::flow::{Flow, Lane, Mode, supervisor};
use crate::ingest;
use crate::meta::FlowRow;

/// Takes up the flows as they are stored and starts those that are not paused.
pub(crate) async fn start_all(core: &Arc<Core>, rows: Vec<FlowRow>) {
    let flows: Vec<_> = rows
        .into_iter()
        .map(|row| {
            Arc::new({
                let log = core.flow_log(&row.spec.name);
                Flow::new(row, log)
            })
        })
        .collect();
    {
        let mut map = core.flows.write().unwrap_or_else(PoisonError::into_inner);
        map.extend(
            flows
                .iter()
                .map(|flow| (flow.name().to_owned(), Arc::clone(flow))),
        );
    }
    let known: HashSet<u32> = flows.iter().map(|flow| flow.id()).collect();
    // A crash between the deletion of a flow and that of its cursors leaves some behind.
    let swept = core.blocking(move |core| {
        let forgotten = |flow: u32| !known.contains(&flow);
        delete_cursors(core, cursor::PREFIX.as_bytes(), forgotten)?;
        state::sweep_state(&core.log, forgotten)
    });
    if let Err(error) = swept.await {
        tracing::warn!("cursors and state of deleted flows could not be removed: {error}");
    }
    // Before anything is started, let alone produced: what a flow guards is never open without it.
    for flow in &flows {
        ingest::install(core, flow);
    }
    pause_where_state_is_lost(core, &flows).await;
    for flow in &flows {
        if flow.row().pause.is_none() {
            supervisor::start(core, flow);
        }
    }
    for flow in &flows {
        ingest::settled(flow).await;
    }
}

/// Pauses the flows that keep a cursor if the log has lost cursors: each may stand at an older place than its outputs, and
/// whether some are stored twice is not for the broker to decide.
async fn pause_where_state_is_lost(core: &Arc<Core>, flows: &[Arc<Flow>]) {
    let shards = core.log.shards_with_lost_state();
    if shards.is_empty() {
        return;
    }
    let shards: Vec<_> = shards.iter().map(u16::to_string).collect();
    let reason = format!(
        "a damaged file has taken the newest cursors of flows with it (shard {}): resume the flow to go on from the \
         last cursor that is left, which may store some outputs twice, or delete it and create it anew with --start",
        shards.join(", ")
    );
    let mut all_stored = true;
    for flow in flows {
        // What guards a topic keeps no cursor, and its topic takes nothing while it is paused.
        if flow.row().pause.is_none() && flow.spec().mode == Mode::Stream {
            all_stored &= supervisor::pause_flow(core, flow, supervisor::pause(reason.clone())).await;
        }
    }
    // Otherwise the next start does it again.
    if all_stored && let Err(error) = core.log.forget_lost_state().await {
        tracing::warn!("that flows were told of lost cursors could not be stored: {error}");
    }
}

/// Stops all flows where a batch ends, and waits for that. They are not paused: they go on when the broker starts.
pub(crate) async fn stop_all(core: &Core) {
    let flows = core.flows();
    for flow in &flows {
        flow.signal_stop();
    }
    for flow in &flows {
        flow.stop().await;
    }
}

/// Removes the cursors below `prefix` whose flow is to be `forgotten`. Blocks.
pub(crate) fn delete_cursors(
    core: &Core,
    prefix: &[u8],
    forgotten: impl Fn(u32) -> bool,
) -> Result<(), BrokerError> {
    let mut receipts = Vec::new();
    for shard in 0..core.log.shards() {
        let rows = core.log.kv_scan(shard, prefix).map_err(BrokerError::storage)?;
        let keys = rows.into_iter().map(|(key, _)| key);
        let gone = keys.filter(|key| cursor::flow_of_key(key).is_some_and(&forgotten));
        let puts: Vec<_> = gone.map(|key| KvOp::Delete { key }).collect();
        if !puts.is_empty() {
            let entry = Entry {
                appends: Vec::new(),
                puts,
                durability: Durability::Fsync,
            };
            receipts.push(
                core.log
                    .submit_blocking(shard, entry)
                    .map_err(BrokerError::storage)?,
            );
        }
    }
    for receipt in receipts {
        receipt.wait().map_err(BrokerError::storage)?;
    }
    Ok(())
}

/// How far a flow that does not run has got.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Progress {
    /// Everything below is done.
    pub(crate) position: i64,
    /// Whether outputs of records from there on are in some shards, and not in others.
    pub(crate) partly: bool,
}

/// How far a flow that does not run has got, by lane; those that it has not begun are missing. `sources` are the ids of its
/// sources, as far as they exist. Blocks.
pub(crate) fn stored_progress(
    core: &Core,
    flow: u32,
    sources: &[Option<u32>],
) -> Result<HashMap<Lane, Progress>, BrokerError> {
    let prefix = cursor::flow_prefix(flow);
    let mut rows: HashMap<Lane, Vec<Option<CursorRow>>> = HashMap::new();
    for shard in 0..core.log.shards() {
        for (key, value) in core.log.kv_scan(shard, &prefix).map_err(BrokerError::storage)? {
            if let (Some(lane), Some(row)) = (cursor::lane_of_key(&key), CursorRow::decode(&value)) {
                rows.entry(lane).or_default().push(Some(row));
            }
        }
    }
    let mut progress = HashMap::new();
    for (lane, rows) in rows {
        let Some(topic) = sources.get(lane.source as usize).copied().flatten() else {
            continue;
        };
        let recovery = Recovery::of(&rows, topic, -1);
        if recovery.position >= 0 {
            let partly = recovery.partly_until > recovery.position;
            let position = recovery.position;
            progress.insert(lane, Progress { position, partly });
        }
    }
    Ok(progress)
}
