//! Any bytes as a batch: they parse or are refused, and what parses holds together.
//!
//! `cargo +nightly fuzz run batch` in `sdk/batch`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_batch::{Batch, BatchBuilder, BatchHeader, Tail, iter_batches, set_producer};

/// Most bytes that records may take when they are decompressed.
const LIMIT: usize = 1 << 18;

fuzz_target!(|bytes: &[u8]| {
    for batch in iter_batches(bytes) {
        let _ = batch;
    }
    read(bytes);
    read(&with_a_right_header(bytes));
});

/// The bytes with magic, length and CRC set right, so that what comes behind them is reached.
fn with_a_right_header(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() >= weir_batch::HEADER_LEN {
        let length = (bytes.len() - 12) as i32;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[16] = 2;
        let header = BatchHeader::parse(&bytes).expect("set right");
        set_producer(
            &mut bytes,
            header.producer_id,
            header.producer_epoch,
            header.base_sequence,
        )
        .expect("set right");
    }
    bytes
}

fn read(bytes: &[u8]) {
    let mut scratch = Vec::new();
    if let Ok(batch) = Batch::parse_trusted(bytes) {
        if let Ok(records) = batch.records() {
            for record in records {
                assert!(record.headers().count() <= record.tail().len());
            }
        }
        if let Ok(plain) = batch.decompress(&mut scratch, LIMIT) {
            assert!(plain.as_bytes().len() <= LIMIT + weir_batch::HEADER_LEN);
            assert_eq!(plain.records().expect("not compressed").count(), plain.len());
        }
    }
    if let Ok(batch) = Batch::parse(bytes)
        && let Ok(plain) = batch.decompress(&mut scratch, LIMIT)
    {
        rebuild(plain);
    }
}

/// The same records in a new batch are the same records.
fn rebuild(batch: Batch<'_>) {
    let records = || batch.records().expect("not compressed");
    let mut builder = BatchBuilder::new();
    for (index, record) in records().enumerate() {
        assert_eq!(record.offset_delta() as usize, index);
        let tail = Tail::parse(record.tail()).expect("checked with the batch");
        let headers: Vec<_> = tail.headers().collect();
        assert_eq!(headers.len(), record.headers().len());
        builder
            .push(record.timestamp(), tail.key(), tail.value(), &headers)
            .expect("was in a batch before");
    }
    let bytes = builder.finish().expect("has records");
    let rebuilt = Batch::parse(&bytes).expect("built right here");
    for (one, other) in records().zip(rebuilt.records().expect("not compressed")) {
        assert_eq!(
            (one.timestamp(), one.key(), one.value()),
            (other.timestamp(), other.key(), other.value())
        );
        assert!(one.headers().eq(other.headers()));
    }
}
