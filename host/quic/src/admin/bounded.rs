//! Flows that come to an end, in the protocol's words and in the broker's.

use weir_broker as broker;
use weir_broker::BrokerError;
use weir_protocol as wire;

use super::info::{start, unknown};

pub(super) fn bounded(bounded: broker::FlowBounded) -> wire::FlowBounded {
    wire::FlowBounded {
        of: bounded.of,
        kind: match bounded.kind {
            broker::BoundedKind::Backfill => wire::FlowBoundedKind::Backfill,
            broker::BoundedKind::Letters => wire::FlowBoundedKind::Letters,
            broker::BoundedKind::Range => wire::FlowBoundedKind::Range,
        },
    }
}

/// # Errors
/// [`InvalidFlow`](broker::ErrorKind::InvalidFlow) for what only a later version knows.
pub(super) fn backfill(backfill: wire::FlowBackfill) -> Result<broker::Backfill, BrokerError> {
    Ok(broker::Backfill {
        name: backfill.name,
        start: start(backfill.start),
        until: match backfill.until {
            wire::FlowUntil::Now => broker::Until::Now,
            wire::FlowUntil::Offset(offset) => broker::Until::Offset(offset),
            wire::FlowUntil::Time(timestamp_ms) => broker::Until::Time(timestamp_ms),
            ref other => return Err(unknown(other)),
        },
        plugins: backfill.plugins,
        to: backfill.to,
    })
}

/// # Errors
/// [`InvalidFlow`](broker::ErrorKind::InvalidFlow) for what only a later version knows.
pub(super) fn replay(replay: wire::FlowReplay) -> Result<broker::Replay, BrokerError> {
    Ok(match replay {
        wire::FlowReplay::Letters { start: from } => broker::Replay::Letters {
            start: from.map(start),
        },
        wire::FlowReplay::Range {
            topic,
            partition,
            from,
            to,
            name,
        } => broker::Replay::Range {
            topic,
            partition,
            offsets: from..to,
            name,
        },
        ref other => return Err(unknown(other)),
    })
}
