//! Where a flow goes on in a source partition, from what the shards remember.

use crate::flow::cursor::{CursorRow, SinkShape};

/// Where to go on, and what of it was done already.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Recovery {
    /// The next source offset to be processed.
    pub(crate) position: i64,
    /// By shard: outputs of source records below this offset are there already.
    pub(crate) applied: Vec<i64>,
    /// Outputs of source records below this offset may be there in part; `position` if there are none.
    pub(crate) partly_until: i64,
    /// How the outputs that are there in part were spread. What is missing must be spread in the same way, or a
    /// record could turn up twice or not at all.
    pub(crate) partly_shape: Option<Vec<SinkShape>>,
}

impl Recovery {
    /// Puts together the rows of all shards, by shard. Rows of another source topic (a deleted one of the same name)
    /// do not count. `start` is where the flow begins if there is no row yet.
    ///
    /// Of a flow that keeps state, no row says more to be complete than that of the state shard, and no entry but one with the
    /// state makes it say more: so the position is where the stored state is.
    ///
    /// All rows that were written after `complete` last moved on everywhere have the same sinks: a runner lets
    /// everything settle before it takes up a changed number of partitions.
    pub(crate) fn of(rows: &[Option<CursorRow>], source_topic: u32, start: i64) -> Self {
        let ours = |row: &&CursorRow| row.source_topic == source_topic;
        let rows: Vec<_> = rows.iter().map(|row| row.as_ref().filter(ours)).collect();
        let position = rows
            .iter()
            .flatten()
            .map(|row| row.complete)
            .max()
            .unwrap_or(start);
        let furthest = rows
            .iter()
            .flatten()
            .filter(|row| row.applied > position)
            .max_by_key(|row| row.applied);
        Self {
            position,
            applied: rows
                .iter()
                .map(|row| row.map_or(position, |row| row.applied.max(position)))
                .collect(),
            partly_until: furthest.map_or(position, |row| row.applied),
            partly_shape: furthest.map(|row| row.sinks.clone()),
        }
    }

    /// Whether it speaks of records that the source partition, which ends at `end`, does not have.
    pub(crate) fn is_ahead_of(&self, end: i64) -> bool {
        self.position > end || self.applied.iter().any(|&applied| applied > end)
    }

    /// Fits it to what the source partition holds: from `first` up to `end`.
    ///
    /// Records below `first` were deleted before they were read. Offsets from `end` on will be given to new records, even
    /// if a crash took a tail of the source (of relaxed durability) whose records were processed already.
    pub(crate) fn clamp(&mut self, first: i64, end: i64) {
        self.position = self.position.clamp(first.min(end), end);
        for applied in &mut self.applied {
            *applied = (*applied).clamp(self.position, end);
        }
        self.partly_until = self.partly_until.clamp(self.position, end);
    }

    /// How records from `offset` on are to be spread, when the sinks look like `current` now.
    pub(crate) fn shape_at(&self, offset: i64, current: &[SinkShape]) -> Vec<SinkShape> {
        // The dead-letter topic comes last, and may have been made, or deleted, since.
        let same_topics =
            |recorded: &&Vec<SinkShape>| recorded.iter().zip(current).all(|(a, b)| a.topic == b.topic);
        match self.partly_shape.as_ref().filter(same_topics) {
            Some(recorded) if offset < self.partly_until => {
                let known = recorded.len().min(current.len());
                [&recorded[..known], &current[known..]].concat()
            }
            _ => current.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: u32 = 5;

    fn row(applied: i64, complete: i64, partitions: u32) -> Option<CursorRow> {
        let sinks = vec![SinkShape { topic: 1, partitions }];
        Some(CursorRow {
            source_topic: SOURCE,
            applied,
            complete,
            sinks,
        })
    }

    #[test]
    fn without_rows_it_begins_at_the_start() {
        let recovery = Recovery::of(&[None, None], SOURCE, 17);
        assert_eq!(recovery.position, 17);
        assert_eq!(recovery.applied, [17, 17]);
        assert_eq!(recovery.partly_until, 17);
        assert_eq!(recovery.partly_shape, None);
    }

    #[test]
    fn the_position_is_what_is_complete_everywhere() {
        let recovery = Recovery::of(&[row(30, 10, 2), None, row(20, 20, 2)], SOURCE, 0);
        assert_eq!(recovery.position, 20);
        assert_eq!(recovery.applied, [30, 20, 20], "only the first shard is ahead");
        assert_eq!(recovery.partly_until, 30);
    }

    #[test]
    fn a_flow_with_state_repeats_the_pass_that_was_cut_short() {
        // The state shard, which is the second, has the last word on what is complete; others have outputs of one more pass.
        let rows = [row(30, 20, 2), row(20, 20, 2), row(10, 10, 2), row(30, 20, 2)];
        let recovery = Recovery::of(&rows, SOURCE, 0);
        assert_eq!(recovery.position, 20, "where the state is");
        assert_eq!(recovery.partly_until, 30, "where that pass ended");
        assert_eq!(recovery.applied, [30, 20, 20, 30]);
    }

    #[test]
    fn it_stays_within_what_the_source_holds() {
        let recovered = Recovery::of(&[row(30, 10, 2), row(10, 10, 2)], SOURCE, 0);
        let mut same = recovered.clone();
        same.clamp(0, 100);
        assert_eq!(same, recovered);
        let mut expired = recovered.clone();
        expired.clamp(20, 100);
        assert_eq!((expired.position, expired.applied), (20, vec![30, 20]));
        assert!(recovered.is_ahead_of(29) && !recovered.is_ahead_of(30));
        let mut cut = recovered.clone();
        cut.clamp(0, 15);
        assert_eq!(
            (cut.position, cut.applied, cut.partly_until),
            (10, vec![15, 10], 15)
        );
        let mut gone = recovered;
        gone.clamp(0, 5);
        assert_eq!(
            (gone.position, gone.applied, gone.partly_until),
            (5, vec![5, 5], 5)
        );
    }

    #[test]
    fn rows_of_a_deleted_topic_do_not_count() {
        let old = Some(CursorRow {
            source_topic: SOURCE - 1,
            applied: 900,
            complete: 900,
            sinks: vec![],
        });
        let recovery = Recovery::of(&[old, None], SOURCE, 0);
        assert_eq!((recovery.position, recovery.partly_until), (0, 0));
    }

    #[test]
    fn what_is_there_in_part_is_completed_in_the_same_shape() {
        let recovery = Recovery::of(&[row(30, 10, 2), row(10, 10, 2)], SOURCE, 0);
        let grown = [SinkShape {
            topic: 1,
            partitions: 5,
        }];
        let recorded = [SinkShape {
            topic: 1,
            partitions: 2,
        }];
        assert_eq!(recovery.shape_at(10, &grown), recorded);
        assert_eq!(recovery.shape_at(29, &grown), recorded);
        assert_eq!(recovery.shape_at(30, &grown), grown);
        let other = [SinkShape {
            topic: 2,
            partitions: 5,
        }];
        assert_eq!(
            recovery.shape_at(10, &other),
            other,
            "the topic is another one now"
        );
    }
}
