use crate::agenda::{Agenda, Due};
use crate::event_time::{BURST, Rules, SPAN_MS_MAX};

/// What each record allows to fire. A plugin that sets more timers for each record than this falls behind for good.
const PER_RECORD: u32 = 8;

/// Timers on event time, in the [keyed state](crate::State): what is set for a time comes back once the records have got there.
///
/// Time is that of the records, and moves with them alone, as stream time does in Kafka Streams: the **watermark** is the newest
/// timestamp of all records so far, less [`grace_ms`](Self::grace_ms). It moves record by record, in the order of the partition, and is kept
/// in the state; so when a timer fires is a function of the records, and not of how they fall into batches, of restarts or of replays. A
/// partition into which nothing comes any more keeps its last timers. [`Windows`](crate::Windows) say how many fire at once.
///
/// ```
/// use weir_plugin::{Config, Output, Record, Timers, transform};
///
/// /// Says `KEY is late` when a key has not been seen again within a minute.
/// struct Alarm { timers: Timers, state: weir_plugin::State }
///
/// impl Alarm {
///     fn configure(config: &Config) -> Result<Self, String> {
///         config.only(&[])?;
///         Ok(Self { timers: Timers::new("alarm"), state: weir_plugin::State::new() })
///     }
///
///     fn record(&mut self, record: &Record<'_>, out: &mut Output) -> Result<(), String> {
///         let key = record.key().ok_or("there is no key")?;
///         let last = [b"last/", key].concat();
///         if let Some(time) = self.state.get(&last).and_then(|time| time.try_into().ok()) {
///             self.timers.delete(i64::from_be_bytes(time), key);
///         }
///         let time_ms = record.timestamp().saturating_add(60_000);
///         self.timers.set(time_ms, key, b"is late");
///         self.state.put(&last, &time_ms.to_be_bytes());
///         for timer in self.timers.advance(record.timestamp()) {
///             out.create().key(&timer.key).timestamp(timer.time_ms).value(&timer.value).emit();
///         }
///         Ok(())
///     }
/// }
///
/// transform!(Alarm, Alarm::record);
/// ```
#[derive(Debug)]
pub struct Timers {
    agenda: Agenda,
}

/// A timer whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// What it was set for: milliseconds since 1970.
    pub time_ms: i64,
    /// Its key.
    pub key: Vec<u8>,
    /// What was given with it.
    pub value: Vec<u8>,
}

impl Timers {
    /// Those stored under `name`, without grace: others of the plugin's have other names. Make one of a name, in `configure`.
    pub fn new(name: &str) -> Self {
        let rules = Rules {
            grace_ms: 0,
            max_ahead_ms: None,
            burst: BURST,
            per_record: PER_RECORD,
        };
        Self {
            agenda: Agenda::new(name, rules),
        }
    }

    /// Has the watermark stay `grace_ms` milliseconds behind the newest record, at most 2^52.
    #[must_use]
    pub fn grace_ms(mut self, grace_ms: u64) -> Self {
        self.agenda.rules.grace_ms = grace_ms.min(SPAN_MS_MAX) as i64;
        self
    }

    /// Sets a timer for `time_ms`, milliseconds since 1970. One of the same time and key is replaced. A time that is over fires at the
    /// next [`advance`](Self::advance).
    pub fn set(&mut self, time_ms: i64, key: &[u8], value: &[u8]) {
        let row = self.agenda.row_key(time_ms, &[key]);
        self.agenda.put(time_ms, &row, value);
        self.agenda.save();
    }

    /// Removes a timer, if there is one of this time and key.
    pub fn delete(&mut self, time_ms: i64, key: &[u8]) {
        let row = self.agenda.row_key(time_ms, &[key]);
        self.agenda.delete(&row);
    }

    /// Takes the timestamp of the next record, and the timers that are due now: by time, then by key. Call it once for each record; what
    /// does not fire now for want of room does so at later ones.
    #[must_use = "what is due is due only once"]
    pub fn advance(&mut self, timestamp_ms: i64) -> Vec<Timer> {
        self.agenda.observe(timestamp_ms);
        let due = self.agenda.due();
        self.agenda.save();
        let timer = |Due { time_ms, rest, value }| Timer {
            time_ms,
            key: rest,
            value,
        };
        due.into_iter().map(timer).collect()
    }

    /// Up to where time has got: milliseconds since 1970; none before the first record.
    pub fn watermark_ms(&mut self) -> Option<i64> {
        Some(self.agenda.watermark_ms()).filter(|&time| time != i64::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn fired(timers: &mut Timers, timestamp_ms: i64) -> Vec<(i64, String)> {
        let due = timers.advance(timestamp_ms).into_iter();
        due.map(|timer| (timer.time_ms, String::from_utf8(timer.key).unwrap()))
            .collect()
    }

    #[test]
    fn they_fire_in_the_order_of_their_times() {
        testing::reset();
        let mut timers = Timers::new("t").grace_ms(5);
        assert_eq!(timers.watermark_ms(), None);
        for (time_ms, key) in [(30, "c"), (-7, "a"), (30, "b"), (20, "z"), (41, "later")] {
            timers.set(time_ms, key.as_bytes(), b"");
        }
        timers.set(20, b"gone", b"");
        timers.delete(20, b"gone");
        assert_eq!(fired(&mut timers, 24), [(-7, "a".to_owned())]);
        crate::batch_hooks::end(true);
        let mut timers = Timers::new("t").grace_ms(5);
        let wanted = [(20, "z"), (30, "b"), (30, "c")].map(|(time_ms, key)| (time_ms, key.to_owned()));
        assert_eq!(fired(&mut timers, 45), wanted);
        timers.set(1, b"past", b"");
        assert_eq!(fired(&mut timers, 0), [(1, "past".to_owned())]);
        assert_eq!(timers.watermark_ms(), Some(40));
        assert_eq!(fired(&mut timers, 46), [(41, "later".to_owned())]);
    }

    #[test]
    fn a_timer_may_be_set_again_when_it_fires() {
        testing::reset();
        let mut timers = Timers::new("t");
        timers.set(10, b"tick", b"v");
        let mut ticks = 0;
        for timestamp_ms in 0..100 {
            for timer in timers.advance(timestamp_ms) {
                ticks += 1;
                assert_eq!(timer.value, b"v");
                timers.set(timer.time_ms + 10, &timer.key, &timer.value);
            }
            if timestamp_ms % 7 == 0 {
                crate::batch_hooks::end(true);
            }
        }
        assert_eq!(ticks, 9);
    }
}
