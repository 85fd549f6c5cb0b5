use std::ops::Range;

use weir_protocol::{ErrorCode, RecordResults, RecordRun, Rejection, WireError};

use crate::ProduceError;

/// What became of each record of a batch, where not all were stored as they were sent.
#[derive(Debug)]
pub(crate) struct RecordFates {
    results: RecordResults,
    /// By run: its first record.
    starts: Vec<u32>,
    partition: u32,
}

/// What became of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate<'a> {
    /// It is stored so many offsets behind the batch's base offset.
    Stored(i64),
    Dropped,
    Rejected(&'a Rejection),
}

impl RecordFates {
    /// Of a batch of `records` records.
    ///
    /// # Errors
    /// What is wrong with the results.
    pub(crate) fn new(results: RecordResults, records: i32, partition: u32) -> Result<Self, String> {
        if results.records() != u64::from(records.unsigned_abs()) {
            return Err(format!(
                "an ack that speaks of {} records, of a batch of {records}",
                results.records()
            ));
        }
        let mut starts = Vec::with_capacity(results.runs.len());
        let mut start = 0_u32;
        for run in &results.runs {
            starts.push(start);
            // The sum is that of the batch.
            start = start.saturating_add(run.records());
        }
        Ok(Self {
            results,
            starts,
            partition,
        })
    }

    /// What became of record `index`; the last of all for one that is not there.
    pub(crate) fn of(&self, index: u32) -> Fate<'_> {
        let run = self
            .starts
            .partition_point(|&start| start <= index)
            .saturating_sub(1);
        let behind = index.saturating_sub(self.starts.get(run).copied().unwrap_or_default());
        match self.results.runs.get(run) {
            Some(RecordRun::Stored { each: 0, .. } | RecordRun::Dropped { .. }) | None => Fate::Dropped,
            Some(&RecordRun::Stored { first, each, .. }) => {
                Fate::Stored(i64::from(first) + i64::from(behind) * i64::from(each))
            }
            // That it is there was checked when the ack was read.
            Some(RecordRun::Rejected { rejection, .. }) => self
                .results
                .rejections
                .get(*rejection as usize)
                .map_or(Fate::Dropped, Fate::Rejected),
        }
    }

    /// How many of these records are stored.
    ///
    /// # Errors
    /// Why the first of them is not that is refused.
    pub(crate) fn stored(&self, range: Range<u32>) -> Result<u64, ProduceError> {
        let mut stored = 0;
        for (run, &start) in self.results.runs.iter().zip(&self.starts) {
            let end = start.saturating_add(run.records()).min(range.end);
            let records = end.saturating_sub(start.max(range.start));
            if records == 0 {
                continue;
            }
            match self.of(start) {
                Fate::Stored(_) => stored += u64::from(records),
                Fate::Dropped => {}
                Fate::Rejected(rejection) => return Err(self.error(rejection)),
            }
        }
        Ok(stored)
    }

    /// The rejection as the record's failure.
    pub(crate) fn error(&self, rejection: &Rejection) -> ProduceError {
        let name = ErrorCode::from_number(rejection.code).map_or("RECORD_REJECTED", ErrorCode::name);
        ProduceError::Broker(WireError {
            code: rejection.code,
            name: name.to_owned(),
            retriable: rejection.retriable,
            message: rejection.reason.clone(),
            partition: Some(self.partition),
            offset: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates() -> RecordFates {
        let results = RecordResults {
            runs: vec![
                RecordRun::Stored {
                    records: 3,
                    first: 0,
                    each: 2,
                },
                RecordRun::Dropped { records: 2 },
                RecordRun::Rejected {
                    records: 1,
                    rejection: 0,
                },
                RecordRun::Stored {
                    records: 4,
                    first: 6,
                    each: 1,
                },
            ],
            rejections: vec![Rejection {
                code: ErrorCode::RecordRejected.number(),
                retriable: false,
                reason: "no".to_owned(),
            }],
        };
        RecordFates::new(results, 10, 3).unwrap()
    }

    #[test]
    fn each_record_has_its_own() {
        let fates = fates();
        let found: Vec<_> = (0..10)
            .map(|index| match fates.of(index) {
                Fate::Stored(offset) => offset,
                Fate::Dropped => -1,
                Fate::Rejected(_) => -2,
            })
            .collect();
        assert_eq!(found, [0, 2, 4, -1, -1, -2, 6, 7, 8, 9]);
    }

    #[test]
    fn a_range_knows_what_is_stored_of_it() {
        let fates = fates();
        assert_eq!(fates.stored(0..5).unwrap(), 3);
        assert_eq!(fates.stored(1..4).unwrap(), 2);
        assert_eq!(fates.stored(6..10).unwrap(), 4);
        assert_eq!(fates.stored(7..9).unwrap(), 2);
        assert_eq!(fates.stored(3..5).unwrap(), 0);
        let error = fates.stored(0..10).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::RecordRejected));
        assert!(!error.retriable());
    }

    #[test]
    fn results_of_another_number_of_records_are_refused() {
        let results = RecordResults {
            runs: vec![RecordRun::Dropped { records: 2 }],
            rejections: Vec::new(),
        };
        assert!(RecordFates::new(results, 3, 0).is_err());
    }
}
