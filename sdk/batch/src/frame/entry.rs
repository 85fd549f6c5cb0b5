use crate::Tail;

/// To which partition of its output a record goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OutputPartition {
    /// Nobody chose: as the flow has it, which is by the key unless it says otherwise.
    #[default]
    Unchosen,
    /// The one with the number of the partition that the input record comes from, modulo the number of partitions of the output.
    Source,
    /// This one.
    Index(u32),
}

/// Where a record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Which output, from 0.
    pub output: u32,
    /// Which partition of it.
    pub partition: OutputPartition,
}

/// One entry of an output frame. `source` is the index of the input record that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A record for one of the outputs.
    Emit {
        /// Which output, from 0.
        output: u32,
        /// Index of the input record.
        source: u32,
        /// Which partition of the output.
        partition: OutputPartition,
        /// Timestamp less the input batch's base timestamp: milliseconds.
        timestamp_delta: i64,
        /// Key, value and headers.
        tail: Tail<'a>,
    },
    /// The input record is to go to the dead-letter topic.
    DeadLetter {
        /// Index of the input record.
        source: u32,
        /// Why, in the plugin's words.
        reason: &'a str,
    },
    /// The input record is to be tried again later.
    Retry {
        /// Index of the input record.
        source: u32,
        /// Why, in the plugin's words.
        reason: &'a str,
    },
    /// The plugin cannot go on after this input record.
    Fail {
        /// Index of the input record.
        source: u32,
        /// Why, in the plugin's words.
        reason: &'a str,
    },
}

impl Entry<'_> {
    /// Index of the input record that the entry comes from.
    #[inline]
    pub fn source(&self) -> u32 {
        match *self {
            Self::Emit { source, .. }
            | Self::DeadLetter { source, .. }
            | Self::Retry { source, .. }
            | Self::Fail { source, .. } => source,
        }
    }
}
