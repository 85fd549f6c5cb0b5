//! Schedules as they are typed and shown, and how far a producer is.

use weir_client::{FlowProducingInfo, FlowSchedule};

use crate::cli::output::counted;
use crate::cli::start::rfc3339;

const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// `500ms`, `5s`, `10m`, `1h`, in milliseconds. For clap.
pub(super) fn every(text: &str) -> Result<u64, String> {
    let expected = || "expected a time with its unit, such as 500ms, 5s, 10m or 1h".to_owned();
    let end = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(expected)?;
    let (number, unit) = text.split_at(end);
    let (_, factor) = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(expected)?;
    let number: u64 = number.parse().map_err(|_| expected())?;
    match number.checked_mul(*factor) {
        Some(0) => Err("a producer cannot be polled every 0 ms: give 1ms at least".to_owned()),
        Some(ms) => Ok(ms),
        None => Err("that is longer than there is time".to_owned()),
    }
}

/// In words: `every 5s`, `cron */5 * * * * (UTC)`.
pub(super) fn text(schedule: &FlowSchedule) -> String {
    match schedule {
        FlowSchedule::EveryMs(ms) => {
            let largest = UNITS.iter().find(|(_, factor)| ms.is_multiple_of(*factor));
            let (unit, factor) = largest.copied().unwrap_or(("ms", 1));
            format!("every {}{unit}", ms / factor)
        }
        FlowSchedule::Cron(expression) => format!("cron {expression} (UTC)"),
        _ => "a schedule that this version does not know".to_owned(),
    }
}

/// How far a producer is, in lines.
pub(super) fn progress(producing: &FlowProducingInfo) -> String {
    let time = |ms: Option<u64>| ms.map(|ms| rfc3339(i64::try_from(ms).unwrap_or(i64::MAX)));
    let never = || "none".to_owned();
    let mut text = format!(
        "pages: {}\nrecords: {}\ncursor: {}\nlast poll: {}\nnext poll: {}\n",
        producing.pages,
        producing.records,
        producing.cursor.as_deref().unwrap_or("none"),
        time(producing.last_poll_ms).unwrap_or_else(never),
        time(producing.next_poll_ms).unwrap_or_else(never),
    );
    if producing.polls > 0 {
        let per_poll_us = producing.guest_ns as f64 / producing.polls as f64 / 1e3;
        text.push_str(&format!(
            "since the broker started: {}, {} with nothing to give, {} failed, stopped {}, {per_poll_us:.0} us a poll\n",
            counted(producing.polls, "poll"),
            producing.refused,
            producing.failed,
            counted(producing.errors, "time")
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, ms) in [
            ("1ms", 1),
            ("500ms", 500),
            ("5s", 5_000),
            ("10m", 600_000),
            ("2h", 7_200_000),
        ] {
            assert_eq!(every(text), Ok(ms));
        }
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "1.5s",
            "5 s",
            "5d",
            "0s",
            "0ms",
            "99999999999999999999s",
            "9999999999999999h",
        ] {
            assert!(every(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn schedules_are_shown_as_they_are_typed() {
        for typed in ["1ms", "1500ms", "5s", "90s", "10m", "2h"] {
            assert_eq!(
                text(&FlowSchedule::EveryMs(every(typed).unwrap())),
                format!("every {typed}")
            );
        }
        assert_eq!(
            text(&FlowSchedule::Cron("*/5 * * * *".to_owned())),
            "cron */5 * * * * (UTC)"
        );
    }

    #[test]
    fn what_has_not_happened_is_none() {
        let text = progress(&FlowProducingInfo::default());
        assert!(text.contains("last poll: none\nnext poll: none\n"), "{text}");
        assert!(!text.contains("since the broker started"), "{text}");
    }
}
