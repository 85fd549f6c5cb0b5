use std::collections::BTreeMap;

use super::*;
use crate::Limits;

const NOW: i64 = 1_800_000_000_000;

fn config(pairs: &[(&str, &str)]) -> TopicConfig {
    let map: BTreeMap<_, _> = pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
    TopicConfig::parse(&map, &Limits::default()).unwrap()
}

fn batch(codec: Codec) -> BytesMut {
    let mut builder = BatchBuilder::new().codec(codec).producer(7, 1, 40);
    for n in 0..10 {
        let value = vec![b'v'; 100];
        builder
            .push(1_000 + n, Some(b"k"), Some(&value), &[("h", Some(b"x"))])
            .unwrap();
    }
    BytesMut::from(Bytes::from(builder.finish().unwrap()))
}

fn refused(bytes: BytesMut, config: &TopicConfig) -> ErrorKind {
    admit(bytes, config, 1 << 20, NOW).unwrap_err().kind
}

#[test]
fn a_sound_batch_passes_untouched_whatever_its_codec() {
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let bytes = batch(codec);
        assert_eq!(
            admit(bytes.clone(), &config(&[]), 1 << 20, NOW).unwrap(),
            bytes,
            "{codec:?}"
        );
    }
}

#[test]
fn what_is_no_sound_batch_is_refused() {
    let config = config(&[]);
    let mut flipped = batch(Codec::None);
    flipped[80] ^= 1;
    assert_eq!(refused(flipped, &config), ErrorKind::CorruptMessage);
    let mut longer = batch(Codec::None);
    longer.extend_from_slice(b"x");
    assert_eq!(refused(longer, &config), ErrorKind::InvalidRecord);
    for len in 0..batch(Codec::None).len() {
        let mut short = batch(Codec::None);
        short.truncate(len);
        assert_eq!(refused(short, &config), ErrorKind::CorruptMessage);
    }
    assert_eq!(
        refused(BytesMut::from(&[0xff; 100][..]), &config),
        ErrorKind::CorruptMessage
    );
}

#[test]
fn control_transactional_and_half_identified_batches_are_refused() {
    let config = config(&[]);
    let mut control = BatchBuilder::new().control(true);
    control.push(0, None, None, &[]).unwrap();
    let mut transactional = BatchBuilder::new().transactional(true);
    transactional.push(0, None, None, &[]).unwrap();
    let mut half = BatchBuilder::new().producer(7, 0, -1);
    half.push(0, None, None, &[]).unwrap();
    for mut builder in [control, transactional, half] {
        let bytes = BytesMut::from(Bytes::from(builder.finish().unwrap()));
        assert_eq!(refused(bytes, &config), ErrorKind::InvalidRecord);
    }
    let mut stamped = batch(Codec::None);
    stamp_append_time(&mut stamped, NOW).unwrap();
    assert_eq!(refused(stamped, &config), ErrorKind::InvalidRecord);
}

#[test]
fn sizes_are_bounded_packed_and_unpacked() {
    let small = config(&[("max.message.bytes", "500")]);
    assert_eq!(refused(batch(Codec::None), &small), ErrorKind::MessageTooLarge);
    assert!(admit(batch(Codec::Zstd), &small, 1 << 20, NOW).is_ok());
    let error = admit(batch(Codec::Zstd), &small, 500, NOW).unwrap_err();
    assert_eq!(error.kind, ErrorKind::MessageTooLarge, "a decompression bomb");
}

#[test]
fn the_topics_codec_is_applied_and_nothing_else_changes() {
    for (name, to) in [("zstd", Codec::Zstd), ("none", Codec::None), ("lz4", Codec::Lz4)] {
        for from in [Codec::None, Codec::Gzip, Codec::Zstd] {
            let original = batch(from);
            let bytes = admit(
                original.clone(),
                &config(&[("compression.type", name)]),
                1 << 20,
                NOW,
            )
            .unwrap();
            if from == to {
                assert_eq!(bytes, original);
            }
            let stored = Batch::parse(&bytes).unwrap();
            assert_eq!(stored.codec(), to);
            let header = stored.header();
            assert_eq!(
                (header.producer_id, header.producer_epoch, header.base_sequence),
                (7, 1, 40)
            );
            let (mut a, mut b) = (Vec::new(), Vec::new());
            let stored = stored.decompress(&mut a, 1 << 20).unwrap();
            let sent = Batch::parse(&original)
                .unwrap()
                .decompress(&mut b, 1 << 20)
                .unwrap();
            let content = |batch: &Batch<'_>| -> Vec<_> {
                batch
                    .records()
                    .unwrap()
                    .map(|r| (r.offset_delta(), r.timestamp(), r.tail().to_vec()))
                    .collect()
            };
            assert_eq!(content(&stored), content(&sent));
        }
    }
}

#[test]
fn the_time_of_appending_replaces_that_of_creation() {
    let config = config(&[("message.timestamp.type", "LogAppendTime")]);
    let bytes = admit(batch(Codec::None), &config, 1 << 20, NOW).unwrap();
    let batch = Batch::parse(&bytes).unwrap();
    assert_eq!(batch.max_timestamp(), NOW);
    assert!(batch.records().unwrap().all(|record| record.timestamp() == NOW));
}
