//! Whatever moment the process or the power goes: what was acknowledged is there, once, in order, and what is there
//! beyond that is a beginning of what was being written. Replayed from a record of every write.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::sync::Arc;

use common::disk::{Disk, Op};
use common::*;
use weir_log::{KvOp, Log, LogConfig, PartitionConfig, Storage};

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 60_000,
        ..small()
    }
}

fn open(disk: &Arc<Disk>) -> Log {
    Log::open(Storage::Volume(disk.clone()), config()).unwrap()
}

/// Entry `i` appends one record to each partition and counts, so that its parts can be held against each other.
fn write_entry(log: &Log, i: usize) -> weir_log::Receipt {
    let value = |id| format!("{id} {i} {}", "x".repeat(i * 997 % 9000));
    let mut entry = entry([(P, batch([value(P)])), (Q, batch([value(Q)]))]);
    weir_log_producer(&mut entry.appends[0].batch, i);
    entry.puts.push(KvOp::Put {
        key: b"count".to_vec(),
        value: i.to_string().into_bytes(),
    });
    log.submit_blocking(0, entry).unwrap()
}

fn weir_log_producer(batch: &mut [u8], i: usize) {
    weir_batch::set_producer(batch, 77, 0, i as i32).unwrap();
}

/// A life with everything in it: rolls, checkpoints, retention that removes and rewrites segments.
fn live(disk: &Arc<Disk>) -> usize {
    let log = open(disk);
    let _first = partition(&log, P);
    let second = partition(&log, Q);
    let mut acked = 0;
    for round in 0..8 {
        // Some one by one, some together.
        for together in [1, 1, 2, 4] {
            let receipts: Vec<_> = (acked..acked + together).map(|i| write_entry(&log, i)).collect();
            for receipt in receipts {
                receipt.wait().unwrap();
                acked += 1;
                disk.ack(acked);
            }
        }
        if round == 1 {
            second.configure(PartitionConfig {
                retention_bytes: Some(20_000),
                retention_ms: None,
            });
        }
        log.reclaim_now().unwrap();
    }
    log.close();
    acked
}

/// What is on the disk is a beginning of the entries, at least `acked` of them.
fn check(disk: &Arc<Disk>, acked: usize, what: &str) {
    let log = open(disk);
    // A commit that was torn is no damage.
    assert!(log.shards_with_lost_state().is_empty(), "{what}");
    assert!(
        !disk.paths().iter().any(|(path, _)| path.ends_with(".damaged")),
        "{what}"
    );
    let (first, second) = (partition(&log, P), partition(&log, Q));
    let count = first.high_watermark() as usize;
    assert!(
        count >= acked,
        "{what}: {count} entries are there, {acked} were acknowledged"
    );
    assert_eq!(
        second.high_watermark() as usize,
        count,
        "{what}: an entry is there in part"
    );
    let stored = log
        .kv_read(0, b"count")
        .unwrap()
        .map(|value| String::from_utf8(value).unwrap());
    assert_eq!(
        stored,
        count.checked_sub(1).map(|last| last.to_string()),
        "{what}"
    );
    for (id, partition) in [(P, &first), (Q, &second)] {
        let values = values(partition);
        assert_eq!(
            values.len() as i64,
            partition.high_watermark() - partition.log_start_offset(),
            "{what}"
        );
        for (i, (offset, value)) in (partition.log_start_offset()..).zip(values) {
            assert_eq!(offset, i);
            let expected = format!("{id} {i} {}", "x".repeat(i as usize * 997 % 9000));
            assert_eq!(value, expected.as_bytes(), "{what}");
        }
    }
    assert_eq!(first.log_start_offset(), 0, "{what}");
    // It goes on where it was, and knows what it has.
    if count > 0 {
        let mut again = batch(["again"]);
        weir_log_producer(&mut again, count - 1);
        let again = append(&log, P, again).unwrap();
        assert!(again.duplicate && again.base_offset == count as i64 - 1, "{what}");
    }
    let receipt = write_entry(&log, count);
    assert_eq!(
        receipt.wait().unwrap().appends[0].base_offset,
        count as i64,
        "{what}"
    );
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        self.0 >> 33
    }
}

#[test]
fn every_beginning_of_the_writes_has_what_was_acknowledged() {
    let disk = Disk::new();
    live(&disk);
    let ops = disk.ops();
    let replayed = Disk::new();
    let (mut acked, mut checked) = (0, 0);
    let mut random = Random(1);
    for (at, op) in ops.iter().enumerate() {
        replayed.redo(op);
        if let Op::Ack(count) = op {
            acked = *count;
        }
        // All moments around a commit's end, and a share of the others.
        if matches!(op, Op::Sync(_) | Op::Ack(_) | Op::Create(_) | Op::Remove(_))
            || random.next().is_multiple_of(8)
        {
            check(
                &replayed.killed(),
                acked,
                &format!("after {} of {} ({})", at + 1, ops.len(), short(op)),
            );
            checked += 1;
        }
    }
    assert!(
        acked == 64 && checked > 200,
        "{checked} moments of {} operations",
        ops.len()
    );
}

#[test]
fn a_power_cut_that_loses_any_part_of_what_was_not_synced_loses_nothing_acknowledged() {
    let disk = Disk::new();
    live(&disk);
    let ops = disk.ops();
    for seed in 0..3 {
        let replayed = Disk::new();
        let mut acked = 0;
        let mut random = Random(seed);
        for (at, op) in ops.iter().enumerate() {
            replayed.redo(op);
            if let Op::Ack(count) = op {
                acked = *count;
            }
            if random.next().is_multiple_of(6) {
                // None, some, or most of what was not synced is there.
                let share = random.next() % 4;
                let after = replayed.power_cut(|| random.next() % 3 < share);
                check(
                    &after,
                    acked,
                    &format!("seed {seed}, power cut after {} of {}", at + 1, ops.len()),
                );
            }
        }
    }
}

fn short(op: &Op) -> String {
    match op {
        Op::Write(path, offset, bytes) => format!("write {} at {offset} of {path}", bytes.len()),
        other => format!("{other:?}"),
    }
}
