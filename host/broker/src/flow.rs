//! Flows: plugins between topics, exactly once.
//!
//! A [`Flow`] has a [`supervisor`] that loads its plugins and has one [`runner`] for each [`lane`], a partition of one of
//! its source topics. A runner sends [`pass`] after pass to the threads for guests ([`pool`]); a pass reads some source batches, runs the
//! [`chain`] of plugins over them and has the outputs gathered into batches ([`collector`]). The [`committer`] writes them
//! together with the cursor.
//!
//! # Exactly once
//!
//! A pass takes the source records from where the last one ended up to some offset `b`. For every shard that gets outputs
//! of it, there is one entry with these outputs and the shard's [`cursor`] row: `applied = b`, this shard has all of its
//! outputs below `b`. An entry is written as a whole or not at all. The row's second field, `complete`, says what *all*
//! shards have; the [`window`] knows what of that an entry may say.
//!
//! After a crash the flow goes on from the highest `complete` of all shards. Outputs that a shard has already
//! (of source records below its `applied`) are left out ([`recovery`]). For that to be right, a record must go to the same
//! shard as before: so the rows keep the sinks' numbers of partitions, and a runner that sees them change lets
//! everything settle first.
//!
//! A flow with a schedule reads no topic: see [`producing`].
//!
//! Entries are pipelined. Should one fail and the next succeed, there would be a hole: so every entry expects its shard's row
//! to be what the entry before it has written, and is refused if it is not. Of a flow whose plugins keep [`state`], the entry of one shard has the last
//! word.

mod backoff;
mod bisect;
mod bounded;
pub(crate) mod calls;
mod chain;
mod check;
pub(crate) mod collector;
mod committer;
pub(crate) mod counters;
pub(crate) mod cursor;
pub(crate) mod dead_letter;
pub(crate) mod failure;
mod fair;
mod graph;
mod guest;
mod handle;
mod histogram;
pub(crate) mod http;
mod info;
mod lane;
mod letters;
mod lifecycle;
pub(crate) mod limits;
mod log;
pub(crate) mod log_topic;
mod metrics;
mod migration;
mod pass;
mod plugin_config;
pub(crate) mod policy;
mod pool;
mod producing;
mod recovery;
mod retries;
mod revision;
mod runner;
pub(crate) mod sinks;
mod spec;
mod state;
mod status;
mod supervisor;
mod window;
mod work;

pub(crate) use bisect::{Bisect, Culprit, bisect};
pub use bounded::{Backfill, BoundedKind, FlowBounded, Replay, Until};
pub use calls::{FlowCalls, FlowFaults};
pub(crate) use chain::{Chain, ChainError, FailedRecord, Seed};
pub(crate) use check::{check, check_bounded, check_change};
pub(crate) use handle::Flow;
pub use histogram::FlowHistogram;
pub use info::{FlowInfo, FlowPartitionInfo};
pub(crate) use lane::Lane;
pub(crate) use lifecycle::{Progress, delete_cursors, start_all, stop_all, stored_progress};
pub use limits::FlowLimits;
pub(crate) use log::FlowLog;
pub use metrics::FlowGuestInfo;
pub(crate) use migration::try_migration;
pub(crate) use pool::{FlowPool, PoolBounds};
pub use producing::FlowProducingInfo;
pub(crate) use producing::info as producing_info;
pub use revision::{FlowChange, FlowRevision};
pub(crate) use revision::{REVISIONS_MAX, before_running};
pub(crate) use runner::gone_reason;
pub use spec::{FlowSpec, Mode, OnError, PartitionBy, Schedule};
pub use state::{
    FlowStatePage, FlowStatePlace, FlowStateQuery, FlowStateRow, FlowStateSchema, FlowStateTotals,
};
pub(crate) use state::{StateOwner, delete_state, stage_labels};
pub use status::{FlowStatus, Pause, Place};
pub(crate) use supervisor::{TriedOut, load, start, try_out};
pub(crate) use work::FlowWork;

/// The name of a flow's dead-letter topic.
pub(crate) fn dead_letter_topic(flow: &str) -> String {
    dead_letter::topic_name(flow)
}

/// The prefix of the cursors of one flow.
pub(crate) fn cursor_prefix(flow: u32) -> Vec<u8> {
    cursor::flow_prefix(flow)
}
