//! The lanes of an ingest flow, one for each partition that something was sent to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::Topic;
use crate::core::Core;
use crate::flow::{self, Flow, FlowWork};
use crate::ingest::lane::{Lane, Request, WAITING_MAX};

/// The lanes of one running flow.
pub(super) struct Lanes {
    core: Arc<Core>,
    flow: Arc<Flow>,
    work: Arc<FlowWork>,
    stop: watch::Receiver<bool>,
    /// By partition. `None` once no more come.
    open: Mutex<Option<HashMap<u32, mpsc::Sender<Request>>>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Lanes {
    pub(super) fn new(
        core: Arc<Core>,
        flow: Arc<Flow>,
        work: Arc<FlowWork>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            core,
            flow,
            work,
            stop,
            open: Mutex::new(Some(HashMap::new())),
            tasks: Mutex::default(),
        }
    }

    /// The lane of a partition, which exists. `None` once the lanes are closed.
    pub(super) fn of(&self, topic: &Topic, partition: u32) -> Option<mpsc::Sender<Request>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let lanes = open.as_mut()?;
        let lane = lanes.entry(partition).or_insert_with(|| {
            let (sender, requests) = mpsc::channel(WAITING_MAX);
            let lane = Lane {
                core: Arc::clone(&self.core),
                flow: Arc::clone(&self.flow),
                work: Arc::clone(&self.work),
                stop: self.stop.clone(),
                topic: topic.clone(),
                partition,
                counters: self.flow.counters(flow::Lane::of_first_source(partition)),
            };
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            tasks.spawn(lane.run(requests));
            sender
        });
        Some(lane.clone())
    }

    /// Takes no more, and waits until what is being judged has been handed to the log, and the rest refused.
    pub(super) async fn finish(&self) {
        drop(self.open.lock().unwrap_or_else(PoisonError::into_inner).take());
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(flow = self.flow.name(), "an ingest flow ended badly: {error}");
            }
        }
    }
}
