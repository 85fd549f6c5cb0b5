//! The broker's rules, without sockets: topics and their configuration, producing and fetching, plugins and flows.

mod error;
mod flow;
mod folder;
mod limits;
mod name;
mod open_error;
mod plugin;
mod start;
mod topic;

pub use error::{BrokerError, ErrorKind};
pub use flow::{FlowInfo, FlowPartitionInfo, FlowSpec, FlowStatus, Mode, OnError, Pause, Place};
pub use folder::{DataFolder, FORMAT_VERSION};
pub use limits::Limits;
pub use name::{NAME_BYTES_MAX, check_flow_name, check_plugin_name, check_topic_name};
pub use open_error::OpenError;
pub use plugin::{PluginInfo, PluginKind, UploadedPlugin};
pub use start::Start;
pub use topic::{
    Compression, Durability, MESSAGE_BYTES_MAX_DEFAULT, PartitionInfo, RETENTION_MS_DEFAULT, TimestampType,
    TopicConfig, TopicInfo,
};
