//! One flow: what it is asked to do, whether it runs, what it has done.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::flow::counters::Counters;
use crate::flow::log::FlowLog;
use crate::flow::metrics::FlowMetrics;
use crate::flow::producing;
use crate::flow::{BoundedKind, FlowBounded, FlowSpec, FlowStatus, Lane, Pause, before_running};
use crate::ingest::Guard;
use crate::meta::FlowRow;

/// A flow of this broker.
pub(crate) struct Flow {
    id: u32,
    spec: FlowSpec,
    bounded: Option<FlowBounded>,
    row: Mutex<FlowRow>,
    status: watch::Sender<FlowStatus>,
    /// What it has done and taken.
    metrics: Arc<FlowMetrics>,
    /// Where it waits for something, and for what.
    waiting: Mutex<BTreeMap<Lane, String>>,
    /// Records that were deleted before it read them: how many, by lane, and the offset behind the last of them.
    lost: Mutex<BTreeMap<Lane, (u64, i64)>>,
    /// Of its producer, for a flow with a schedule.
    producing: Arc<producing::Counters>,
    log: Arc<FlowLog>,
    /// What stands in front of the topic of an ingest flow.
    guard: Option<Arc<Guard>>,
    /// What runs it. Taken and replaced only by whoever changes flows.
    running: Mutex<Option<Running>>,
}

/// A running flow's supervisor.
pub(crate) struct Running {
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) supervisor: JoinHandle<()>,
}

impl Flow {
    pub(crate) fn new(row: FlowRow, log: FlowLog) -> Self {
        let status = row.pause.clone().map_or(FlowStatus::Starting, FlowStatus::Paused);
        let status = watch::Sender::new(status);
        let guard = row.spec.guarded_topic().map(|topic| {
            let (name, topic) = (row.spec.name.clone(), topic.to_owned());
            Arc::new(Guard::new(name, topic, status.subscribe()))
        });
        Self {
            id: row.id,
            spec: row.spec.clone(),
            bounded: row.bounded.clone(),
            lost: Mutex::default(),
            row: Mutex::new(row),
            status,
            guard,
            metrics: Arc::default(),
            waiting: Mutex::default(),
            producing: Arc::default(),
            log: Arc::new(log),
            running: Mutex::default(),
        }
    }

    /// The same flow with another row: its revision is another one, its counters and its log go on.
    pub(crate) fn revised(&self, row: FlowRow) -> Self {
        let flow = Self::new(row, FlowLog::default());
        Self {
            metrics: Arc::clone(&self.metrics),
            producing: Arc::clone(&self.producing),
            log: Arc::clone(&self.log),
            ..flow
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn name(&self) -> &str {
        &self.spec.name
    }

    pub(crate) fn spec(&self) -> &FlowSpec {
        &self.spec
    }

    /// What it was made for, if it comes to an end.
    pub(crate) fn bounded(&self) -> Option<&FlowBounded> {
        self.bounded.as_ref()
    }

    /// Whether it reads dead letters, to process what they were made of.
    pub(crate) fn reads_letters(&self) -> bool {
        self.bounded
            .as_ref()
            .is_some_and(|bounded| bounded.kind == BoundedKind::Letters)
    }

    /// The flow whose dead-letter topic takes what fails.
    pub(crate) fn letters_of(&self) -> &str {
        let other = self.bounded.as_ref().and_then(FlowBounded::letters_of);
        other.unwrap_or(&self.spec.name)
    }

    /// Records of these offsets were deleted before it read them. It may hear of the same ones more than once.
    pub(crate) fn lost(&self, lane: Lane, offsets: Range<i64>) {
        let mut lost = lock(&self.lost);
        let (records, end) = lost.entry(lane).or_insert((0, offsets.start));
        *records += u64::try_from(offsets.end - offsets.start.max(*end)).unwrap_or(0);
        *end = offsets.end.max(*end);
    }

    /// What is stored and shown of it once it has come to its end.
    pub(crate) fn finish(&self) -> Pause {
        let lost = lock(&self.lost).values().map(|(records, _)| records).sum::<u64>();
        let reason = match lost {
            0 => "finished: everything up to the end of its range is processed".to_owned(),
            lost => format!(
                "finished: everything up to the end of its range is processed, but for {lost} records that were deleted by \
                 retention before they were read"
            ),
        };
        Pause {
            requested: true,
            finished: true,
            ..Pause::because(reason)
        }
    }

    pub(crate) fn row(&self) -> FlowRow {
        lock(&self.row).clone()
    }

    /// Whether it has done all that it was made for, and never runs again as it is.
    pub(crate) fn is_finished(&self) -> bool {
        lock(&self.row).pause.as_ref().is_some_and(|pause| pause.finished)
    }

    /// Whether a rollback would have it run the plugin `reference`, which is `name@version`.
    pub(crate) fn would_go_back_to(&self, reference: &str) -> bool {
        let row = lock(&self.row);
        let before = before_running(&row.revisions);
        before.is_some_and(|revision| revision.plugins.iter().any(|plugin| plugin == reference))
    }

    /// What stands in front of the topic of an ingest flow; `None` for any other.
    pub(crate) fn guard(&self) -> Option<&Arc<Guard>> {
        self.guard.as_ref()
    }

    pub(crate) fn log(&self) -> &Arc<FlowLog> {
        &self.log
    }

    pub(crate) fn status(&self) -> FlowStatus {
        self.status.borrow().clone()
    }

    /// Learns of every change of the status.
    pub(crate) fn watch_status(&self) -> watch::Receiver<FlowStatus> {
        self.status.subscribe()
    }

    pub(crate) fn set_status(&self, status: FlowStatus) {
        self.status.send_replace(status);
    }

    /// It is set up.
    pub(crate) fn started(&self) {
        lock(&self.waiting).clear();
        self.status.send_if_modified(|status| {
            let starting = *status == FlowStatus::Starting;
            if starting {
                *status = FlowStatus::Running;
            }
            starting
        });
    }

    /// In one of its lanes it has to wait.
    pub(crate) fn waits(&self, lane: Lane, reason: String) {
        let mut waiting = lock(&self.waiting);
        waiting.insert(lane, reason);
        self.show_waiting(&waiting);
    }

    /// In one of its lanes it gets on.
    pub(crate) fn works(&self, lane: Lane) {
        let mut waiting = lock(&self.waiting);
        if waiting.remove(&lane).is_some() {
            self.show_waiting(&waiting);
        }
    }

    /// A flow that is paused meanwhile stays so.
    fn show_waiting(&self, waiting: &BTreeMap<Lane, String>) {
        let shown = waiting
            .first_key_value()
            .map_or(FlowStatus::Running, |(_, reason)| {
                let reason = reason.clone();
                FlowStatus::Waiting { reason }
            });
        self.status.send_if_modified(|status| {
            let changes = !matches!(status, FlowStatus::Paused(_)) && *status != shown;
            if changes {
                *status = shown;
            }
            changes
        });
    }

    /// What is stored and what is shown of its standing still.
    pub(crate) fn set_pause(&self, pause: Option<Pause>) {
        lock(&self.row).pause.clone_from(&pause);
        self.set_status(pause.map_or(FlowStatus::Starting, FlowStatus::Paused));
    }

    /// The counters for a lane.
    pub(crate) fn counters(&self, lane: Lane) -> Arc<Counters> {
        self.metrics.lane(lane)
    }

    /// What it and its plugins have done and taken.
    pub(crate) fn metrics(&self) -> &Arc<FlowMetrics> {
        &self.metrics
    }

    /// The counters of its producer, for a flow with a schedule.
    pub(crate) fn producing(&self) -> &producing::Counters {
        &self.producing
    }

    /// Tells the flow to stop where a batch ends.
    pub(crate) fn signal_stop(&self) {
        if let Some(running) = &*lock(&self.running) {
            running.stop.send_replace(true);
        }
    }

    /// What runs the flow, for the one who stops it.
    pub(crate) fn take_running(&self) -> Option<Running> {
        lock(&self.running).take()
    }

    pub(crate) fn set_running(&self, running: Running) {
        *lock(&self.running) = Some(running);
    }

    /// Stops the flow where a batch ends, and waits for that.
    pub(crate) async fn stop(&self) {
        if let Some(running) = self.take_running() {
            running.stop.send_replace(true);
            if let Err(error) = running.supervisor.await {
                tracing::error!(flow = self.name(), "the flow ended badly: {error}");
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
