//! `weir flow backfill` and `replay`: flows that come to an end.

use weir_client::{FlowBackfill, FlowBounded, FlowBoundedKind, FlowInfo, FlowReplay, FlowUntil, Start};

use super::start;
use crate::cli::output::counted;

pub(super) const BACKFILL_EXAMPLES: &str = "\
Examples:
  weir flow backfill keeper                                     # all that is there now, with what keeper runs, into its topics
  weir flow backfill keeper --plugin keep@4 --to kept-anew      # with another version, beside what is there
  weir flow backfill keeper --start @2013-06-30T00:00:00Z --until @2013-07-01T00:00:00Z
  weir flow describe keeper.backfill                            # how far it is; finished when it has come to the end

It is a flow of its own: pause, resume, describe and delete it as any other. The flow that it is made from runs on.";

pub(super) const REPLAY_EXAMPLES: &str = "\
Examples:
  weir flow upgrade parse && weir flow replay parse             # the dead letters, with what can handle them now
  weir flow replay parse --start earliest                       # all of them, those that were replayed before as well
  weir flow replay parse --partition 3 --offsets 4200..4300     # some records that it has read already

Dead letters go through as the records that they were. What fails again is a dead letter again, for the next replay.
The flow that does it is FLOW.replay: it knows how far it got, and goes on there the next time; deleting it forgets that.";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Backfill {
    /// The flow
    pub(super) flow: String,
    /// Where to begin in each partition of each source: earliest, latest, an OFFSET, or @TIME in ms since 1970 or RFC 3339
    #[arg(long, value_name = "WHERE", default_value = "earliest", value_parser = start::parse)]
    start: Start,
    /// Where to end: now, in front of an OFFSET, or in front of @TIME
    #[arg(long, value_name = "WHERE", default_value = "now", value_parser = until)]
    until: FlowUntil,
    /// A plugin, the newest version or NAME@VERSION; repeated for a chain. Without it, those that the flow runs
    #[arg(long = "plugin", value_name = "NAME[@V]")]
    plugins: Vec<String>,
    /// The topic it writes; repeated for several. Without it, those of the flow
    #[arg(long, value_name = "TOPIC")]
    to: Vec<String>,
    /// What to call it [default: FLOW.backfill, FLOW.backfill-2, ...]
    #[arg(long)]
    name: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Replay {
    /// The flow
    pub(super) flow: String,
    /// Send the dead letters from here on, those that were replayed before as well: earliest, latest, an OFFSET, or @TIME
    #[arg(long, value_name = "WHERE", value_parser = start::parse, conflicts_with = "offsets")]
    start: Option<Start>,
    /// Send these records of a source instead, up to TO and without it; what they come to is there twice then
    #[arg(long, value_name = "FROM..TO", value_parser = offsets, requires = "partition")]
    offsets: Option<(i64, i64)>,
    /// The partition of those records
    #[arg(long, value_name = "N", requires = "offsets")]
    partition: Option<u32>,
    /// The source that they are in, of a flow that reads several
    #[arg(long, value_name = "TOPIC", requires = "offsets")]
    topic: Option<String>,
    /// What to call the flow that sends them [default: FLOW.replay-range, FLOW.replay-range-2, ...]
    #[arg(long, requires = "offsets")]
    name: Option<String>,
}

impl Backfill {
    pub(super) fn into_request(self) -> FlowBackfill {
        FlowBackfill {
            name: self.name,
            start: self.start,
            until: self.until,
            plugins: self.plugins,
            to: self.to,
        }
    }
}

impl Replay {
    pub(super) fn into_request(self) -> FlowReplay {
        match (self.offsets, self.partition) {
            (Some((from, to)), Some(partition)) => FlowReplay::Range {
                topic: self.topic,
                partition,
                from,
                to,
                name: self.name,
            },
            _ => FlowReplay::Letters { start: self.start },
        }
    }
}

/// What was begun.
pub(super) fn begun(flow: &FlowInfo) -> String {
    let name = &flow.spec.name;
    let records: i64 = flow.partitions.iter().map(|partition| partition.lag).sum();
    let what = flow.bounded.as_ref().map(text).unwrap_or_default();
    let mut text = format!(
        "{name}: {what}, {} to process\n",
        counted(u64::try_from(records).unwrap_or(0), "record")
    );
    if let Some(bounded) = flow
        .bounded
        .as_ref()
        .filter(|bounded| bounded.kind != FlowBoundedKind::Letters)
    {
        text.push_str(&format!(
            "what '{}' made of them already stays: where both write to the same topics, those outputs are there twice\n",
            bounded.of
        ));
    }
    text.push_str(&format!("see how far it is with: weir flow describe {name}"));
    text
}

/// What a flow that comes to an end was made for.
pub(super) fn text(bounded: &FlowBounded) -> String {
    let what = match bounded.kind {
        FlowBoundedKind::Backfill => "backfill",
        FlowBoundedKind::Letters => "replay of the dead letters",
        FlowBoundedKind::Range => "replay of offsets",
        _ => "part",
    };
    format!("{what} of {}", bounded.of)
}

/// For clap.
fn until(text: &str) -> Result<FlowUntil, String> {
    if text == "now" {
        return Ok(FlowUntil::Now);
    }
    match start::parse(text) {
        Ok(Start::Offset(offset)) => Ok(FlowUntil::Offset(offset)),
        Ok(Start::Time(timestamp_ms)) => Ok(FlowUntil::Time(timestamp_ms)),
        _ => Err("expected now, an offset such as 42, or @TIME such as @2013-06-30T12:00:00Z".to_owned()),
    }
}

/// For clap.
fn offsets(text: &str) -> Result<(i64, i64), String> {
    let wrong = || "expected the first offset and the one behind the last, such as 10..20".to_owned();
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let number = |text: &str| text.parse::<i64>().map_err(|_| wrong());
    let (from, to) = (number(from)?, number(to)?);
    if from < 0 || from >= to {
        return Err(wrong());
    }
    Ok((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_understood() {
        assert_eq!(until("now"), Ok(FlowUntil::Now));
        assert_eq!(until("42"), Ok(FlowUntil::Offset(42)));
        assert_eq!(until("@7"), Ok(FlowUntil::Time(7)));
        assert_eq!(offsets("10..20"), Ok((10, 20)));
        for text in ["latest", "earliest", "-1", "then"] {
            assert!(until(text).is_err(), "{text:?}");
        }
        for text in [
            "", "10", "..20", "10..", "20..10", "10..10", "-1..3", "a..b", "1..2..3",
        ] {
            assert!(offsets(text).is_err(), "{text:?}");
        }
    }
}
