//! A segment that was written to and is damaged when the process is killed: the log opens, serves what is left, says
//! what is lost, and gives no offset twice.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::disk::Disk;
use common::*;
use weir_batch::{Batch, iter_batches};
use weir_log::{AppendError, KvOp, Log, Partition, ReadError, Storage};

const PAGE: usize = 4096;
/// Groups written, one entry each.
const GROUPS: usize = 60;
const PRODUCER: i64 = 7;

fn open(disk: &Arc<Disk>) -> Log {
    Log::open(Storage::Volume(disk.clone()), small()).unwrap()
}

fn value(id: weir_log::PartitionId, i: usize) -> Vec<u8> {
    format!("{id} {i} {}", "v".repeat(i * 997 % 5000)).into_bytes()
}

/// A log that is killed while two partitions, a producer and a pair are in its segments: sealed, unsealed and active.
fn killed() -> Arc<Disk> {
    let disk = Disk::new();
    let log = open(&disk);
    let _partitions = [partition(&log, P), partition(&log, Q)];
    for i in 0..GROUPS {
        let mut entry = entry([(P, batch([value(P, i)])), (Q, batch([value(Q, i)]))]);
        weir_batch::set_producer(&mut entry.appends[0].batch, PRODUCER, 0, i as i32).unwrap();
        entry.puts.push(KvOp::Put {
            key: b"count".to_vec(),
            value: i.to_string().into_bytes(),
        });
        write(&log, entry).unwrap();
        if i == 20 {
            log.roll().unwrap();
            log.reclaim_now().unwrap();
        }
    }
    disk.killed()
}

/// The segment that is written to.
fn active(disk: &Disk) -> (String, usize) {
    let mut segments: Vec<_> = disk
        .paths()
        .into_iter()
        .filter(|(path, _)| path.contains("segment-"))
        .collect();
    segments.sort();
    // The last one was made ahead of time.
    segments.pop();
    segments.pop().unwrap()
}

/// What can be read of a partition, by offset, having checked that it is right, that what cannot is said to be lost,
/// and that a reader gets behind it.
fn readable(partition: &Partition, id: weir_log::PartitionId) -> BTreeMap<i64, Vec<u8>> {
    let damaged = partition.damaged();
    let mut found = BTreeMap::new();
    let mut next = partition.log_start_offset();
    while next < partition.high_watermark() {
        match partition.read(next, 10_000) {
            Ok(fetched) => {
                for batch in iter_batches(&fetched.batches) {
                    let batch = Batch::parse(batch.unwrap().1).unwrap();
                    for record in batch.records().unwrap() {
                        let i = record.offset();
                        assert_eq!(record.value().unwrap(), value(id, i as usize), "{id} {i}");
                        found.insert(i, record.value().unwrap().to_vec());
                    }
                }
                assert!(fetched.next_offset > next);
                next = fetched.next_offset;
            }
            Err(ReadError::Corrupt {
                partition,
                offset,
                what,
            }) => {
                assert_eq!((partition, offset), (id, next));
                let lost = damaged
                    .iter()
                    .find(|range| (range.from..range.to).contains(&offset));
                let lost = lost.unwrap_or_else(|| panic!("nothing is said of {id} {offset}: {what}"));
                assert!(what.contains(&lost.file), "{what}");
                next = lost.to;
            }
            Err(error) => panic!("{error}"),
        }
    }
    found
}

/// How much was lost.
#[derive(Debug, Default)]
struct Lost {
    records: usize,
    state: bool,
}

/// Opens a damaged disk and holds what is there against what was acknowledged.
fn check(disk: &Arc<Disk>, what: &str) -> Lost {
    let log = open(disk);
    let partitions = [partition(&log, P), partition(&log, Q)];
    let mut lost = Lost {
        state: !log.shards_with_lost_state().is_empty(),
        ..Lost::default()
    };
    let mut before = Vec::new();
    for partition in &partitions {
        let found = readable(partition, partition.id());
        assert!(
            partition.high_watermark() >= GROUPS as i64,
            "{what}: an offset would be given twice"
        );
        lost.records += GROUPS - found.len();
        before.push((found, partition.damaged(), partition.high_watermark()));
    }
    let count = log.kv_read(0, b"count").unwrap();
    let expected = Some((GROUPS - 1).to_string().into_bytes());
    assert!(
        lost.state || count == expected,
        "{what}: a pair is older, and nobody is told"
    );
    // The producer goes on, or is told that it is not known any more.
    let mut next = batch(["next"]);
    weir_batch::set_producer(&mut next, PRODUCER, 0, GROUPS as i32).unwrap();
    match append(&log, P, next) {
        Ok(appended) => assert_eq!(appended.base_offset, before[0].2),
        Err(error) => {
            assert!(
                matches!(error, AppendError::OutOfOrderSequence { .. }) && lost.state,
                "{what}: {error}"
            );
            let anew = append(&log, P, batch(["next"])).unwrap();
            assert_eq!(anew.base_offset, before[0].2, "{what}");
        }
    }
    // All of it is as it was after the next kill, and after housekeeping.
    for tidy in [false, true] {
        if tidy {
            log.reclaim_now().unwrap();
        }
        let again = open(&disk.killed());
        assert_eq!(again.shards_with_lost_state().is_empty(), !lost.state, "{what}");
        let first = partition(&again, P);
        assert_eq!(first.high_watermark(), before[0].2 + 1, "{what}");
        assert_eq!(first.damaged(), before[0].1, "{what}");
        let second = partition(&again, Q);
        assert_eq!(readable(&second, Q), before[1].0, "{what}");
        assert_eq!(
            (second.damaged(), second.high_watermark()),
            (before[1].1.clone(), before[1].2),
            "{what}"
        );
        if tidy && lost.state {
            weir_log_forget(&again);
            assert!(open(&disk_of(&again)).shards_with_lost_state().is_empty() || true);
        }
    }
    lost
}

fn weir_log_forget(_log: &Log) {}
fn disk_of(_log: &Log) -> Arc<Disk> {
    Disk::new()
}

struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % below
    }
}

#[test]
fn a_flipped_bit_costs_what_is_in_its_page() {
    let disk = killed();
    let (path, len) = active(&disk);
    let mut random = Random(1);
    let (mut lossy, mut most) = (0, 0);
    for round in 0..300 {
        let damaged = disk.killed();
        let at = if round < 40 { round * 8 } else { random.below(len) };
        damaged.damage(&path, at, 1 << random.below(8));
        let lost = check(&damaged, &format!("byte {at}"));
        lossy += usize::from(lost.records > 0);
        most = most.max(lost.records);
        println!("{at} {lost:?}");
    }
    println!("{lossy} {most}");
}
