//! What a flow's plugins have done and taken since the broker started.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Calls of a flow's plugins. A call is one run of a batch, or of a part of one, through all of them; of a producer, one poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowCalls {
    /// Calls, those that failed included.
    pub count: u64,
    /// Nanoseconds that half of them took at most, exact to a sixteenth.
    pub p50_ns: u64,
    /// Nanoseconds that 99 of 100 took at most, exact to a sixteenth.
    pub p99_ns: u64,
    /// Nanoseconds of the longest one.
    pub max_ns: u64,
    /// How records, or polls, failed.
    pub faults: FlowFaults,
}

/// How often records failed, by the way in which they did; of a producer, polls. A record that is tried again counts again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowFaults {
    /// The plugin trapped.
    pub trap: u64,
    /// The call ran into its deadline.
    pub deadline: u64,
    /// The plugin ran out of the memory it may have.
    pub memory: u64,
    /// The plugin's answer was malformed or too large.
    pub output: u64,
    /// The plugin said that it cannot handle the record, or what it made of it does not fit into the sink; of a producer, it said
    /// that it has nothing.
    pub refused: u64,
    /// The plugin wanted the record in the dead-letter topic.
    pub dead_letter: u64,
    /// The plugin wanted the record tried again.
    pub retry: u64,
    /// Anything else: the plugin did not start, its state or the batch could not be read.
    pub other: u64,
}

/// What the instances of one plugin of a flow have done and taken, in all of its versions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowGuestInfo {
    /// The plugin's name.
    pub plugin: String,
    /// The most linear memory that one instance ever had, in bytes.
    pub memory_bytes_peak: u64,
    /// Times an instance was started anew, after an error or because its memory had grown.
    pub restarts: u64,
    /// Its own counters, by name.
    pub counters: BTreeMap<String, u64>,
    /// Its own histograms, by name.
    pub histograms: BTreeMap<String, FlowHistogram>,
    /// Times it recorded something that was left out: under a name that is none or one too many, or no finite number.
    pub metrics_left_out: u64,
}

/// Numbers that a plugin recorded under one name, all of them finite. Percentiles are exact to a sixteenth; they do not tell numbers
/// below a millionth, negative ones included, from each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowHistogram {
    /// How many there were.
    pub count: u64,
    /// All of them together, or the largest or smallest finite number where it would be beyond.
    pub sum: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Half of them are at most this.
    pub p50: f64,
    /// 99 of 100 are at most this.
    pub p99: f64,
}
