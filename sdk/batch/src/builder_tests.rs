use alloc::vec;

use super::*;
use crate::{Batch, set_producer};

#[test]
fn nothing_makes_no_batch() {
    let mut builder = BatchBuilder::new();
    assert!(builder.is_empty());
    assert_eq!(builder.finish(), Err(BatchError::Empty));
    builder.push(0, None, None, &[]).unwrap();
    builder.clear();
    assert_eq!(builder.finish(), Err(BatchError::Empty));
}

#[test]
fn a_builder_is_used_again() {
    for codec in Codec::ALL {
        let mut builder = BatchBuilder::new().codec(codec);
        for timestamp in [1_000, 5] {
            builder.push(timestamp, None, Some(b"v"), &[]).unwrap();
            builder.push(timestamp + 7, None, Some(b"w"), &[]).unwrap();
            let bytes = builder.finish().unwrap();
            let batch = Batch::parse(&bytes).unwrap();
            assert_eq!(
                (batch.len(), batch.base_timestamp(), batch.max_timestamp()),
                (2, timestamp, timestamp + 7)
            );
            assert_eq!((batch.base_offset(), batch.header().leader_epoch), (0, -1));
            assert_eq!(
                (batch.header().producer_id, batch.header().base_sequence),
                (-1, -1)
            );
            assert!(builder.is_empty());
        }
    }
}

#[test]
fn sequence_numbers_go_on_and_around() {
    let mut builder = BatchBuilder::new().producer(9, 2, i32::MAX - 1);
    let mut next = || {
        for _ in 0..3 {
            builder.push(0, None, None, &[]).unwrap();
        }
        let bytes = builder.finish().unwrap();
        let header = *Batch::parse(&bytes).unwrap().header();
        assert_eq!((header.producer_id, header.producer_epoch), (9, 2));
        (header.base_sequence, header.last_sequence())
    };
    assert_eq!(next(), (i32::MAX - 1, 0));
    assert_eq!(next(), (1, 3));
}

#[test]
fn the_producer_can_be_set_afterwards() {
    let mut builder = BatchBuilder::new().producer(9, 2, 5);
    builder.push(0, None, Some(b"v"), &[]).unwrap();
    let expected = builder.finish().unwrap();
    builder.set_producer(-1, -1, -1);
    builder.push(0, None, Some(b"v"), &[]).unwrap();
    let mut bytes = builder.finish().unwrap();
    set_producer(&mut bytes, 9, 2, 5).unwrap();
    assert_eq!(bytes, expected);
}

#[test]
fn the_encoded_length_is_that_of_the_batch() {
    let mut builder = BatchBuilder::new();
    assert_eq!(builder.encoded_len(), HEADER_LEN);
    let headers: &[(&str, Option<&[u8]>)] = &[("h", Some(&[1; 70])), ("i", None)];
    for timestamp in [0, i64::MAX, i64::MIN, -1, 1 << 40] {
        let before = builder.encoded_len();
        builder
            .push(timestamp, Some(&[0; 64]), Some(&[0; 9000]), headers)
            .unwrap();
        let most = BatchBuilder::record_len_max(Some(&[0; 64]), Some(&[0; 9000]), headers);
        assert!(builder.encoded_len() - before <= most);
    }
    let expected = builder.encoded_len();
    let bytes = builder.finish().unwrap();
    assert_eq!(bytes.len(), expected);
    let timestamps: Vec<_> = Batch::parse(&bytes)
        .unwrap()
        .records()
        .unwrap()
        .map(|r| r.timestamp())
        .collect();
    assert_eq!(timestamps, [0, i64::MAX, i64::MIN, -1, 1 << 40], "deltas wrap");
}

#[test]
fn the_time_of_appending_counts_for_all_records() {
    let mut builder = BatchBuilder::new();
    builder.push(10, None, None, &[]).unwrap();
    builder.push(20, None, None, &[]).unwrap();
    let mut bytes = builder.finish().unwrap();
    bytes[ATTRIBUTES + 1] |= crate::header::LOG_APPEND_TIME as u8;
    patch::seal(&mut bytes);
    let batch = Batch::parse(&bytes).unwrap();
    assert!(batch.header().is_log_append_time());
    assert!(batch.records().unwrap().all(|record| record.timestamp() == 20));
}

/// The 2 GiB are zeros that nobody touches.
#[cfg(target_pointer_width = "64")]
#[test]
fn what_31_bits_cannot_say_is_refused() {
    let huge = vec![0; MAX_BATCH_LEN + 1];
    let mut builder = BatchBuilder::new();
    builder.push(0, None, Some(b"first"), &[]).unwrap();
    let before = builder.encoded_len();
    for len in [MAX_BATCH_LEN + 1, MAX_BATCH_LEN, MAX_BATCH_LEN - before - 10] {
        let huge = &huge[..len];
        assert_eq!(builder.push(0, None, Some(huge), &[]), Err(BatchError::TooLarge));
        assert_eq!(
            builder.push(0, Some(huge), Some(huge), &[]),
            Err(BatchError::TooLarge)
        );
        assert_eq!(
            builder.push(0, None, None, &[("h", Some(huge))]),
            Err(BatchError::TooLarge)
        );
        assert_eq!(builder.push_tail(0, huge), Err(BatchError::TooLarge));
    }
    assert_eq!((builder.len(), builder.encoded_len()), (1, before));
    assert_eq!(Batch::parse(&builder.finish().unwrap()).unwrap().len(), 1);
}
