//! The batches of a frame.

use std::sync::Arc;

use bytes::Bytes;
use weir_batch::{Batch, BatchError, Codec, iter_batches};
use weir_protocol::{RecordsHeader, Start};

use crate::RecordBatch;
use crate::consumer::cursor::Cursor;

/// Offset, and what is wrong there.
type Damage = (i64, String);

/// The batches of a frame that the cursor has not seen, checked and uncompressed; the cursor moves behind them. If
/// a batch is damaged, what comes before it and where it is.
pub(super) fn read_batches(
    topic: &Arc<str>,
    cursor: &mut Cursor,
    decompressed_bytes_max: usize,
    header: &RecordsHeader,
    bytes: &Bytes,
) -> (Vec<RecordBatch>, Option<Damage>) {
    let mut batches = Vec::new();
    let mut position = cursor.position();
    let mut scratch = Vec::new();
    let mut failure = None;
    for item in iter_batches(bytes) {
        let (batch_header, slice) = match item {
            Ok(item) => item,
            Err(error) => {
                failure = Some((position, error.to_string()));
                break;
            }
        };
        if batch_header.next_offset() <= position {
            continue;
        }
        if cursor.end.is_some_and(|end| batch_header.base_offset >= end) {
            position = position.max(cursor.end.unwrap_or(position));
            break;
        }
        let checked = if batch_header.is_control() {
            Batch::parse(slice).map(|_| None)
        } else {
            uncompressed(bytes, slice, &mut scratch, decompressed_bytes_max).map(Some)
        };
        match checked {
            Ok(Some(sound)) => {
                let to = cursor.end.map_or(batch_header.next_offset(), |end| {
                    batch_header.next_offset().min(end)
                });
                let from = position.max(batch_header.base_offset);
                batches.push(RecordBatch::new(
                    Arc::clone(topic),
                    header.partition,
                    sound,
                    from,
                    to,
                    header.high_watermark,
                ));
            }
            Ok(None) => {}
            Err(error) => {
                failure = Some((batch_header.base_offset, error.to_string()));
                break;
            }
        }
        position = batch_header.next_offset();
    }
    cursor.start = Start::Offset(position);
    (batches, failure)
}

/// A batch checked in full, sharing the frame's memory if it is not compressed.
fn uncompressed(
    frame: &Bytes,
    slice: &[u8],
    scratch: &mut Vec<u8>,
    limit: usize,
) -> Result<Bytes, BatchError> {
    // A filter, or compaction, may have left records out.
    let batch = Batch::parse_sparse(slice)?;
    if batch.codec() == Codec::None {
        return Ok(frame.slice_ref(slice));
    }
    batch.decompress(scratch, limit)?;
    Ok(Bytes::from(std::mem::take(scratch)))
}
