//! A segment that was written to and is damaged when the process is killed: the log opens, serves what is left, says
//! what is lost, and gives no offset twice.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::disk::{Disk, Op};
use common::*;
use weir_batch::{Batch, iter_batches};
use weir_log::volume::Volume;
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
#[derive(Debug, Eq, PartialEq)]
struct Lost {
    records: usize,
    state: bool,
}

/// Opens a damaged disk and holds what is there against what was acknowledged.
fn check(disk: &Arc<Disk>, what: &str) -> Lost {
    let log = open(disk);
    let partitions = [partition(&log, P), partition(&log, Q)];
    let state = !log.shards_with_lost_state().is_empty();
    let mut records = 0;
    let mut before = Vec::new();
    for partition in &partitions {
        let found = readable(partition, partition.id());
        assert!(
            partition.high_watermark() >= GROUPS as i64,
            "{what}: an offset would be given twice"
        );
        records += GROUPS - found.len();
        before.push((found, partition.damaged(), partition.high_watermark()));
    }
    let count = log.kv_read(0, b"count").unwrap();
    let expected = Some((GROUPS - 1).to_string().into_bytes());
    assert!(
        state || count == expected,
        "{what}: a pair is older, and nobody is told"
    );
    // The producer goes on, or is told that it is not known any more.
    let mut next = batch(["next"]);
    weir_batch::set_producer(&mut next, PRODUCER, 0, GROUPS as i32).unwrap();
    match append(&log, P, next) {
        Ok(appended) => assert_eq!(appended.base_offset, before[0].2),
        Err(error) => {
            let unknown = matches!(error, AppendError::OutOfOrderSequence { expected: 0, .. });
            assert!(unknown && state, "{what}: {error}");
            let anew = append(&log, P, batch(["next"])).unwrap();
            assert_eq!(anew.base_offset, before[0].2, "{what}");
        }
    }
    // All of it is as it was after the next kill, after housekeeping, and once somebody has dealt with it.
    for round in 0..3 {
        match round {
            1 => log.reclaim_now().unwrap(),
            2 => forget_lost_state(&log),
            _ => {}
        }
        let again = open(&disk.killed());
        let told = state && round < 2;
        assert_eq!(!again.shards_with_lost_state().is_empty(), told, "{what}");
        let first = partition(&again, P);
        assert_eq!(first.high_watermark(), before[0].2 + 1, "{what}");
        assert_eq!(first.damaged(), before[0].1, "{what}");
        let second = partition(&again, Q);
        assert_eq!(readable(&second, Q), before[1].0, "{what}");
        assert_eq!(second.damaged(), before[1].1, "{what}");
        assert_eq!(second.high_watermark(), before[1].2, "{what}");
    }
    Lost { records, state }
}

fn forget_lost_state(log: &Log) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(log.forget_lost_state()).unwrap();
    assert!(log.shards_with_lost_state().is_empty());
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
    let (mut lossy, mut stateful) = (0, 0);
    for round in 0..300 {
        let damaged = disk.killed();
        // The header, with the roots of the last two commits, and then anything.
        let at = if round < 40 { round * 8 } else { random.below(len) };
        damaged.damage(&path, at, 1 << random.below(8));
        let lost = check(&damaged, &format!("byte {at}"));
        assert!(lost.records <= 8, "byte {at}: {lost:?}");
        let aside = aside(&damaged);
        assert!(
            aside.len() <= 1 && (aside.len() == 1 || lost.records == 0),
            "byte {at}: {lost:?}"
        );
        lossy += usize::from(lost.records > 0);
        stateful += usize::from(lost.state);
    }
    assert!(lossy > 50 && (1..50).contains(&stateful), "{lossy} {stateful}");
}

#[test]
fn a_closed_segment_is_looked_at_as_well() {
    let disk = killed();
    open(&disk).close();
    let (path, len) = active(&disk);
    let mut random = Random(2);
    let mut set_aside = 0;
    for _ in 0..60 {
        let damaged = disk.killed();
        let at = random.below(len);
        damaged.damage(&path, at, 1 << random.below(8));
        let lost = check(&damaged, &format!("byte {at}"));
        assert!(lost.records <= 8, "byte {at}: {lost:?}");
        set_aside += aside(&damaged).len();
    }
    assert!(set_aside > 10, "{set_aside}");
}

#[test]
fn a_page_of_zeros_costs_what_is_in_it() {
    let disk = killed();
    let (path, len) = active(&disk);
    let mut lossy = 0;
    for page in 0..len / PAGE {
        let damaged = disk.killed();
        damaged.alter(&path, |bytes| bytes[page * PAGE..][..PAGE].fill(0));
        let lost = check(&damaged, &format!("page {page}"));
        // Without the header nothing of the segment is found.
        assert!(lost.records <= 8 || page == 0, "page {page}: {lost:?}");
        lossy += usize::from(lost.records > 0);
    }
    assert!(lossy > 20, "{lossy} of {}", len / PAGE);
}

#[test]
fn a_file_that_was_cut_off_costs_what_was_behind() {
    let disk = killed();
    let (path, len) = active(&disk);
    let mut random = Random(3);
    let mut most = 0;
    for round in 0..60 {
        let damaged = disk.killed();
        let keep = match round {
            0 => 0,
            1 => PAGE,
            _ => random.below(len),
        };
        damaged.alter(&path, |bytes| bytes.truncate(keep));
        most = most.max(check(&damaged, &format!("cut off at {keep}")).records);
    }
    assert!(most > 40, "{most}");
}

#[test]
fn a_kill_while_a_file_is_set_aside_changes_nothing() {
    let disk = killed();
    let (path, _) = active(&disk);
    let bytes = disk.read_small(&path).unwrap().unwrap();
    let value = value(P, 41);
    let within = bytes.windows(value.len()).position(|w| w == value).unwrap();
    // One page that only costs records, and one that costs all that there is.
    for at in [within / PAGE * PAGE, 0] {
        let damaged = disk.killed();
        damaged.alter(&path, |bytes| bytes[at..][..PAGE].fill(0));
        let opened = damaged.killed();
        let expected = check(&opened, "all of it");
        let ops = {
            let opened = damaged.killed();
            drop(open(&opened));
            opened.ops()
        };
        assert!(expected.records > 0 && ops.len() > 20);
        let replayed = damaged.killed();
        for (done, op) in ops.iter().enumerate() {
            replayed.redo(op);
            if done % 3 == 0 || matches!(op, Op::Create(_) | Op::Rename(..) | Op::Remove(_) | Op::Sync(_)) {
                let what = format!("{done} of {} operations", ops.len());
                assert_eq!(check(&replayed.killed(), &what), expected, "{what}");
                let cut = replayed.power_cut(|| done % 2 == 0);
                assert_eq!(check(&cut, &what), expected, "{what}, then a power cut");
            }
        }
    }
}

#[test]
fn a_partition_that_only_the_lost_part_knew_begins_behind_it() {
    let disk = killed();
    let (path, _) = active(&disk);
    disk.alter(&path, |bytes| bytes[..PAGE].fill(0));
    let log = open(&disk);
    let new = weir_log::PartitionId { topic: 9, index: 0 };
    let begin = partition(&log, new).high_watermark();
    assert!(begin >= 1 << 20, "{begin}");
    assert!(matches!(
        partition(&log, new).read(0, 1),
        Err(ReadError::Corrupt { offset: 0, .. })
    ));
    forget_lost_state(&log);
    let log = open(&disk.killed());
    assert_eq!(append(&log, new, batch(["x"])).unwrap().base_offset, begin);
    // From now on what is new is new.
    let newer = weir_log::PartitionId { topic: 10, index: 0 };
    assert_eq!(partition(&log, newer).high_watermark(), 0);
}

#[test]
fn damage_in_the_state_database_is_refused_or_harmless() {
    let disk = killed();
    let (path, len) = disk
        .paths()
        .into_iter()
        .find(|(path, _)| path.ends_with("state.redb"))
        .unwrap();
    let mut random = Random(5);
    let mut refused = 0;
    for _ in 0..200 {
        let damaged = disk.killed();
        let at = random.below(len);
        damaged.damage(&path, at, 1 << random.below(8));
        match Log::open(Storage::Volume(damaged.clone()), small()) {
            Ok(log) => {
                for id in [P, Q] {
                    assert_eq!(readable(&partition(&log, id), id).len(), GROUPS, "byte {at}");
                }
            }
            Err(error) => {
                assert!(error.to_string().contains("state.redb"), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused < 200, "{refused}");
}

fn aside(disk: &Disk) -> Vec<String> {
    let paths = disk.paths().into_iter().map(|(path, _)| path);
    paths.filter(|path| path.ends_with(".damaged")).collect()
}
