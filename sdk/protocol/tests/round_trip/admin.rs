//! Requests, answers, and what is in them.

use proptest::{collection, option, prelude::*};
use weir_protocol::{
    AdminRequest, AdminResponse, BrokerInfo, DamagedOffsets, FlowStatePage, FlowStatePlace, FlowStateQuery,
    FlowStateRow, FlowStateSchema, FlowStateTotals, PartitionInfo, PluginInfo, PluginKind, RecordResults,
    RecordRun, Rejection, TopicInfo, TopicSummary,
};

use crate::basics::{octets, settings, start, text, texts};
use crate::flow::{dry_run, flow_backfill, flow_change, flow_info, flow_replay, flow_spec};

pub(crate) fn plugin_info() -> impl Strategy<Value = PluginInfo> {
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
        [texts(), texts()],
    )
        .prop_map(
            |(name, version, kind, sha256, [size, created_ms], imports, [used_by, kept_for])| PluginInfo {
                name,
                version,
                kind,
                sha256,
                size,
                created_ms,
                imports,
                used_by,
                kept_for,
            },
        )
}

pub(crate) fn topic_info() -> impl Strategy<Value = TopicInfo> {
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

pub(crate) fn state_place() -> impl Strategy<Value = FlowStatePlace> {
    (any::<u32>(), text(), octets()).prop_map(|(partition, plugin, key)| FlowStatePlace {
        partition,
        plugin,
        key,
    })
}

pub(crate) fn state_query() -> impl Strategy<Value = FlowStateQuery> {
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

pub(crate) fn state_page() -> impl Strategy<Value = FlowStatePage> {
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

pub(crate) fn request() -> impl Strategy<Value = AdminRequest> {
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

pub(crate) fn response() -> impl Strategy<Value = AdminResponse> {
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

pub(crate) fn record_results() -> impl Strategy<Value = RecordResults> {
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
