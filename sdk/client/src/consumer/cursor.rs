use weir_protocol::Start;

/// Where a subscription stands in one partition.
#[derive(Debug)]
pub(super) struct Cursor {
    /// The next record to be received: an offset, except between a seek and its answer.
    pub(super) start: Start,
    /// Where an `until_end` subscription stops: the high watermark when it began.
    pub(super) end: Option<i64>,
    /// How often the consumer has sought.
    pub(super) generation: u64,
    /// Seeks that the broker has not answered: until then records are from an old position.
    pub(super) seeks_pending: u32,
    pub(super) paused: bool,
    pub(super) status: Status,
    /// A damaged batch that follows sound ones: offset and what is wrong.
    pub(super) damaged: Option<(i64, String)>,
}

/// Whether records come from a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Active,
    /// The end was reached.
    Ended,
    /// It cannot go on from where it stands.
    Failed,
}

impl Cursor {
    pub(super) fn new(offset: i64, end: Option<i64>) -> Self {
        Self {
            start: Start::Offset(offset),
            end,
            generation: 0,
            seeks_pending: 0,
            paused: false,
            status: Status::Active,
            damaged: None,
        }
    }

    /// The broker says which offset the start is.
    pub(super) fn resolved(&mut self, offset: i64) {
        self.start = Start::Offset(offset);
        self.damaged = None;
    }

    /// The offset of the next record; before everything while it is not known.
    pub(super) fn position(&self) -> i64 {
        match self.start {
            Start::Offset(offset) => offset,
            _ => i64::MIN,
        }
    }

    /// Whether records that come now are what the consumer waits for.
    pub(super) fn takes_records(&self) -> bool {
        self.status == Status::Active && self.seeks_pending == 0 && !self.paused && self.damaged.is_none()
    }

    /// Whether the end is reached and nobody knows it yet.
    pub(super) fn reaches_end(&self) -> bool {
        self.status == Status::Active
            && self.seeks_pending == 0
            && self.end.is_some_and(|end| self.position() >= end)
    }
}
