use core::fmt;

use crate::Codec;

/// Why bytes are no batch, or why a batch cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchError {
    /// The bytes end before the batch does.
    Truncated {
        /// Bytes the header, or the whole batch, takes.
        needed: usize,
        /// Bytes that are there.
        have: usize,
    },
    /// The batch length field is too small for a header, or negative.
    InvalidBatchLength {
        /// The field as it stands in the bytes.
        length: i32,
    },
    /// Not magic 2, the only format there is here.
    UnsupportedMagic {
        /// The magic byte found.
        magic: i8,
    },
    /// The checksum in the header is not that of the bytes.
    CrcMismatch {
        /// What the header says.
        expected: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// The codec bits of the attributes name no codec.
    UnknownCodec {
        /// The lowest three bits of the attributes.
        bits: u8,
    },
    /// The codec is known, but this build of the crate has it not.
    UnsupportedCodec {
        /// The codec asked for.
        codec: Codec,
    },
    /// The record count is below one, disagrees with the last offset delta, or is more than the bytes can hold.
    InvalidRecordCount {
        /// Record count of the header.
        count: i32,
        /// Last offset delta of the header; one less than the count in a sound batch.
        last_offset_delta: i32,
    },
    /// A record is malformed.
    InvalidRecord {
        /// Which record, from 0.
        index: u32,
        /// Which part of it.
        field: RecordField,
    },
    /// Bytes are left over after the last record.
    TrailingBytes {
        /// How many.
        bytes: usize,
    },
    /// The records are compressed: [`Batch::decompress`](crate::Batch::decompress) comes first.
    Compressed {
        /// The codec in use.
        codec: Codec,
    },
    /// The compressed records are not what the codec writes.
    Decompress {
        /// The codec in use.
        codec: Codec,
    },
    /// The uncompressed records take more bytes than the caller allows.
    DecompressedTooLarge {
        /// The caller's limit in bytes.
        limit: usize,
    },
    /// The compressor failed, which takes running out of memory or more than 2 GiB of records.
    Compress {
        /// The codec in use.
        codec: Codec,
    },
    /// A batch without records cannot be written.
    Empty,
    /// The batch, or one of its fields, would be longer than the format's 31-bit lengths can say.
    TooLarge,
}

/// A part of a record, in the order of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordField {
    /// The length before the record: malformed, negative, or beyond the end of the batch.
    Length,
    /// The attributes byte.
    Attributes,
    /// The timestamp delta.
    TimestampDelta,
    /// The offset delta: malformed, or not the next one (in a batch that may have gaps: not a later one).
    OffsetDelta,
    /// The key or its length.
    Key,
    /// The value or its length.
    Value,
    /// The number of headers.
    HeaderCount,
    /// Name of a header, its length, or its UTF-8.
    HeaderName,
    /// Value of a header or its length.
    HeaderValue,
    /// Bytes between the last header and the end that the record's length names.
    End,
}

impl RecordField {
    fn name(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Attributes => "attributes",
            Self::TimestampDelta => "timestamp delta",
            Self::OffsetDelta => "offset delta",
            Self::Key => "key",
            Self::Value => "value",
            Self::HeaderCount => "header count",
            Self::HeaderName => "header name",
            Self::HeaderValue => "header value",
            Self::End => "end",
        }
    }
}

impl fmt::Display for RecordField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { needed, have } => {
                write!(f, "record batch is truncated: {have} of {needed} bytes")
            }
            Self::InvalidBatchLength { length } => {
                write!(f, "batch length {length} is too small for a record batch")
            }
            Self::UnsupportedMagic { magic } => {
                write!(f, "record batch has magic {magic}, only magic 2 is supported")
            }
            Self::CrcMismatch { expected, computed } => {
                write!(
                    f,
                    "record batch is damaged: CRC-32C is {computed:08x}, its header says {expected:08x}"
                )
            }
            Self::UnknownCodec { bits } => write!(f, "compression codec {bits} does not exist"),
            Self::UnsupportedCodec { codec } => write!(f, "this build has no {codec} codec"),
            Self::InvalidRecordCount {
                count,
                last_offset_delta,
            } => write!(
                f,
                "record count {count} fits neither the batch's size nor its last offset delta {last_offset_delta}"
            ),
            Self::InvalidRecord { index, field } => {
                write!(f, "record {index} of the batch is malformed: {field}")
            }
            Self::TrailingBytes { bytes } => write!(f, "{bytes} bytes follow the last record of the batch"),
            Self::Compressed { codec } => {
                write!(f, "the batch is compressed with {codec}, decompress it first")
            }
            Self::Decompress { codec } => write!(f, "the batch's compressed records are not valid {codec}"),
            Self::DecompressedTooLarge { limit } => {
                write!(
                    f,
                    "the batch takes more than {limit} bytes when it is decompressed"
                )
            }
            Self::Compress { codec } => write!(f, "the {codec} compressor failed"),
            Self::Empty => f.write_str("a record batch without records cannot be written"),
            Self::TooLarge => f.write_str("the record batch would be larger than 2 GiB"),
        }
    }
}

impl core::error::Error for BatchError {}
