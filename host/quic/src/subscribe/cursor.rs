//! Where a subscription stands in one partition.

use weir_broker::TopicPartition;

/// Where a subscription stands in one partition.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) partition: TopicPartition,
    /// Offset of the next record to be sent.
    pub(super) position: i64,
    /// Where an `until_end` subscription stops: the high watermark when it began.
    pub(super) end: Option<i64>,
    pub(super) state: State,
    pub(super) paused: bool,
    /// In the queue of partitions that have something to send.
    pub(super) queued: bool,
    /// Somebody waits for records to be written.
    pub(super) waiting: bool,
}

/// Whether more is to come from a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Flowing,
    /// Its end was reached and said so.
    Ended,
    /// It cannot go on from where it stands.
    Failed,
}

impl Cursor {
    pub(super) fn new(partition: TopicPartition, position: i64, end: Option<i64>) -> Self {
        Self {
            partition,
            position,
            end,
            state: State::Flowing,
            paused: false,
            queued: false,
            waiting: false,
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.end.is_some_and(|end| self.position >= end)
    }

    /// Whether there is something to send now: records, or that there are no more.
    pub(super) fn has_something(&self) -> bool {
        self.is_at_end() || self.position != self.partition.high_watermark()
    }

    pub(super) fn is_live(&self) -> bool {
        self.state == State::Flowing && !self.paused
    }
}
