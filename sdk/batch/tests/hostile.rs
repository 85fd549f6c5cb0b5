//! Batches and frames made to deceive.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use weir_batch::frame::{FrameError, Reader, Writer};
use weir_batch::{
    Batch, BatchBuilder, BatchError, BatchHeader, Codec, HEADER_LEN, RecordField, iter_batches,
    set_base_offset, set_leader_epoch, set_producer,
};

const MIB: usize = 1 << 20;

/// Zigzag varint.
fn varint(value: i64) -> Vec<u8> {
    let mut value = ((value << 1) ^ (value >> 63)) as u64;
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A batch of `payload` whose header is right, CRC included.
fn wrap(codec: Codec, count: i32, payload: &[u8]) -> Vec<u8> {
    let mut batch = vec![0; HEADER_LEN];
    batch.extend_from_slice(payload);
    let length = (batch.len() - 12) as i32;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[16] = 2;
    batch[21..23].copy_from_slice(&(codec as i16).to_be_bytes());
    batch[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    batch[57..61].copy_from_slice(&count.to_be_bytes());
    set_producer(&mut batch, -1, -1, -1).unwrap();
    batch
}

/// A record of the raw `body`, with its right length before it.
fn record(body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    [varint(body.len() as i64), body].concat()
}

fn fault_of(payload: &[u8]) -> BatchError {
    let batch = wrap(Codec::None, 1, payload);
    // Nobody checks it here: no panic, and no record that is not there.
    assert!(Batch::parse_trusted(&batch).map_or(0, |batch| batch.records().unwrap().count()) <= 1);
    Batch::parse(&batch).unwrap_err()
}

fn sound() -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder
        .push(5, Some(b"k"), Some(b"v"), &[("h", Some(b"x"))])
        .unwrap();
    builder.push(6, None, Some(b"another value"), &[]).unwrap();
    builder.finish().unwrap()
}

#[test]
fn a_lie_in_any_field_of_a_record_is_found() {
    const START: &[u8] = &[0, 0, 0];
    let invalid = |field| BatchError::InvalidRecord { index: 0, field };
    let huge = varint(i64::from(i32::MAX));
    let cases: [(&str, Vec<u8>, RecordField); 17] = [
        (
            "length beyond the batch",
            [varint(1000), vec![0; 40]].concat(),
            RecordField::Length,
        ),
        (
            "length of 2 GiB",
            [huge.clone(), vec![0; 40]].concat(),
            RecordField::Length,
        ),
        (
            "negative length",
            [varint(-1), vec![0; 40]].concat(),
            RecordField::Length,
        ),
        ("length that never ends", vec![0xff; 40], RecordField::Length),
        (
            "no attributes",
            [record(&[]), vec![0; 10]].concat(),
            RecordField::Attributes,
        ),
        (
            "endless timestamp",
            record(&[&[0], &[0xff; 20]]),
            RecordField::TimestampDelta,
        ),
        (
            "offset delta of another record",
            record(&[&[0, 0], &varint(1), &[1, 1, 0]]),
            RecordField::OffsetDelta,
        ),
        (
            "negative offset delta",
            record(&[&[0, 0], &varint(-1), &[1, 1, 0]]),
            RecordField::OffsetDelta,
        ),
        (
            "key beyond the record",
            record(&[START, &varint(50), &[1, 1, 0]]),
            RecordField::Key,
        ),
        (
            "key length -2",
            record(&[START, &varint(-2), &[1, 1, 0]]),
            RecordField::Key,
        ),
        (
            "value of 2 GiB",
            record(&[START, &[1], &huge, &[0; 9]]),
            RecordField::Value,
        ),
        (
            "2 billion headers",
            record(&[START, &[1, 1], &huge, &[0; 8]]),
            RecordField::HeaderName,
        ),
        (
            "minus one headers",
            record(&[START, &[1, 1], &varint(-1)]),
            RecordField::HeaderCount,
        ),
        (
            "a header without a name",
            record(&[START, &[1, 1, 2], &varint(-1), &[0]]),
            RecordField::HeaderName,
        ),
        (
            "a name that is no UTF-8",
            record(&[START, &[1, 1, 2, 2, 0xff, 0]]),
            RecordField::HeaderName,
        ),
        (
            "header value beyond",
            record(&[START, &[1, 1, 2, 2, b'n', 20]]),
            RecordField::HeaderValue,
        ),
        (
            "bytes after the headers",
            record(&[START, &[1, 1, 0, 0]]),
            RecordField::End,
        ),
    ];
    for (what, payload, field) in cases {
        assert_eq!(fault_of(&payload), invalid(field), "{what}");
    }
    assert_eq!(
        fault_of(&[record(&[START, &[1, 1, 0]]), vec![9; 3]].concat()),
        BatchError::TrailingBytes { bytes: 3 }
    );
    assert!(Batch::parse(&wrap(Codec::None, 1, &record(&[START, &[1, 1, 0]]))).is_ok());
}

#[test]
fn a_lie_in_the_header_is_found() {
    let batch = sound();
    let edit = |at: usize, bytes: &[u8]| {
        let mut edited = batch.clone();
        edited[at..at + bytes.len()].copy_from_slice(bytes);
        // A checksum that is right, unless the header is too broken to have one.
        let _ = set_producer(&mut edited, -1, -1, -1);
        Batch::parse(&edited).unwrap_err()
    };
    let count = |count, last_offset_delta| BatchError::InvalidRecordCount {
        count,
        last_offset_delta,
    };
    assert_eq!(edit(16, &[1]), BatchError::UnsupportedMagic { magic: 1 });
    assert_eq!(edit(16, &[0xff]), BatchError::UnsupportedMagic { magic: -1 });
    assert_eq!(edit(8, &[0xff; 4]), BatchError::InvalidBatchLength { length: -1 });
    assert_eq!(
        edit(8, &[0, 0, 0, 48]),
        BatchError::InvalidBatchLength { length: 48 }
    );
    assert!(matches!(
        edit(8, &[0x7f, 0xff, 0xff, 0xff]),
        BatchError::Truncated {
            needed: 2_147_483_659,
            ..
        }
    ));
    assert_eq!(edit(22, &[5]), BatchError::UnknownCodec { bits: 5 });
    assert_eq!(edit(57, &[0, 0, 0, 0]), count(0, 1));
    assert_eq!(edit(57, &[0, 0, 0, 3]), count(3, 1));
    assert_eq!(edit(57, &[0x80, 0, 0, 0]), count(i32::MIN, 1));
    assert_eq!(edit(23, &[0, 0, 0, 0]), count(2, 0));

    let mut many = batch.clone();
    many[23..27].copy_from_slice(&[0x7f, 0xff, 0xff, 0xfe]);
    many[57..61].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff]);
    assert_eq!(
        Batch::parse_trusted(&many).unwrap_err(),
        count(i32::MAX, i32::MAX - 1)
    );

    let mut damaged = batch.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(
        Batch::parse(&damaged),
        Err(BatchError::CrcMismatch { .. })
    ));
}

#[test]
fn short_input_is_patched_by_nobody() {
    let batch = sound();
    for len in 0..HEADER_LEN {
        let mut cut = batch[..len].to_vec();
        assert!(set_base_offset(&mut cut, 1).is_err());
        assert!(set_leader_epoch(&mut cut, 1).is_err());
        assert!(set_producer(&mut cut, 1, 1, 1).is_err());
        assert_eq!(cut, batch[..len]);
    }
    let mut cut = batch[..batch.len() - 1].to_vec();
    assert!(set_base_offset(&mut cut, 1).is_ok());
    assert!(matches!(
        set_producer(&mut cut, 1, 1, 1),
        Err(BatchError::Truncated { .. })
    ));
}

#[test]
fn offsets_at_the_end_of_the_world_do_not_overflow() {
    let mut batch = sound();
    set_base_offset(&mut batch, i64::MAX).unwrap();
    let batch = Batch::parse(&batch).unwrap();
    assert_eq!(
        (batch.last_offset(), batch.header().next_offset()),
        (i64::MAX, i64::MAX)
    );
    assert_eq!(batch.records().unwrap().count(), 2);
}

#[test]
fn batches_are_split_up_to_the_first_fault() {
    let one = sound();
    let mut all = [one.clone(), one.clone(), one.clone()].concat();
    assert_eq!(iter_batches(&all).filter(Result::is_ok).count(), 3);
    all.pop();
    let items: Vec<_> = iter_batches(&all).collect();
    assert_eq!(items.len(), 3);
    let (needed, have) = (one.len(), one.len() - 1);
    assert_eq!(items[2], Err(BatchError::Truncated { needed, have }));
    assert_eq!(iter_batches(&[]).count(), 0);
    assert_eq!(iter_batches(b"short").count(), 1);
}

#[test]
fn bombs_are_stopped_at_the_limit() {
    let mut builder = BatchBuilder::new();
    let zeros = vec![0; 32 * MIB];
    builder.push(0, None, Some(&zeros), &[]).unwrap();
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut builder = BatchBuilder::new().codec(codec);
        builder.push(0, None, Some(&zeros), &[]).unwrap();
        let bytes = builder.finish().unwrap();
        assert!(bytes.len() < 2 * MIB, "{codec} is no bomb");
        let batch = Batch::parse(&bytes).unwrap();

        let mut scratch = Vec::new();
        let refused = batch.decompress(&mut scratch, MIB).map(|batch| batch.len());
        assert_eq!(
            refused,
            Err(BatchError::DecompressedTooLarge { limit: MIB }),
            "{codec}"
        );
        assert!(
            scratch.capacity() < 3 * MIB,
            "{codec}: {} bytes for a limit of 1 MiB",
            scratch.capacity()
        );

        let exact = batch.decompress(&mut scratch, 64 * MIB).unwrap().as_bytes().len() - HEADER_LEN;
        assert!(
            batch.decompress(&mut scratch, exact).is_ok(),
            "{codec}: the limit itself is allowed"
        );
        assert!(batch.decompress(&mut scratch, exact - 1).is_err(), "{codec}");
        assert!(batch.decompress(&mut scratch, 0).is_err(), "{codec}");
    }
}

#[test]
fn promises_of_size_are_not_paid_for() {
    // A raw snappy block and a zstd frame of a few bytes which say that gigabytes will come.
    let snappy = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, 0x61];
    let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0];
    for (codec, payload) in [(Codec::Snappy, &snappy[..]), (Codec::Zstd, &zstd)] {
        let bytes = wrap(codec, 1, payload);
        let batch = Batch::parse(&bytes).unwrap();
        let mut scratch = Vec::new();
        assert!(batch.decompress(&mut scratch, usize::MAX).is_err(), "{codec}");
        assert!(scratch.capacity() < MIB, "{codec}: {} bytes", scratch.capacity());
    }
}

#[test]
fn compressed_garbage_is_refused() {
    let mut inner = BatchBuilder::new();
    inner.push(0, None, Some(&[b'x'; 1000]), &[]).unwrap();
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut scratch = Vec::new();
        for garbage in [
            &b""[..],
            b"\0",
            b"garbage that no codec has written",
            &[0xff; 100],
        ] {
            let bytes = wrap(codec, 1, garbage);
            let batch = Batch::parse(&bytes).unwrap();
            assert!(batch.records().is_err());
            assert!(
                batch.decompress(&mut scratch, MIB).is_err(),
                "{codec} {garbage:?}"
            );
        }
        // Cut short, with a checksum that is right.
        let mut builder = BatchBuilder::new().codec(codec);
        builder.push(0, None, Some(&[b'x'; 1000]), &[]).unwrap();
        let bytes = builder.finish().unwrap();
        let payload = &bytes[HEADER_LEN..];
        for cut in 0..payload.len() - 8 {
            let bytes = wrap(codec, 1, &payload[..cut]);
            assert!(
                Batch::parse(&bytes)
                    .unwrap()
                    .decompress(&mut scratch, MIB)
                    .is_err(),
                "{codec} cut at {cut}"
            );
        }
        // More records than there are.
        let bytes = wrap(codec, i32::MAX, payload);
        assert!(
            Batch::parse(&bytes)
                .unwrap()
                .decompress(&mut scratch, MIB)
                .is_err(),
            "{codec}"
        );
    }
}

#[test]
fn snappy_is_read_framed_and_raw() {
    // One record, value `sdfdsf`: as Kafka's Java client sends it, and as a raw block.
    let raw = b"\r0\x18\0\0\0\x01\x0csdfdsf\0";
    let framed = [
        b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0".as_slice(),
        &[raw.len() as u8],
        raw,
    ]
    .concat();
    let twice = [&framed[..], b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"].concat();
    for payload in [raw.as_slice(), &framed, &twice] {
        let bytes = wrap(Codec::Snappy, 1, payload);
        let mut scratch = Vec::new();
        let batch = Batch::parse(&bytes)
            .unwrap()
            .decompress(&mut scratch, 100)
            .unwrap();
        assert_eq!(
            batch.records().unwrap().next().unwrap().value(),
            Some(b"sdfdsf".as_slice())
        );
    }
    let mut builder = BatchBuilder::new().codec(Codec::Snappy);
    builder.push_tail(0, b"\x01\x0csdfdsf\0").unwrap();
    assert_eq!(builder.finish().unwrap()[HEADER_LEN..], framed);
}

#[test]
fn a_lie_in_a_frame_is_found() {
    let frame =
        |entries: &[&[u8]]| [&[1], &(entries.len() as u32).to_le_bytes()[..], &entries.concat()].concat();
    let fault = |bytes: &[u8]| Reader::new(bytes, 10, 2).unwrap_err();
    assert_eq!(fault(b""), FrameError::Truncated { entry: 0 });
    assert_eq!(fault(&[1, 0, 0, 0]), FrameError::Truncated { entry: 0 });
    assert_eq!(fault(&[2, 0, 0, 0, 0]), FrameError::UnknownVersion { version: 2 });
    assert_eq!(
        fault(&[1, 0xff, 0xff, 0xff, 0xff]),
        FrameError::InvalidCount { count: u32::MAX }
    );
    assert_eq!(
        fault(&[1, 1, 0, 0, 0, 1, 0]),
        FrameError::InvalidCount { count: 1 }
    );
    assert_eq!(
        fault(&frame(&[&[5, 0, 0]])),
        FrameError::UnknownKind { entry: 0, kind: 5 }
    );
    assert_eq!(
        fault(&frame(&[&[4, 0, 0]])),
        FrameError::Truncated { entry: 0 },
        "no partition"
    );
    assert_eq!(
        fault(&frame(&[&[1, 0, 0], &[2, 9, 1]])),
        FrameError::Truncated { entry: 1 }
    );
    assert_eq!(
        fault(&frame(&[&[0, 2, 0, 0, 3, 1, 1, 0]])),
        FrameError::OutputOutOfRange {
            entry: 0,
            output: 2,
            outputs: 2
        }
    );
    assert_eq!(
        fault(&frame(&[&[0, 1, 10, 0, 3, 1, 1, 0]])),
        FrameError::SourceOutOfRange {
            entry: 0,
            source: 10,
            records: 10
        }
    );
    assert_eq!(
        fault(&frame(&[&[3, 0xff, 0xff, 0xff, 0xff, 0x0f, 0]])),
        FrameError::SourceOutOfRange {
            entry: 0,
            source: u32::MAX,
            records: 10
        }
    );
    assert_eq!(
        fault(&frame(&[&[1, 0, 1, 0xff]])),
        FrameError::InvalidReason { entry: 0 }
    );
    assert_eq!(
        fault(&frame(&[&[1, 0, 0, 7]])),
        FrameError::TrailingBytes { bytes: 1 }
    );
    assert_eq!(
        fault(&frame(&[&[0, 1, 0, 0, 0x7f, 1, 1, 0]])),
        FrameError::Truncated { entry: 0 }
    );
    let tail = |field| FrameError::InvalidTail { entry: 0, field };
    assert_eq!(fault(&frame(&[&[0, 1, 0, 0, 0]])), tail(RecordField::Key));
    assert_eq!(
        fault(&frame(&[&[0, 1, 0, 0, 3, 1, 1, 2]])),
        tail(RecordField::HeaderName)
    );
    assert_eq!(
        fault(&frame(&[&[0, 1, 0, 0, 4, 1, 1, 0, 0]])),
        tail(RecordField::End)
    );
    assert!(Reader::new(&frame(&[&[0, 1, 9, 0, 3, 1, 1, 0]]), 10, 2).is_ok());
}

#[test]
fn frames_of_nothing() {
    let bytes = Writer::new(b"old content".to_vec()).finish();
    let reader = Reader::new(&bytes, 0, 0).unwrap();
    assert!(reader.is_empty() && reader.entries().next().is_none());
}

#[test]
fn headers_are_decoded_alone() {
    let batch = sound();
    let header = BatchHeader::parse(&batch[..HEADER_LEN]).unwrap();
    assert_eq!((header.batch_len, header.record_count), (batch.len(), 2));
    assert_eq!(&header, Batch::parse(&batch).unwrap().header());
    assert_eq!(
        (header.producer_id, header.last_sequence(), header.leader_epoch),
        (-1, -1, -1)
    );
}
