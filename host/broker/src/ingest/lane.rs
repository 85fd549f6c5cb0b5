//! The way of a partition's batches from the guard into the log, one after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::{mpsc, oneshot, watch};

use crate::core::Core;
use crate::flow::counters::Counters;
use crate::flow::{self, Flow, FlowWork, dead_letter};
use crate::ingest::guard::not_running;
use crate::ingest::route::Route;
use crate::ingest::submit::{Submitted, submit};
use crate::ingest::turn::{Judged, Obstacle, Settled, State, Turn, Waiting};
use crate::{BrokerError, Topic};

/// Batches that may wait in a lane. As many again are being judged, and as many are on their way into the log's queue.
pub(super) const WAITING_MAX: usize = 16;

/// Why a flow that is told to stop judges nothing more.
const STOPPING: &str = "is being stopped";

/// Who waits for a batch's answer.
pub(super) type Reply = oneshot::Sender<Result<Submitted, BrokerError>>;

/// A batch that was taken, and who waits for its answer.
pub(super) struct Request {
    pub(super) batch: BytesMut,
    pub(super) reply: Reply,
}

/// The lane of one partition.
///
/// What waits is judged in one turn, and while that is handed to the log, the next turn is under way already. So there are two
/// queues, `waiting` and `settled`, and everything passes through both in the order in which it came.
pub(super) struct Lane {
    pub(super) core: Arc<Core>,
    pub(super) flow: Arc<Flow>,
    pub(super) work: Arc<FlowWork>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) topic: Topic,
    pub(super) partition: u32,
    pub(super) counters: Arc<Counters>,
}

impl Lane {
    /// Serves the partition until no more can come and everything is answered.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut waiting = VecDeque::with_capacity(WAITING_MAX);
        let mut settled = Vec::new();
        loop {
            if waiting.is_empty() && settled.is_empty() {
                match requests.recv().await {
                    Some(request) => waiting.push_back(request.into()),
                    None => return,
                }
            }
            while waiting.len() < WAITING_MAX
                && let Ok(request) = requests.try_recv()
            {
                waiting.push_back(request.into());
            }
            let turn = self.begin(&mut waiting);
            for settled in settled.drain(..) {
                self.hand_on(settled).await;
            }
            // The threads are closed, or the turn panicked, which is in the log: whoever waits is told by the reply's going away.
            if let Some(turn) = turn
                && let Ok(judged) = turn.await
            {
                (settled, waiting) = (judged.settled, judged.left);
                if let Some(obstacle) = judged.obstacle {
                    // What comes before it is not to wait for it.
                    for settled in settled.drain(..) {
                        self.hand_on(settled).await;
                    }
                    self.overcome(obstacle, &mut waiting).await;
                }
            }
        }
    }

    /// Gives what waits its turn on the threads for guests, all of it. `None` if nothing waits, or may be judged: then it is
    /// refused.
    fn begin(&self, waiting: &mut VecDeque<Waiting>) -> Option<oneshot::Receiver<Judged>> {
        if waiting.is_empty() {
            return None;
        }
        let route = match self.is_stopping() {
            // What is under way is brought to its end; the rest may be sent again.
            true => Err(self.not_running(STOPPING)),
            false => Route::new(&self.core, &self.flow, &self.work, &self.topic, self.partition),
        };
        let route = match route {
            Ok(route) => Arc::new(route),
            Err(error) => {
                waiting
                    .drain(..)
                    .for_each(|waiting| waiting.refuse(error.clone()));
                return None;
            }
        };
        let turn = Turn {
            route,
            counters: Arc::clone(&self.counters),
            stop: self.stop.clone(),
        };
        let waiting = std::mem::take(waiting);
        let (done, judged) = oneshot::channel();
        let (flow, waits) = (self.flow.id(), self.work.waits());
        self.core.pool.push_that(flow, waits, move || {
            // The lane waits for it, unless the broker ends.
            let _ = done.send(turn.run(waiting));
        });
        Some(judged)
    }

    /// Hands what came out to the log. Its order there is that of these calls.
    async fn hand_on(&self, Settled { reply, made }: Settled) {
        let answer = match made {
            Ok(made) => {
                self.flow.works(flow::Lane::of_first_source(self.partition));
                submit(&self.core.log, &self.topic, self.partition, &self.counters, made).await
            }
            Err(error) => Err(error),
        };
        // Who waited may be gone; what is stored stays.
        let _ = reply.send(answer);
    }

    /// Makes it so that the first of those that wait can be judged, or refuses it.
    async fn overcome(&mut self, obstacle: Obstacle, waiting: &mut VecDeque<Waiting>) {
        let Some(mut first) = waiting.pop_front() else {
            return;
        };
        let refusal = match obstacle {
            Obstacle::NoDeadLetter if first.homeless => {
                Err(self.not_running("has no dead-letter topic, which was deleted"))
            }
            Obstacle::NoDeadLetter => self.make_dead_letter().await,
            Obstacle::Unable(reason) => {
                self.counters.error();
                self.flow.log().push("error", &reason);
                let lane = flow::Lane::of_first_source(self.partition);
                self.flow.waits(lane, reason.clone());
                Err(self.not_running(&format!("cannot run ({reason})")))
            }
        };
        match refusal {
            Ok(()) => {
                first.homeless = true;
                waiting.push_front(first);
            }
            Err(error) => first.refuse(error),
        }
    }

    async fn make_dead_letter(&mut self) -> Result<(), BrokerError> {
        let made = dead_letter::make_topic(&self.core, &self.flow);
        let made = tokio::select! {
            made = made => Some(made),
            // Whoever stops flows may be changing topics: then this waits for them, and they for this.
            _ = async { drop(self.stop.wait_for(|&stop| stop).await) } => None,
        };
        let made = made.ok_or_else(|| self.not_running(STOPPING))?;
        made.map_err(|error| {
            self.counters.error();
            self.not_running(&format!("cannot make its dead-letter topic ({error})"))
        })
    }

    fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    fn not_running(&self, why: &str) -> BrokerError {
        not_running(self.flow.name(), self.topic.name(), why)
    }
}

impl Waiting {
    fn refuse(self, error: BrokerError) {
        // Who waited may be gone.
        let _ = self.reply.send(Err(error));
    }
}

impl From<Request> for Waiting {
    fn from(Request { batch, reply }: Request) -> Self {
        Self {
            state: State::New(batch),
            reply,
            homeless: false,
        }
    }
}
