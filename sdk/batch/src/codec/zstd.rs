use std::cell::Cell;

use ::zstd::bulk;
use ::zstd::zstd_safe::{DCtx, InBuffer, OutBuffer, ResetDirective, compress_bound};

use super::Fault;

/// Kafka's default level.
const LEVEL: i32 = 3;
/// First room for the output; doubled as it fills.
const OUTPUT_MIN: usize = 16 * 1024;
/// A context that has grown beyond this, for a large window, is not kept: bytes.
const CONTEXT_KEPT_MAX: usize = 4 * 1024 * 1024;

thread_local! {
    /// Making a context takes longer than decompressing a small batch.
    static CONTEXT: Cell<Option<DCtx<'static>>> = const { Cell::new(None) };
}

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
        out.resize(start + compress_bound(records.len()), 0);
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
/// header is not looked at. Windows of more than 128 MiB are refused, as by every zstd decoder.
pub(super) fn decompress(compressed: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), Fault> {
    let mut context = CONTEXT.take().or_else(DCtx::try_create).ok_or(Fault::Malformed)?;
    let decompressed = decompress_frames(&mut context, compressed, out, limit);
    if context.sizeof() <= CONTEXT_KEPT_MAX && context.reset(ResetDirective::SessionOnly).is_ok() {
        CONTEXT.set(Some(context));
    }
    decompressed
}

fn decompress_frames(
    context: &mut DCtx<'_>,
    compressed: &[u8],
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<(), Fault> {
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
        let hint = context
            .decompress_stream(&mut output, &mut input)
            .map_err(|_| Fault::Malformed)?;
        filled += output.pos();
        if filled > end {
            return Err(Fault::TooLarge);
        }
        if input.pos() < compressed.len() {
            continue;
        }
        // A hint of 0 is the end of a frame. Otherwise, with room left, the frame is cut off.
        if hint == 0 {
            break;
        }
        if filled < out.len() {
            return Err(Fault::Malformed);
        }
    }
    out.truncate(filled);
    Ok(())
}
