//! `weir flow dry-run`: what other versions or settings would make of the last records.

use weir_client::{DryRun, Trial};

use super::change::Upgrade;
use super::table;
use crate::cli::{human_bytes, human_count};

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
            "\nof {} records the outputs are the same, of {} they are different\n",
            found.same, found.different
        ));
    }
    for difference in &found.differences {
        text.push_str(&format!(
            "\n{} partition {} offset {}\n",
            difference.topic, difference.partition, difference.offset
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
        text.push_str(&format!(
            "\n{} partition {} offset {} fails{plugin}: {}\n",
            failure.topic, failure.partition, failure.offset, failure.reason
        ));
        if let Some(sample) = &failure.sample {
            text.push_str(&format!("  the record: {sample}\n"));
        }
    }
    more(&mut text, tried.failed, tried.failures.len(), "failures");
    text
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
    row("ns a record", &|trial| {
        format!("{:.0}", trial.guest_ns as f64 / trial.records_in.max(1) as f64)
    });
    row("memory at most", &|trial| human_bytes(trial.memory_bytes_peak));
    table(&rows)
}
