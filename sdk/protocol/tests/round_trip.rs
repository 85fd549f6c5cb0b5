//! What is written is what is read, however the bytes are cut on the way.

use std::collections::BTreeMap;

use bytes::{Buf, BytesMut};
use proptest::{collection, option, prelude::*};
use weir_protocol::{
    Ack, AdminRequest, AdminResponse, BrokerInfo, ControlMessage, DamagedOffsets, Difference, DryRun,
    DryRunFailure, ErrorCode, FlowBackfill, FlowBounded, FlowBoundedKind, FlowCalls, FlowChange, FlowFaults,
    FlowGuestInfo, FlowHistogram, FlowInfo, FlowLimits, FlowMode, FlowPartitionInfo, FlowPlace,
    FlowProducingInfo, FlowReplay, FlowRevision, FlowSchedule, FlowSpec, FlowState, FlowStatePage,
    FlowStatePlace, FlowStateQuery, FlowStateRow, FlowStateSchema, FlowStateTotals, FlowUntil, Frame,
    FrameDecoder, FrameHeader, FrameKind, FrameLimits, Goodbye, Hello, HelloOk, OnError, OpenProduce,
    OpenSubscribe, PRODUCE_HEADER_LEN, PartitionBy, PartitionInfo, PartitionStart, PluginInfo, PluginKind,
    ProduceHeader, ProduceOpened, RECORDS_HEADER_LEN, RecordResults, RecordRun, RecordsHeader, Rejection,
    Start, SubscribeControl, SubscribeOpened, SubscribeProgress, SubscribedPartition, SubscriptionFilter,
    TopicInfo, TopicSummary, Trial, WireError, encode_control, encode_control_into,
};

/// Writes the message, cuts it into one-byte chunks, and reads it again.
fn round_trip<M: ControlMessage + PartialEq + core::fmt::Debug>(message: &M) {
    let bytes = encode_control(message).expect("the message is small");
    let mut decoder = FrameDecoder::new(FrameLimits::CONTROL);
    let mut frames = Vec::new();
    for byte in &bytes {
        frames.extend(
            decoder
                .decode(&mut std::slice::from_ref(byte))
                .expect("the frame is well formed"),
        );
    }
    decoder.finish().expect("the frame is whole");
    assert_eq!(frames.len(), 1);
    assert_eq!(
        &frames[0].message::<M>().expect("the message is well formed"),
        message
    );
}

fn text() -> impl Strategy<Value = String> {
    ".{0,40}"
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    collection::vec(text(), 0..4)
}

fn settings() -> impl Strategy<Value = BTreeMap<String, String>> {
    collection::btree_map(text(), text(), 0..4)
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![
        Just(Start::Earliest),
        Just(Start::Latest),
        any::<i64>().prop_map(Start::Offset),
        any::<i64>().prop_map(Start::Time)
    ]
}

fn wire_error() -> impl Strategy<Value = WireError> {
    (
        proptest::sample::select(ErrorCode::ALL),
        text(),
        option::of((any::<u32>(), option::of(any::<i64>()))),
    )
        .prop_map(|(code, message, place)| {
            let error = WireError::new(code, message);
            match place {
                Some((partition, offset)) => error.at(partition, offset),
                None => error,
            }
        })
}

fn flow_spec() -> impl Strategy<Value = FlowSpec> {
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

fn flow_revision() -> impl Strategy<Value = FlowRevision> {
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

fn flow_bounded() -> impl Strategy<Value = FlowBounded> {
    let kind = proptest::sample::select(vec![
        FlowBoundedKind::Backfill,
        FlowBoundedKind::Letters,
        FlowBoundedKind::Range,
    ]);
    (text(), kind).prop_map(|(of, kind)| FlowBounded { of, kind })
}

fn flow_backfill() -> impl Strategy<Value = FlowBackfill> {
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

fn flow_replay() -> impl Strategy<Value = FlowReplay> {
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

fn flow_change() -> impl Strategy<Value = FlowChange> {
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

fn trial() -> impl Strategy<Value = Trial> {
    let failure =
        (any::<(u32, i64)>(), text(), option::of(text())).prop_map(|((partition, offset), reason, other)| {
            DryRunFailure {
                topic: reason.clone(),
                partition,
                offset,
                plugin: other.clone(),
                reason,
                sample: other,
            }
        });
    let numbers = any::<[u64; 7]>();
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
            failures,
            guest_ns: n[5],
            memory_bytes_peak: n[6],
        }
    })
}

fn dry_run() -> impl Strategy<Value = DryRun> {
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

fn flow_calls() -> impl Strategy<Value = FlowCalls> {
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

fn flow_guest() -> impl Strategy<Value = FlowGuestInfo> {
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

fn flow_info() -> impl Strategy<Value = FlowInfo> {
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

fn plugin_info() -> impl Strategy<Value = PluginInfo> {
    let kind = proptest::sample::select(vec![
        PluginKind::Filter,
        PluginKind::Transform,
        PluginKind::Producer,
    ]);
    (
        text(),
        any::<u32>(),
        kind,
        text(),
        any::<[u64; 2]>(),
        texts(),
        texts(),
    )
        .prop_map(
            |(name, version, kind, sha256, [size, created_ms], imports, used_by)| PluginInfo {
                name,
                version,
                kind,
                sha256,
                size,
                created_ms,
                imports,
                used_by,
            },
        )
}

fn topic_info() -> impl Strategy<Value = TopicInfo> {
    let damaged =
        (any::<[i64; 3]>(), any::<u32>()).prop_map(|([from, to, offsets], stretches)| DamagedOffsets {
            from,
            to,
            offsets,
            stretches,
        });
    let partition = (any::<u32>(), any::<[i64; 2]>(), any::<u64>(), option::of(damaged)).prop_map(
        |(partition, [log_start_offset, high_watermark], bytes, damaged)| PartitionInfo {
            partition,
            log_start_offset,
            high_watermark,
            bytes,
            damaged,
        },
    );
    (text(), any::<u32>(), collection::vec(partition, 0..4), settings()).prop_map(
        |(name, id, partitions, config)| TopicInfo {
            name,
            id,
            partitions,
            config,
        },
    )
}

fn octets() -> impl Strategy<Value = Vec<u8>> {
    collection::vec(any::<u8>(), 0..40)
}

fn state_place() -> impl Strategy<Value = FlowStatePlace> {
    (any::<u32>(), text(), octets()).prop_map(|(partition, plugin, key)| FlowStatePlace {
        partition,
        plugin,
        key,
    })
}

fn state_query() -> impl Strategy<Value = FlowStateQuery> {
    let narrow = (option::of(any::<u32>()), option::of(text()), octets());
    (
        narrow,
        option::of(state_place()),
        any::<u32>(),
        option::of(text()),
    )
        .prop_map(
            |((partition, plugin, prefix), after, rows_max, topic)| FlowStateQuery {
                topic,
                partition,
                plugin,
                prefix,
                after,
                rows_max,
            },
        )
}

fn state_page() -> impl Strategy<Value = FlowStatePage> {
    let row = (state_place(), octets(), any::<u64>(), option::of(any::<i64>())).prop_map(
        |(place, value, value_bytes, expires_ms)| FlowStateRow {
            place,
            value,
            value_bytes,
            expires_ms,
        },
    );
    let totals =
        (any::<u32>(), any::<u64>(), any::<u64>()).prop_map(|(partition, rows, bytes)| FlowStateTotals {
            partition,
            rows,
            bytes,
        });
    let schema = (any::<u32>(), text(), any::<u32>(), option::of(any::<u32>())).prop_map(
        |(partition, plugin, version, migrating_to)| FlowStateSchema {
            partition,
            plugin,
            version,
            migrating_to,
        },
    );
    (
        collection::vec(row, 0..4),
        any::<bool>(),
        collection::vec(totals, 0..4),
        collection::vec(schema, 0..4),
    )
        .prop_map(|(rows, more, totals, schemas)| FlowStatePage {
            rows,
            more,
            totals,
            schemas,
        })
}

fn request() -> impl Strategy<Value = AdminRequest> {
    prop_oneof![
        (text(), option::of(any::<u32>()), settings()).prop_map(|(name, partitions, config)| {
            AdminRequest::CreateTopic {
                name,
                partitions,
                config,
            }
        }),
        Just(AdminRequest::ListTopics),
        text().prop_map(|name| AdminRequest::DescribeTopic { name }),
        (text(), settings(), option::of(any::<u32>())).prop_map(|(name, config, partitions)| {
            AdminRequest::AlterTopic {
                name,
                config,
                partitions,
            }
        }),
        text().prop_map(|name| AdminRequest::DeleteTopic { name }),
        (text(), any::<u32>(), start()).prop_map(|(topic, partition, start)| AdminRequest::ListOffsets {
            topic,
            partition,
            start
        }),
        (text(), any::<u64>(), option::of(text()))
            .prop_map(|(name, size, sha256)| AdminRequest::UploadPlugin { name, size, sha256 }),
        Just(AdminRequest::ListPlugins),
        text().prop_map(|name| AdminRequest::DescribePlugin { name }),
        text().prop_map(|name| AdminRequest::DeletePlugin { name }),
        flow_spec().prop_map(|spec| AdminRequest::CreateFlow { spec }),
        Just(AdminRequest::ListFlows),
        text().prop_map(|name| AdminRequest::DescribeFlow { name }),
        text().prop_map(|name| AdminRequest::PauseFlow { name }),
        text().prop_map(|name| AdminRequest::ResumeFlow { name }),
        text().prop_map(|name| AdminRequest::DeleteFlow { name }),
        (text(), flow_change()).prop_map(|(name, change)| AdminRequest::UpgradeFlow { name, change }),
        (text(), flow_change(), option::of(any::<u32>())).prop_map(|(name, change, records)| {
            AdminRequest::DryRunFlow {
                name,
                change,
                records,
                call_out: records.is_some(),
            }
        }),
        (text(), option::of(any::<u32>())).prop_map(|(name, to)| AdminRequest::RollbackFlow { name, to }),
        (text(), flow_backfill()).prop_map(|(name, backfill)| AdminRequest::BackfillFlow { name, backfill }),
        (text(), flow_replay()).prop_map(|(name, replay)| AdminRequest::ReplayFlow { name, replay }),
        (text(), state_query()).prop_map(|(name, query)| AdminRequest::FlowState { name, query }),
        Just(AdminRequest::DescribeBroker),
    ]
}

fn response() -> impl Strategy<Value = AdminResponse> {
    let summary = (text(), any::<u32>(), any::<u32>()).prop_map(|(name, id, partitions)| TopicSummary {
        name,
        id,
        partitions,
    });
    let broker = (text(), text(), any::<[u64; 7]>()).prop_map(|(version, cluster_id, counts)| {
        let [
            uptime_ms,
            connections,
            topics,
            partitions,
            plugins,
            flows,
            storage_bytes,
        ] = counts;
        BrokerInfo {
            version,
            cluster_id,
            uptime_ms,
            connections,
            topics,
            partitions,
            plugins,
            flows,
            storage_bytes,
        }
    });
    prop_oneof![
        Just(AdminResponse::Done),
        topic_info().prop_map(AdminResponse::Topic),
        collection::vec(summary, 0..4).prop_map(AdminResponse::Topics),
        any::<i64>().prop_map(|offset| AdminResponse::Offset { offset }),
        plugin_info().prop_map(AdminResponse::Plugin),
        (plugin_info(), any::<bool>()).prop_map(|(plugin, already_present)| AdminResponse::Uploaded {
            plugin,
            already_present
        }),
        collection::vec(plugin_info(), 0..4).prop_map(AdminResponse::Plugins),
        flow_info().prop_map(|flow| AdminResponse::Flow(Box::new(flow))),
        dry_run().prop_map(|found| AdminResponse::DryRun(Box::new(found))),
        collection::vec(flow_info(), 0..4).prop_map(AdminResponse::Flows),
        state_page().prop_map(AdminResponse::FlowState),
        broker.prop_map(AdminResponse::Broker),
    ]
}

fn record_results() -> impl Strategy<Value = RecordResults> {
    let rejections = collection::vec((any::<u16>(), any::<bool>(), text()), 1..5);
    let runs = collection::vec((0..3_u8, any::<u32>(), any::<u32>(), any::<u32>()), 0..20);
    (rejections, runs).prop_map(|(rejections, runs)| {
        let count = rejections.len() as u32;
        let run = |(kind, records, first, each)| match kind {
            0 => RecordRun::Stored { records, first, each },
            1 => RecordRun::Dropped { records },
            _ => RecordRun::Rejected {
                records,
                rejection: first % count,
            },
        };
        RecordResults {
            runs: runs.into_iter().map(run).collect(),
            rejections: rejections
                .into_iter()
                .map(|(code, retriable, reason)| Rejection {
                    code,
                    retriable,
                    reason,
                })
                .collect(),
        }
    })
}

proptest! {
    #[test]
    fn connection_messages(min in any::<u16>(), max in any::<u16>(), a in text(), b in text(), n in any::<u32>()) {
        round_trip(&Hello { min_version: min, max_version: max, client: a.clone() });
        round_trip(&Goodbye { reason: b.clone(), within_ms: n.into() });
        round_trip(&HelloOk {
            version: min, broker: a, cluster_id: b, max_batch_bytes: n, produce_window_frames: n / 2,
        });
    }

    #[test]
    fn produce_messages(
        topic in text(), idempotent: bool, id in option::of(any::<i64>()), epoch in option::of(any::<i16>()),
        numbers in any::<[u32; 4]>(), compression in text(),
    ) {
        round_trip(&OpenProduce { topic, idempotent, producer_id: id, producer_epoch: epoch, record_results: idempotent });
        let [topic_id, partitions, max_message_bytes, window_frames] = numbers;
        round_trip(&ProduceOpened {
            topic_id, partitions, max_message_bytes, window_frames, window_bytes: u64::from(topic_id) << 20,
            producer_id: id.unwrap_or(-1), producer_epoch: epoch.unwrap_or(-1), compression,
        });
    }

    #[test]
    fn subscribe_messages(
        topic in text(), start in start(), starts in collection::vec((any::<u32>(), start()), 0..5),
        opened in collection::vec(any::<(u32, i64, i64, i64)>(), 0..5), until_end: bool, n in any::<u32>(),
        config in collection::btree_map(text(), text(), 0..4), filtered: bool, next_offset: i64,
    ) {
        let partitions: Vec<u32> = starts.iter().map(|start| start.0).collect();
        round_trip(&OpenSubscribe {
            topic: topic.clone(), start, max_bytes_per_frame: n, until_end,
            filter: filtered.then(|| SubscriptionFilter { plugin: topic.clone(), config }),
            partitions: starts.into_iter().map(|(partition, start)| PartitionStart { partition, start }).collect(),
        });
        round_trip(&SubscribeOpened {
            topic_id: n,
            partitions: opened.into_iter().map(|(partition, start_offset, high_watermark, log_start_offset)| {
                SubscribedPartition { partition, start_offset, high_watermark, log_start_offset }
            }).collect(),
            filter: filtered.then_some(topic),
        });
        round_trip(&SubscribeProgress { partition: n, next_offset, high_watermark: next_offset });
        round_trip(&SubscribeControl::Seek { partition: n, start });
        round_trip(&SubscribeControl::Pause { partitions: partitions.clone() });
        round_trip(&SubscribeControl::Resume { partitions });
    }

    #[test]
    fn admin_messages(request in request(), response in response(), error in wire_error()) {
        round_trip(&request);
        round_trip(&response);
        round_trip(&error);
    }

    #[test]
    fn acks(
        partition: u32, base_offset: i64, log_start_offset: i64, duplicate: bool, error in option::of(wire_error()),
        results in option::of(record_results()),
    ) {
        let records = results.map(Box::new).filter(|_| error.is_none());
        let ack = Ack { partition, base_offset, log_start_offset, duplicate, records, error };
        let mut bytes = BytesMut::from(&b"before"[..]);
        ack.encode_into(&mut bytes).expect("the error is small");
        bytes.advance(6);
        let frame = FrameDecoder::new(FrameLimits::CLIENT).decode(&mut bytes).unwrap().expect("a whole frame");
        prop_assert!(bytes.is_empty());
        prop_assert_eq!(frame.kind(), FrameKind::Ack);
        prop_assert_eq!(Ack::decode(&frame.body).unwrap(), ack);
    }

    #[test]
    fn data_headers(partition: u32, end_reached: bool, high_watermark: i64, log_start_offset: i64, len in 0_usize..1 << 26) {
        let produce = ProduceHeader { partition };
        let bytes = produce.encode(len).unwrap();
        let frame = FrameHeader::decode(*bytes.first_chunk().unwrap()).unwrap();
        prop_assert_eq!(frame, FrameHeader::new(FrameKind::Produce, (len + PRODUCE_HEADER_LEN) as u32));
        prop_assert_eq!(ProduceHeader::decode(&bytes[8..]).unwrap(), produce);

        let records = RecordsHeader { partition, end_reached, high_watermark, log_start_offset };
        let bytes = records.encode(len).unwrap();
        let frame = FrameHeader::decode(*bytes.first_chunk().unwrap()).unwrap();
        prop_assert_eq!(frame, FrameHeader::new(FrameKind::Records, (len + RECORDS_HEADER_LEN) as u32));
        prop_assert_eq!(RecordsHeader::decode(&bytes[8..]).unwrap(), records);
    }

    #[test]
    fn frames_survive_any_cut(
        bodies in collection::vec(collection::vec(any::<u8>(), 0..300), 0..8),
        cuts in collection::vec(1_usize..200, 1..20),
    ) {
        let mut stream = BytesMut::new();
        for body in &bodies {
            stream.extend_from_slice(&FrameHeader::new(FrameKind::UploadChunk, body.len() as u32).encode());
            stream.extend_from_slice(body);
        }
        let mut decoder = FrameDecoder::new(FrameLimits::CLIENT);
        let mut frames: Vec<Frame> = Vec::new();
        let mut cuts = cuts.iter().copied().cycle();
        while stream.has_remaining() {
            let mut chunk = stream.split_to(cuts.next().expect("a cycle").min(stream.len()));
            while let Some(frame) = decoder.decode(&mut chunk).unwrap() {
                frames.push(frame);
            }
        }
        prop_assert!(decoder.is_between_frames());
        decoder.finish().unwrap();
        let found: Vec<&[u8]> = frames.iter().map(|frame| &frame.body[..]).collect();
        prop_assert_eq!(found, bodies);
    }
}

#[test]
fn a_large_body_arrives_in_one_piece() {
    let body: Vec<u8> = (0..5_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let mut decoder = FrameDecoder::new(FrameLimits::CLIENT);
    let header = FrameHeader::new(FrameKind::Records, body.len() as u32).encode();
    assert_eq!(decoder.decode(&mut &header[..]), Ok(None));
    let mut found = None;
    for mut chunk in body.chunks(1452) {
        assert_eq!(found, None);
        found = decoder.decode(&mut chunk).unwrap();
    }
    assert!(found.expect("the last chunk ends the frame").body == body);
}

#[test]
fn messages_follow_each_other_in_one_buffer() {
    let mut bytes = BytesMut::new();
    encode_control_into(&Hello::new("one"), &mut bytes).unwrap();
    encode_control_into(&Hello::new("two"), &mut bytes).unwrap();
    let mut decoder = FrameDecoder::new(FrameLimits::CONTROL);
    for name in ["one", "two"] {
        let hello: Hello = decoder
            .decode(&mut bytes)
            .unwrap()
            .expect("a frame")
            .message()
            .unwrap();
        assert_eq!(hello.client, name);
        assert_eq!(hello.negotiate(), Some(1));
    }
}

#[test]
fn versions_are_negotiated() {
    let hello = |min_version, max_version| Hello {
        min_version,
        max_version,
        client: String::new(),
    };
    assert_eq!(hello(1, 9).negotiate(), Some(1));
    assert_eq!(hello(0, 1).negotiate(), Some(1));
    assert_eq!(hello(2, 9).negotiate(), None);
    assert_eq!(hello(0, 0).negotiate(), None);
    assert_eq!(hello(9, 1).negotiate(), None);
}
