//! When a producer is polled next.

use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use crate::flow::Schedule;

/// Longest interval between two polls.
const EVERY_MS_MAX: u64 = 366 * 24 * 60 * 60 * 1000;
/// Longest cron expression, in bytes. A long one of ordinary use has some 60.
const CRON_BYTES_MAX: usize = 256;
/// Longest sleep before the clock is looked at again: it may have been set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(30);

const EXAMPLE: &str =
    "write it as minute, hour, day of the month, month and day of the week, such as '*/5 * * * *'";

/// What is shown as the time of a poll that never comes.
pub(crate) const NEVER_MS: i64 = i64::MAX;

/// A schedule, checked. All times are milliseconds since 1970.
#[derive(Clone, Debug)]
pub(crate) enum Timetable {
    Every { ms: i64 },
    Cron(Box<Cron>),
}

impl Timetable {
    /// # Errors
    /// What is wrong with the schedule, in words.
    pub(crate) fn new(schedule: &Schedule) -> Result<Self, String> {
        match schedule {
            Schedule::EveryMs(ms @ 1..=EVERY_MS_MAX) => Ok(Self::Every {
                ms: i64::try_from(*ms).map_err(|error| error.to_string())?,
            }),
            Schedule::EveryMs(0) => {
                Err("a producer cannot be polled every 0 ms: give an interval of 1 ms at least".to_owned())
            }
            Schedule::EveryMs(ms) => Err(format!(
                "an interval of {ms} ms is too long: 366 days are the most, {EVERY_MS_MAX} ms"
            )),
            Schedule::Cron(expression) => cron(expression),
        }
    }

    /// Checks that there is a poll after `now_ms`. To find that there is none can take a tenth of a second.
    ///
    /// # Errors
    /// That there is none, in words.
    pub(crate) fn check_comes(&self, now_ms: i64) -> Result<(), String> {
        match self.first(None, now_ms) {
            NEVER_MS => Err(format!("the schedule names a time that never comes: {EXAMPLE}")),
            _ => Ok(()),
        }
    }

    /// The first poll of a producer that starts at `now_ms` and was polled at `last_ms` before, if it was. Times that have passed
    /// meanwhile are not made up for: an interval that is over is one poll, however often it would have come.
    pub(crate) fn first(&self, last_ms: Option<i64>, now_ms: i64) -> i64 {
        match (self, last_ms) {
            (Self::Every { .. }, None) => now_ms,
            // The clock may have been set back since: no wait is longer than the interval.
            (Self::Every { ms }, Some(last_ms)) => last_ms
                .saturating_add(*ms)
                .clamp(now_ms, now_ms.saturating_add(*ms)),
            (Self::Cron(cron), _) => next(cron, now_ms),
        }
    }

    /// The poll after the one that was due at `due_ms`, later than `now_ms`. Those that the last one took too long for are left out.
    pub(crate) fn after(&self, due_ms: i64, now_ms: i64) -> i64 {
        match self {
            Self::Every { ms } if due_ms > now_ms => due_ms.min(now_ms.saturating_add(*ms)),
            Self::Every { ms } => {
                let missed = now_ms.saturating_sub(due_ms) / ms;
                due_ms.saturating_add(ms.saturating_mul(missed.saturating_add(1)))
            }
            Self::Cron(cron) => next(cron, now_ms),
        }
    }

    /// How long to sleep before a poll at `due_ms`; zero if it is due. Then the clock is to be looked at anew.
    pub(crate) fn sleep(&self, due_ms: i64, now_ms: i64) -> Duration {
        let left_ms = due_ms.saturating_sub(now_ms).max(0);
        let left_ms = match self {
            Self::Every { ms } => left_ms.min(*ms),
            Self::Cron(_) => left_ms,
        };
        Duration::from_millis(left_ms.unsigned_abs()).min(SLEEP_MAX)
    }
}

fn cron(expression: &str) -> Result<Timetable, String> {
    if expression.len() > CRON_BYTES_MAX {
        return Err(format!(
            "the cron expression has {} bytes and can have {CRON_BYTES_MAX}",
            expression.len()
        ));
    }
    let shown = expression.escape_debug();
    let parser = CronParser::builder()
        .seconds(Seconds::Optional)
        .year(Year::Disallowed)
        .build();
    let cron = parser
        .parse(expression)
        .map_err(|error| format!("'{shown}' is no cron expression ({error}): {EXAMPLE}"))?;
    Ok(Timetable::Cron(Box::new(cron)))
}

/// The first time after `now_ms`, in UTC.
fn next(cron: &Cron, now_ms: i64) -> i64 {
    let found = DateTime::<Utc>::from_timestamp_millis(now_ms)
        .and_then(|now| cron.find_next_occurrence(&now, false).ok());
    found.map_or(NEVER_MS, |time| time.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000;
    const MINUTE: i64 = 60 * SECOND;

    fn every(ms: u64) -> Timetable {
        Timetable::new(&Schedule::EveryMs(ms)).unwrap()
    }

    fn cron(expression: &str) -> Result<Timetable, String> {
        Timetable::new(&Schedule::Cron(expression.to_owned()))
    }

    fn at(time: &str) -> i64 {
        DateTime::parse_from_rfc3339(time).unwrap().timestamp_millis()
    }

    #[test]
    fn an_interval_keeps_its_beat_and_leaves_out_what_it_missed() {
        let table = every(5_000);
        assert_eq!(table.after(100, 100), 5_100);
        assert_eq!(table.after(100, 4_000), 5_100);
        assert_eq!(table.after(100, 5_100), 10_100, "later than now");
        assert_eq!(table.after(100, 63_000), 65_100, "one, not twelve");
        assert_eq!(table.after(9_000_000, 100), 5_100, "the clock was set back");
    }

    #[test]
    fn an_interval_goes_on_after_a_restart() {
        let table = every(5_000);
        assert_eq!(table.first(None, 700), 700);
        assert_eq!(table.first(Some(10_000), 12_000), 15_000);
        assert_eq!(table.first(Some(10_000), 90_000), 90_000, "once, at once");
        assert_eq!(table.first(Some(10_000), 2_000), 7_000, "the clock was set back");
        assert_eq!(table.sleep(15_000, 12_000), Duration::from_secs(3));
        assert_eq!(table.sleep(15_000, 15_000), Duration::ZERO);
        assert_eq!(
            table.sleep(15_000, 0),
            Duration::from_secs(5),
            "the clock was set back"
        );
        assert_eq!(every(3_600_000).sleep(3_600_000, 0), SLEEP_MAX);
    }

    #[test]
    fn cron_times_are_utc_and_later_than_now() {
        for (expression, now, wanted) in [
            ("*/5 * * * *", "2026-03-01T12:02:03.004Z", "2026-03-01T12:05:00Z"),
            ("*/5 * * * *", "2026-03-01T12:05:00Z", "2026-03-01T12:10:00Z"),
            ("*/5 * * * *", "2026-03-01T12:04:59.999Z", "2026-03-01T12:05:00Z"),
            // A day on which clocks in Europe skip this hour: UTC does not.
            ("30 2 * * *", "2026-03-29T00:00:00Z", "2026-03-29T02:30:00Z"),
            ("0 0 29 2 *", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 9 * * MON-FRI", "2026-03-06T09:00:00Z", "2026-03-09T09:00:00Z"),
            // Day of the month and day of the week: either, as cron has it.
            ("0 0 13 * FRI", "2026-03-02T00:00:00Z", "2026-03-06T00:00:00Z"),
            ("*/10 * * * * *", "2026-03-01T12:00:01Z", "2026-03-01T12:00:10Z"),
            ("@hourly", "2026-03-01T12:00:01Z", "2026-03-01T13:00:00Z"),
        ] {
            let table = cron(expression).unwrap();
            let wanted = at(wanted);
            assert_eq!(table.first(Some(0), at(now)), wanted, "{expression} at {now}");
            assert_eq!(table.after(0, at(now)), wanted, "{expression} at {now}");
        }
        let table = cron("* * * * *").unwrap();
        assert_eq!(
            table.sleep(2 * MINUTE, MINUTE + 59 * SECOND),
            Duration::from_secs(1)
        );
    }

    #[test]
    fn what_is_no_schedule_is_refused_in_words() {
        for (schedule, word) in [
            (Schedule::EveryMs(0), "0 ms"),
            (Schedule::EveryMs(u64::MAX), "too long"),
            (Schedule::EveryMs(EVERY_MS_MAX + 1), "too long"),
            (Schedule::Cron(String::new()), "no cron expression"),
            (Schedule::Cron("* * * *".to_owned()), "no cron expression"),
            (Schedule::Cron("61 * * * *".to_owned()), "no cron expression"),
            (Schedule::Cron("*/0 * * * *".to_owned()), "no cron expression"),
            (Schedule::Cron("every day".to_owned()), "no cron expression"),
            (
                Schedule::Cron("0 0 0 1 1 * 2099".to_owned()),
                "no cron expression",
            ),
            (Schedule::Cron("ü\u{0}* * * * *".to_owned()), "no cron expression"),
            (Schedule::Cron("0 0 30 2 *".to_owned()), "never comes"),
            (Schedule::Cron("* ".repeat(200)), "bytes"),
        ] {
            let refused = Timetable::new(&schedule)
                .and_then(|table| table.check_comes(0))
                .unwrap_err();
            assert!(refused.contains(word), "{schedule:?}: {refused}");
        }
    }
}
