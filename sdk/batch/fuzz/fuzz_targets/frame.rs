//! Any bytes as an output frame: they are refused, or can be read to the end and written again.
//!
//! `cargo +nightly fuzz run frame` in `sdk/batch`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_batch::frame::{Entry, Reader, Target, Writer};

/// Records of the input, outputs of the transform.
const RECORDS: u32 = 300;
const OUTPUTS: u32 = 3;

fuzz_target!(|bytes: &[u8]| {
    let Ok(reader) = Reader::new(bytes, RECORDS, OUTPUTS) else {
        return;
    };
    let mut writer = Writer::new(Vec::new());
    for entry in reader.entries() {
        assert!(entry.source() < RECORDS);
        match entry {
            Entry::Emit {
                output,
                source,
                partition,
                timestamp_delta,
                tail,
            } => {
                assert!(output < OUTPUTS);
                assert_eq!(tail.headers().count(), tail.headers().len());
                writer.emit_tail_to(Target { output, partition }, source, timestamp_delta, tail.as_bytes())
            }
            Entry::DeadLetter { source, reason } => writer.dead_letter(source, reason),
            Entry::Retry { source, reason } => writer.retry(source, reason),
            Entry::Fail { source, reason } => writer.fail(source, reason),
        }
        .expect("was in a frame before");
    }
    assert_eq!(writer.len(), reader.len());
    let bytes = writer.finish();
    let again = Reader::new(&bytes, RECORDS, OUTPUTS).expect("written right here");
    assert!(again.entries().eq(reader.entries()));
});
