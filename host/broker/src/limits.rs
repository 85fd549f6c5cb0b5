//! The broker's own bounds.

use crate::FlowLimits;

/// Bounds on what clients can make the broker hold. Every one of them is checked before anything is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Most topics.
    pub topics_max: usize,
    /// Most partitions of one topic.
    pub topic_partitions_max: u32,
    /// Most partitions of all topics together.
    pub partitions_max: usize,
    /// Highest value a topic's `max.message.bytes` can have, in bytes.
    pub message_bytes_ceiling: usize,
    /// Most bytes that the records of one compressed batch may unpack to.
    pub unpacked_batch_bytes_max: usize,
    /// Most flows.
    pub flows_max: usize,
    /// Most plugins in the chain of one flow.
    pub flow_plugins_max: usize,
    /// Most source topics of one flow.
    pub flow_sources_max: usize,
    /// Most sink topics of one flow.
    pub flow_sinks_max: usize,
    /// Most bytes of a flow's configuration, keys and values together.
    pub flow_config_bytes_max: usize,
    /// Log lines kept per flow, for describe.
    pub flow_log_lines_max: usize,
    /// Threads that run guest code; 0 means one per core.
    pub flow_threads: usize,
    /// Runs of plugins under way, at most, that may wait for a host outside; each has a thread of its own beyond those above.
    pub flow_http_threads: usize,
    /// Of these, how many of one flow.
    pub flow_http_threads_per_flow: usize,
    /// What no flow may set its limits above.
    pub flow_ceilings: FlowLimits,
    /// Entries of one flow and source partition that may be on their way to the disk at once.
    pub flow_entries_in_flight_max: usize,
    /// Times a record is tried again before the flow gives it up.
    pub flow_retries_max: u32,
    /// Most bytes of keyed state, keys and values, that a flow keeps for one source partition, unless it has a limit of its own.
    pub flow_state_bytes_max: u64,
    /// Most bytes of source batches a flow takes in one pass.
    pub flow_pass_bytes_max: usize,
    /// Most subscriptions that have a filter, at a time.
    pub filtered_subscriptions_max: usize,
    /// Most plugin names, those whose versions are all deleted included.
    pub plugins_max: usize,
    /// Most versions of one plugin that exist at a time.
    pub plugin_versions_max: usize,
    /// Most bytes of one uploaded plugin.
    pub plugin_bytes_max: usize,
    /// Uploads that may be buffered or compiled at once.
    pub uploads_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            topics_max: 10_000,
            topic_partitions_max: 1_000,
            partitions_max: 20_000,
            message_bytes_ceiling: 32 * 1024 * 1024,
            unpacked_batch_bytes_max: 64 * 1024 * 1024,
            flows_max: 1_000,
            flow_plugins_max: 16,
            flow_sources_max: 16,
            flow_sinks_max: 64,
            flow_config_bytes_max: 64 * 1024,
            flow_log_lines_max: 256,
            flow_threads: 0,
            flow_http_threads: 32,
            flow_http_threads_per_flow: 4,
            flow_ceilings: FlowLimits::ceilings(),
            flow_entries_in_flight_max: 4,
            flow_retries_max: 10,
            flow_state_bytes_max: 256 * 1024 * 1024,
            flow_pass_bytes_max: 1024 * 1024,
            filtered_subscriptions_max: 256,
            plugins_max: 1_000,
            plugin_versions_max: 1_000,
            plugin_bytes_max: 32 * 1024 * 1024,
            uploads_max: 4,
        }
    }
}
