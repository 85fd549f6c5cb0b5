//! Flows: plugins between topics, exactly once.

mod info;
mod spec;
mod status;

pub use info::{FlowInfo, FlowPartitionInfo};
pub use spec::{FlowSpec, Mode, OnError};
pub use status::{FlowStatus, Pause, Place};
