//! Administrative requests and answers.

mod dry_run;
mod flow;
mod flow_bounded;
mod flow_limits;
mod flow_metrics;
mod flow_state;
mod octets;
mod plugin;
mod request;
mod response;
mod topic;

pub use dry_run::{Difference, DryRun, DryRunFailure, Trial};
pub use flow::{
    FlowChange, FlowInfo, FlowMode, FlowPartitionInfo, FlowPlace, FlowProducingInfo, FlowRevision,
    FlowSchedule, FlowSpec, FlowState, OnError, PartitionBy,
};
pub use flow_bounded::{FlowBackfill, FlowBounded, FlowBoundedKind, FlowReplay, FlowUntil};
pub use flow_limits::FlowLimits;
pub use flow_metrics::{FlowCalls, FlowFaults, FlowGuestInfo, FlowHistogram};
pub use flow_state::{
    FlowStatePage, FlowStatePlace, FlowStateQuery, FlowStateRow, FlowStateSchema, FlowStateTotals,
};
pub use plugin::{PluginInfo, PluginKind};
pub use request::AdminRequest;
pub use response::{AdminResponse, BrokerInfo};
pub use topic::{DamagedOffsets, PartitionInfo, TopicInfo, TopicSummary};
