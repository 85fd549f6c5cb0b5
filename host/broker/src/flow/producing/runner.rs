//! Polls a producer at its times and has its pages stored.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use weir_log::{AppendError, PartitionId, ReadError};
use weir_runtime::Instance;

use crate::Topic;
use crate::clock::now_ms;
use crate::core::Core;
use crate::flow::backoff::Backoff;
use crate::flow::calls::Fault;
use crate::flow::producing::ledger::{Ledger, LedgerError};
use crate::flow::producing::plugin::Producer;
use crate::flow::producing::poll::{Pace, Poll, PollFailure, Polled};
use crate::flow::producing::timetable::Timetable;
use crate::flow::runner::gone_reason;
use crate::flow::sinks::{shape, sink};
use crate::flow::{Flow, Lane, Pause};
use crate::topic::Durability;

/// Where a producer waits, as the flow sees it: it has no source.
const LANE: Lane = Lane {
    source: 0,
    partition: 0,
};

/// One producer flow, from its cursor on until it is stopped. One poll at a time; no guest code runs here, and nothing that
/// blocks.
pub(super) struct Runner {
    pub(super) core: Arc<Core>,
    pub(super) flow: Arc<Flow>,
    pub(super) producer: Arc<Producer>,
    pub(super) guest: Option<Instance>,
    pub(super) sinks: Vec<Topic>,
    pub(super) timetable: Timetable,
    /// Between polls that failed.
    pub(super) polls: Backoff,
    /// Polls that failed one after the other.
    pub(super) failures: u32,
    pub(super) stop: watch::Receiver<bool>,
}

/// How one attempt ended.
enum Attempt {
    /// Somebody said so, or the broker shuts down.
    Stopped,
    /// Something failed that can heal by itself.
    Retry(String),
    /// Something failed that will fail again.
    Pause(String),
}

impl Runner {
    /// Runs until it is stopped (`None`), or until it cannot go on.
    pub(super) async fn run(mut self) -> Option<Pause> {
        let mut backoff = Backoff::new();
        let flow = Arc::clone(&self.flow);
        loop {
            let pages = flow.producing().info().map(|info| info.pages);
            let ended = self.attempt().await;
            flow.producing().rests();
            let reason = match ended {
                Attempt::Stopped => return None,
                Attempt::Retry(reason) => reason,
                Attempt::Pause(reason) => {
                    flow.producing().error();
                    return Some(Pause::because(reason));
                }
            };
            flow.producing().error();
            if flow.producing().info().map(|info| info.pages) != pages {
                backoff.worked();
            }
            self.wait_for(reason);
            if !self.sleep(backoff.failed()).await {
                return None;
            }
        }
    }

    async fn attempt(&mut self) -> Attempt {
        let mut ledger = match self.recover().await {
            Ok(ledger) => ledger,
            Err(attempt) => return attempt,
        };
        let flow = Arc::clone(&self.flow);
        let counters = flow.producing();
        counters.stored(ledger.progress());
        let last_ms = ledger.progress().map(|progress| progress.polled_ms);
        let mut tick_ms = self.timetable.first(last_ms, now_ms());
        let mut due_ms = tick_ms;
        loop {
            counters.next(due_ms);
            if !self.sleep_until(due_ms).await {
                return Attempt::Stopped;
            }
            let at_ms = now_ms();
            let Some(polled) = self.poll(&ledger, at_ms).await else {
                return self.poll_lost();
            };
            counters.polled(at_ms, polled.guest_ns, polled.fault());
            self.guest = polled.guest;
            let (page, pace) = match polled.outcome {
                Ok(made) => made,
                Err(PollFailure::Refused(reason)) => {
                    counters.refused();
                    self.failures = 0;
                    if !self
                        .rest(format!("the plugin has nothing to give: {reason}"))
                        .await
                    {
                        return Attempt::Stopped;
                    }
                    due_ms = now_ms();
                    continue;
                }
                Err(PollFailure::Failed {
                    fault: Fault::Stopped,
                    ..
                }) => return Attempt::Stopped,
                Err(PollFailure::Failed { reason, .. }) => {
                    counters.failed();
                    self.failures += 1;
                    let most = self.core.limits.flow_retries_max.max(1);
                    if self.failures >= most {
                        self.failures = 0;
                        return Attempt::Pause(format!(
                            "{most} polls failed one after the other, the last one so: {reason}"
                        ));
                    }
                    let reason = format!("poll {} of {most} failed: {reason}", self.failures);
                    if !self.rest(reason).await {
                        return Attempt::Stopped;
                    }
                    due_ms = now_ms();
                    continue;
                }
            };
            self.failures = 0;
            self.polls.worked();
            if page.records > 0 || ledger.cursor() != Some(page.cursor.as_slice()) {
                if let Err(error) = ledger.commit(page, self.relaxed()).await {
                    return self.append_failed(error);
                }
                counters.stored(ledger.progress());
            }
            flow.works(LANE);
            due_ms = now_ms();
            if pace == Pace::AsScheduled {
                if let Err(error) = ledger.clear().await {
                    return self.append_failed(error);
                }
                tick_ms = self.timetable.after(tick_ms, now_ms());
                due_ms = tick_ms;
            }
        }
    }

    /// The stored progress, with the last page brought to its end.
    async fn recover(&mut self) -> Result<Ledger, Attempt> {
        let (log, flow) = (self.core.log.clone(), self.flow.id());
        let first = PartitionId {
            topic: self.sinks[0].id(),
            index: 0,
        };
        let home = log.shard_of(first);
        let read = tokio::task::spawn_blocking(move || Ledger::read(log, flow, home));
        let mut ledger = match read.await {
            Ok(Ok(ledger)) => ledger,
            Ok(Err(LedgerError::Read(ReadError::Closed))) | Err(_) => return Err(Attempt::Stopped),
            Ok(Err(LedgerError::Read(ReadError::Io { what }))) => {
                return Err(Attempt::Retry(format!(
                    "the flow's cursor cannot be read: {what}"
                )));
            }
            Ok(Err(LedgerError::Read(error))) => {
                return Err(Attempt::Pause(format!(
                    "the flow's cursor cannot be read: {error}"
                )));
            }
            Ok(Err(LedgerError::Damaged)) => {
                let reason = "the flow's cursor cannot be read: delete the flow and create it anew";
                return Err(Attempt::Pause(reason.to_owned()));
            }
        };
        let is_there = |id: PartitionId| self.sinks.iter().any(|sink| sink.id() == id.topic);
        match ledger.settle(is_there).await {
            Ok(0) => {}
            Ok(left_out) => self.flow.log().push(
                "warn",
                &format!("{left_out} batches of the last page were for a topic that was deleted since"),
            ),
            Err(error) => return Err(self.append_failed(error)),
        }
        Ok(ledger)
    }

    /// One poll, on the threads for guests; `None` if it was lost.
    async fn poll(&mut self, ledger: &Ledger, at_ms: i64) -> Option<Polled> {
        let log = &self.core.log;
        let states = self.sinks.iter().map(|topic| (topic, topic.state()));
        let sinks = states.map(|(topic, state)| sink(log, topic, &state, shape(topic, &state)));
        let poll = Poll {
            producer: Arc::clone(&self.producer),
            guest: self.guest.take(),
            cursor: ledger.cursor().map(<[u8]>::to_vec),
            bytes_max: self.core.limits.flow_pass_bytes_max,
            sinks: sinks.collect(),
            page: ledger.pages(),
            now_ms: at_ms,
        };
        let (reply, polled) = oneshot::channel();
        let (flow, waits) = (self.flow.id(), self.producer.waits());
        self.core.pool.push_that(flow, waits, move || {
            // The runner may have gone: then nobody wants the page.
            let _ = reply.send(poll.run());
        });
        polled.await.ok()
    }

    fn poll_lost(&self) -> Attempt {
        if *self.stop.borrow() {
            return Attempt::Stopped;
        }
        let reason = "the broker failed while it ran the flow: see the broker's log, then resume the flow";
        Attempt::Pause(reason.to_owned())
    }

    /// Whether all sinks are content with records that a crash may take.
    fn relaxed(&self) -> bool {
        let relaxed = |topic: &Topic| topic.state().config.durability == Durability::Relaxed;
        self.sinks.iter().all(relaxed)
    }

    fn append_failed(&self, error: AppendError) -> Attempt {
        match error {
            AppendError::Closed => Attempt::Stopped,
            AppendError::UnknownPartition => match self.sinks.iter().find(|topic| topic.is_deleted()) {
                Some(topic) => Attempt::Pause(gone_reason(topic.name())),
                None => Attempt::Retry(error.to_string()),
            },
            error if error.retriable() => Attempt::Retry(error.to_string()),
            error => Attempt::Pause(format!("the page cannot be written: {error}")),
        }
    }

    /// Waits after a poll that gave no page. Returns whether the flow goes on.
    async fn rest(&mut self, reason: String) -> bool {
        self.wait_for(reason);
        let wait = self.polls.failed();
        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        self.flow.producing().next(now_ms().saturating_add(wait_ms));
        self.sleep(wait).await
    }

    fn wait_for(&self, reason: String) {
        self.flow.log().push("warn", &reason);
        self.flow.waits(LANE, reason);
    }

    /// Sleeps until `due_ms` by the wall clock. Returns whether the flow goes on.
    async fn sleep_until(&mut self, due_ms: i64) -> bool {
        loop {
            if *self.stop.borrow() {
                return false;
            }
            let left = self.timetable.sleep(due_ms, now_ms());
            if left.is_zero() {
                return true;
            }
            if !self.sleep(left).await {
                return false;
            }
        }
    }

    /// Returns whether the flow goes on.
    async fn sleep(&mut self, time: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(time) => true,
            // An error means that whoever could stop it is gone.
            _ = self.stop.wait_for(|&stop| stop) => false,
        }
    }
}
