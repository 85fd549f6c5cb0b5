//! Topics: names, configuration, handles.

mod config;
mod handle;
mod info;
mod partition;

pub use config::{
    Compression, Durability, MESSAGE_BYTES_MAX_DEFAULT, RETENTION_MS_DEFAULT, TimestampType, TopicConfig,
};
pub use handle::Topic;
pub(crate) use handle::{TopicState, log_durability};
pub use info::{DamagedOffsets, PartitionInfo, TopicInfo};
pub use partition::TopicPartition;

/// What of a topic's configuration is the log's.
pub(crate) fn partition_config(config: &TopicConfig) -> weir_log::PartitionConfig {
    weir_log::PartitionConfig {
        retention_ms: config.retention_ms,
        retention_bytes: config.retention_bytes,
    }
}
