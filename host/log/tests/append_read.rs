//! What was appended is read: same bytes, right offsets, from memory and from disk, before and after a restart.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::*;
use weir_log::{KvOp, Log, LogConfig, ReadError, Storage};

#[test]
fn what_is_appended_is_read() {
    for tail_cache_bytes in [0, 1 << 20] {
        let config = LogConfig {
            tail_cache_bytes,
            ..small()
        };
        let log = Log::open(Storage::Memory, config).unwrap();
        let partition = partition(&log, P);
        let mut expected = Vec::new();
        for i in 0..500 {
            let records: Vec<Vec<u8>> = (0..i % 7 + 1).map(|j| vec![i as u8; 10 + j * 500]).collect();
            let appended = append(&log, P, batch(&records)).unwrap();
            assert_eq!(appended.base_offset, expected.len() as i64);
            assert_eq!(appended.last_offset, (expected.len() + records.len()) as i64 - 1);
            assert!(!appended.duplicate);
            for record in records {
                expected.push((expected.len() as i64, record));
            }
        }
        assert_eq!(partition.high_watermark(), expected.len() as i64);
        assert_eq!(values(&partition), expected);
        for from in (0..expected.len()).step_by(37) {
            assert_eq!(
                values_from(&partition, from as i64, 3000).unwrap(),
                expected[from..]
            );
        }
        let end = expected.len() as i64;
        assert!(partition.read(end, 100).unwrap().batches.is_empty());
        let range = ReadError::OffsetOutOfRange {
            requested: end + 1,
            log_start: 0,
            high_watermark: end,
        };
        assert_eq!(partition.read(end + 1, 100), Err(range));
        assert!(partition.read(-1, 100).is_err());
    }
}

#[test]
fn a_restart_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let storage = || Storage::Folder(folder.path().join("log"));
    let mut expected = Vec::new();
    for round in 0..4u8 {
        let log = Log::open(storage(), small()).unwrap();
        let partition = partition(&log, P);
        assert_eq!(values(&partition), expected);
        assert_eq!(
            log.kv_read(0, b"round").unwrap(),
            round.checked_sub(1).map(|last| vec![last])
        );
        for i in 0..100 {
            let mut entry = entry([(P, batch([[round; 3000], [i; 3000]]))]);
            entry.puts.push(KvOp::Put {
                key: b"round".to_vec(),
                value: vec![round],
            });
            entry.puts.push(KvOp::Put {
                key: vec![b'k', i],
                value: vec![i, round],
            });
            write(&log, entry).unwrap();
            for value in [[round; 3000], [i; 3000]] {
                expected.push((expected.len() as i64, value.to_vec()));
            }
        }
        assert_eq!(values(&partition), expected);
        let pairs = log.kv_scan(0, b"k").unwrap();
        let wanted: Vec<_> = (0..100).map(|i| (vec![b'k', i], vec![i, round])).collect();
        assert_eq!(pairs, wanted);
        if round == 2 {
            drop(log);
        } else {
            log.close();
            assert_eq!(partition.read(0, 100), Err(ReadError::Closed));
        }
    }
}

#[test]
fn partitions_do_not_mix() {
    let log = Log::open(Storage::Memory, LogConfig { shards: 3, ..small() }).unwrap();
    let ids: Vec<_> = (0..20)
        .map(|i| weir_log::PartitionId {
            topic: 1 + i % 3,
            index: i,
        })
        .collect();
    let partitions: Vec<_> = ids.iter().map(|&id| partition(&log, id)).collect();
    let mut receipts = Vec::new();
    for i in 0..300u32 {
        for &id in &ids {
            let value = format!("{id} {i} {}", "x".repeat((i * 37 % 2000) as usize));
            receipts.push(submit(&log, id, batch([value])));
        }
    }
    receipts
        .into_iter()
        .for_each(|receipt| drop(receipt.wait().unwrap()));
    log.reclaim_now().unwrap();
    for (id, partition) in ids.iter().zip(&partitions) {
        for (offset, value) in values(partition) {
            assert!(value.starts_with(format!("{id} {offset} ").as_bytes()));
        }
        assert_eq!(partition.high_watermark(), 300);
    }
}

#[test]
fn batches_larger_than_a_row_or_a_group_come_back() {
    let log = Log::open(Storage::Memory, small()).unwrap();
    let partition = partition(&log, P);
    let sizes = [1, 4_000, 65_400, 65_600, 131_000, 300_000, 5_000_000, 10];
    for size in sizes {
        append(&log, P, batch([vec![size as u8; size], vec![1]])).unwrap();
    }
    let read = values_from(&partition, 0, 1).unwrap();
    let sizes_read: Vec<_> = read.iter().map(|(_, value)| value.len()).collect();
    assert_eq!(
        sizes_read,
        sizes.iter().flat_map(|&size| [size, 1]).collect::<Vec<_>>()
    );
    // A record in the middle of a batch: the batch.
    assert_eq!(partition.read(13, 1).unwrap().next_offset, 14);
    // As many as fit.
    assert_eq!(partition.read(0, 70_000).unwrap().next_offset, 6);
}

#[test]
fn batches_of_all_sizes_are_found_by_any_offset() {
    let log = Log::open(Storage::Memory, small()).unwrap();
    let partition = partition(&log, P);
    let mut seed = 5u64;
    let mut random = |below: u64| {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (seed >> 33) % below
    };
    // Submitted together, so that they are joined: small ones between ones that take many rows.
    let receipts: Vec<_> = (0..400)
        .map(|i| {
            let len = [40, 900, 9_000, 70_000, 300_000][random(5) as usize] + random(500) as usize;
            let records = 1 + random(3);
            submit(
                &log,
                P,
                batch((0..records).map(|_| vec![i as u8; len / records as usize])),
            )
        })
        .collect();
    let places: Vec<_> = receipts
        .into_iter()
        .map(|receipt| receipt.wait().unwrap().appends[0])
        .collect();
    for _ in 0..2 {
        for place in &places {
            for offset in place.base_offset..=place.last_offset {
                let fetched = partition.read(offset, 1).unwrap();
                assert_eq!(fetched.next_offset, place.last_offset + 1);
                let header = weir_batch::BatchHeader::parse(&fetched.batches).unwrap();
                assert_eq!(header.base_offset, place.base_offset);
            }
        }
        log.roll().unwrap();
        log.reclaim_now().unwrap();
    }
}
