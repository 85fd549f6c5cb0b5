//! Topics: names, configuration, handles.

mod config;
mod info;

pub use config::{
    Compression, Durability, MESSAGE_BYTES_MAX_DEFAULT, RETENTION_MS_DEFAULT, TimestampType, TopicConfig,
};
pub use info::{PartitionInfo, TopicInfo};
