//! Disks that are full, that fail, and that lie.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::io::ErrorKind;
use std::sync::Arc;

use common::disk::{Disk, Faults};
use common::*;
use weir_log::volume::Volume;
use weir_log::{AppendError, Durability, Log, LogConfig, OpenError, ReadError, Storage};

fn open(disk: &Arc<Disk>) -> Log {
    open_with(disk, small())
}

fn open_with(disk: &Arc<Disk>, config: LogConfig) -> Log {
    Log::open(Storage::Volume(disk.clone()), config).unwrap()
}

fn value(i: usize) -> Vec<u8> {
    format!("{i} {}", "v".repeat(i * 131 % 5000)).into_bytes()
}

fn check(log: &Log, count: usize) {
    let found = values(&partition(log, P));
    let expected: Vec<_> = (0..count).map(|i| (i as i64, value(i))).collect();
    assert!(found == expected, "{} of {count}", found.len());
}

#[test]
fn a_full_disk_is_a_clear_error_and_passes() {
    for kind in [
        ErrorKind::StorageFull,
        ErrorKind::QuotaExceeded,
        ErrorKind::FileTooLarge,
    ] {
        let disk = Disk::new();
        let log = open(&disk);
        let reader = partition(&log, P);
        let mut stored = 0;
        for round in 0..4 {
            for _ in 0..20 {
                append(&log, P, batch([value(stored)])).unwrap();
                stored += 1;
            }
            disk.faults(Faults {
                write: Some(("segment".to_owned(), kind)),
                ..Faults::default()
            });
            for _ in 0..3 {
                let error = append(&log, P, batch(["not stored"])).unwrap_err();
                assert_eq!(error, AppendError::StorageFull);
                assert!(error.retriable());
            }
            assert!(log.stats().shards[0].degraded);
            check(&log, stored);
            assert_eq!(reader.high_watermark(), stored as i64);
            disk.faults(Faults::default());
            append(&log, P, batch([value(stored)])).unwrap();
            stored += 1;
            assert!(!log.stats().shards[0].degraded);
            check(&log, stored);
            if round % 2 == 0 {
                log.roll().unwrap();
                log.reclaim_now().unwrap();
            }
        }
        assert!(disk.failed() > 0);
        check(&open(&disk.power_cut(|| false)), stored);
    }
}

#[test]
fn too_little_room_is_refused_before_the_disk_is_full() {
    let disk = Disk::new();
    let log = open_with(
        &disk,
        LogConfig {
            free_space_min_bytes: 1 << 20,
            ..small()
        },
    );
    let _partitions = [partition(&log, P), partition(&log, Q)];
    append(&log, P, batch([value(0)])).unwrap();
    append(&log, Q, batch(["goes"])).unwrap();
    disk.faults(Faults {
        free_bytes: Some(1000),
        ..Faults::default()
    });
    assert_eq!(append(&log, P, batch(["x"])), Err(AppendError::StorageFull));
    check(&log, 1);
    // What makes room is let through.
    log.delete_topic(Q.topic).unwrap();
    assert_eq!(log.partition(P).unwrap().delete_records(0).unwrap(), 0);
    disk.faults(Faults::default());
    append(&log, P, batch([value(1)])).unwrap();
    check(&log, 2);
    assert_eq!(disk.failed(), 0);
}

#[test]
fn a_failed_fsync_is_not_believed_to_have_worked_later() {
    for relaxed in [false, true] {
        let disk = Disk::new();
        let log = open(&disk);
        let _partition = partition(&log, P);
        let mut stored = 0;
        for _ in 0..3 {
            for _ in 0..10 {
                append(&log, P, batch([value(stored)])).unwrap();
                stored += 1;
            }
            if relaxed {
                // Acknowledged and not on disk: the disk fails before it gets there.
                let mut entry = entry([(P, batch([value(stored)]))]);
                entry.durability = Durability::Relaxed;
                write(&log, entry).unwrap();
                stored += 1;
            }
            disk.faults(Faults {
                sync: Some("segment".to_owned()),
                ..Faults::default()
            });
            let error = append(&log, P, batch(["not stored"])).unwrap_err();
            assert!(matches!(error, AppendError::Failed { .. }) && error.retriable());
            assert!(append(&log, P, batch(["not stored"])).is_err());
            check(&log, stored);
            disk.faults(Faults::default());
            append(&log, P, batch([value(stored)])).unwrap();
            stored += 1;
            check(&log, stored);
            // Pages whose fsync failed never reach this disk unless they are written again.
            check(&open(&disk.power_cut(|| false)), stored);
        }
        assert!(disk.failed() > 0);
        log.close();
        check(&open(&disk.power_cut(|| false)), stored);
    }
}

#[test]
fn housekeeping_that_fails_is_done_later() {
    let disk = Disk::new();
    let log = open(&disk);
    let _partition = partition(&log, P);
    let mut stored = 0;
    let mut fill = |log: &Log| {
        for _ in 0..30 {
            append(log, P, batch([value(stored)])).unwrap();
            stored += 1;
        }
        stored
    };
    for which in ["state", "segment"] {
        fill(&log);
        log.reclaim_now().unwrap();
        disk.faults(Faults {
            write: Some((which.to_owned(), ErrorKind::StorageFull)),
            ..Faults::default()
        });
        log.roll().unwrap();
        assert!(log.reclaim_now().is_err(), "{which}");
        disk.faults(Faults::default());
        let stored = fill(&log);
        check(&log, stored);
        check(&open(&disk.killed()), stored);
        log.reclaim_now().unwrap();
        log.roll().unwrap();
        check(&log, stored);
        check(&open(&disk.killed()), stored);
    }
}

#[test]
fn a_flipped_bit_is_reported_and_never_served() {
    let disk = Disk::new();
    let log = open(&disk);
    let _partition = partition(&log, P);
    let count = 200;
    (0..count)
        .map(|i| submit(&log, P, batch([value(i)])))
        .for_each(|receipt| drop(receipt.wait().unwrap()));
    log.reclaim_now().unwrap();
    log.close();
    let expected: Vec<_> = (0..count).map(|i| (i as i64, value(i))).collect();
    let files: Vec<_> = disk
        .paths()
        .into_iter()
        .filter(|(path, _)| path.contains("segment"))
        .collect();
    assert!(files.len() > 2);

    let mut seed = 7u64;
    let mut random = |below: usize| {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (seed >> 33) as usize % below
    };
    let mut reported = 0;
    for round in 0..600 {
        let damaged = disk.killed();
        let (path, len) = &files[round % files.len()];
        damaged.damage(path, random(*len), 1 << random(8));
        let log = open(&damaged);
        let partition = partition(&log, P);
        let mut next = 0;
        let mut errors = 0;
        while next < count as i64 {
            match partition.read(next, 1) {
                Ok(fetched) => {
                    let found: Vec<_> = values_of(&fetched.batches);
                    let from = found[0].0 as usize;
                    assert!(
                        found[0].0 <= next && found == expected[from..from + found.len()],
                        "{path}"
                    );
                    next = fetched.next_offset;
                }
                Err(ReadError::Corrupt {
                    partition, offset, ..
                }) => {
                    assert_eq!(partition, P);
                    assert!((0..=count as i64).contains(&offset));
                    errors += 1;
                    next += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        reported += usize::from(errors > 0);
        // Writing goes on all the same.
        if errors == 0 {
            assert_eq!(
                append(&log, P, batch(["more"])).unwrap().base_offset,
                count as i64
            );
        }
    }
    // Most of the files is batches, and most flips of those are seen by somebody.
    assert!(reported > 100, "{reported} reported");
}

fn values_of(batches: &[u8]) -> Vec<(i64, Vec<u8>)> {
    weir_batch::iter_batches(batches)
        .flat_map(|batch| {
            let batch = weir_batch::Batch::parse(batch.unwrap().1).unwrap();
            batch
                .records()
                .unwrap()
                .map(|record| (record.offset(), record.value().unwrap().to_vec()))
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn a_swapped_offset_or_epoch_outside_the_checksum_is_noticed() {
    let disk = Disk::new();
    let log = open(&disk);
    let _partition = partition(&log, P);
    for i in 0..20 {
        append(&log, P, batch([vec![i; 2000]])).unwrap();
    }
    log.close();
    let (path, _) = disk
        .paths()
        .into_iter()
        .find(|(path, _)| path.contains("segment"))
        .unwrap();
    let bytes = disk.read_small(&path).unwrap().unwrap();
    // Batch 13 as it lies in the file: base offset, then the rest of the header.
    let mut header = 13i64.to_be_bytes().to_vec();
    header.extend_from_slice(&weir_batch_length());
    header.extend_from_slice(&[0, 0, 0, 0, 2]);
    let places: Vec<_> = bytes
        .windows(header.len())
        .enumerate()
        .filter(|(_, w)| *w == header)
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty());
    for within in [7, 15] {
        let damaged = disk.killed();
        places.iter().for_each(|at| damaged.damage(&path, at + within, 1));
        let log = open(&damaged);
        let partition = partition(&log, P);
        assert!(
            matches!(partition.read(13, 1), Err(ReadError::Corrupt { offset: 13, .. })),
            "byte {within}"
        );
        assert_eq!(partition.read(12, 1).unwrap().next_offset, 13);
        assert_eq!(partition.read(14, 1).unwrap().next_offset, 15);
    }
}

fn weir_batch_length() -> [u8; 4] {
    ((batch([vec![0; 2000]]).len() - 12) as u32).to_be_bytes()
}

#[test]
fn a_second_log_on_a_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Log::open(Storage::Folder(folder.path().to_owned()), small());
    let log = open().unwrap();
    let error = open().unwrap_err();
    assert!(matches!(&error, OpenError::Locked { path } if path.starts_with(folder.path())));
    assert!(error.to_string().contains("another process"));
    log.close();
    drop(open().unwrap());
}

#[test]
fn a_newer_format_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Log::open(Storage::Folder(folder.path().to_owned()), small());
    drop(open().unwrap());
    let path = folder.path().join("format.json");
    let newer = br#"{"format":"weir-log","version":2,"something":"else"}"#;
    std::fs::write(&path, newer).unwrap();
    std::fs::remove_file(folder.path().join("LOCK")).unwrap();
    let before = listing(folder.path());
    assert!(matches!(
        open(),
        Err(OpenError::NewerFormat { found: 2, known: 1 })
    ));
    assert_eq!(listing(folder.path()), before);
    std::fs::write(&path, b"{").unwrap();
    assert!(matches!(open(), Err(OpenError::Corrupt { .. })));
}

fn listing(folder: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(listing(&path));
        } else {
            files.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}
