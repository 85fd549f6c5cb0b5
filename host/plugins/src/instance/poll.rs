use wasmtime::component::{ComponentType, Lift, Lower};
use weir_batch::frame;

use crate::{CallError, Limits};

/// The most that one poll of a producer may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct Budget {
    /// Records.
    #[component(name = "records")]
    pub records: u32,
    /// Bytes of the output frame; the plugin is given at most [`Limits::output_bytes_max`] of them.
    #[component(name = "bytes")]
    pub bytes: u32,
}

/// What a poll of a producer gives. One that is used again keeps nothing of what it held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// An output frame of records alone, checked whole: every source is 0, timestamps count from 1970.
    pub frame: Vec<u8>,
    /// Where the next poll goes on: what to pass to it once this page is stored.
    pub cursor: Vec<u8>,
    /// There is more right now.
    pub more: bool,
}

impl Page {
    pub(super) fn clear(&mut self) {
        self.frame.clear();
        self.cursor.clear();
        self.more = false;
    }
}

/// A page as the guest returns it.
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct GuestPage {
    #[component(name = "records")]
    pub(super) records: Vec<u8>,
    #[component(name = "cursor")]
    pub(super) cursor: Vec<u8>,
    #[component(name = "more")]
    pub(super) more: bool,
}

impl GuestPage {
    /// Checks all of it.
    pub(super) fn check(self, outputs: u32, budget: Budget, limits: &Limits) -> Result<Page, CallError> {
        let bytes = self.records.len();
        if bytes > budget.bytes as usize {
            return Err(over("bytes", bytes as u64, budget.bytes));
        }
        if self.cursor.len() > limits.cursor_bytes_max {
            return Err(CallError::CursorTooLarge {
                bytes: self.cursor.len(),
                limit: limits.cursor_bytes_max,
            });
        }
        let bad = |reason: String| CallError::BadOutput { reason };
        // An input of one record: the only source that is in range is 0.
        let reader = frame::Reader::new(&self.records, 1, outputs).map_err(|error| bad(error.to_string()))?;
        if reader.len() as u64 > u64::from(budget.records) {
            return Err(over("records", reader.len() as u64, budget.records));
        }
        if reader.emitted() < reader.len() {
            return Err(bad(no_record(&reader)));
        }
        Ok(Page {
            frame: self.records,
            cursor: self.cursor,
            more: self.more,
        })
    }
}

fn over(unit: &'static str, returned: u64, budget: u32) -> CallError {
    CallError::OverBudget {
        unit,
        returned,
        budget: u64::from(budget),
    }
}

/// Names the entry that is no record, with what the guest says of it.
fn no_record(reader: &frame::Reader<'_>) -> String {
    const REASON_BYTES: usize = 256;
    let mut faults = reader.entries().filter_map(|entry| match entry {
        frame::Entry::Emit { .. } => None,
        frame::Entry::DeadLetter { reason, .. }
        | frame::Entry::Retry { reason, .. }
        | frame::Entry::Fail { reason, .. } => Some(crate::log::truncate(reason, REASON_BYTES)),
    });
    let reason = faults.next().unwrap_or_default();
    format!("a page of a producer holds records only, and this one says {reason:?} instead of one")
}
