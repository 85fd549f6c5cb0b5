//! Flows, as messages have them.

use proptest::{collection, option, prelude::*};
use weir_protocol::{
    Difference, DryRun, DryRunFailure, FlowBackfill, FlowBounded, FlowBoundedKind, FlowCalls, FlowChange,
    FlowFaults, FlowGuestInfo, FlowHistogram, FlowInfo, FlowLimits, FlowMode, FlowPartitionInfo, FlowPlace,
    FlowProducingInfo, FlowReplay, FlowRevision, FlowSchedule, FlowSpec, FlowState, FlowUntil, OnError,
    PartitionBy, Trial,
};

use crate::basics::{settings, start, text, texts};

pub(crate) fn flow_spec() -> impl Strategy<Value = FlowSpec> {
    let on_error = proptest::sample::select(vec![
        OnError::Pause,
        OnError::Skip,
        OnError::DeadLetter,
        OnError::Retry,
    ]);
    let mode = proptest::sample::select(vec![FlowMode::Stream, FlowMode::Ingest]);
    let partition_by = proptest::sample::select(vec![PartitionBy::Key, PartitionBy::Source]);
    let schedule = prop_oneof![
        any::<u64>().prop_map(FlowSchedule::EveryMs),
        text().prop_map(FlowSchedule::Cron),
    ];
    (
        text(),
        texts(),
        option::of(schedule),
        texts(),
        texts(),
        settings(),
        start(),
        on_error,
        mode,
        (partition_by, any::<bool>()),
    )
        .prop_map(
            |(
                name,
                from,
                schedule,
                plugins,
                to,
                config,
                start,
                on_error,
                mode,
                (partition_by, allow_cycle),
            )| FlowSpec {
                name,
                from,
                schedule,
                plugins,
                to,
                config,
                start,
                on_error,
                mode,
                partition_by,
                allow_cycle,
                allow_http: vec!["http://localhost:8080".to_owned()],
                limits: FlowLimits {
                    memory_bytes: Some(1),
                    ..FlowLimits::default()
                },
            },
        )
}

pub(crate) fn flow_revision() -> impl Strategy<Value = FlowRevision> {
    let numbers = (any::<u32>(), any::<u64>(), option::of(any::<u32>()));
    let from = collection::vec(collection::vec(any::<i64>(), 0..3), 0..3);
    (flow_spec(), numbers, from).prop_map(|(spec, (number, since_ms, back_to), from)| FlowRevision {
        number,
        plugins: spec.plugins,
        config: spec.config,
        on_error: spec.on_error,
        allow_http: spec.allow_http,
        limits: spec.limits,
        since_ms,
        from,
        back_to,
    })
}

pub(crate) fn flow_bounded() -> impl Strategy<Value = FlowBounded> {
    let kind = proptest::sample::select(vec![
        FlowBoundedKind::Backfill,
        FlowBoundedKind::Letters,
        FlowBoundedKind::Range,
    ]);
    (text(), kind).prop_map(|(of, kind)| FlowBounded { of, kind })
}

pub(crate) fn flow_backfill() -> impl Strategy<Value = FlowBackfill> {
    let until = prop_oneof![
        Just(FlowUntil::Now),
        any::<i64>().prop_map(FlowUntil::Offset),
        any::<i64>().prop_map(FlowUntil::Time),
    ];
    (option::of(text()), start(), until, texts(), texts()).prop_map(|(name, start, until, plugins, to)| {
        FlowBackfill {
            name,
            start,
            until,
            plugins,
            to,
        }
    })
}

pub(crate) fn flow_replay() -> impl Strategy<Value = FlowReplay> {
    let names = (option::of(text()), option::of(text()));
    let range =
        (names, any::<u32>(), any::<(i64, i64)>()).prop_map(|((topic, name), partition, (from, to))| {
            FlowReplay::Range {
                topic,
                partition,
                from,
                to,
                name,
            }
        });
    let letters = option::of(start()).prop_map(|start| FlowReplay::Letters { start });
    prop_oneof![letters, range]
}

pub(crate) fn flow_change() -> impl Strategy<Value = FlowChange> {
    (flow_spec(), texts(), any::<bool>()).prop_map(|(spec, unset, policy)| FlowChange {
        plugins: spec.plugins,
        set: spec.config,
        unset,
        on_error: policy.then_some(spec.on_error),
        allow_http: policy.then_some(spec.allow_http),
        limits: spec.limits,
        unset_limits: spec.to,
    })
}

pub(crate) fn trial() -> impl Strategy<Value = Trial> {
    let failure =
        (any::<(u32, i64)>(), text(), option::of(text())).prop_map(|((partition, offset), reason, other)| {
            DryRunFailure {
                topic: reason.clone(),
                partition,
                offset,
                plugin: other.clone(),
                reason,
                sample: other,
                dead_letter: offset % 2 == 0,
            }
        });
    let numbers = any::<[u64; 8]>();
    let out = collection::btree_map(text(), any::<u64>(), 0..3);
    (texts(), numbers, out, collection::vec(failure, 0..3)).prop_map(|(plugins, n, records_out, failures)| {
        Trial {
            plugins,
            records_in: n[0],
            bytes_in: n[1],
            records_out,
            bytes_out: n[2],
            dropped: n[3],
            failed: n[4],
            dead_lettered: n[7],
            failures,
            guest_ns: n[5],
            memory_bytes_peak: n[6],
        }
    })
}

pub(crate) fn dry_run() -> impl Strategy<Value = DryRun> {
    let difference = (text(), any::<(u32, i64)>(), texts(), texts()).prop_map(
        |(topic, (partition, offset), running, tried)| Difference {
            topic,
            partition,
            offset,
            running,
            tried,
        },
    );
    let numbers = any::<[u64; 2]>();
    let differences = collection::vec(difference, 0..3);
    (
        trial(),
        option::of(trial()),
        numbers,
        differences,
        option::of(text()),
    )
        .prop_map(
            |(tried, running, [same, different], differences, cut_short)| DryRun {
                tried,
                running,
                same,
                different,
                differences,
                cut_short,
            },
        )
}

pub(crate) fn flow_calls() -> impl Strategy<Value = FlowCalls> {
    any::<[u64; 12]>().prop_map(
        |[
            count,
            p50_ns,
            p99_ns,
            max_ns,
            trap,
            deadline,
            memory,
            output,
            refused,
            dead_letter,
            retry,
            other,
        ]| FlowCalls {
            count,
            p50_ns,
            p99_ns,
            max_ns,
            faults: FlowFaults {
                trap,
                deadline,
                memory,
                output,
                refused,
                dead_letter,
                retry,
                other,
            },
        },
    )
}

pub(crate) fn flow_guest() -> impl Strategy<Value = FlowGuestInfo> {
    let finite = || proptest::num::f64::NORMAL | proptest::num::f64::ZERO;
    let histogram =
        (any::<u64>(), proptest::array::uniform5(finite())).prop_map(|(count, [sum, min, max, p50, p99])| {
            FlowHistogram {
                count,
                sum,
                min,
                max,
                p50,
                p99,
            }
        });
    (
        text(),
        any::<[u64; 3]>(),
        collection::btree_map(text(), any::<u64>(), 0..3),
        collection::btree_map(text(), histogram, 0..3),
    )
        .prop_map(
            |(plugin, [memory_bytes_peak, restarts, metrics_left_out], counters, histograms)| FlowGuestInfo {
                plugin,
                memory_bytes_peak,
                restarts,
                counters,
                histograms,
                metrics_left_out,
            },
        )
}

pub(crate) fn flow_info() -> impl Strategy<Value = FlowInfo> {
    let state = prop_oneof![
        Just(FlowState::Starting),
        Just(FlowState::Running),
        text().prop_map(|reason| FlowState::Waiting { reason }),
        text().prop_map(|reason| FlowState::Paused { reason }),
        text().prop_map(|reason| FlowState::Finished { reason })
    ];
    let partition = (
        (any::<[u32; 2]>(), option::of(any::<i64>())),
        any::<[i64; 3]>(),
        any::<[u64; 11]>(),
        flow_calls(),
    )
        .prop_map(
            |(
                ([source, partition], until),
                [cursor, end, lag],
                [
                    records_in,
                    records_out,
                    dropped,
                    errors,
                    guest_ns,
                    bytes_in,
                    bytes_out,
                    skipped,
                    dead_lettered,
                    rejected,
                    retried,
                ],
                calls,
            )| {
                FlowPartitionInfo {
                    source,
                    partition,
                    cursor,
                    end,
                    until,
                    lag,
                    records_in,
                    bytes_in,
                    bytes_out,
                    records_out,
                    dropped,
                    skipped,
                    dead_lettered,
                    rejected,
                    retried,
                    errors,
                    guest_ns,
                    calls,
                }
            },
        );
    let place = (
        text(),
        any::<u32>(),
        any::<i64>(),
        option::of(any::<i64>()),
        option::of(text()),
        option::of(text()),
    )
        .prop_map(
            |(topic, partition, offset, last_offset, plugin, sample)| FlowPlace {
                topic,
                partition,
                offset,
                last_offset,
                plugin,
                sample,
            },
        );
    let producing = (
        any::<[u64; 7]>(),
        option::of(text()),
        option::of(any::<u64>()),
        option::of(any::<u64>()),
        flow_calls(),
    )
        .prop_map(
            |(
                [pages, records, polls, refused, failed, errors, guest_ns],
                cursor,
                last_poll_ms,
                next_poll_ms,
                calls,
            )| FlowProducingInfo {
                pages,
                records,
                cursor,
                polls,
                refused,
                failed,
                errors,
                guest_ns,
                calls,
                last_poll_ms,
                next_poll_ms,
            },
        );
    let numbers = (any::<u32>(), any::<u64>());
    (
        flow_spec(),
        state,
        option::of(place),
        numbers,
        (texts(), collection::vec(flow_revision(), 0..3)),
        option::of(text()),
        (
            collection::vec(partition, 0..4),
            option::of(producing),
            collection::vec(flow_guest(), 0..3),
            option::of(flow_bounded()),
        ),
    )
        .prop_map(
            |(
                spec,
                state,
                stopped_at,
                (id, created_ms),
                (log, revisions),
                dead_letter,
                (partitions, producing, guests, bounded),
            )| {
                FlowInfo {
                    spec,
                    bounded,
                    state,
                    stopped_at,
                    id,
                    created_ms,
                    revisions,
                    log,
                    dead_letter,
                    partitions,
                    guests,
                    producing,
                }
            },
        )
}
