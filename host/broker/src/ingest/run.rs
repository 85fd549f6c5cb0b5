//! An ingest flow from its start to its end.

use std::sync::Arc;

use tokio::sync::watch;

use crate::core::Core;
use crate::flow::{Flow, FlowWork};
use crate::ingest::lanes::Lanes;
use crate::{Topic, flow};

/// Lets producers through the loaded plugins until the flow is told to stop, which is `None`, or its topic is deleted, which
/// is why it ends. When this returns, everything that was taken is on its way into the log, or refused.
pub(crate) async fn run(
    core: &Arc<Core>,
    flow: &Arc<Flow>,
    work: Arc<FlowWork>,
    topic: Topic,
    stop: &mut watch::Receiver<bool>,
) -> Option<String> {
    let guard = Arc::clone(flow.guard()?);
    let lanes = Arc::new(Lanes::new(Arc::clone(core), Arc::clone(flow), work, stop.clone()));
    guard.open(Arc::clone(&lanes));
    flow.started();
    let mut state = topic.watch();
    let ended = tokio::select! {
        biased;
        _ = stop.wait_for(|&stop| stop) => None,
        _ = state.wait_for(|state| state.deleted) => Some(flow::gone_reason(topic.name())),
    };
    guard.close();
    lanes.finish().await;
    ended
}
