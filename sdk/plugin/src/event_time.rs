//! Time as the records tell it: how far it has got, and how much may fire because of it.

/// No timestamp beyond these is taken for a time: they are 146 million years away, and leave room for sums.
const TIMES_MS: std::ops::Range<i64> = -(1 << 62)..1 << 62;
/// The longest span of time that is taken: 142,000 years.
pub(crate) const SPAN_MS_MAX: u64 = 1 << 52;
/// Records one after the other, all of them too far ahead, after which their time is believed.
pub(crate) const AHEAD_IN_A_ROW: u32 = 100;
/// What fires at one record at most, unless told otherwise. The host takes 1,000 records made of one.
pub(crate) const BURST: u32 = 500;

/// Whether a timestamp is a time.
pub(crate) fn is_time(timestamp_ms: i64) -> bool {
    TIMES_MS.contains(&timestamp_ms)
}

/// What is said of time by whoever uses it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// How far behind the newest record the watermark is.
    pub(crate) grace_ms: i64,
    /// How far ahead of the newest record the next one may be.
    pub(crate) max_ahead_ms: Option<i64>,
    /// What may fire at one record, if little has fired before.
    pub(crate) burst: u32,
    /// What each record allows to fire, at itself or at a later one.
    pub(crate) per_record: u32,
}

/// What the timestamp of a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A time, which may have moved the watermark.
    Time,
    /// Too far ahead to be believed.
    Ahead,
    /// Beyond all times.
    NoTime,
}

/// How far time has got. A function of the records in their order, kept in the state: batches and restarts do not change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The newest timestamp; `i64::MIN` before the first record.
    pub(crate) newest_ms: i64,
    /// What is due up to here fires. It never goes back, whatever the settings become.
    pub(crate) watermark_ms: i64,
    /// The earliest time at which something is due; `i64::MAX` if nothing is.
    pub(crate) next_due_ms: i64,
    /// What may fire.
    pub(crate) credit: u32,
    /// Records just before that were too far ahead.
    pub(crate) ahead: u32,
}

const VERSION: u8 = 1;
const ENCODED_LEN: usize = 1 + 3 * 8 + 2 * 4;

impl Progress {
    pub(crate) fn new(rules: &Rules) -> Self {
        Self {
            newest_ms: i64::MIN,
            watermark_ms: i64::MIN,
            next_due_ms: i64::MAX,
            credit: rules.burst,
            ahead: 0,
        }
    }

    /// Takes the timestamp of the next record.
    pub(crate) fn observe(&mut self, rules: &Rules, timestamp_ms: i64) -> Seen {
        self.credit = self.credit.saturating_add(rules.per_record).min(rules.burst);
        if !is_time(timestamp_ms) {
            return Seen::NoTime;
        }
        let first = self.newest_ms == i64::MIN;
        let moved_ms = if first {
            0
        } else {
            // Both are times, so that there is room.
            timestamp_ms - self.newest_ms
        };
        if rules.max_ahead_ms.is_some_and(|most| moved_ms > most) {
            self.ahead += 1;
            if self.ahead < AHEAD_IN_A_ROW {
                return Seen::Ahead;
            }
        }
        self.ahead = 0;
        if first || moved_ms > 0 {
            self.newest_ms = timestamp_ms;
            self.watermark_ms = self.watermark_ms.max(timestamp_ms - rules.grace_ms);
            let credit = u32::try_from(moved_ms).unwrap_or(u32::MAX);
            self.credit = self.credit.saturating_add(credit).min(rules.burst);
        }
        Seen::Time
    }

    /// `[version u8 = 1][newest i64][watermark i64][next due i64][credit u32][ahead u32]`, big-endian.
    pub(crate) fn encode(&self) -> [u8; ENCODED_LEN] {
        let mut bytes = [0; ENCODED_LEN];
        bytes[0] = VERSION;
        bytes[1..9].copy_from_slice(&self.newest_ms.to_be_bytes());
        bytes[9..17].copy_from_slice(&self.watermark_ms.to_be_bytes());
        bytes[17..25].copy_from_slice(&self.next_due_ms.to_be_bytes());
        bytes[25..29].copy_from_slice(&self.credit.to_be_bytes());
        bytes[29..].copy_from_slice(&self.ahead.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (newest, rest) = rest.split_first_chunk()?;
        let (watermark, rest) = rest.split_first_chunk()?;
        let (next_due, rest) = rest.split_first_chunk()?;
        let (credit, rest) = rest.split_first_chunk()?;
        let ahead = rest.try_into().ok()?;
        (*version == VERSION).then(|| Self {
            newest_ms: i64::from_be_bytes(*newest),
            watermark_ms: i64::from_be_bytes(*watermark),
            next_due_ms: i64::from_be_bytes(*next_due),
            credit: u32::from_be_bytes(*credit),
            ahead: u32::from_be_bytes(ahead),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        grace_ms: 10,
        max_ahead_ms: None,
        burst: 100,
        per_record: 4,
    };

    #[test]
    fn the_watermark_follows_the_newest_record_and_never_goes_back() {
        let mut progress = Progress::new(&RULES);
        let mut at = |rules: &Rules, timestamp_ms| {
            assert_eq!(progress.observe(rules, timestamp_ms), Seen::Time);
            progress.watermark_ms
        };
        assert_eq!(at(&RULES, 100), 90);
        assert_eq!(at(&RULES, 40), 90);
        assert_eq!(at(&RULES, 101), 91);
        let slower = Rules {
            grace_ms: 50,
            ..RULES
        };
        assert_eq!(at(&slower, 102), 91, "what was closed stays closed");
        assert_eq!(at(&slower, 150), 100);
    }

    #[test]
    fn a_time_far_ahead_is_believed_when_enough_records_have_it() {
        let rules = Rules {
            max_ahead_ms: Some(1_000),
            ..RULES
        };
        let mut progress = Progress::new(&rules);
        assert_eq!(progress.observe(&rules, 0), Seen::Time);
        assert_eq!(progress.observe(&rules, 1_000), Seen::Time);
        for _ in 0..AHEAD_IN_A_ROW - 1 {
            assert_eq!(progress.observe(&rules, 2_001), Seen::Ahead);
        }
        assert_eq!(
            progress.observe(&rules, 5),
            Seen::Time,
            "one between them is on time"
        );
        for n in 1..AHEAD_IN_A_ROW {
            assert_eq!(progress.observe(&rules, 2_001 + i64::from(n)), Seen::Ahead);
        }
        assert_eq!(progress.newest_ms, 1_000);
        assert_eq!(progress.observe(&rules, 9_000), Seen::Time);
        assert_eq!(progress.watermark_ms, 8_990);
    }

    #[test]
    fn what_is_no_time_moves_nothing() {
        let mut progress = Progress::new(&RULES);
        for timestamp_ms in [i64::MIN, i64::MAX, 1 << 62] {
            assert_eq!(progress.observe(&RULES, timestamp_ms), Seen::NoTime);
        }
        assert_eq!(progress, Progress::new(&RULES));
        assert_eq!(progress.observe(&RULES, -1), Seen::Time);
        assert_eq!(progress.observe(&RULES, -(1 << 62)), Seen::Time);
        assert_eq!(progress.observe(&RULES, (1 << 62) - 1), Seen::Time);
    }

    #[test]
    fn credit_comes_with_records_and_with_time() {
        let mut progress = Progress::new(&RULES);
        progress.credit = 0;
        progress.observe(&RULES, 50);
        assert_eq!(progress.credit, 4, "the first record moves no time");
        progress.observe(&RULES, 50);
        assert_eq!(progress.credit, 8);
        progress.observe(&RULES, 60);
        assert_eq!(progress.credit, 22);
        progress.observe(&RULES, 1 << 60);
        assert_eq!(progress.credit, 100);
    }

    #[test]
    fn progress_survives_the_round_trip() {
        let progress = Progress {
            newest_ms: -1,
            watermark_ms: i64::MIN,
            next_due_ms: 1 << 50,
            credit: 7,
            ahead: 99,
        };
        assert_eq!(Progress::decode(&progress.encode()), Some(progress));
        assert_eq!(Progress::decode(&progress.encode()[1..]), None);
        assert_eq!(Progress::decode(&[2; ENCODED_LEN]), None);
    }
}
