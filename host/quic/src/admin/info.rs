//! The broker's types as peers see them, and the other way round.

use weir_broker as broker;
use weir_broker::{BrokerError, ErrorKind};
use weir_protocol as wire;

pub(super) fn start(start: wire::Start) -> broker::Start {
    match start {
        wire::Start::Earliest => broker::Start::Earliest,
        wire::Start::Latest => broker::Start::Latest,
        wire::Start::Offset(offset) => broker::Start::Offset(offset),
        wire::Start::Time(timestamp_ms) => broker::Start::Time(timestamp_ms),
    }
}

fn wire_start(start: broker::Start) -> wire::Start {
    match start {
        broker::Start::Earliest => wire::Start::Earliest,
        broker::Start::Latest => wire::Start::Latest,
        broker::Start::Offset(offset) => wire::Start::Offset(offset),
        broker::Start::Time(timestamp_ms) => wire::Start::Time(timestamp_ms),
    }
}

pub(super) fn topic(topic: broker::TopicInfo) -> wire::TopicInfo {
    let partitions = topic.partitions.into_iter().map(|partition| wire::PartitionInfo {
        partition: partition.partition,
        log_start_offset: partition.log_start_offset,
        high_watermark: partition.high_watermark,
        bytes: partition.bytes,
        damaged: partition.damaged.map(|damaged| wire::DamagedOffsets {
            from: damaged.from,
            to: damaged.to,
            offsets: damaged.offsets,
            stretches: damaged.stretches,
        }),
    });
    wire::TopicInfo {
        partitions: partitions.collect(),
        name: topic.name,
        id: topic.id,
        config: topic.config,
    }
}

pub(super) fn topic_summary(topic: broker::TopicInfo) -> wire::TopicSummary {
    wire::TopicSummary {
        name: topic.name,
        id: topic.id,
        partitions: u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX),
    }
}

pub(super) fn plugin(plugin: broker::PluginInfo) -> wire::PluginInfo {
    let kind = match plugin.kind {
        broker::PluginKind::Filter => wire::PluginKind::Filter,
        broker::PluginKind::Transform => wire::PluginKind::Transform,
        broker::PluginKind::Producer => wire::PluginKind::Producer,
    };
    wire::PluginInfo {
        name: plugin.name,
        version: plugin.version,
        kind,
        sha256: plugin.sha256,
        size: plugin.size,
        created_ms: since_1970(plugin.created_ms),
        imports: plugin.imports,
        used_by: plugin.used_by,
        kept_for: plugin.kept_for,
    }
}

fn flow_limits(limits: wire::FlowLimits) -> broker::FlowLimits {
    broker::FlowLimits {
        call_ms: limits.call_ms,
        record_us: limits.record_us,
        memory_bytes: limits.memory_bytes,
        output_bytes: limits.output_bytes,
        record_output_bytes: limits.record_output_bytes,
        output_records: limits.output_records,
        record_output_records: limits.record_output_records,
        log_bytes_per_s: limits.log_bytes_per_s,
        log_lines_per_s: limits.log_lines_per_s,
        state_bytes: limits.state_bytes,
    }
}

fn wire_flow_limits(limits: &broker::FlowLimits) -> wire::FlowLimits {
    wire::FlowLimits {
        call_ms: limits.call_ms,
        record_us: limits.record_us,
        memory_bytes: limits.memory_bytes,
        output_bytes: limits.output_bytes,
        record_output_bytes: limits.record_output_bytes,
        output_records: limits.output_records,
        record_output_records: limits.record_output_records,
        log_bytes_per_s: limits.log_bytes_per_s,
        log_lines_per_s: limits.log_lines_per_s,
        state_bytes: limits.state_bytes,
    }
}

pub(super) fn unknown(what: &dyn std::fmt::Debug) -> BrokerError {
    BrokerError::new(
        ErrorKind::InvalidFlow,
        format!("this broker does not know {what:?}"),
    )
}

fn on_error(policy: wire::OnError) -> Result<broker::OnError, BrokerError> {
    Ok(match policy {
        wire::OnError::Pause => broker::OnError::Pause,
        wire::OnError::Skip => broker::OnError::Skip,
        wire::OnError::DeadLetter => broker::OnError::DeadLetter,
        wire::OnError::Retry => broker::OnError::Retry,
        ref other => return Err(unknown(other)),
    })
}

fn wire_on_error(policy: broker::OnError) -> wire::OnError {
    match policy {
        broker::OnError::Pause => wire::OnError::Pause,
        broker::OnError::Skip => wire::OnError::Skip,
        broker::OnError::DeadLetter => wire::OnError::DeadLetter,
        broker::OnError::Retry => wire::OnError::Retry,
    }
}

/// # Errors
/// [`ErrorKind::InvalidFlow`] for what only a later version knows.
pub(super) fn flow_spec(spec: wire::FlowSpec) -> Result<broker::FlowSpec, BrokerError> {
    let on_error = on_error(spec.on_error)?;
    let mode = match spec.mode {
        wire::FlowMode::Stream => broker::Mode::Stream,
        wire::FlowMode::Ingest => broker::Mode::Ingest,
        ref other => return Err(unknown(other)),
    };
    let schedule = match spec.schedule {
        None => None,
        Some(wire::FlowSchedule::EveryMs(ms)) => Some(broker::Schedule::EveryMs(ms)),
        Some(wire::FlowSchedule::Cron(expression)) => Some(broker::Schedule::Cron(expression)),
        Some(ref other) => return Err(unknown(other)),
    };
    let partition_by = match spec.partition_by {
        wire::PartitionBy::Key => broker::PartitionBy::Key,
        wire::PartitionBy::Source => broker::PartitionBy::Source,
        ref other => return Err(unknown(other)),
    };
    Ok(broker::FlowSpec {
        name: spec.name,
        from: spec.from,
        schedule,
        plugins: spec.plugins,
        to: spec.to,
        config: spec.config,
        start: start(spec.start),
        on_error,
        mode,
        partition_by,
        allow_cycle: spec.allow_cycle,
        allow_http: spec.allow_http,
        limits: flow_limits(spec.limits),
    })
}

fn wire_flow_spec(spec: broker::FlowSpec) -> wire::FlowSpec {
    wire::FlowSpec {
        name: spec.name,
        from: spec.from,
        schedule: spec.schedule.map(|schedule| match schedule {
            broker::Schedule::EveryMs(ms) => wire::FlowSchedule::EveryMs(ms),
            broker::Schedule::Cron(expression) => wire::FlowSchedule::Cron(expression),
        }),
        plugins: spec.plugins,
        to: spec.to,
        config: spec.config,
        start: wire_start(spec.start),
        on_error: wire_on_error(spec.on_error),
        mode: match spec.mode {
            broker::Mode::Stream => wire::FlowMode::Stream,
            broker::Mode::Ingest => wire::FlowMode::Ingest,
        },
        allow_http: spec.allow_http,
        limits: wire_flow_limits(&spec.limits),
        allow_cycle: spec.allow_cycle,
        partition_by: match spec.partition_by {
            broker::PartitionBy::Key => wire::PartitionBy::Key,
            broker::PartitionBy::Source => wire::PartitionBy::Source,
        },
    }
}

pub(super) fn flow(flow: broker::FlowInfo) -> wire::FlowInfo {
    let (state, stopped_at) = match flow.status {
        broker::FlowStatus::Starting => (wire::FlowState::Starting, None),
        broker::FlowStatus::Running => (wire::FlowState::Running, None),
        broker::FlowStatus::Waiting { reason } => (wire::FlowState::Waiting { reason }, None),
        broker::FlowStatus::Paused(pause) if pause.finished => {
            (wire::FlowState::Finished { reason: pause.reason }, None)
        }
        broker::FlowStatus::Paused(pause) => (
            wire::FlowState::Paused { reason: pause.reason },
            pause.place.map(place),
        ),
    };
    wire::FlowInfo {
        spec: wire_flow_spec(flow.spec),
        bounded: flow.bounded.map(super::bounded::bounded),
        state,
        stopped_at,
        id: flow.id,
        created_ms: since_1970(flow.created_ms),
        revisions: flow.revisions.into_iter().map(flow_revision).collect(),
        log: flow.log,
        dead_letter: flow.dead_letter,
        partitions: flow.partitions.into_iter().map(flow_partition).collect(),
        guests: flow.guests.into_iter().map(guest).collect(),
        producing: flow.producing.map(producing),
    }
}

fn guest(guest: broker::FlowGuestInfo) -> wire::FlowGuestInfo {
    let histogram = |(name, seen): (String, broker::FlowHistogram)| {
        let seen = wire::FlowHistogram {
            count: seen.count,
            sum: seen.sum,
            min: seen.min,
            max: seen.max,
            p50: seen.p50,
            p99: seen.p99,
        };
        (name, seen)
    };
    wire::FlowGuestInfo {
        plugin: guest.plugin,
        memory_bytes_peak: guest.memory_bytes_peak,
        restarts: guest.restarts,
        counters: guest.counters,
        histograms: guest.histograms.into_iter().map(histogram).collect(),
        metrics_left_out: guest.metrics_left_out,
    }
}

fn calls(calls: broker::FlowCalls) -> wire::FlowCalls {
    let faults = calls.faults;
    wire::FlowCalls {
        count: calls.count,
        p50_ns: calls.p50_ns,
        p99_ns: calls.p99_ns,
        max_ns: calls.max_ns,
        faults: wire::FlowFaults {
            trap: faults.trap,
            deadline: faults.deadline,
            memory: faults.memory,
            output: faults.output,
            refused: faults.refused,
            dead_letter: faults.dead_letter,
            retry: faults.retry,
            other: faults.other,
        },
    }
}

fn producing(producing: broker::FlowProducingInfo) -> wire::FlowProducingInfo {
    wire::FlowProducingInfo {
        pages: producing.pages,
        records: producing.records,
        cursor: producing.cursor,
        polls: producing.polls,
        refused: producing.refused,
        failed: producing.failed,
        errors: producing.errors,
        guest_ns: producing.guest_ns,
        calls: calls(producing.calls),
        last_poll_ms: producing.last_poll_ms.map(since_1970),
        next_poll_ms: producing.next_poll_ms.map(since_1970),
    }
}

fn flow_revision(revision: broker::FlowRevision) -> wire::FlowRevision {
    wire::FlowRevision {
        number: revision.number,
        plugins: revision.plugins,
        config: revision.config,
        on_error: wire_on_error(revision.on_error),
        allow_http: revision.allow_http,
        limits: wire_flow_limits(&revision.limits),
        since_ms: since_1970(revision.since_ms),
        from: revision.from,
        back_to: revision.back_to,
    }
}

/// What to change about a flow, in the broker's words.
pub(super) fn flow_change(change: wire::FlowChange) -> Result<broker::FlowChange, BrokerError> {
    Ok(broker::FlowChange {
        plugins: change.plugins,
        set: change.set,
        unset: change.unset,
        on_error: change.on_error.map(on_error).transpose()?,
        allow_http: change.allow_http,
        limits: flow_limits(change.limits),
        unset_limits: change.unset_limits,
    })
}

fn place(place: broker::Place) -> wire::FlowPlace {
    wire::FlowPlace {
        topic: place.topic,
        partition: place.partition,
        offset: place.offset,
        last_offset: place.last_offset,
        plugin: place.plugin,
        sample: place.sample,
    }
}

fn flow_partition(partition: broker::FlowPartitionInfo) -> wire::FlowPartitionInfo {
    wire::FlowPartitionInfo {
        source: partition.source,
        partition: partition.partition,
        cursor: partition.cursor,
        end: partition.end,
        until: partition.until,
        lag: i64::try_from(partition.lag).unwrap_or(i64::MAX),
        records_in: partition.records_in,
        bytes_in: partition.bytes_in,
        records_out: partition.records_out,
        bytes_out: partition.bytes_out,
        dropped: partition.dropped,
        skipped: partition.skipped,
        dead_lettered: partition.dead_lettered,
        rejected: partition.rejected,
        retried: partition.retried,
        errors: partition.errors,
        guest_ns: partition.guest_ns,
        calls: calls(partition.calls),
    }
}

/// Milliseconds since 1970; a clock before that counts as 1970.
fn since_1970(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or_default()
}
