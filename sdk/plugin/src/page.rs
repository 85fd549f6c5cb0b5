use crate::{Draft, Output};

/// The most that one poll may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Records.
    pub records: u32,
    /// Bytes, of all records with what is around them.
    pub bytes: u32,
}

/// Bytes around the key and the value of a record, at most.
const AROUND_BYTES: usize = 48;

/// What a producer gives for one poll: records, where to go on, and whether there is more right now.
///
/// Until told otherwise, it goes on where it is, and there is no more for now.
#[derive(Debug)]
pub struct Page {
    pub(crate) out: Output,
    pub(crate) cursor: Vec<u8>,
    pub(crate) more: bool,
    budget: Budget,
}

impl Page {
    /// `outputs` are the names of the flow's outputs, in order of their indices. The macro makes it; tests may.
    pub fn new(outputs: Vec<String>) -> Self {
        Self {
            out: Output::new(outputs),
            cursor: Vec::new(),
            more: false,
            budget: Budget { records: 0, bytes: 0 },
        }
    }

    /// Begins a record without key, value and headers, with the time of the poll, for the first output.
    #[inline]
    pub fn create(&mut self) -> Draft<'_> {
        self.out.create()
    }

    /// Whether another record fits, of so many bytes of key and value together. Count a header as its name, its value and 10 more. A
    /// page that is over its budget is refused as a whole.
    #[inline]
    pub fn has_room(&self, bytes: usize) -> bool {
        let room = (self.budget.bytes as usize).saturating_sub(self.out.encoded_len());
        self.records_left() > 0 && room >= bytes.saturating_add(AROUND_BYTES)
    }

    /// Records that may still be added.
    #[inline]
    pub fn records_left(&self) -> u32 {
        let written = u32::try_from(self.out.len()).unwrap_or(u32::MAX);
        self.budget.records.saturating_sub(written)
    }

    /// Says where the next poll goes on, in the plugin's own words: it is given them once this page is stored.
    pub fn set_cursor<C: AsRef<[u8]> + ?Sized>(&mut self, cursor: &C) {
        self.cursor.clear();
        self.cursor.extend_from_slice(cursor.as_ref());
    }

    /// Says that there is more right now, so that the next poll need not wait for the schedule.
    pub fn set_more(&mut self, more: bool) {
        self.more = more;
    }

    /// Names of the flow's outputs, in order of their indices.
    pub fn names(&self) -> &[String] {
        self.out.names()
    }

    pub(crate) fn begin(&mut self, cursor: Option<&[u8]>, budget: Budget, now_ms: i64) {
        self.out.begin_page(now_ms);
        self.set_cursor(cursor.unwrap_or_default());
        self.more = false;
        self.budget = budget;
    }
}
