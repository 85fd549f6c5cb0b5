use alloc::vec::Vec;
use core::fmt;

use crate::BatchError;
use crate::header::CODEC_BITS;

#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(any(feature = "gzip", feature = "lz4"))]
mod read;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(feature = "zstd")]
mod zstd;

/// What the records of a batch are compressed with: bits 0 to 2 of the attributes.
///
/// All of them exist as names; compressing and decompressing takes the feature of the same name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// Not compressed.
    #[default]
    None = 0,
    /// Gzip, RFC 1952.
    Gzip = 1,
    /// Snappy blocks in the framing of xerial's snappy-java; a raw block is read as well.
    Snappy = 2,
    /// The LZ4 frame format.
    Lz4 = 3,
    /// Zstandard, RFC 8878.
    Zstd = 4,
}

impl Codec {
    /// Every codec, in the order of its bits.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec that the attributes of a batch name.
    #[inline]
    pub(crate) fn from_attributes(attributes: i16) -> Result<Self, BatchError> {
        match attributes & CODEC_BITS {
            0 => Ok(Self::None),
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Snappy),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            bits => Err(BatchError::UnknownCodec { bits: bits as u8 }),
        }
    }

    /// Whether this build can compress and decompress with it.
    pub const fn is_supported(self) -> bool {
        match self {
            Self::None => true,
            Self::Gzip => cfg!(feature = "gzip"),
            Self::Snappy => cfg!(feature = "snappy"),
            Self::Lz4 => cfg!(feature = "lz4"),
            Self::Zstd => cfg!(feature = "zstd"),
        }
    }

    /// The name that Kafka's `compression.type` has for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec of a name as [`name`](Self::name) gives it; `uncompressed` is `none` too, as in Kafka.
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "uncompressed" {
            return Some(Self::None);
        }
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Compresses records, keeping the codecs' working memory from batch to batch.
#[derive(Default)]
pub(crate) struct Compressor {
    #[cfg(feature = "snappy")]
    snappy: snappy::Compressor,
    #[cfg(feature = "zstd")]
    zstd: zstd::Compressor,
}

impl Compressor {
    /// Appends `records` to `out`, compressed.
    pub(crate) fn compress(
        &mut self,
        codec: Codec,
        records: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), BatchError> {
        let compressed = match codec {
            #[cfg(feature = "gzip")]
            Codec::Gzip => gzip::compress(records, out),
            #[cfg(feature = "snappy")]
            Codec::Snappy => self.snappy.compress(records, out),
            #[cfg(feature = "lz4")]
            Codec::Lz4 => lz4::compress(records, out),
            #[cfg(feature = "zstd")]
            Codec::Zstd => self.zstd.compress(records, out),
            Codec::None => {
                out.extend_from_slice(records);
                Some(())
            }
            #[allow(unreachable_patterns, reason = "with every codec there is nothing left")]
            _ => return Err(BatchError::UnsupportedCodec { codec }),
        };
        compressed.ok_or(BatchError::Compress { codec })
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

/// Why a codec gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    #[allow(dead_code, reason = "without any codec nobody finds that")]
    Malformed,
    TooLarge,
}

/// Appends the decompressed `compressed` to `out`, at most `limit` bytes.
pub(crate) fn decompress(
    codec: Codec,
    compressed: &[u8],
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<(), BatchError> {
    let decompressed = match codec {
        #[cfg(feature = "gzip")]
        Codec::Gzip => gzip::decompress(compressed, out, limit),
        #[cfg(feature = "snappy")]
        Codec::Snappy => snappy::decompress(compressed, out, limit),
        #[cfg(feature = "lz4")]
        Codec::Lz4 => lz4::decompress(compressed, out, limit),
        #[cfg(feature = "zstd")]
        Codec::Zstd => zstd::decompress(compressed, out, limit),
        Codec::None if compressed.len() > limit => Err(Fault::TooLarge),
        Codec::None => {
            out.extend_from_slice(compressed);
            Ok(())
        }
        #[allow(unreachable_patterns, reason = "with every codec there is nothing left")]
        _ => return Err(BatchError::UnsupportedCodec { codec }),
    };
    decompressed.map_err(|fault| match fault {
        Fault::Malformed => BatchError::Decompress { codec },
        Fault::TooLarge => BatchError::DecompressedTooLarge { limit },
    })
}
