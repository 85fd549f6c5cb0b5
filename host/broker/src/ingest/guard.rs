//! What stands in front of a topic.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::BytesMut;
use tokio::sync::{oneshot, watch};

use crate::flow::FlowStatus;
use crate::ingest::lane::Request;
use crate::ingest::lanes::Lanes;
use crate::produce::ProduceTicket;
use crate::{BrokerError, ErrorKind, Topic};

/// What stands in front of a topic that an ingest flow guards.
pub(crate) struct Guard {
    flow: String,
    topic: String,
    status: watch::Receiver<FlowStatus>,
    /// `None` while the flow does not run.
    lanes: RwLock<Option<Arc<Lanes>>>,
}

impl Guard {
    /// The guard of a flow, by whose `status` it says why it refuses. It refuses until it is opened.
    pub(crate) fn new(flow: String, topic: String, status: watch::Receiver<FlowStatus>) -> Self {
        Self {
            flow,
            topic,
            status,
            lanes: RwLock::default(),
        }
    }

    /// The name of the topic it guards.
    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    /// Lets batches through these lanes.
    pub(super) fn open(&self, lanes: Arc<Lanes>) {
        *self.lanes.write().unwrap_or_else(PoisonError::into_inner) = Some(lanes);
    }

    /// Refuses from now on. What was taken is in the lanes.
    pub(super) fn close(&self) {
        *self.lanes.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Takes a batch that was checked; waits while the partition's lane is full. Batches of one caller for one partition
    /// keep their order.
    ///
    /// # Errors
    /// [`ErrorKind::FlowNotRunning`].
    pub(crate) async fn submit(
        &self,
        topic: &Topic,
        partition: u32,
        batch: BytesMut,
    ) -> Result<ProduceTicket, BrokerError> {
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner).clone();
        let lane = lanes.and_then(|lanes| lanes.of(topic, partition));
        let lane = lane.ok_or_else(|| self.refusal())?;
        let (reply, answer) = oneshot::channel();
        let sent = lane.send(Request { batch, reply }).await;
        sent.map_err(|_| self.refusal())?;
        Ok(ProduceTicket::guarded(answer, partition))
    }

    fn refusal(&self) -> BrokerError {
        let why = match &*self.status.borrow() {
            FlowStatus::Starting => "is being set up".to_owned(),
            FlowStatus::Paused(pause) => format!("is paused ({})", pause.reason),
            FlowStatus::Running | FlowStatus::Waiting { .. } => "is being stopped".to_owned(),
        };
        not_running(&self.flow, &self.topic, &why)
    }
}

/// The flow is not there to judge what is sent to its topic.
pub(super) fn not_running(flow: &str, topic: &str, why: &str) -> BrokerError {
    let message = format!(
        "everything sent to topic '{topic}' goes through flow '{flow}', which {why}: send it again once the flow runs \
         (resume it), or delete the flow"
    );
    BrokerError::new(ErrorKind::FlowNotRunning, message)
}
