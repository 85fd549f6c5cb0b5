//! What a producer has done.

use std::sync::{Mutex, PoisonError};

use crate::flow::calls::{Calls, Fault, FlowCalls, FlowFaults};
use crate::flow::producing::row::Progress;
use crate::flow::producing::timetable::NEVER_MS;

/// A producer's progress, as it is shown.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FlowProducingInfo {
    /// Pages stored since the flow was created.
    pub pages: u64,
    /// Records of these pages.
    pub records: u64,
    /// The beginning of the cursor of the last page, as text; `None` before the first one.
    pub cursor: Option<String>,
    /// Polls since the broker started, those without a page included.
    pub polls: u64,
    /// Polls since the broker started to which the plugin said that it has nothing, with a reason.
    pub refused: u64,
    /// Polls since the broker started that failed: a trap, a limit, an answer that is none.
    pub failed: u64,
    /// Times since the broker started that the flow stopped on an error.
    pub errors: u64,
    /// Nanoseconds spent in polls since the broker started.
    pub guest_ns: u64,
    /// All polls since the broker started, and how they failed.
    pub calls: FlowCalls,
    /// When it was polled last, in milliseconds since 1970: since the broker started, or else for the last page.
    pub last_poll_ms: Option<i64>,
    /// When it is polled next, in milliseconds since 1970; `None` while it stands still.
    pub next_poll_ms: Option<i64>,
}

impl FlowProducingInfo {
    /// What is stored of a producer, for one that has not run.
    pub(crate) fn of(progress: Option<&Progress>) -> Self {
        let mut info = Self::default();
        info.take(progress);
        info
    }

    fn take(&mut self, progress: Option<&Progress>) {
        const SHOWN_MAX: usize = 128;
        let Some(progress) = progress else {
            return;
        };
        let shown = &progress.cursor[..progress.cursor.len().min(SHOWN_MAX)];
        self.pages = progress.pages;
        self.records = progress.records;
        self.cursor = Some(String::from_utf8_lossy(shown).escape_debug().to_string());
        self.last_poll_ms = self.last_poll_ms.max(Some(progress.polled_ms));
    }
}

/// The counters of one producer.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    state: Mutex<State>,
    calls: Calls,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the stored progress was read.
    known: bool,
    info: FlowProducingInfo,
}

impl Counters {
    /// All of it; `None` until what is stored was read.
    pub(crate) fn info(&self) -> Option<FlowProducingInfo> {
        let calls = self.calls.info();
        self.with(|state| {
            state.known.then(|| FlowProducingInfo {
                calls,
                ..state.info.clone()
            })
        })
    }

    /// This is how far the producer is.
    pub(crate) fn stored(&self, progress: Option<&Progress>) {
        self.with(|state| {
            state.known = true;
            state.info.take(progress);
        });
    }

    /// A poll is over, begun at `at_ms`.
    pub(crate) fn polled(&self, at_ms: i64, guest_ns: u64, fault: Option<Fault>) {
        let mut faults = FlowFaults::default();
        if let Some(fault) = fault {
            faults.count(fault);
        }
        self.calls.add(guest_ns, &faults);
        self.with(|state| {
            state.info.polls += 1;
            state.info.guest_ns = state.info.guest_ns.saturating_add(guest_ns);
            state.info.last_poll_ms = Some(at_ms);
        });
    }

    pub(crate) fn refused(&self) {
        self.with(|state| state.info.refused += 1);
    }

    pub(crate) fn failed(&self) {
        self.with(|state| state.info.failed += 1);
    }

    pub(crate) fn error(&self) {
        self.with(|state| state.info.errors += 1);
    }

    /// The next poll is due at `at_ms`.
    pub(crate) fn next(&self, at_ms: i64) {
        self.with(|state| state.info.next_poll_ms = Some(at_ms).filter(|&at_ms| at_ms != NEVER_MS));
    }

    /// There is no next poll until the flow goes on.
    pub(crate) fn rests(&self) {
        self.with(|state| state.info.next_poll_ms = None);
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
