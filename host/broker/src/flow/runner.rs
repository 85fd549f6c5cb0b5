//! Runs a flow over one lane: one partition of one of its sources.

mod drive;
mod migrate;

use std::sync::Arc;

use tokio::sync::watch;
use weir_log::{AppendError, Partition, ReadError};

use crate::Topic;
use crate::core::Core;
use crate::flow::backoff::Backoff;
use crate::flow::collector::{Collector, Sink};
use crate::flow::committer::{Beginning, Committer};
use crate::flow::counters::Counters;
use crate::flow::cursor::{self, CursorRow, SinkShape};
use crate::flow::dead_letter;
use crate::flow::policy::Policy;
use crate::flow::recovery::Recovery;
use crate::flow::retries::Retries;
use crate::flow::sinks::{shape, sink};
use crate::flow::state::{PartitionState, SharedState, StateKeys};
use crate::flow::work::FlowWork;
use crate::flow::{Flow, Lane, PartitionBy, Pause, Place};
use crate::topic::{Durability, TopicState, log_durability};
use drive::Drive;

/// One flow over one lane: reads, has the plugins run, commits, from the cursor on until it is stopped.
///
/// The next pass runs while the entries of the ones before are on their way to the disk; how many of them is bounded. No
/// guest code runs here, and nothing that blocks.
pub(crate) struct Runner {
    pub(crate) core: Arc<Core>,
    pub(crate) flow: Arc<Flow>,
    pub(crate) work: Arc<FlowWork>,
    pub(crate) source: Topic,
    pub(crate) sinks: Vec<Topic>,
    pub(crate) lane: Lane,
    pub(crate) stop: watch::Receiver<bool>,
}

/// How one attempt ended.
enum Attempt {
    /// Somebody said so, or the broker shuts down.
    Stopped,
    /// The sinks look different now.
    Reload,
    /// Something failed that can heal by itself.
    Retry(String),
    /// A record failed that may not the next time.
    RetryRecord(Place, String),
    /// A record wants to go to the dead-letter topic, which is not there.
    MakeDeadLetter,
    /// Something failed that will fail again.
    Pause(String, Option<Place>),
    /// The flow ends here, and everything before is done.
    Finished,
}

/// How a runner ended.
pub(crate) enum Ended {
    /// It was told to, or the broker shuts down.
    Stopped,
    /// There is nothing left for it to do.
    Finished,
    /// It cannot go on.
    Paused(Pause),
}

impl Runner {
    /// Runs until it is stopped, until it has come to its end, or until it cannot go on.
    pub(crate) async fn run(mut self) -> Ended {
        let counters = self.flow.counters(self.lane);
        let mut backoff = Backoff::new();
        let mut retries = Retries::default();
        loop {
            let cursor = counters.cursor();
            match self.attempt(&counters, retries.given_up).await {
                Attempt::Stopped => return Ended::Stopped,
                Attempt::Finished => return Ended::Finished,
                Attempt::Reload => tokio::task::yield_now().await,
                Attempt::Retry(reason) => {
                    counters.error();
                    self.warn(&reason);
                    self.flow.waits(self.lane, reason);
                    if counters.cursor() != cursor {
                        backoff.worked();
                    }
                    tokio::select! {
                        () = tokio::time::sleep(backoff.failed()) => {}
                        () = stopped(&mut self.stop) => return Ended::Stopped,
                    }
                }
                Attempt::RetryRecord(place, reason) => {
                    counters.retry();
                    let most = self.core.limits.flow_retries_max;
                    let Some((retry, wait)) = retries.failed(place.offset, most) else {
                        continue;
                    };
                    let reason = format!("retry {retry} of {most}, at {place}: {reason}");
                    self.flow.log().push("warn", &reason);
                    self.flow.waits(self.lane, reason);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = stopped(&mut self.stop) => return Ended::Stopped,
                    }
                }
                Attempt::MakeDeadLetter => {
                    let made = dead_letter::make_topic(&self.core, &self.flow);
                    let made = tokio::select! {
                        made = made => made,
                        // Whoever stops flows may be changing topics: then this waits for them, and they for this.
                        () = stopped(&mut self.stop) => return Ended::Stopped,
                    };
                    if let Err(error) = made {
                        counters.error();
                        let reason = format!("the dead-letter topic cannot be made: {error}");
                        return Ended::Paused(Pause::because(reason));
                    }
                }
                Attempt::Pause(reason, place) => {
                    counters.error();
                    return Ended::Paused(Pause {
                        place,
                        ..Pause::because(reason)
                    });
                }
            }
        }
    }

    async fn attempt(&mut self, counters: &Counters, given_up: Option<i64>) -> Attempt {
        let source = match self.source.partition(self.lane.partition) {
            Ok(source) => source.log_partition().clone(),
            Err(_) => return self.topic_gone(),
        };
        let (recovery, rows, rewound) = match self.recover(&source).await {
            Ok(recovered) => recovered,
            Err(attempt) => return attempt,
        };
        counters.set_cursor(recovery.position);
        let until = self.until(source.high_watermark());
        // Rows that are ahead of the source are set right first.
        if !rewound && until.is_some_and(|until| recovery.position >= until) {
            return Attempt::Finished;
        }
        if let Err(attempt) = self.migrate_state(&source, recovery.position).await {
            return attempt;
        }
        let state = match self.open_state(&source).await {
            Ok(state) => state,
            Err(attempt) => return attempt,
        };
        let mut states: Vec<Arc<TopicState>> = self.sinks.iter().map(Topic::state).collect();
        if states.iter().any(|state| state.deleted) {
            return self.topic_gone();
        }
        let mut topics = self.sinks.clone();
        let dead_letter = self
            .core
            .topic(&dead_letter::topic_name(self.flow.letters_of()))
            .ok();
        if let Some(topic) = &dead_letter {
            states.push(topic.state());
            topics.push(topic.clone());
        }
        let current: Vec<SinkShape> = topics.iter().zip(&states).map(|(t, s)| shape(t, s)).collect();
        let shape = recovery.shape_at(recovery.position, &current);
        let log = self.source.log().clone();
        let mut sinks: Vec<Sink> = topics
            .iter()
            .zip(&states)
            .zip(&shape)
            .map(|((t, s), shape)| sink(&log, t, s, *shape))
            .collect();
        let idle_shard = sinks[0].shards[(self.lane.partition % shape[0].partitions) as usize];
        let relaxed = states
            .iter()
            .take(self.sinks.len())
            .all(|state| state.config.durability == Durability::Relaxed);
        let letters = dead_letter.and_then(|_| sinks.pop());
        let mut collector = Collector::new(sinks, self.lane.partition, recovery.applied.clone());
        if self.flow.spec().partition_by == PartitionBy::Source {
            collector = collector.by_source();
        }
        if let Some(letters) = letters {
            collector = collector.with_dead_letter(letters);
        }
        let reshaped_until = (shape != current).then_some(recovery.partly_until);
        let repeat_until = state.is_some().then_some(recovery.partly_until);
        let beginning = Beginning {
            source_topic: self.source.id(),
            lane: self.lane,
            flow: self.flow.id(),
            recovery,
            rows,
            shape,
            // State that is behind its outputs would be wrong for good: it is never relaxed.
            durability: log_durability(if relaxed && state.is_none() {
                Durability::Relaxed
            } else {
                Durability::Fsync
            }),
            idle_shard,
            state_shard: state.as_ref().map(|_| log.shard_of(source.id())),
            passes_max: self.core.limits.flow_entries_in_flight_max,
        };
        let mut committer = Committer::new(log, beginning);
        if rewound && let Err(error) = committer.rewind().await {
            committer.drain().await;
            return self.append_failed(error);
        }
        let policy = Policy {
            on_error: self.flow.spec().on_error,
            given_up,
        };
        let drive = Drive {
            runner: self,
            source,
            counters,
            topics,
            states,
            policy,
            reshaped_until,
            until,
            repeat_until,
            state,
            stop_pass: Arc::default(),
        };
        let attempt = drive.run(&mut committer, collector).await;
        // What is on its way may yet be committed, and the next attempt reads the cursor.
        committer.drain().await;
        attempt
    }

    /// Reads the cursor rows of all shards: where to go on, the rows as they are, and whether they are ahead of the source.
    async fn recover(&self, source: &Partition) -> Result<(Recovery, Vec<Option<Vec<u8>>>, bool), Attempt> {
        let log = self.source.log().clone();
        let key = cursor::key(self.flow.id(), self.lane);
        let read = tokio::task::spawn_blocking(move || {
            (0..log.shards())
                .map(|shard| log.kv_read(shard, &key))
                .collect::<Result<Vec<_>, ReadError>>()
        });
        let rows = match read.await {
            Ok(Ok(rows)) => rows,
            Ok(Err(error)) => return Err(self.read_failed(error, 0)),
            Err(_) => return Err(Attempt::Stopped),
        };
        let mut decoded = Vec::with_capacity(rows.len());
        for row in &rows {
            let row = row.as_ref().map(|bytes| CursorRow::decode(bytes).ok_or(()));
            decoded.push(row.transpose().map_err(|()| {
                let reason = "the flow's cursor cannot be read: delete the flow and create it anew";
                Attempt::Pause(reason.to_owned(), None)
            })?);
        }
        let start = self.flow.row().start_of(self.lane, self.source.id());
        let mut recovery = Recovery::of(&decoded, self.source.id(), start);
        let (first, end) = (source.log_start_offset(), source.high_watermark());
        if recovery.position < first {
            let lost = first - recovery.position;
            let last = self.until(end).unwrap_or(first).min(first);
            self.flow.lost(self.lane, recovery.position..last);
            self.warn(&format!(
                "{lost} records were deleted by retention before they were read"
            ));
        }
        let rewound = recovery.is_ahead_of(end);
        recovery.clamp(first, end);
        Ok((recovery, rows, rewound))
    }

    /// What is stored of the flow's state, if it keeps any.
    async fn open_state(&self, source: &Partition) -> Result<Option<SharedState>, Attempt> {
        if !self.work.is_stateful() {
            return Ok(None);
        }
        let log = self.source.log().clone();
        let shard = log.shard_of(source.id());
        let keys = StateKeys {
            flow: self.flow.id(),
            topic: self.source.id(),
            partition: self.lane.partition,
        };
        let own = self.flow.spec().limits.state_bytes;
        let bytes_max = own.unwrap_or(self.core.limits.flow_state_bytes_max);
        let open = move || PartitionState::open(log, shard, keys, bytes_max);
        match tokio::task::spawn_blocking(open).await {
            Ok(Ok(state)) => Ok(Some(SharedState::new(state))),
            Ok(Err(error)) => Err(self.state_failed(error)),
            Err(_) => Err(Attempt::Stopped),
        }
    }

    fn state_failed(&self, error: ReadError) -> Attempt {
        let reason = format!("the flow's state cannot be read: {error}");
        match error {
            ReadError::Closed => Attempt::Stopped,
            ReadError::Io { .. } => Attempt::Retry(reason),
            _ => Attempt::Pause(reason, None),
        }
    }

    /// Where the flow ends in this lane, if it does. It never waits for records: should a crash have taken some of its range, it
    /// ends where the source does, which is at `end`.
    fn until(&self, end: i64) -> Option<i64> {
        let until = self.flow.row().end_of(self.lane, self.source.id());
        until.map(|until| until.min(end))
    }

    /// Says something about this lane in the flow's log.
    fn warn(&self, what: &str) {
        let partition = self.lane.partition;
        let line = match self.flow.spec().from.len() {
            1 => format!("partition {partition}: {what}"),
            _ => format!("topic '{}' partition {partition}: {what}", self.source.name()),
        };
        self.flow.log().push("warn", &line);
    }

    fn append_failed(&self, error: AppendError) -> Attempt {
        match error {
            AppendError::Closed => Attempt::Stopped,
            AppendError::UnknownPartition => self.topic_gone(),
            error if error.retriable() => Attempt::Retry(error.to_string()),
            error => Attempt::Pause(format!("the outputs cannot be written: {error}"), None),
        }
    }

    fn read_failed(&self, error: ReadError, offset: i64) -> Attempt {
        match error {
            ReadError::Closed => Attempt::Stopped,
            ReadError::UnknownPartition => self.topic_gone(),
            // Retention has passed the cursor by: it is read anew.
            ReadError::OffsetOutOfRange { .. } => Attempt::Reload,
            // The disk may recover, and the log opens its files anew.
            ReadError::Io { what } => Attempt::Retry(format!("the source cannot be read: {what}")),
            error => Attempt::Pause(
                format!("the source cannot be read: {error}"),
                Some(self.place(offset)),
            ),
        }
    }

    fn topic_gone(&self) -> Attempt {
        let gone = [&self.source]
            .into_iter()
            .chain(&self.sinks)
            .find(|topic| topic.is_deleted());
        match gone {
            Some(topic) => Attempt::Pause(gone_reason(topic.name()), None),
            None => Attempt::Reload,
        }
    }

    fn place(&self, offset: i64) -> Place {
        Place {
            topic: self.source.name().to_owned(),
            partition: self.lane.partition,
            offset,
            last_offset: None,
            plugin: None,
            sample: None,
        }
    }
}

/// Why a flow pauses when one of its topics is deleted.
pub(crate) fn gone_reason(topic: &str) -> String {
    format!("topic '{topic}' was deleted: create it and resume the flow, or delete the flow")
}

/// Waits until it is set, or whoever could set it is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|&stop| stop).await;
}
