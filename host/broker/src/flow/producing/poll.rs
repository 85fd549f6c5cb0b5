//! One poll, on a thread for guests: the call, and the page's records gathered into batches.

use std::sync::Arc;
use std::time::Instant;

use weir_batch::Codec;
use weir_batch::frame::{Entry, Reader, Target};
use weir_runtime::{Budget, CallError, Instance, Page};

use crate::flow::calls::Fault;
use crate::flow::collector::{Collector, Sink};
use crate::flow::producing::ledger::NewPage;
use crate::flow::producing::plugin::Producer;

/// Most records of one page.
const PAGE_RECORDS_MAX: u32 = 10_000;

/// What one poll needs.
pub(crate) struct Poll {
    pub(crate) producer: Arc<Producer>,
    /// The instance of the poll before, unless it was lost.
    pub(crate) guest: Option<Instance>,
    pub(crate) cursor: Option<Vec<u8>>,
    /// Most bytes of the page.
    pub(crate) bytes_max: usize,
    pub(crate) sinks: Vec<Sink>,
    /// Number of the page: records without a key go to another partition page by page.
    pub(crate) page: u64,
    pub(crate) now_ms: i64,
}

/// What came of it.
pub(crate) struct Polled {
    pub(crate) guest: Option<Instance>,
    pub(crate) outcome: Result<(NewPage, Pace), PollFailure>,
    pub(crate) guest_ns: u64,
}

/// Whether the next poll waits for the schedule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pace {
    AtOnce,
    AsScheduled,
}

/// Why there is no page.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum PollFailure {
    /// The plugin says that it has none, and why: the world outside may be to blame.
    Refused(String),
    /// The plugin is to blame: it does not start, trapped, broke a limit, or what it gives does not fit into a topic.
    Failed { reason: String, fault: Fault },
}

impl Polled {
    /// How the poll failed, if it did.
    pub(crate) fn fault(&self) -> Option<Fault> {
        match &self.outcome {
            Ok(_) => None,
            Err(PollFailure::Refused(_)) => Some(Fault::Refused),
            Err(PollFailure::Failed { fault, .. }) => Some(*fault),
        }
    }
}

impl Poll {
    pub(crate) fn run(mut self) -> Polled {
        let began = Instant::now();
        let before = self.guest.as_ref().map(Instance::stats).unwrap_or_default();
        let polled = self.call();
        let guest_ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if let Some(guest) = &self.guest {
            self.producer.metrics().learn(&before, &guest.stats());
        }
        let outcome = polled.and_then(|page| self.gather(page));
        Polled {
            guest: self.guest,
            outcome,
            guest_ns,
        }
    }

    fn call(&mut self) -> Result<Page, PollFailure> {
        let budget = Budget {
            records: PAGE_RECORDS_MAX,
            bytes: u32::try_from(self.bytes_max).unwrap_or(u32::MAX),
        };
        let mut page = Page::default();
        let fault = |error: CallError| match error {
            CallError::Poll { message } => PollFailure::Refused(message),
            error => PollFailure::Failed {
                reason: error.to_string(),
                fault: error.fault().into(),
            },
        };
        let guest = match &mut self.guest {
            Some(guest) => guest,
            None => self.guest.insert(self.producer.instantiate().map_err(fault)?),
        };
        guest.set_poll_time(self.now_ms);
        // Nothing has to come out the same again: a page is stored and not made twice. Without the system's random numbers, the
        // time has to do, as it does for filters.
        if let Ok(seed) = getrandom::u64() {
            guest.set_seed(seed);
        }
        guest
            .poll(self.cursor.as_deref(), budget, &mut page)
            .map_err(fault)?;
        Ok(page)
    }

    fn gather(&mut self, page: Page) -> Result<(NewPage, Pace), PollFailure> {
        let outputs = self.sinks.len() as u32;
        let bad = |reason: &dyn std::fmt::Display| PollFailure::Failed {
            reason: reason.to_string(),
            fault: Fault::Output,
        };
        // Modulo the partitions, of which there are far fewer.
        let mut collector = Collector::new(std::mem::take(&mut self.sinks), self.page as u32, Vec::new());
        collector.begin_batch(Codec::None, self.now_ms);
        let frame = Reader::trusted(&page.frame, 1, outputs).map_err(|error| bad(&error))?;
        let mut records = 0;
        for entry in frame.entries() {
            // The runtime lets no other entry pass.
            if let Entry::Emit {
                output,
                partition,
                timestamp_delta,
                tail,
                ..
            } = entry
            {
                // Nothing in a frame says that a record has no time; 1970 and before is what is left unset.
                let timestamp = if timestamp_delta > 0 {
                    timestamp_delta
                } else {
                    self.now_ms
                };
                collector
                    .push(
                        Target { output, partition },
                        0,
                        timestamp,
                        tail.key(),
                        tail.as_bytes(),
                    )
                    .map_err(|error| bad(&error))?;
                records += 1;
            }
        }
        let moved = records > 0 || self.cursor.as_deref() != Some(page.cursor.as_slice());
        let pace = if page.more && moved {
            Pace::AtOnce
        } else {
            // With nothing new, there is nothing to hurry for, whatever the plugin says.
            Pace::AsScheduled
        };
        let new = NewPage {
            batches: collector.take().map_err(|error| bad(&error))?,
            records,
            polled_ms: self.now_ms,
            cursor: page.cursor,
        };
        Ok((new, pace))
    }
}
