use std::collections::BTreeSet;

use weir_batch::{BatchBuilder, Codec, set_base_offset};
use weir_protocol::{ErrorCode, SubscribedPartition};

use super::*;
use crate::RecordBatch;

fn opened(partitions: &[(u32, i64, i64)]) -> SubscribeOpened {
    SubscribeOpened {
        topic_id: 1,
        partitions: partitions
            .iter()
            .map(|&(partition, start_offset, high_watermark)| SubscribedPartition {
                partition,
                start_offset,
                high_watermark,
                log_start_offset: 0,
            })
            .collect(),
        filter: None,
    }
}

fn subscription(until_end: bool, partitions: &[(u32, i64, i64)]) -> Subscription {
    Subscription::new("t".into(), until_end, 1 << 20, 1 << 20, &opened(partitions))
}

fn batch(base_offset: i64, records: i64, codec: Codec) -> Vec<u8> {
    let mut builder = BatchBuilder::new().codec(codec);
    for offset in base_offset..base_offset + records {
        builder
            .push(offset, None, Some(&offset.to_be_bytes()), &[])
            .unwrap();
    }
    let mut batch = builder.finish().unwrap();
    set_base_offset(&mut batch, base_offset).unwrap();
    batch
}

fn frame(partition: u32, high_watermark: i64, end_reached: bool, batches: &[u8]) -> Bytes {
    let header = RecordsHeader {
        partition,
        end_reached,
        high_watermark,
        log_start_offset: 0,
    };
    let head = header.encode(batches.len()).unwrap();
    Bytes::from([&head[weir_protocol::FRAME_HEADER_LEN..], batches].concat())
}

/// Offsets of an event's records, and whether the partition has ended.
fn offsets(event: Option<Event>) -> (Vec<i64>, bool) {
    match event {
        Some(Event::Records { batches, ended, .. }) => (
            batches
                .iter()
                .flat_map(RecordBatch::records)
                .map(|record| record.offset())
                .collect(),
            ended,
        ),
        None => (Vec::new(), false),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_known_already_is_left_out() {
    let mut subscription = subscription(false, &[(0, 7, 20)]);
    let got = subscription
        .records(frame(0, 20, false, &batch(5, 5, Codec::None)))
        .unwrap();
    assert_eq!(offsets(got), (vec![7, 8, 9], false));
    let got = subscription
        .records(frame(0, 20, false, &batch(5, 5, Codec::None)))
        .unwrap();
    assert!(got.is_none());
    assert_eq!(subscription.request().partitions[0].start, Start::Offset(10));
}

#[test]
fn a_gap_that_compaction_or_retention_left_is_no_error() {
    let mut subscription = subscription(false, &[(0, 0, 20)]);
    let got = subscription
        .records(frame(0, 20, false, &batch(10, 2, Codec::None)))
        .unwrap();
    assert_eq!(offsets(got), (vec![10, 11], false));
}

#[test]
fn frames_that_make_no_sense_end_the_stream() {
    let mut subscription = subscription(false, &[(0, 0, 20)]);
    assert!(matches!(
        subscription.records(frame(1, 20, false, &[])),
        Err(Error::Protocol(_))
    ));
    assert!(matches!(
        subscription.records(Bytes::from_static(b"short")),
        Err(Error::Protocol(_))
    ));
    let reopened = SubscribeOpened {
        topic_id: 2,
        ..opened(&[(0, 0, 20)])
    };
    assert!(matches!(
        subscription.reopened(&reopened),
        Err(Error::TopicReplaced { .. })
    ));
}

#[test]
fn bytes_that_are_no_batch_fail_their_partition() {
    for damage in [&b"x"[..], &[0; 100]] {
        let mut subscription = subscription(false, &[(0, 0, 20), (1, 0, 20)]);
        let bytes = [&batch(0, 2, Codec::None), damage].concat();
        assert_eq!(
            offsets(subscription.records(frame(0, 20, false, &bytes)).unwrap()),
            (vec![0, 1], false)
        );
        assert!(
            subscription
                .records(frame(0, 20, false, &batch(2, 2, Codec::None)))
                .unwrap()
                .is_none()
        );
        let Some(Event::Failed {
            partition: 0,
            error: Error::Corrupt { offset: 2, .. },
            ..
        }) = subscription.take_damage()
        else {
            panic!("damage is reported");
        };
        assert!(subscription.take_damage().is_none());
        assert_eq!(subscription.request().partitions.len(), 1);
        assert!(!subscription.is_finished());
    }
}

#[test]
fn an_empty_partition_and_one_that_is_read_to_its_end_have_ended() {
    let mut subscription = subscription(true, &[(0, 4, 4), (1, 0, 2)]);
    assert_eq!(subscription.take_ended().len(), 1);
    assert!(subscription.take_ended().is_empty());
    let got = subscription
        .records(frame(1, 9, false, &batch(0, 5, Codec::None)))
        .unwrap();
    assert_eq!(offsets(got), (vec![0, 1], true));
    assert!(subscription.is_finished());
    // It can be sought, and ends where it did.
    assert!(matches!(
        subscription.seek(1, Start::Offset(1), 1),
        Reaction::Reopen
    ));
    subscription.reopened(&opened(&[(1, 1, 9)])).unwrap();
    let got = subscription
        .records(frame(1, 9, false, &batch(0, 5, Codec::None)))
        .unwrap();
    assert_eq!(offsets(got), (vec![1], true));
}

#[test]
fn an_error_from_before_a_seek_is_of_no_interest() {
    let mut subscription = subscription(false, &[(0, 5, 20)]);
    assert!(matches!(
        subscription.seek(0, Start::Offset(0), 1),
        Reaction::Send(_)
    ));
    let error = WireError::new(ErrorCode::OffsetOutOfRange, "").at(0, Some(5));
    assert!(subscription.error(error.clone()).unwrap().is_none());
    subscription.sought(&opened(&[(0, 0, 20)]));
    assert!(matches!(
        subscription.error(error).unwrap(),
        Some(Event::Failed { generation: 1, .. })
    ));
    let whole = WireError::new(ErrorCode::Internal, "");
    assert!(matches!(subscription.error(whole), Err(Error::Broker(_))));
}

#[test]
fn only_the_last_of_several_seeks_counts() {
    let mut subscription = subscription(false, &[(0, 5, 20)]);
    subscription.seek(0, Start::Offset(1), 1);
    subscription.seek(0, Start::Latest, 2);
    subscription.sought(&opened(&[(0, 1, 20)]));
    assert!(
        subscription
            .records(frame(0, 20, false, &batch(1, 2, Codec::None)))
            .unwrap()
            .is_none()
    );
    subscription.sought(&opened(&[(0, 20, 20)]));
    let got = subscription
        .records(frame(0, 21, false, &batch(20, 1, Codec::None)))
        .unwrap();
    assert_eq!(offsets(got), (vec![20], false));
}

#[test]
fn however_the_stream_breaks_every_record_comes_once_and_in_order() {
    for seed in 1..300u64 {
        let mut random = seed;
        let mut roll = move |sides: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % sides
        };
        // A log of batches of one to five records; some offsets are gone.
        let mut log = Vec::new();
        let mut there = BTreeSet::new();
        let mut next = 0;
        for _ in 0..30 {
            next += if roll(5) == 0 { roll(4) as i64 } else { 0 };
            let records = 1 + roll(5) as i64;
            log.push((next, records, batch(next, records, Codec::ALL[roll(5) as usize])));
            there.extend(next..next + records);
            next += records;
        }
        let start = roll(next as u64) as i64;
        let mut subscription = subscription(true, &[(0, start, next)]);
        let mut got = Vec::new();
        let mut position = start;
        while !subscription.is_finished() {
            // A frame begins with the batch that has the position and holds up to three.
            let first = log.partition_point(|(base, records, _)| base + records <= position);
            let count = 1 + roll(3) as usize;
            let batches = &log[first..log.len().min(first + count)];
            let bytes: Vec<u8> = batches.iter().flat_map(|(_, _, bytes)| bytes.clone()).collect();
            position = batches.last().map_or(next, |(base, records, _)| base + records);
            got.extend(
                offsets(
                    subscription
                        .records(frame(0, next, position >= next, &bytes))
                        .unwrap(),
                )
                .0,
            );
            if roll(3) == 0 && !subscription.is_finished() {
                let Start::Offset(resumed) = subscription.request().partitions[0].start else {
                    panic!()
                };
                position = resumed;
                subscription.reopened(&opened(&[(0, resumed, next)])).unwrap();
            }
        }
        assert_eq!(
            got,
            there.range(start..).copied().collect::<Vec<_>>(),
            "seed {seed}"
        );
    }
}

#[test]
fn progress_moves_the_position_and_ends_at_the_end() {
    let progress = |next_offset| SubscribeProgress {
        partition: 0,
        next_offset,
        high_watermark: 50,
    };
    let told = |event: Option<Event>| match event {
        Some(Event::Records {
            batches,
            next_offset,
            ended,
            ..
        }) => {
            assert!(batches.is_empty());
            Some((next_offset, ended))
        }
        _ => None,
    };
    let mut subscription = subscription(true, &[(0, 5, 20)]);
    assert_eq!(told(subscription.progress(&progress(12))), Some((12, false)));
    assert_eq!(subscription.request().partitions[0].start, Start::Offset(12));
    assert_eq!(
        told(subscription.progress(&progress(12))),
        None,
        "nothing new in that"
    );
    // The broker may be further than this subscription wants to go.
    assert_eq!(told(subscription.progress(&progress(40))), Some((20, true)));
    assert!(subscription.is_finished());
}

#[test]
fn records_left_out_leave_gaps_and_the_end_is_where_it_was() {
    // Offsets 0 to 9, of which a filter kept 3 and 7: each with a last offset of its batch that is further on.
    let mut bytes = Vec::new();
    for offset in [3, 7] {
        let mut one = batch(offset, 1, Codec::None);
        one[23..27].copy_from_slice(&2_i32.to_be_bytes());
        weir_batch::set_producer(&mut one, -1, -1, -1).unwrap();
        bytes.extend_from_slice(&one);
    }
    let mut filtered = subscription(true, &[(0, 0, 12)]);
    let (found, ended) = offsets(filtered.records(frame(0, 12, true, &bytes)).unwrap());
    assert_eq!((found, ended), (vec![3, 7], true));
    let mut live = subscription(false, &[(0, 0, 12)]);
    live.records(frame(0, 12, false, &bytes)).unwrap();
    assert_eq!(live.request().partitions[0].start, Start::Offset(10));
}
