//! A batch with some of its records left out.

use weir_batch::{Batch, BatchError, HEADER_LEN, bitmap, set_producer};

const BATCH_LENGTH: std::ops::Range<usize> = 8..12;
const LAST_OFFSET_DELTA: std::ops::Range<usize> = 23..27;
const MAX_TIMESTAMP: std::ops::Range<usize> = 35..43;
const RECORD_COUNT: std::ops::Range<usize> = 57..61;
/// Bytes before the first one that the batch length counts.
const LENGTH_PREFIX: usize = 12;

/// The records of `batch`, which is not compressed, whose bits are set, as they were: offsets and timestamps stay, as in a
/// compacted log of Kafka's. The batch then says that it ends before `next_offset`, which lies behind these records.
///
/// # Errors
/// For a batch that is not what its header says, and [`BatchError::Empty`] if no bit is set.
pub(super) fn keep(batch: &Batch<'_>, bits: &[u8], next_offset: i64) -> Result<Vec<u8>, BatchError> {
    let source = batch.as_bytes();
    let mut out = Vec::with_capacity(source.len());
    out.extend_from_slice(&source[..HEADER_LEN]);
    let header = batch.header();
    let mut begin = HEADER_LEN;
    let mut count = 0_u32;
    let mut max_timestamp = i64::MIN;
    for (index, record) in batch.records()?.enumerate() {
        let tail = record.tail();
        // A record ends where its tail does, and the tail lies within the batch.
        let end = tail.as_ptr() as usize + tail.len() - source.as_ptr() as usize;
        if bitmap::get(bits, index) {
            out.extend_from_slice(&source[begin..end]);
            count += 1;
            max_timestamp = max_timestamp.max(record.timestamp());
        }
        begin = end;
    }
    if count == 0 {
        return Err(BatchError::Empty);
    }
    let length = (out.len() - LENGTH_PREFIX) as u32;
    out[BATCH_LENGTH].copy_from_slice(&length.to_be_bytes());
    let last_offset_delta = (next_offset - 1 - header.base_offset) as i32;
    out[LAST_OFFSET_DELTA].copy_from_slice(&last_offset_delta.to_be_bytes());
    out[MAX_TIMESTAMP].copy_from_slice(&max_timestamp.to_be_bytes());
    out[RECORD_COUNT].copy_from_slice(&count.to_be_bytes());
    // Writes what is there already; it is the CRC that has to be computed.
    set_producer(
        &mut out,
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
    )?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use weir_batch::{BatchBuilder, Codec, set_base_offset};

    use super::*;

    fn batch(codec: Codec, records: usize) -> Vec<u8> {
        let mut builder = BatchBuilder::new().codec(codec).producer(7, 1, 40);
        for n in 0..records {
            let value = vec![n as u8; n * 50];
            builder
                .push(1_000 + n as i64, Some(b"k"), Some(&value), &[("h", Some(b"v"))])
                .unwrap();
        }
        let mut bytes = builder.finish().unwrap();
        set_base_offset(&mut bytes, 300).unwrap();
        bytes
    }

    #[test]
    fn what_is_kept_is_as_it_was_and_the_batch_ends_where_it_did() {
        for codec in [Codec::None, Codec::Zstd] {
            for picked in [vec![0], vec![9], vec![0, 3, 4, 9], (0..10).collect::<Vec<_>>()] {
                let bytes = batch(codec, 10);
                let mut scratch = Vec::new();
                let source = Batch::parse(&bytes)
                    .unwrap()
                    .decompress(&mut scratch, 1 << 20)
                    .unwrap();
                let mut bits = vec![0; bitmap::byte_len(10)];
                picked.iter().for_each(|&index| bitmap::set(&mut bits, index));
                let kept = keep(&source, &bits, 310).unwrap();
                let parsed = Batch::parse_sparse(&kept).unwrap();
                assert_eq!((parsed.base_offset(), parsed.last_offset()), (300, 309));
                assert_eq!(
                    (parsed.header().producer_id, parsed.header().base_sequence),
                    (7, 40)
                );
                let last = *picked.last().unwrap() as i64;
                assert_eq!(parsed.max_timestamp(), 1_000 + last);
                let all: Vec<_> = source.records().unwrap().collect();
                let cut = keep(&source, &bits, 301 + last).unwrap();
                assert_eq!(Batch::parse_sparse(&cut).unwrap().last_offset(), 300 + last);
                let found: Vec<_> = parsed.records().unwrap().collect();
                assert_eq!(found.len(), picked.len());
                for (record, &index) in found.iter().zip(&picked) {
                    assert_eq!(record.offset(), 300 + index as i64);
                    assert_eq!(record.timestamp(), all[index].timestamp());
                    assert_eq!(record.tail(), all[index].tail());
                }
            }
        }
    }

    #[test]
    fn nothing_kept_is_no_batch() {
        let bytes = batch(Codec::None, 3);
        let kept = keep(&Batch::parse(&bytes).unwrap(), &[0], 303);
        assert!(matches!(kept, Err(BatchError::Empty)));
    }
}
