//! What is deleted or expired goes, everything else stays, and the disk comes back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::*;
use weir_log::{AppendError, Clock, Log, LogConfig, PartitionConfig, PartitionId, ReadError, Storage};

fn used_bytes(folder: &Path) -> u64 {
    let mut total = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        total += if metadata.is_dir() {
            used_bytes(&entry.path())
        } else {
            metadata.blocks() * 512
        };
    }
    total
}

/// A value that cannot be mistaken for another.
fn value(id: PartitionId, i: usize, len: usize) -> Vec<u8> {
    let mut value = format!("{id}:{i}:").into_bytes();
    value.resize(len, i as u8);
    value
}

fn fill(log: &Log, id: PartitionId, records: usize, len: usize) {
    let start = log.partition(id).unwrap().high_watermark() as usize;
    let receipts: Vec<_> = (start..start + records)
        .map(|i| submit(log, id, batch_at(i as i64, [value(id, i, len)])))
        .collect();
    receipts
        .into_iter()
        .for_each(|receipt| drop(receipt.wait().unwrap()));
}

fn check(log: &Log, id: PartitionId, from: i64, len: usize) {
    let partition = log.partition(id).unwrap();
    let values = values_from(&partition, from, 50_000).unwrap();
    assert_eq!(values.len() as i64, partition.high_watermark() - from);
    for (i, (offset, found)) in (from..).zip(values) {
        assert_eq!(offset, i);
        assert_eq!(found, value(id, i as usize, len));
    }
}

#[test]
fn a_deleted_topic_gives_its_disk_back() {
    let folder = tempfile::tempdir().unwrap();
    let config = LogConfig {
        segment_bytes: 2 << 20,
        ..small()
    };
    let open = || Log::open(Storage::Folder(folder.path().to_owned()), config.clone()).unwrap();
    let log = open();
    let (gone, stays) = (partition(&log, P), partition(&log, Q));
    let watch = gone.watch();
    // Mixed in every segment, four parts of the one that goes.
    for _ in 0..20 {
        fill(&log, P, 400, 1000);
        fill(&log, Q, 100, 1000);
    }
    log.reclaim_now().unwrap();
    let before = used_bytes(folder.path());
    assert!(before > 10_000_000, "{before}");

    log.delete_topic(P.topic).unwrap();
    assert_eq!(gone.read(0, 100), Err(ReadError::UnknownPartition));
    assert!(gone.read_cached(0, 100).is_none());
    assert!(watch.has_changed().is_err(), "whoever waits is told");
    assert_eq!(append(&log, P, batch(["x"])), Err(AppendError::UnknownPartition));
    log.reclaim_now().unwrap();
    let after = used_bytes(folder.path());
    assert!(after < 2_000_000 + before / 5, "{after} of {before}");
    check(&log, Q, 0, 1000);
    fill(&log, Q, 100, 1000);
    assert_eq!(stays.high_watermark(), 2100);

    drop(log);
    let log = open();
    assert!(log.partition(P).is_none());
    check(&log, Q, 0, 1000);
    log.delete_topic(Q.topic).unwrap();
    log.reclaim_now().unwrap();
    let nothing = used_bytes(folder.path());
    assert!(nothing < 1_000_000, "{nothing}");
}

#[test]
fn a_topic_deleted_just_before_a_restart_gives_its_disk_back_too() {
    let folder = tempfile::tempdir().unwrap();
    let config = LogConfig {
        segment_bytes: 1 << 20,
        ..small()
    };
    let open = || Log::open(Storage::Folder(folder.path().to_owned()), config.clone()).unwrap();
    let log = open();
    let _partitions = [partition(&log, P), partition(&log, Q)];
    for _ in 0..10 {
        fill(&log, P, 100, 1000);
        fill(&log, Q, 300, 1000);
    }
    log.reclaim_now().unwrap();
    let before = used_bytes(folder.path());
    log.retain_topics(|topic| topic == Q.topic).unwrap();
    drop(log);
    let log = open();
    log.reclaim_now().unwrap();
    let after = used_bytes(folder.path());
    assert!(after < before / 10 * 8 + 1_000_000, "{after} of {before}");
    check(&log, Q, 0, 1000);
}

#[test]
fn retention_by_bytes_keeps_as_much_as_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let config = LogConfig {
        segment_bytes: 1 << 20,
        ..small()
    };
    let log = Log::open(Storage::Folder(folder.path().to_owned()), config).unwrap();
    let retained = partition(&log, P);
    let _stays = partition(&log, Q);
    retained.configure(PartitionConfig {
        retention_bytes: Some(500_000),
        retention_ms: None,
    });
    for _ in 0..10 {
        fill(&log, P, 1000, 1000);
        fill(&log, Q, 50, 1000);
        log.reclaim_now().unwrap();
        let kept = retained.high_watermark() - retained.log_start_offset();
        assert!((460..=540).contains(&kept), "{kept}");
        assert!(
            (500_000..600_000).contains(&retained.stats().bytes),
            "{:?}",
            retained.stats()
        );
        check(&log, P, retained.log_start_offset(), 1000);
        check(&log, Q, 0, 1000);
        let below = retained.log_start_offset() - 1;
        assert!(matches!(
            retained.read(below, 100),
            Err(ReadError::OffsetOutOfRange { .. })
        ));
    }
    let used = used_bytes(folder.path());
    assert!(used < 5_000_000, "{used}");
}

#[test]
fn retention_by_time_takes_what_is_too_old() {
    let now = Arc::new(AtomicI64::new(0));
    let folder = tempfile::tempdir().unwrap();
    let config = LogConfig {
        clock: Clock::Manual(now.clone()),
        ..small()
    };
    let open = || Log::open(Storage::Folder(folder.path().to_owned()), config.clone()).unwrap();
    let log = open();
    let partition = partition(&log, P);
    // Record i is of time i.
    fill(&log, P, 2000, 1000);
    partition.configure(PartitionConfig {
        retention_bytes: None,
        retention_ms: Some(1000),
    });
    for time in [500, 1000, 1700, 2500, 2990] {
        now.store(time, Ordering::Release);
        log.reclaim_now().unwrap();
        let oldest = (time - 1000).max(0);
        let start = partition.log_start_offset();
        assert!(
            (oldest - 64..=oldest).contains(&start) || (start, oldest) == (0, 0),
            "{start} at {time}"
        );
        check(&log, P, start, 1000);
    }
    let start = partition.log_start_offset();
    drop((log, partition));
    let log = open();
    assert_eq!(log.partition(P).unwrap().log_start_offset(), start);
    check(&log, P, start, 1000);
    let partition = common::partition(&log, P);
    partition.configure(PartitionConfig {
        retention_bytes: None,
        retention_ms: Some(1000),
    });
    now.store(1_000_000, Ordering::Release);
    log.reclaim_now().unwrap();
    assert_eq!(
        (partition.log_start_offset(), partition.high_watermark()),
        (2000, 2000)
    );
    assert!(used_bytes(folder.path()) < 1_000_000);
    fill(&log, P, 1, 10);
    assert_eq!(partition.high_watermark(), 2001);
}

#[test]
fn records_are_deleted_up_to_an_offset() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Log::open(Storage::Folder(folder.path().to_owned()), small()).unwrap();
    let log = open();
    let partition = partition(&log, P);
    fill(&log, P, 1000, 1000);
    assert_eq!(partition.delete_records(10).unwrap(), 10);
    assert_eq!(partition.delete_records(5).unwrap(), 10, "it never goes back");
    assert_eq!(partition.delete_records(777).unwrap(), 777);
    log.reclaim_now().unwrap();
    check(&log, P, 777, 1000);
    drop((log, partition));
    let log = open();
    check(&log, P, 777, 1000);
    let partition = common::partition(&log, P);
    assert_eq!(partition.delete_records(i64::MAX).unwrap(), 1000);
    log.reclaim_now().unwrap();
    drop((log, partition));
    // Nothing is left, and the offsets go on all the same.
    let log = open();
    let partition = common::partition(&log, P);
    assert_eq!(
        (partition.log_start_offset(), partition.high_watermark()),
        (1000, 1000)
    );
    fill(&log, P, 1, 1000);
    check(&log, P, 1000, 1000);
}

#[test]
fn a_time_is_found_in_any_segment_and_batch() {
    let log = Log::open(Storage::Memory, small()).unwrap();
    let partition = partition(&log, P);
    assert_eq!(partition.offset_for_time(0).unwrap(), None);
    // Ten records a batch, the n-th at time 100 + 2 n.
    let receipts: Vec<_> = (0..300)
        .map(|i| {
            let mut builder = weir_batch::BatchBuilder::new();
            for n in i * 10..i * 10 + 10 {
                builder.push(100 + 2 * n, None, Some(&[0; 300]), &[]).unwrap();
            }
            submit(
                &log,
                P,
                bytes::BytesMut::from(builder.finish().unwrap().as_slice()),
            )
        })
        .collect();
    receipts
        .into_iter()
        .for_each(|receipt| drop(receipt.wait().unwrap()));
    for check in 0..2 {
        for (time, offset) in [(0, 0), (100, 0), (101, 1), (102, 1), (2103, 1002), (6098, 2999)] {
            assert_eq!(
                partition.offset_for_time(time).unwrap(),
                Some(offset),
                "{time} in round {check}"
            );
        }
        assert_eq!(partition.offset_for_time(6099).unwrap(), None);
        log.roll().unwrap();
        log.reclaim_now().unwrap();
    }
    partition.delete_records(1005).unwrap();
    assert_eq!(partition.offset_for_time(0).unwrap(), Some(1005));
    assert_eq!(partition.offset_for_time(2103).unwrap(), Some(1005));
    assert_eq!(partition.offset_for_time(2111).unwrap(), Some(1006));
}

#[test]
fn times_out_of_order_are_found_where_they_first_come() {
    let log = Log::open(Storage::Memory, small()).unwrap();
    let partition = partition(&log, P);
    for time in [50, 900, 10, 20, 1000, 5] {
        append(&log, P, batch_at(time, [[1; 40_000]])).unwrap();
    }
    let found = [(0, 0), (51, 1), (900, 1), (901, 4)];
    for (time, offset) in found {
        assert_eq!(partition.offset_for_time(time).unwrap(), Some(offset));
    }
    assert_eq!(partition.offset_for_time(1001).unwrap(), None);
}

#[test]
fn what_was_written_in_small_groups_is_packed_later() {
    const RECORDS: u64 = 400;
    let folder = tempfile::tempdir().unwrap();
    let config = LogConfig {
        segment_bytes: 4 << 20,
        ..small()
    };
    let log = Log::open(Storage::Folder(folder.path().to_owned()), config).unwrap();
    let ids: Vec<_> = (0..4).map(|index| PartitionId { topic: 1, index }).collect();
    for &id in &ids {
        partition(&log, id);
    }
    // One record a group, in turn: the worst case for the pages.
    for _ in 0..RECORDS {
        for &id in &ids {
            fill(&log, id, 1, 1300);
        }
    }
    log.roll().unwrap();
    log.reclaim_now().unwrap();
    let payload = RECORDS * 4 * 1400;
    let used = used_bytes(folder.path());
    assert!(used < payload * 13 / 10 + 1_000_000, "{used} for {payload}");
    for id in ids {
        check(&log, id, 0, 1300);
    }
}
