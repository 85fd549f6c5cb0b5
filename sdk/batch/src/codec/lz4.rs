use std::io::Write;

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use super::{Fault, read};

/// Appends `records` to `out` as one frame: independent blocks of 64 KiB without checksums, as Kafka's Java client
/// writes them (it reads no dependent blocks).
pub(super) fn compress(records: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let info = FrameInfo::new()
        .block_mode(BlockMode::Independent)
        .block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(info, out);
    encoder.write_all(records).ok()?;
    encoder.finish().ok().map(drop)
}

/// Appends the content of the frame.
pub(super) fn decompress(compressed: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), Fault> {
    read::read_limited(FrameDecoder::new(compressed), out, limit)
}
