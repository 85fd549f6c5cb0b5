use std::io::Write;

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::{Fault, read};

/// Appends `records` to `out` as one gzip member.
pub(super) fn compress(records: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut encoder = GzEncoder::new(out, Compression::default());
    encoder.write_all(records).ok()?;
    encoder.finish().ok().map(drop)
}

/// Appends the content of all gzip members of `compressed`, as Java's `GZIPInputStream` reads them.
pub(super) fn decompress(compressed: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), Fault> {
    read::read_limited(MultiGzDecoder::new(compressed), out, limit)
}
