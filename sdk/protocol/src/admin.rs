//! Administrative requests and answers.

mod flow;
mod flow_state;
mod octets;
mod plugin;
mod request;
mod response;
mod topic;

pub use flow::{FlowInfo, FlowMode, FlowPartitionInfo, FlowPlace, FlowSpec, FlowState, OnError};
pub use flow_state::{FlowStatePage, FlowStatePlace, FlowStateQuery, FlowStateRow, FlowStateTotals};
pub use plugin::{PluginInfo, PluginKind};
pub use request::AdminRequest;
pub use response::{AdminResponse, BrokerInfo};
pub use topic::{PartitionInfo, TopicInfo, TopicSummary};
