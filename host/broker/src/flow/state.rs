//! Keyed state of flows: what plugins remember from record to record.
//!
//! The state of a flow in one source partition lives in the key-value pairs of that partition's shard, the **state shard**
//! ([`keys`]). What a pass changes is written in one entry with the state shard's cursor row, and so either both are there
//! or neither. That entry is the last of its pass: it is written once the outputs for all other shards are durable (see
//! [`Committer`](crate::flow::committer)). So the state is never ahead of any output, and what is stored of it is exactly
//! what the records below the cursor made of it.
//!
//! While a runner is at work, [`PartitionState`] holds what its passes have read and changed. A pass sees what the ones
//! before it changed, committed or not; a call that fails takes back what it changed.

mod delete;
mod keys;
mod page;
mod partition;
mod row;
mod schema;
mod stage;
mod totals;

pub(crate) use delete::{delete_state, sweep_state};
pub(crate) use keys::{StateKeys, stage_labels};
pub(crate) use page::StateOwner;
pub use page::{
    FlowStatePage, FlowStatePlace, FlowStateQuery, FlowStateRow, FlowStateSchema, FlowStateTotals,
};
pub(crate) use partition::{PartitionState, SharedState};
pub(crate) use schema::SchemaRow;
pub(crate) use stage::StageState;
