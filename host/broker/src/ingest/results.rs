//! What became of each record of a batch.

use std::collections::HashMap;

/// Most different reasons that are passed on for one batch, and most bytes of them all.
const REASONS_MAX: usize = 256;
const REASON_BYTES_MAX: usize = 64 * 1024;
/// Most characters of one reason.
const REASON_CHARS_MAX: usize = 500;

/// What became of each record of a batch that an ingest flow did not store just as it was sent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RecordResults {
    /// All records, in order.
    pub runs: Vec<RecordRun>,
    /// Why records were refused; runs say which.
    pub rejections: Vec<Rejection>,
}

/// Records one after the other that fared alike.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RecordRun {
    /// Each is stored as `each` records; those of the first one begin `first` offsets behind the batch's base offset.
    Stored {
        /// How many were sent.
        records: u32,
        /// Where the first one is, from the base offset on.
        first: u32,
        /// How many are stored of each.
        each: u32,
    },
    /// The flow left them out, as it is meant to, or put them into its dead-letter topic.
    Dropped {
        /// How many were sent.
        records: u32,
    },
    /// They are refused.
    Rejected {
        /// How many were sent.
        records: u32,
        /// Which of the rejections says why.
        rejection: u32,
    },
}

/// Why a record was refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rejection {
    /// Whether it may be taken when it is sent again later.
    pub retriable: bool,
    /// The plugin's words.
    pub reason: String,
}

impl RecordResults {
    /// How many records were refused.
    pub fn rejected(&self) -> u64 {
        let refused = |run: &RecordRun| match run {
            RecordRun::Rejected { records, .. } => u64::from(*records),
            _ => 0,
        };
        self.runs.iter().map(refused).sum()
    }
}

/// Gathers what became of one record after the other.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    results: RecordResults,
    known: HashMap<(bool, String), u32>,
    reason_bytes: usize,
}

impl Gathered {
    /// The next record is stored as `each` records from `first` on.
    pub(super) fn stored(&mut self, first: u32, each: u32) {
        if let Some(RecordRun::Stored {
            records,
            first: begin,
            each: before,
        }) = self.results.runs.last_mut()
            && *before == each
            && begin.checked_add(records.saturating_mul(each)) == Some(first)
        {
            *records += 1;
            return;
        }
        self.results.runs.push(RecordRun::Stored {
            records: 1,
            first,
            each,
        });
    }

    /// The next record is left out.
    pub(super) fn dropped(&mut self) {
        match self.results.runs.last_mut() {
            Some(RecordRun::Dropped { records }) => *records += 1,
            _ => self.results.runs.push(RecordRun::Dropped { records: 1 }),
        }
    }

    /// The next record is refused.
    pub(super) fn rejected(&mut self, retriable: bool, reason: &str) {
        let index = self.rejection(retriable, reason);
        match self.results.runs.last_mut() {
            Some(RecordRun::Rejected { records, rejection }) if *rejection == index => *records += 1,
            _ => self.results.runs.push(RecordRun::Rejected {
                records: 1,
                rejection: index,
            }),
        }
    }

    /// `None` if every record is stored as one, in the order they were sent: then there is nothing to say.
    pub(super) fn finish(self) -> Option<Box<RecordResults>> {
        match *self.results.runs {
            [
                RecordRun::Stored {
                    first: 0, each: 1, ..
                },
            ] => None,
            _ => Some(Box::new(self.results)),
        }
    }

    fn rejection(&mut self, retriable: bool, reason: &str) -> u32 {
        let mut reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
        let full = |gathered: &Self, reason: &str| {
            gathered.known.len() >= REASONS_MAX || gathered.reason_bytes + reason.len() > REASON_BYTES_MAX
        };
        if !self.known.contains_key(&(retriable, reason.clone())) && full(self, &reason) {
            // A plugin that says something else about each of many records: the rest has one reason.
            "the flow refuses it; more reasons than an answer carries were given in this batch"
                .clone_into(&mut reason);
        }
        let key = (retriable, reason);
        if let Some(&index) = self.known.get(&key) {
            return index;
        }
        let index = self.results.rejections.len() as u32;
        self.reason_bytes += key.1.len();
        self.results.rejections.push(Rejection {
            retriable,
            reason: key.1.clone(),
        });
        self.known.insert(key, index);
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fares_alike_is_one_run() {
        let mut gathered = Gathered::default();
        gathered.stored(0, 1);
        gathered.stored(1, 1);
        gathered.dropped();
        gathered.dropped();
        gathered.rejected(false, "a");
        gathered.rejected(false, "a");
        gathered.rejected(true, "a");
        gathered.rejected(false, "b");
        gathered.stored(2, 3);
        gathered.stored(5, 3);
        gathered.stored(9, 3);
        let results = gathered.finish().unwrap();
        let (records, each) = (2, 3);
        assert_eq!(
            results.runs,
            [
                RecordRun::Stored {
                    records,
                    first: 0,
                    each: 1
                },
                RecordRun::Dropped { records },
                RecordRun::Rejected {
                    records,
                    rejection: 0
                },
                RecordRun::Rejected {
                    records: 1,
                    rejection: 1
                },
                RecordRun::Rejected {
                    records: 1,
                    rejection: 2
                },
                RecordRun::Stored {
                    records,
                    first: 2,
                    each
                },
                RecordRun::Stored {
                    records: 1,
                    first: 9,
                    each
                },
            ]
        );
        assert_eq!(results.rejected(), 4);
        let reasons: Vec<_> = results
            .rejections
            .iter()
            .map(|rejection| (rejection.retriable, rejection.reason.as_str()))
            .collect();
        assert_eq!(reasons, [(false, "a"), (true, "a"), (false, "b")]);
    }

    #[test]
    fn a_batch_stored_as_it_was_sent_needs_no_words() {
        let mut gathered = Gathered::default();
        (0..100).for_each(|n| gathered.stored(n, 1));
        assert_eq!(gathered.finish(), None);
    }

    #[test]
    fn reasons_are_bounded() {
        let mut gathered = Gathered::default();
        (0..10_000).for_each(|n| gathered.rejected(false, &format!("{n} {}", "ü".repeat(10_000))));
        let results = gathered.finish().unwrap();
        assert_eq!(results.rejected(), 10_000);
        assert!(results.rejections.len() <= REASONS_MAX + 2);
        let bytes: usize = results
            .rejections
            .iter()
            .map(|rejection| rejection.reason.len())
            .sum();
        assert!(bytes <= REASON_BYTES_MAX + 1_000, "{bytes}");
        let indices = results.runs.iter().all(|run| match run {
            RecordRun::Rejected { rejection, .. } => (*rejection as usize) < results.rejections.len(),
            _ => false,
        });
        assert!(indices);
    }
}
