//! Against an independent implementation: the `kafka-protocol` crate's records, in both directions, with every codec.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record as TheirRecord, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions,
    RecordSet, TimestampType,
};
use weir_batch::{
    Batch, BatchBuilder, BatchError, Codec, Record, iter_batches, set_base_offset, set_leader_epoch,
};

const LIMIT: usize = 1 << 20;

const CODECS: [(Codec, Compression); 5] = [
    (Codec::None, Compression::None),
    (Codec::Gzip, Compression::Gzip),
    (Codec::Snappy, Compression::Snappy),
    (Codec::Lz4, Compression::Lz4),
    (Codec::Zstd, Compression::Zstd),
];

/// Who produced a batch: id, epoch, base sequence.
type Producer = (i64, i16, i32);
const NOBODY: Producer = (-1, -1, -1);
const SOMEBODY: Producer = (4711, 12, 1000);

type Content = (
    i64,
    Option<&'static [u8]>,
    Option<&'static [u8]>,
    &'static [(&'static str, Option<&'static [u8]>)],
);

/// 200 KiB, so that every codec needs several of its blocks.
static LARGE: [u8; 200 * 1024] = {
    let mut bytes = [0; 200 * 1024];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = (at * at / 7) as u8;
        at += 1;
    }
    bytes
};

/// Every kind of key, value, header and timestamp there is.
const CONTENT: &[Content] = &[
    (1_700_000_000_000, Some(b"key"), Some(b"value"), &[]),
    (1_700_000_000_000, None, Some(b"no key"), &[]),
    (1_700_000_000_001, Some(b"no value"), None, &[]),
    (1_700_000_000_001, None, None, &[]),
    (1_700_000_000_900, Some(b""), Some(b""), &[("", Some(b""))]),
    (
        1_700_000_600_000,
        Some(b"k"),
        Some(&LARGE),
        &[("trace", Some(b"0af7")), ("null", None)],
    ),
    (
        1_800_000_000_000,
        Some(&[0xff; 128]),
        Some(&[0; 64]),
        &[("\u{fc}ml\u{e4}ut", Some(&[0x80; 8192]))],
    ),
];

fn ours(codec: Codec, producer: Producer) -> Vec<u8> {
    let mut builder = BatchBuilder::new()
        .codec(codec)
        .producer(producer.0, producer.1, producer.2);
    for &(timestamp, key, value, headers) in CONTENT {
        builder.push(timestamp, key, value, headers).unwrap();
    }
    builder.finish().unwrap()
}

fn theirs(compression: Compression, producer: Producer) -> Vec<u8> {
    let records: Vec<_> = their_records(producer).collect();
    let mut out = BytesMut::new();
    RecordBatchEncoder::encode(
        &mut out,
        &records,
        &RecordEncodeOptions {
            version: 2,
            compression,
        },
    )
    .unwrap();
    out.to_vec()
}

fn their_records(
    (producer_id, producer_epoch, base_sequence): Producer,
) -> impl Iterator<Item = TheirRecord> {
    CONTENT
        .iter()
        .zip(0..)
        .map(move |(&(timestamp, key, value, headers), index)| TheirRecord {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id,
            producer_epoch,
            timestamp_type: TimestampType::Creation,
            offset: i64::from(index),
            sequence: base_sequence + index,
            timestamp,
            key: key.map(Bytes::from_static),
            value: value.map(Bytes::from_static),
            headers: headers
                .iter()
                .map(|&(name, value)| (StrBytes::from_static_str(name), value.map(Bytes::from_static)))
                .collect(),
        })
}

fn decode_theirs(bytes: &[u8]) -> RecordSet {
    RecordBatchDecoder::decode(&mut Bytes::copy_from_slice(bytes)).unwrap()
}

fn assert_is_content(record: &Record<'_>, index: usize) {
    let (timestamp, key, value, headers) = CONTENT[index];
    assert_eq!(record.offset_delta(), index as i32);
    assert_eq!(record.timestamp(), timestamp);
    assert_eq!((record.key(), record.value()), (key, value), "record {index}");
    assert_eq!(record.headers().collect::<Vec<_>>(), headers, "record {index}");
}

#[test]
fn uncompressed_batches_are_the_same_to_the_byte() {
    for producer in [NOBODY, SOMEBODY] {
        let (ours, theirs) = (ours(Codec::None, producer), theirs(Compression::None, producer));
        assert!(ours == theirs, "{producer:?}");
    }
}

#[test]
fn their_batches_are_read() {
    for (codec, compression) in CODECS {
        for producer in [NOBODY, SOMEBODY] {
            let bytes = theirs(compression, producer);
            let batch = Batch::parse(&bytes).unwrap();
            assert_eq!((batch.codec(), batch.len()), (codec, CONTENT.len()));
            let header = batch.header();
            assert_eq!(
                (header.producer_id, header.producer_epoch, header.base_sequence),
                producer
            );

            let mut scratch = Vec::new();
            let batch = batch.decompress(&mut scratch, LIMIT).unwrap();
            assert_eq!(batch.records().unwrap().count(), CONTENT.len());
            for (index, record) in batch.records().unwrap().enumerate() {
                assert_is_content(&record, index);
            }
            // Uncompressed it is what would have been sent without a codec.
            assert!(batch.as_bytes() == theirs(Compression::None, producer), "{codec}");
        }
    }
}

#[test]
fn our_batches_are_read_by_them() {
    for (codec, compression) in CODECS {
        for producer in [NOBODY, SOMEBODY] {
            let set = decode_theirs(&ours(codec, producer));
            assert_eq!((set.compression, set.version), (compression, 2));
            let expected: Vec<_> = their_records(producer).collect();
            assert!(set.records == expected, "{codec} {producer:?}");
        }
    }
}

#[test]
fn flags_are_read_by_them() {
    let mut builder = BatchBuilder::new()
        .transactional(true)
        .control(true)
        .producer(1, 0, 0);
    builder
        .push(0, Some(b"\0\0\0\x01"), Some(b"\0\0\0\0\0\0"), &[])
        .unwrap();
    let set = decode_theirs(&builder.finish().unwrap());
    assert!(set.records[0].transactional && set.records[0].control);
    let header = *Batch::parse(&builder_roundtrip(&mut builder)).unwrap().header();
    assert!(header.is_transactional() && header.is_control() && header.has_producer());
    assert_eq!(header.base_sequence, 1, "goes on where the batch before ended");
}

fn builder_roundtrip(builder: &mut BatchBuilder) -> Vec<u8> {
    builder.push(0, None, None, &[]).unwrap();
    builder.finish().unwrap()
}

#[test]
fn patched_offsets_are_read_by_them() {
    for (codec, _) in CODECS {
        let mut bytes = ours(codec, SOMEBODY);
        set_base_offset(&mut bytes, 1 << 40).unwrap();
        set_leader_epoch(&mut bytes, 7).unwrap();
        let set = decode_theirs(&bytes);
        for (record, delta) in set.records.iter().zip(0..) {
            assert_eq!(
                (record.offset, record.partition_leader_epoch),
                ((1 << 40) + delta, 7)
            );
        }
        let batch = Batch::parse(&bytes).unwrap();
        assert_eq!((batch.base_offset(), batch.header().leader_epoch), (1 << 40, 7));
        assert_eq!(batch.header().next_offset(), (1 << 40) + CONTENT.len() as i64);
        let mut scratch = Vec::new();
        let batch = batch.decompress(&mut scratch, LIMIT).unwrap();
        assert_eq!(
            batch.records().unwrap().map(|record| record.offset()).last(),
            Some(batch.last_offset())
        );
    }
}

#[test]
fn their_concatenated_batches_are_split() {
    let mut all = theirs(Compression::None, NOBODY);
    all.extend(theirs(Compression::Zstd, SOMEBODY));
    let batches: Vec<_> = iter_batches(&all).map(Result::unwrap).collect();
    assert_eq!(batches.len(), 2);
    assert_eq!((batches[0].0.producer_id, batches[1].0.producer_id), (-1, 4711));
    assert_eq!(batches[0].1.len() + batches[1].1.len(), all.len());
    for (header, bytes) in batches {
        assert_eq!(Batch::parse(bytes).unwrap().header(), &header);
    }
}

/// The record batch that the documentation of `kafka-protocol` takes out of a fetch response.
const RECORDED: &[u8; 79] = b"\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x43\x00\x00\x00\x00\x02\x73\x6d\x29\
    \x7b\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    \x01\x22\x01\xd0\x0f\x02\x0a\x68\x65\x6c\x6c\x6f\x0a\x77\x6f\x72\x6c\x64\x00";

#[test]
fn a_recorded_batch_is_read() {
    // It is from a log: one record of four is left.
    let batch = Batch::parse_sparse(RECORDED).unwrap();
    assert_eq!(
        (
            batch.len(),
            batch.codec(),
            batch.base_offset(),
            batch.last_offset()
        ),
        (1, Codec::None, 0, 3)
    );
    let record = batch.records().unwrap().next().unwrap();
    assert_eq!((record.offset(), record.timestamp()), (1, 1000));
    assert_eq!(
        (record.key(), record.value()),
        (Some(b"hello".as_slice()), Some(b"world".as_slice()))
    );
    assert_eq!(record.headers().len(), 0);
    // No producer would send that.
    let invalid = BatchError::InvalidRecordCount {
        count: 1,
        last_offset_delta: 3,
    };
    assert_eq!(Batch::parse(RECORDED).unwrap_err(), invalid);
}
