//! A flow, for people.

mod metrics;

use weir_client::{FlowInfo, FlowPartitionInfo, PartitionBy};

use super::{bounded, change, failed, limit, on_error, route, schedule, state, table, total};
use crate::cli::output::{self, counted, indented};

/// All that there is to say of a flow.
pub(super) fn describe(flow: &FlowInfo) -> String {
    let (state, reason) = state(flow);
    let mut text = format!("{}: {state}\n", flow.spec.name);
    if let Some(reason) = reason {
        text.push_str(&format!("reason: {}\n", indented(reason, 2)));
    }
    if let Some(place) = &flow.stopped_at {
        let plugin = place
            .plugin
            .as_ref()
            .map(|plugin| format!(" in {plugin}"))
            .unwrap_or_default();
        text.push_str(&format!(
            "stopped at: {}{plugin}\n",
            output::place(&place.topic, place.partition, place.offset, place.last_offset)
        ));
        if let Some(sample) = &place.sample {
            text.push_str(&format!("the record: {sample}\n"));
        }
    }
    if let Some(bounded) = &flow.bounded {
        text.push_str(&format!("comes to an end: {}\n", bounded::text(bounded)));
    }
    text.push_str(&format!("route: {}\n", route(&flow.spec)));
    if let Some(schedule) = &flow.spec.schedule {
        text.push_str(&format!("schedule: {}\n", schedule::text(schedule)));
    }
    for (key, value) in &flow.spec.config {
        text.push_str(&format!("set: {key} = {value}\n"));
    }
    text.push_str(&match flow.spec.allow_http.as_slice() {
        [] => "capabilities: none\n".to_owned(),
        hosts => format!("capabilities: http to {}\n", hosts.join(", ")),
    });
    let limits = limit::shown(&flow.spec.limits);
    if !limits.is_empty() {
        text.push_str(&format!("limits: {}\n", limits.join(", ")));
    }
    if flow.spec.schedule.is_none() {
        text.push_str(&format!("on error: {}\n", on_error(flow.spec.on_error)));
    }
    if flow.spec.allow_cycle {
        text.push_str("may close a cycle\n");
    }
    if flow.spec.partition_by == PartitionBy::Source {
        text.push_str("partition by: source\n");
    }
    if let Some(topic) = &flow.dead_letter {
        text.push_str(&format!("dead letters: topic {topic}\n"));
    }
    let sum = total(flow);
    if sum.records_in > 0 {
        let per_record = sum.guest_ns as f64 / sum.records_in as f64;
        text.push_str(&format!(
            "since the broker started: {} in, {} out, {} dropped, {} skipped, {} dead-lettered, {} rejected, {}, stopped {}, \
             {per_record:.0} ns a record in the plugins\n",
            sum.records_in,
            sum.records_out,
            sum.dropped,
            sum.skipped,
            sum.dead_lettered,
            sum.rejected,
            counted(sum.retried, "retry"),
            counted(sum.errors, "time")
        ));
    }
    match &flow.producing {
        Some(producing) => text.push_str(&schedule::progress(producing)),
        None => text.push_str(&partitions(flow)),
    }
    for table in metrics::tables(flow) {
        text.push('\n');
        text.push_str(&table);
    }
    if let Some(revisions) = change::revisions(flow) {
        text.push('\n');
        text.push_str(&revisions);
    }
    if !flow.log.is_empty() {
        text.push_str("\nwhat the plugins said last:\n");
        for line in &flow.log {
            text.push_str(&format!("  {}\n", indented(line, 4)));
        }
    }
    text
}

/// How far it is in each partition.
fn partitions(flow: &FlowInfo) -> String {
    let figures = ["CURSOR", "END", "LAG", "IN", "OUT", "DROPPED", "FAILED"];
    let mut rows = vec![place_heading(flow)];
    rows[0].extend(figures.map(str::to_owned));
    rows.extend(flow.partitions.iter().map(|p| {
        let mut row = place(flow, p);
        row.extend(
            [
                p.cursor,
                p.end,
                p.lag,
                p.records_in.cast_signed(),
                p.records_out.cast_signed(),
                p.dropped.cast_signed(),
                failed(p).cast_signed(),
            ]
            .map(|number| number.to_string()),
        );
        row
    }));
    format!("\n{}", table(&rows))
}

/// The columns that [`place`] fills.
fn place_heading(flow: &FlowInfo) -> Vec<String> {
    let topic = (flow.spec.from.len() > 1).then_some("TOPIC");
    topic
        .into_iter()
        .chain(["PARTITION"])
        .map(str::to_owned)
        .collect()
}

/// The partition, with its topic if there are several.
fn place(flow: &FlowInfo, partition: &FlowPartitionInfo) -> Vec<String> {
    let topics = &flow.spec.from;
    let topic = topics.get(partition.source as usize).filter(|_| topics.len() > 1);
    topic
        .cloned()
        .into_iter()
        .chain([partition.partition.to_string()])
        .collect()
}
