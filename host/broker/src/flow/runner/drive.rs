//! One attempt at running a flow over a lane, from its cursor on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;
use weir_log::Partition;

use super::{Attempt, Runner, stopped};
use crate::Topic;
use crate::flow::Place;
use crate::flow::chain::Seed;
use crate::flow::collector::Collector;
use crate::flow::committer::Committer;
use crate::flow::counters::Counters;
use crate::flow::pass::{Pass, PassFailure, PassResult};
use crate::flow::policy::{FailuresInRow, Policy, Verdict};
use crate::flow::state::SharedState;
use crate::topic::TopicState;

/// One attempt under way.
pub(super) struct Drive<'a> {
    pub(super) runner: &'a mut Runner,
    pub(super) source: Partition,
    pub(super) counters: &'a Counters,
    /// The sinks, and the dead-letter topic if there is one.
    pub(super) topics: Vec<Topic>,
    /// What they looked like when it began.
    pub(super) states: Vec<Arc<TopicState>>,
    pub(super) policy: Policy,
    /// Set while outputs are spread as they were before a crash: then the sinks are looked at anew from here on.
    pub(super) reshaped_until: Option<i64>,
    /// Where the flow ends, if it does.
    pub(super) until: Option<i64>,
    /// Of a flow that keeps state: where the pass ended that a crash cut short.
    pub(super) repeat_until: Option<i64>,
    pub(super) state: Option<SharedState>,
    pub(super) stop_pass: Arc<AtomicBool>,
}

impl Drive<'_> {
    pub(super) async fn run(self, committer: &mut Committer, collector: Collector) -> Attempt {
        let mut high_watermark = self.source.watch();
        let mut collector = Some(collector);
        let mut pass: Option<oneshot::Receiver<PassResult>> = None;
        // Set once no further pass is to begin: the attempt ends so when everything is settled.
        let mut ending: Option<Attempt> = None;
        let mut failures = FailuresInRow::default();
        loop {
            if ending.is_none() && *self.runner.stop.borrow() {
                ending = Some(Attempt::Stopped);
            }
            if ending.is_none() && self.reload_is_due(committer) {
                ending = Some(Attempt::Reload);
            }
            if let Err(error) = committer.advance().await {
                return self.runner.append_failed(error);
            }
            let end = *high_watermark.borrow_and_update();
            let end = self.until.map_or(end, |until| until.min(end));
            if ending.is_none()
                && self
                    .until
                    .is_some_and(|until| committer.window().next_start() >= until)
            {
                ending = Some(Attempt::Finished);
            }
            if ending.is_none() && pass.is_none() && committer.window().has_room() {
                let from = committer.window().next_start();
                if from < end
                    && let Some(collector) = collector.take()
                {
                    pass = Some(self.begin_pass(from, committer.window().under_way(), collector, failures));
                }
            }
            if pass.is_none() && committer.is_idle() {
                match committer.claim().await {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(error) => return self.runner.append_failed(error),
                }
                if let Some(attempt) = ending {
                    return attempt;
                }
            }
            let waits = ending.is_none() && pass.is_none() && committer.window().has_room();
            if waits && committer.is_idle() {
                // There is nothing to do: whatever it waited for is over.
                self.runner.flow.works(self.runner.lane);
            }
            tokio::select! {
                biased;
                result = wait_pass(&mut pass), if pass.is_some() => {
                    pass = None;
                    // The pool was closed, or the pass panicked.
                    let Some(result) = result else { return self.pass_lost() };
                    failures = result.failures;
                    if result.end > committer.window().next_start() {
                        let submitted = committer.submit(result.end, result.batches, result.changes, result.stats).await;
                        if let Err(error) = submitted {
                            return self.runner.append_failed(error);
                        }
                    }
                    if let Some(failure) = result.failure {
                        ending = Some(self.pass_failed(failure));
                    }
                    collector = Some(result.collector);
                }
                committed = committer.next_committed(self.counters), if !committer.is_idle() => {
                    match committed {
                        Ok(()) => self.runner.flow.works(self.runner.lane),
                        Err(error) => return self.runner.append_failed(error),
                    }
                }
                changed = high_watermark.changed(), if waits => {
                    if changed.is_err() {
                        ending = Some(if self.runner.source.is_deleted() { self.runner.topic_gone() } else { Attempt::Stopped });
                    }
                }
                () = stopped(&mut self.runner.stop), if ending.is_none() => {
                    ending = Some(Attempt::Stopped);
                    self.stop_pass.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    /// Whether the sinks changed, and everything that has to go the old way has gone.
    fn reload_is_due(&self, committer: &Committer) -> bool {
        if self
            .reshaped_until
            .is_some_and(|until| committer.window().next_start() < until)
        {
            return false;
        }
        let changed = self
            .topics
            .iter()
            .zip(&self.states)
            .any(|(t, s)| !Arc::ptr_eq(&t.state(), s));
        changed || self.reshaped_until.is_some()
    }

    fn begin_pass(
        &self,
        from: i64,
        in_flight: usize,
        collector: Collector,
        failures: FailuresInRow,
    ) -> oneshot::Receiver<PassResult> {
        let limits = &self.runner.core.limits;
        let pass = Pass {
            work: Arc::clone(&self.runner.work),
            source: self.source.clone(),
            flow: self.runner.flow.letters_of().to_owned(),
            topic: self.runner.source.name().into(),
            lane: self.runner.lane,
            from,
            bytes_max: limits.flow_pass_bytes_max,
            unpacked_bytes_max: limits.unpacked_batch_bytes_max,
            policy: self.policy,
            failures,
            collector,
            seed: Seed::new(self.runner.flow.id(), self.runner.lane),
            state: self.state.clone(),
            in_flight,
            letters: self.runner.flow.reads_letters(),
            limit: self.until,
            until: self.repeat_until.filter(|&until| from < until),
            stop: Arc::clone(&self.stop_pass),
        };
        let (reply, result) = oneshot::channel();
        let (flow, waits) = (self.runner.flow.id(), self.runner.work.waits());
        self.runner.core.pool.push_that(flow, waits, move || {
            // The runner may have gone: then nobody wants the result.
            let _ = reply.send(pass.run());
        });
        result
    }

    fn pass_failed(&self, failure: PassFailure) -> Attempt {
        match failure {
            PassFailure::Read(error) => self
                .runner
                .read_failed(error, self.counters.cursor().unwrap_or(0)),
            PassFailure::State(error) => self.runner.state_failed(error),
            PassFailure::Guest(failure) => {
                let place = Place {
                    offset: failure.offset,
                    last_offset: failure.last_offset,
                    plugin: failure.plugin,
                    sample: failure.sample,
                    ..self.runner.place(failure.offset)
                };
                match failure.verdict {
                    Verdict::Retry => Attempt::RetryRecord(place, failure.reason),
                    Verdict::DeadLetter => Attempt::MakeDeadLetter,
                    // The last two are not for what is stored already.
                    Verdict::Skip | Verdict::Pause | Verdict::Reject | Verdict::Defer => {
                        Attempt::Pause(failure.reason, Some(place))
                    }
                }
            }
        }
    }

    fn pass_lost(&self) -> Attempt {
        if *self.runner.stop.borrow() {
            return Attempt::Stopped;
        }
        let reason = "the broker failed while it ran the flow: see the broker's log, then resume the flow";
        Attempt::Pause(
            reason.to_owned(),
            Some(self.runner.place(self.counters.cursor().unwrap_or(0))),
        )
    }
}

async fn wait_pass(pass: &mut Option<oneshot::Receiver<PassResult>>) -> Option<PassResult> {
    match pass {
        Some(result) => result.await.ok(),
        None => std::future::pending().await,
    }
}
