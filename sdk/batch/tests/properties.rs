//! What holds for every batch, every frame, and every sequence of bytes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use weir_batch::frame::{Entry, OutputPartition, Reader, Target, Writer};
use weir_batch::{Batch, BatchBuilder, BatchError, Codec, Tail, iter_batches, set_base_offset, set_producer};

const LIMIT: usize = 1 << 16;

/// What a record of a frame can say about its partition.
const PARTITIONS: [OutputPartition; 3] = [
    OutputPartition::Source,
    OutputPartition::Index(0),
    OutputPartition::Index(u32::MAX - 1),
];

#[derive(Clone, Debug)]
struct Content {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Content {
    fn with_parts<T>(
        &self,
        f: impl FnOnce(Option<&[u8]>, Option<&[u8]>, &[(&str, Option<&[u8]>)]) -> T,
    ) -> T {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
            .collect();
        f(self.key.as_deref(), self.value.as_deref(), &headers)
    }

    fn is(&self, tail: Tail<'_>) -> bool {
        self.with_parts(|key, value, headers| {
            tail.key() == key && tail.value() == value && tail.headers().eq(headers.iter().copied())
        })
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![8 => vec(any::<u8>(), 0..20), 1 => vec(any::<u8>(), 60..70), 1 => vec(any::<u8>(), 100..9000)]
}

fn timestamp() -> impl Strategy<Value = i64> {
    prop_oneof![6 => 1_700_000_000_000..1_700_000_100_000i64, 1 => any::<i64>()]
}

fn content() -> impl Strategy<Value = Content> {
    let headers = vec((".{0,8}", option::of(bytes())), 0..4);
    (timestamp(), option::of(bytes()), option::of(bytes()), headers).prop_map(
        |(timestamp, key, value, headers)| Content {
            timestamp,
            key,
            value,
            headers,
        },
    )
}

fn contents() -> impl Strategy<Value = Vec<Content>> {
    vec(content(), 1..30)
}

fn codec() -> impl Strategy<Value = Codec> {
    select(&Codec::ALL[..])
}

/// Places and what is written over them.
fn edits() -> impl Strategy<Value = Vec<(Index, u8)>> {
    let byte = prop_oneof![any::<u8>(), select(&[0, 1, 0x7f, 0x80, 0xff][..])];
    vec((any::<Index>(), byte), 1..6)
}

fn build(codec: Codec, contents: &[Content]) -> Vec<u8> {
    let mut builder = BatchBuilder::new().codec(codec);
    for content in contents {
        content
            .with_parts(|key, value, headers| builder.push(content.timestamp, key, value, headers))
            .unwrap();
    }
    builder.finish().unwrap()
}

/// Everything that can be asked of `bytes`; what a check has accepted must hold.
fn exercise(bytes: &[u8]) {
    let mut scratch = Vec::new();
    if let Ok(batch) = Batch::parse(bytes) {
        assert!(batch.as_bytes().len() <= bytes.len());
        if let Ok(records) = batch.records() {
            assert_eq!(records.count(), batch.len());
        }
        if let Ok(plain) = batch.decompress(&mut scratch, LIMIT) {
            // One more of the same: whatever comes out is a sound batch.
            let plain = Batch::parse(plain.as_bytes()).unwrap();
            let mut builder = BatchBuilder::new();
            for (index, record) in plain.records().unwrap().enumerate() {
                assert_eq!(record.offset_delta() as usize, index);
                assert_eq!(
                    Tail::parse(record.tail()).unwrap().headers().count(),
                    record.headers().len()
                );
                builder.push_tail(record.timestamp(), record.tail()).unwrap();
            }
            assert_eq!(
                Batch::parse(&builder.finish().unwrap()).unwrap().len(),
                plain.len()
            );
        }
    }
    if let Ok(batch) = Batch::parse_sparse(bytes)
        && let Ok(plain) = batch.decompress(&mut scratch, LIMIT)
    {
        let deltas: Vec<_> = plain
            .records()
            .unwrap()
            .map(|record| record.offset_delta())
            .collect();
        assert_eq!(deltas.len(), plain.len());
        assert!(deltas.is_sorted_by(|a, b| a < b));
        assert!(deltas[0] >= 0 && deltas[deltas.len() - 1] <= plain.header().last_offset_delta);
    }
    if let Ok(batch) = Batch::parse_trusted(bytes) {
        if let Ok(records) = batch.records() {
            for record in records {
                assert!(record.headers().count() <= record.tail().len());
            }
        }
        let _ = batch.decompress(&mut scratch, LIMIT);
    }
    let split: usize = iter_batches(bytes).flatten().map(|(_, batch)| batch.len()).sum();
    assert!(split <= bytes.len());
    for outputs in [0, 1, 3] {
        if let Ok(reader) = Reader::new(bytes, 10, outputs) {
            assert_eq!(reader.entries().count(), reader.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_built_is_read(codec in codec(), contents in contents(), offset in 0..i64::MAX / 2) {
        let mut bytes = build(codec, &contents);
        set_base_offset(&mut bytes, offset).unwrap();
        let whole = bytes.len();
        bytes.extend_from_slice(b"and what follows");

        let batch = Batch::parse(&bytes).unwrap();
        prop_assert_eq!(batch.as_bytes().len(), whole);
        prop_assert_eq!(batch.len(), contents.len());
        prop_assert_eq!(Some(batch.max_timestamp()), contents.iter().map(|content| content.timestamp).max());
        let mut scratch = Vec::new();
        let batch = batch.decompress(&mut scratch, 1 << 24).unwrap();
        for (record, content) in batch.records().unwrap().zip(&contents) {
            prop_assert_eq!(record.timestamp(), content.timestamp);
            prop_assert_eq!(record.offset(), offset + i64::from(record.offset_delta()));
            prop_assert!(content.is(Tail::parse(record.tail()).unwrap()));
        }
        prop_assert_eq!(batch.records().unwrap().count(), contents.len());
    }

    #[test]
    fn a_cut_batch_is_refused(codec in codec(), contents in contents(), cut in any::<Index>()) {
        let bytes = build(codec, &contents);
        let cut = &bytes[..cut.index(bytes.len())];
        exercise(cut);
        let truncated = |result| matches!(result, Err(BatchError::Truncated { .. }));
        prop_assert!(truncated(Batch::parse(cut).map(drop)));
        prop_assert!(truncated(Batch::parse_trusted(cut).map(drop)));
    }

    #[test]
    fn damage_behind_the_epoch_is_found(codec in codec(), contents in contents(), at in any::<Index>(), bit in 0..8) {
        let mut bytes = build(codec, &contents);
        let at = 16 + at.index(bytes.len() - 16);
        bytes[at] ^= 1u8 << bit;
        prop_assert!(Batch::parse(&bytes).is_err());
    }

    #[test]
    fn edited_batches_never_panic(codec in codec(), contents in contents(), edits in edits()) {
        let mut bytes = build(codec, &contents);
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        exercise(&bytes);
        // And with a checksum that is right, so that everything behind it is reached.
        let _ = set_producer(&mut bytes, -1, -1, -1);
        exercise(&bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in vec(any::<u8>(), 0..300)) {
        exercise(&bytes);
        // With a header that is right as far as it goes.
        if bytes.len() >= 61 {
            bytes[16] = 2;
            let length = (bytes.len() - 12) as i32;
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            let count = i32::from(bytes[60]);
            bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
            bytes[57..61].copy_from_slice(&count.to_be_bytes());
            set_producer(&mut bytes, -1, -1, -1).unwrap();
            exercise(&bytes);
        }
    }

    #[test]
    fn tails_are_parsed_or_refused(bytes in vec(any::<u8>(), 0..40)) {
        if let Ok(tail) = Tail::parse(&bytes) {
            let headers: Vec<_> = tail.headers().collect();
            prop_assert_eq!(headers.len(), tail.headers().len());
        }
    }

    #[test]
    fn frames_are_read_as_written(contents in vec((content(), 0..3u32, 0..100u32, 0..7u8), 0..30)) {
        let mut writer = Writer::new(Vec::new());
        for (content, output, source, kind) in &contents {
            match kind {
                0 => content.with_parts(|key, value, headers| {
                    writer.emit(*output, *source, content.timestamp, key, value, headers)
                }),
                1 => writer.dead_letter(*source, "dead"),
                2 => writer.retry(*source, ""),
                3 => writer.fail(*source, "f\u{fc}r immer"),
                _ => content.with_parts(|key, value, headers| {
                    let target = Target { output: *output, partition: PARTITIONS[usize::from(*kind) - 4] };
                    writer.emit_to(target, *source, content.timestamp, key, value, headers)
                }),
            }
            .unwrap();
        }
        prop_assert_eq!(writer.len(), contents.len());
        let bytes = writer.finish();
        let reader = Reader::new(&bytes, 100, 3).unwrap();
        prop_assert_eq!(reader.len(), contents.len());
        prop_assert_eq!(reader.entries().len(), contents.len());
        prop_assert_eq!(reader.placed(), contents.iter().filter(|(.., kind)| *kind > 3).count());
        for (entry, (content, output, source, kind)) in reader.entries().zip(&contents) {
            prop_assert_eq!(entry.source(), *source);
            match entry {
                Entry::Emit { output: to, timestamp_delta, tail, partition, .. } => {
                    prop_assert_eq!((to, timestamp_delta), (*output, content.timestamp));
                    let written = match *kind {
                        0 => OutputPartition::Unchosen,
                        kind => PARTITIONS[usize::from(kind) - 4],
                    };
                    prop_assert_eq!(partition, written);
                    prop_assert!(content.is(tail));
                }
                Entry::DeadLetter { reason, .. } => prop_assert_eq!((*kind, reason), (1, "dead")),
                Entry::Retry { reason, .. } => prop_assert_eq!((*kind, reason), (2, "")),
                Entry::Fail { reason, .. } => prop_assert_eq!((*kind, reason), (3, "f\u{fc}r immer")),
            }
        }
        // Cut anywhere, it is no frame.
        for cut in 0..bytes.len().min(200) {
            prop_assert!(Reader::new(&bytes[..cut], 100, 3).is_err());
        }
    }

    #[test]
    fn edited_frames_never_panic(contents in vec(content(), 1..10), edits in edits()) {
        let mut writer = Writer::new(Vec::new());
        for (source, content) in contents.iter().enumerate() {
            content
                .with_parts(|key, value, headers| writer.emit(0, source as u32, 0, key, value, headers))
                .unwrap();
        }
        let mut bytes = writer.finish();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        exercise(&bytes);
    }
}
