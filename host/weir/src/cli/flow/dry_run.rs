//! `weir flow dry-run`: what other versions or settings would make of the last records.

use weir_client::{DryRun, Trial};

use super::change::Upgrade;
use super::table;
use crate::cli::output::{counted, indented, place};
use crate::cli::{Failure, human_bytes, human_count};

/// What to try, and on how much.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DryRunArgs {
    #[command(flatten)]
    pub(super) change: Upgrade,
    /// How many of the last records to run, in equal shares over all partitions of all its sources
    #[arg(short = 'n', long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) records: u32,
    /// Let plugins that call out over HTTP do so, to the hosts that the flow is granted: what happens there is real
    #[arg(long)]
    pub(super) call_out: bool,
}

/// The findings, for people.
pub(super) fn show(found: &DryRun) -> String {
    let tried = &found.tried;
    let mut text = format!("tried    {}\n", tried.plugins.join(" -> "));
    if let Some(running) = &found.running {
        text.push_str(&format!("running  {}\n", running.plugins.join(" -> ")));
    }
    text.push_str("nothing was stored, and the flow goes on as it was\n\n");
    text.push_str(&figures(tried, found.running.as_ref()));
    if let Some(why) = &found.cut_short {
        text.push_str(&format!("\nnot all records were taken: {why}\n"));
    }
    if found.running.is_some() {
        text.push_str(&format!(
            "\nof {} the outputs are the same, of {} different\n",
            counted(found.same, "record"),
            found.different
        ));
    }
    for difference in &found.differences {
        text.push_str(&format!(
            "\n{}\n",
            place(&difference.topic, difference.partition, difference.offset, None)
        ));
        for (sign, outputs) in [('-', &difference.running), ('+', &difference.tried)] {
            for output in outputs {
                text.push_str(&format!("  {sign} {output}\n"));
            }
        }
    }
    more(&mut text, found.different, found.differences.len(), "differences");
    for failure in &tried.failures {
        let plugin = failure
            .plugin
            .as_ref()
            .map(|plugin| format!(" in {plugin}"))
            .unwrap_or_default();
        let fate = if failure.dead_letter {
            "is a dead letter"
        } else {
            "fails"
        };
        text.push_str(&format!(
            "\n{} {fate}{plugin}: {}\n",
            place(&failure.topic, failure.partition, failure.offset, None),
            indented(&failure.reason, 2)
        ));
        if let Some(sample) = &failure.sample {
            text.push_str(&format!("  the record: {sample}\n"));
        }
    }
    let failed = tried.failed + tried.dead_lettered;
    more(
        &mut text,
        failed,
        tried.failures.len(),
        "failures and dead letters",
    );
    text
}

/// Whether what was tried can handle the records; to be said when all else is.
pub(super) fn verdict(name: &str, found: &DryRun) -> Result<(), Failure> {
    match found.tried.failed {
        0 => Ok(()),
        failed => Err(Failure::new(
            format!(
                "{} did not pass: {} failed",
                found.tried.plugins.join(" -> "),
                counted(failed, "record")
            ),
            format!(
                "mend the plugin, or have {name} leave such records out (--on-error skip or dead-letter)"
            ),
        )),
    }
}

fn more(text: &mut String, all: u64, shown: usize, what: &str) {
    let rest = all.saturating_sub(shown as u64);
    if rest > 0 {
        text.push_str(&format!("\nand {rest} further {what}\n"));
    }
}

fn figures(tried: &Trial, running: Option<&Trial>) -> String {
    let mut rows = vec![vec![String::new(), "TRIED".to_owned()]];
    if running.is_some() {
        rows[0].push("RUNNING".to_owned());
    }
    let mut row = |what: &str, figure: &dyn Fn(&Trial) -> String| {
        let mut row = vec![what.to_owned(), figure(tried)];
        row.extend(running.map(figure));
        rows.push(row);
    };
    row("records in", &|trial| human_count(trial.records_in as f64));
    row("bytes in, as stored", &|trial| human_bytes(trial.bytes_in));
    row("records out", &|trial| {
        let by_topic: Vec<String> = trial
            .records_out
            .iter()
            .map(|(topic, count)| format!("{topic} {}", human_count(*count as f64)))
            .collect();
        if by_topic.is_empty() {
            "0".to_owned()
        } else {
            by_topic.join(", ")
        }
    });
    row("bytes out", &|trial| human_bytes(trial.bytes_out));
    row("dropped", &|trial| human_count(trial.dropped as f64));
    row("failed", &|trial| human_count(trial.failed as f64));
    if [Some(tried), running]
        .into_iter()
        .flatten()
        .any(|trial| trial.dead_lettered > 0)
    {
        row("dead letters", &|trial| human_count(trial.dead_lettered as f64));
    }
    row("ns a record", &|trial| {
        format!("{:.0}", trial.guest_ns as f64 / trial.records_in.max(1) as f64)
    });
    row("memory at most", &|trial| human_bytes(trial.memory_bytes_peak));
    table(&rows)
}
