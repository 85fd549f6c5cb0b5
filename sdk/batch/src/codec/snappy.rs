//! Snappy as Kafka's Java client has it: the stream of xerial's snappy-java, that is
//! `[magic 8][version i32][compatible version i32]`, then `[compressed length i32][snappy block]` until the end.

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::Fault;

const MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
const HEADER: &[u8; 16] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// Uncompressed bytes of a block, snappy-java's default.
const BLOCK: usize = 32 * 1024;
/// No snappy element gives more than 64 bytes for 3.
const EXPANSION_MAX: usize = 22;

/// Keeps the encoder's tables from batch to batch.
#[derive(Default)]
pub(super) struct Compressor(Option<Box<Encoder>>);

impl Compressor {
    /// Appends `records` to `out` as a xerial stream.
    pub(super) fn compress(&mut self, records: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let encoder = self.0.get_or_insert_with(|| Box::new(Encoder::new()));
        out.extend_from_slice(HEADER);
        for block in records.chunks(BLOCK) {
            let at = out.len() + 4;
            out.resize(at + max_compress_len(block.len()), 0);
            let len = encoder.compress(block, &mut out[at..]).ok()?;
            out[at - 4..at].copy_from_slice(&u32::try_from(len).ok()?.to_be_bytes());
            out.truncate(at + len);
        }
        Some(())
    }
}

/// Appends the content of a xerial stream or, without its magic, of one raw block.
pub(super) fn decompress(compressed: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), Fault> {
    let end = out.len().saturating_add(limit);
    let mut decoder = Decoder::new();
    if !compressed.starts_with(MAGIC) {
        return decompress_block(&mut decoder, compressed, out, end);
    }
    let mut rest = compressed;
    while !rest.is_empty() {
        // Streams may be strung together, each with a header of its own.
        if rest.starts_with(MAGIC) {
            rest = rest.get(HEADER.len()..).ok_or(Fault::Malformed)?;
            continue;
        }
        let (len, after) = rest.split_first_chunk::<4>().ok_or(Fault::Malformed)?;
        let (block, after) = after
            .split_at_checked(u32::from_be_bytes(*len) as usize)
            .ok_or(Fault::Malformed)?;
        decompress_block(&mut decoder, block, out, end)?;
        rest = after;
    }
    Ok(())
}

fn decompress_block(decoder: &mut Decoder, block: &[u8], out: &mut Vec<u8>, end: usize) -> Result<(), Fault> {
    let len = decompress_len(block).map_err(|_| Fault::Malformed)?;
    // What the block says of its length counts only as far as its bytes can make it true.
    if len > block.len().saturating_mul(EXPANSION_MAX) {
        return Err(Fault::Malformed);
    }
    let start = out.len();
    if len > end - start {
        return Err(Fault::TooLarge);
    }
    out.resize(start + len, 0);
    decoder
        .decompress(block, &mut out[start..])
        .map_err(|_| Fault::Malformed)
        .map(drop)
}
