use crate::Tail;

/// One entry of an output frame. `source` is the index of the input record that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A record for one of the outputs.
    Emit {
        /// Which output, from 0.
        output: u32,
        /// Index of the input record.
        source: u32,
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
