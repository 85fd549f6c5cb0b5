//! The metadata: `meta.redb`, one row per object.
//!
//! | table | key | value |
//! |---|---|---|
//! | `broker` | `cluster-id` | 22 characters, base64url without padding |
//! | `counters` | `topic`, `flow`, `producer` | the next id to be given, u64 |
//! | `topics` | name | JSON of [`TopicRow`] |
//! | `plugin-names` | name | the next version to be given, u32 |
//! | `plugins` | (name, version) | JSON of [`PluginRow`] |
//! | `flows` | name | JSON of [`FlowRow`] |
//!
//! Every change is one transaction, on disk before it returns. All calls block.

mod flow_row;
mod row;
mod store;

pub(crate) use flow_row::{FlowRow, SourceRow};
pub(crate) use row::{PluginRow, Snapshot, TopicRow};
pub(crate) use store::{MetaError, MetaStore};
