//! Keyed state of flows as peers see it.

use weir_broker as broker;
use weir_protocol as wire;

pub(super) fn query(query: wire::FlowStateQuery) -> broker::FlowStateQuery {
    broker::FlowStateQuery {
        topic: query.topic,
        partition: query.partition,
        plugin: query.plugin,
        prefix: query.prefix,
        after: query.after.map(|place| broker::FlowStatePlace {
            partition: place.partition,
            plugin: place.plugin,
            key: place.key,
        }),
        rows_max: query.rows_max as usize,
    }
}

pub(super) fn page(page: broker::FlowStatePage) -> wire::FlowStatePage {
    let rows = page.rows.into_iter().map(|row| wire::FlowStateRow {
        place: wire::FlowStatePlace {
            partition: row.place.partition,
            plugin: row.place.plugin,
            key: row.place.key,
        },
        value: row.value,
        value_bytes: row.value_bytes,
        expires_ms: row.expires_ms,
    });
    let totals = page.totals.into_iter().map(|totals| wire::FlowStateTotals {
        partition: totals.partition,
        rows: totals.rows,
        bytes: totals.bytes,
    });
    let schemas = page.schemas.into_iter().map(|schema| wire::FlowStateSchema {
        partition: schema.partition,
        plugin: schema.plugin,
        version: schema.version,
        migrating_to: schema.migrating_to,
    });
    wire::FlowStatePage {
        rows: rows.collect(),
        more: page.more,
        totals: totals.collect(),
        schemas: schemas.collect(),
    }
}
