//! A flow as it is shown.

use crate::flow::{
    FlowBounded, FlowCalls, FlowGuestInfo, FlowProducingInfo, FlowRevision, FlowSpec, FlowStatus,
};

/// A flow, at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowInfo {
    /// Its id, which no other flow of this broker ever has.
    pub id: u32,
    /// What it does; every plugin with its version.
    pub spec: FlowSpec,
    /// What it was made for, if it comes to an end.
    pub bounded: Option<FlowBounded>,
    /// When it was created, in milliseconds since 1970.
    pub created_ms: i64,
    /// What it has run, oldest first; the last one is what it runs; in lists only that one.
    pub revisions: Vec<FlowRevision>,
    /// Whether it runs, and if not, why.
    pub status: FlowStatus,
    /// The topic that records go to which its plugins cannot handle, once there is one. A replay has that of the flow that it was
    /// made from.
    pub dead_letter: Option<String>,
    /// Its progress in every partition of its sources, or of the topic that an ingest flow guards. Of a flow that comes to an end,
    /// where there is something for it to process.
    pub partitions: Vec<FlowPartitionInfo>,
    /// The progress of its producer, for a flow with a schedule.
    pub producing: Option<FlowProducingInfo>,
    /// What its plugins have done and taken, by name; empty in lists.
    pub guests: Vec<FlowGuestInfo>,
    /// The last lines its plugins logged, oldest first; empty in lists.
    pub log: Vec<String>,
}

/// A flow's progress in one partition of one of its sources. Counters start at zero with the broker and when the flow is
/// resumed they go on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FlowPartitionInfo {
    /// The source's place in [`FlowSpec::from`]; 0 for an ingest flow.
    pub source: u32,
    /// The source partition's index.
    pub partition: u32,
    /// The next offset to be processed: the outputs of everything below are committed.
    pub cursor: i64,
    /// The source partition's high watermark, or where the flow ends if that is before it.
    pub end: i64,
    /// Where a flow ends that comes to an end.
    pub until: Option<i64>,
    /// Records between `cursor` and `end`.
    pub lag: u64,
    /// Records read.
    pub records_in: u64,
    /// Bytes of the batches read, as stored.
    pub bytes_in: u64,
    /// Records committed to sinks; dead letters are not among them.
    pub records_out: u64,
    /// Bytes of the batches of those.
    pub bytes_out: u64,
    /// Records read of which nothing came out.
    pub dropped: u64,
    /// Records that no plugin could handle and that were left out.
    pub skipped: u64,
    /// Records that no plugin could handle and that went to the dead-letter topic.
    pub dead_lettered: u64,
    /// Records that an ingest flow refused.
    pub rejected: u64,
    /// Times a record was tried again.
    pub retried: u64,
    /// Times the flow stopped on an error in this partition.
    pub errors: u64,
    /// Nanoseconds spent in the guests' calls for the records read.
    pub guest_ns: u64,
    /// All calls, and how records failed.
    pub calls: FlowCalls,
}
