//! Limits of a flow's plugins, as they are typed: `memory=64MiB`, `call-time=2s`.

use weir_client::FlowLimits;
use weir_runtime::Limits;

use super::number;

/// What `--limit` takes, for `--help`.
pub(super) const HELP: &str = "A limit of its plugins in place of the broker's default; may be repeated. call-time=TIME a call, for a whole batch; \
    record-time=TIME a record of the batch; memory=SIZE an instance; output-bytes=SIZE and output-records=N a call; \
    record-output-bytes=SIZE and record-output-records=N a record; log-bytes=SIZE and log-lines=N a second; state=SIZE for each partition \
    of the source";

/// One limit: its name, and its value in the unit it is stored in.
pub(super) type Limit = (String, u64);

/// Understands `NAME=VALUE`.
pub(super) fn parse(text: &str) -> Result<Limit, String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| "expected NAME=VALUE, such as memory=64MiB or call-time=2s".to_owned())?;
    let value = match name {
        "call-time" => micros(value)?.div_ceil(1_000),
        "record-time" => micros(value)?,
        "memory" | "output-bytes" | "record-output-bytes" | "log-bytes" | "state" => number::bytes(value)?,
        "output-records" | "record-output-records" | "log-lines" => value
            .parse()
            .map_err(|_| format!("{name} is a whole number, such as {name}=1000"))?,
        _ => return Err(unknown(name)),
    };
    if value == 0 {
        return Err(format!(
            "{name} cannot be 0: leave it out for the broker's default"
        ));
    }
    Ok((name.to_owned(), value))
}

/// A name that a limit has.
pub(super) fn name(text: &str) -> Result<String, String> {
    if FlowLimits::NAMES.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(unknown(text))
    }
}

fn unknown(name: &str) -> String {
    format!(
        "there is no limit {name:?}: it is one of {}",
        FlowLimits::NAMES.join(", ")
    )
}

/// All that were given; the last of a name counts.
pub(super) fn collect(limits: Vec<Limit>) -> FlowLimits {
    let mut collected = FlowLimits::default();
    for (name, value) in limits {
        // Parsed above: the name is one of theirs.
        let known = collected.set(&name, value);
        debug_assert!(known, "{name}");
    }
    collected
}

/// Puts those that are set into the runtime's, for a test of a plugin.
pub(super) fn apply(limits: &FlowLimits, to: &mut Limits) {
    let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let FlowLimits {
        call_ms,
        record_us,
        memory_bytes,
        output_bytes,
        record_output_bytes,
        output_records,
        record_output_records,
        log_bytes_per_s,
        log_lines_per_s,
        // Kept by flows alone.
        state_bytes: _,
    } = *limits;
    to.deadline_ms = call_ms.unwrap_or(to.deadline_ms);
    to.deadline_us_per_input = record_us.or(to.deadline_us_per_input);
    to.memory_bytes_max = memory_bytes.map_or(to.memory_bytes_max, size);
    to.output_bytes_max = output_bytes.map_or(to.output_bytes_max, size);
    to.output_bytes_max_per_input = record_output_bytes.map(size).or(to.output_bytes_max_per_input);
    to.output_records_max = output_records.unwrap_or(to.output_records_max);
    if let Some(records) = record_output_records {
        to.output_records_max_per_input = u32::try_from(records).unwrap_or(u32::MAX);
    }
    to.log_bytes_per_s = log_bytes_per_s.unwrap_or(to.log_bytes_per_s);
    to.log_lines_per_s = log_lines_per_s.unwrap_or(to.log_lines_per_s);
}

/// Those that are set, as they would be typed.
pub(super) fn shown(limits: &FlowLimits) -> Vec<String> {
    let set = FlowLimits::NAMES.iter().zip(limits.values());
    set.filter_map(|(name, value)| {
        let value = value?;
        let text = match *name {
            "call-time" => time(value.saturating_mul(1_000)),
            "record-time" => time(value),
            "output-records" | "record-output-records" | "log-lines" => value.to_string(),
            _ => size(value),
        };
        Some(format!("{name}={text}"))
    })
    .collect()
}

fn micros(text: &str) -> Result<u64, String> {
    let wrong = || "expected a time such as 500us, 20ms or 2s".to_owned();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(factor).ok_or_else(wrong)
}

fn time(micros: u64) -> String {
    match micros {
        us if us.is_multiple_of(1_000_000) => format!("{}s", us / 1_000_000),
        us if us.is_multiple_of(1_000) => format!("{}ms", us / 1_000),
        us => format!("{us}us"),
    }
}

fn size(bytes: u64) -> String {
    for (unit, factor) in [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_what_is_shown() {
        for text in [
            "call-time=2s",
            "call-time=20ms",
            "record-time=500us",
            "memory=256MiB",
            "output-bytes=1000",
            "record-output-bytes=64KiB",
            "output-records=10",
            "record-output-records=2",
            "log-bytes=1GiB",
            "log-lines=7",
            "state=3MiB",
        ] {
            let limit = parse(text).unwrap();
            assert_eq!(shown(&collect(vec![limit])), [text]);
        }
    }

    #[test]
    fn every_name_is_understood_and_in_the_help() {
        for known in FlowLimits::NAMES {
            assert_eq!(name(known), Ok(known.to_owned()));
            assert!(HELP.contains(&format!("{known}=")), "{known}");
        }
    }

    #[test]
    fn a_mistake_is_named() {
        for (text, word) in [
            ("memory", "NAME=VALUE"),
            ("speed=1", "call-time"),
            ("call-time=2", "2s"),
            ("call-time=99999999999999999999s", "2s"),
            ("memory=lots", "bytes"),
            ("output-records=1K", "whole number"),
            ("log-lines=0", "cannot be 0"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
        assert!(name("speed").unwrap_err().contains("memory"));
    }
}
