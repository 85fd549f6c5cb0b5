use core::fmt;

use crate::RecordField;

/// Why bytes are no output frame. `entry` is the index of the entry at fault, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The bytes end before the frame does.
    Truncated {
        /// The entry they end in, 0 for the frame's header.
        entry: u32,
    },
    /// Another version than 1.
    UnknownVersion {
        /// The version found.
        version: u8,
    },
    /// More entries than the bytes can hold.
    InvalidCount {
        /// The count found.
        count: u32,
    },
    /// A kind of entry that version 1 has not.
    UnknownKind {
        /// The entry.
        entry: u32,
        /// The kind found.
        kind: u8,
    },
    /// An output that the transform was not given.
    OutputOutOfRange {
        /// The entry.
        entry: u32,
        /// The output it names.
        output: u32,
        /// How many there are.
        outputs: u32,
    },
    /// A source record that the input does not have.
    SourceOutOfRange {
        /// The entry.
        entry: u32,
        /// The record it names.
        source: u32,
        /// How many there are.
        records: u32,
    },
    /// The record of an entry is malformed.
    InvalidTail {
        /// The entry.
        entry: u32,
        /// Which part of the record.
        field: RecordField,
    },
    /// A reason that is no UTF-8.
    InvalidReason {
        /// The entry.
        entry: u32,
    },
    /// Bytes are left over after the last entry.
    TrailingBytes {
        /// How many.
        bytes: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { entry } => write!(f, "output frame ends in entry {entry}"),
            Self::UnknownVersion { version } => {
                write!(
                    f,
                    "output frame has version {version}, only version {} is known",
                    super::VERSION
                )
            }
            Self::InvalidCount { count } => write!(f, "output frame is too short for {count} entries"),
            Self::UnknownKind { entry, kind } => write!(f, "entry {entry} is of the unknown kind {kind}"),
            Self::OutputOutOfRange {
                entry,
                output,
                outputs,
            } => {
                write!(f, "entry {entry} is for output {output}, there are {outputs}")
            }
            Self::SourceOutOfRange {
                entry,
                source,
                records,
            } => {
                write!(
                    f,
                    "entry {entry} comes from record {source}, the input has {records}"
                )
            }
            Self::InvalidTail { entry, field } => {
                write!(f, "entry {entry} holds a malformed record: {field}")
            }
            Self::InvalidReason { entry } => write!(f, "entry {entry} gives a reason that is no UTF-8"),
            Self::TrailingBytes { bytes } => {
                write!(f, "{bytes} bytes follow the last entry of the output frame")
            }
        }
    }
}

impl core::error::Error for FrameError {}
