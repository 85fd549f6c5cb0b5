use std::io::{ErrorKind, Read};

use super::Fault;

/// Output is taken in pieces that grow from this...
const PIECE_MIN: usize = 8 * 1024;
/// ...to this.
const PIECE_MAX: usize = 256 * 1024;

/// Appends what `reader` gives, at most `limit` bytes. Memory grows with what comes out, never with what a header
/// promises.
pub(super) fn read_limited(mut reader: impl Read, out: &mut Vec<u8>, limit: usize) -> Result<(), Fault> {
    let start = out.len();
    let mut filled = start;
    loop {
        let produced = filled - start;
        // One byte more than allowed shows that there is more.
        let room = limit.saturating_sub(produced).saturating_add(1);
        let piece = produced.clamp(PIECE_MIN, PIECE_MAX).min(room);
        if out.len() < filled + piece {
            out.resize(filled + piece, 0);
        }
        match reader.read(&mut out[filled..filled + piece]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(Fault::Malformed),
        }
        if filled - start > limit {
            return Err(Fault::TooLarge);
        }
    }
    out.truncate(filled);
    Ok(())
}
