use ::zstd::bulk;
use ::zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};
use ::zstd::zstd_safe;

use super::Fault;

/// Kafka's default level.
const LEVEL: i32 = 3;
/// First room for the output; doubled as it fills.
const OUTPUT_MIN: usize = 16 * 1024;

/// Keeps the compression context from batch to batch: making one costs more than compressing a small batch.
#[derive(Default)]
pub(super) struct Compressor(Option<bulk::Compressor<'static>>);

impl Compressor {
    /// Appends `records` to `out` as one frame.
    pub(super) fn compress(&mut self, records: &[u8], out: &mut Vec<u8>) -> Option<()> {
        if self.0.is_none() {
            self.0 = Some(bulk::Compressor::new(LEVEL).ok()?);
        }
        let start = out.len();
        out.resize(start + zstd_safe::compress_bound(records.len()), 0);
        let len = self
            .0
            .as_mut()?
            .compress_to_buffer(records, &mut out[start..])
            .ok()?;
        out.truncate(start + len);
        Some(())
    }
}

/// Appends the content of all frames of `compressed`. Memory grows with what comes out: the content size of a frame's
/// header is not looked at.
pub(super) fn decompress(compressed: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), Fault> {
    let mut decoder = Decoder::new().map_err(|_| Fault::Malformed)?;
    let start = out.len();
    let end = start.saturating_add(limit);
    let mut input = InBuffer::around(compressed);
    let mut filled = start;
    loop {
        if filled == out.len() {
            // One byte more than allowed shows that there is more.
            let room = (filled - start)
                .max(OUTPUT_MIN)
                .min((end - filled).saturating_add(1));
            out.resize(filled + room, 0);
        }
        let mut output = OutBuffer::around(&mut out[filled..]);
        let hint = decoder
            .run(&mut input, &mut output)
            .map_err(|_| Fault::Malformed)?;
        filled += output.pos();
        if filled > end {
            return Err(Fault::TooLarge);
        }
        let all_read = input.pos() == compressed.len();
        // A hint of 0 is the end of a frame.
        if all_read && hint == 0 {
            break;
        }
        // Room left and nothing more to read: the frame is cut off.
        if all_read && filled < out.len() {
            return Err(Fault::Malformed);
        }
        if hint == 0 {
            decoder.reinit().map_err(|_| Fault::Malformed)?;
        }
    }
    out.truncate(filled);
    Ok(())
}
