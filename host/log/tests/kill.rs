//! Real processes: killed under load again and again, and one whose files may not grow.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::*;
use weir_log::{AppendError, Log, LogConfig, Partition, PartitionConfig, PartitionId, ReadError, Storage};

const FOLDER: &str = "WEIR_LOG_TEST_FOLDER";
const PARTITIONS: u32 = 5;

fn config() -> LogConfig {
    LogConfig {
        shards: 2,
        segment_bytes: 1 << 20,
        ..small()
    }
}

fn open(folder: &Path) -> Log {
    Log::open(Storage::Folder(folder.to_owned()), config()).unwrap()
}

fn id(index: u32) -> PartitionId {
    PartitionId { topic: 1, index }
}

/// Record `i` of a partition, of some length.
fn value(id: PartitionId, i: i64) -> Vec<u8> {
    let mut value = format!("{id} {i} ").into_bytes();
    value.resize(value.len() + (i * 7919 % 3000) as usize, i as u8);
    value
}

/// Runs one of the ignored tests below as a process of its own.
fn spawn(test: &str, folder: &Path, limit: Option<&str>) -> Child {
    let exe = std::env::current_exe().unwrap();
    let mut command = match limit {
        None => Command::new(exe),
        Some(limit) => {
            let mut command = Command::new("sh");
            command
                .args(["-c", &format!("{limit}; exec \"$0\" \"$@\"")])
                .arg(exe);
            command
        }
    };
    command
        .args(["--ignored", "--exact", test, "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_killed_process_loses_nothing_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<u32, i64> = BTreeMap::new();
    for round in 0..8usize {
        let mut child = spawn("killed_while_writing", folder.path(), None);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut left = 300 + round * 411;
        while left > 0 {
            let line = lines
                .next()
                .expect("the child writes until it is killed")
                .unwrap();
            if let Some((partition, next)) = ack(&line) {
                acknowledged.insert(partition, next);
                left -= 1;
            }
        }
        child.kill().unwrap();
        // What it had written before counts as well.
        for line in lines.map_while(Result::ok) {
            if let Some((partition, next)) = ack(&line) {
                acknowledged.insert(partition, next);
            }
        }
        child.wait().unwrap();

        let log = open(folder.path());
        for index in 0..PARTITIONS {
            let partition = partition(&log, id(index));
            let start = partition.log_start_offset();
            let found = values_from(&partition, start, 200_000).unwrap();
            let end = start + found.len() as i64;
            assert_eq!(end, partition.high_watermark());
            let acked = acknowledged.get(&index).copied().unwrap_or(0);
            assert!(end >= acked, "round {round}: {end} records, {acked} acknowledged");
            for (i, (offset, found)) in (start..).zip(found) {
                assert!(
                    offset == i && found == value(id(index), i),
                    "round {round}: record {i} of {index}"
                );
            }
            assert_eq!(
                log.kv_read(partition.shard(), &index.to_be_bytes())
                    .unwrap()
                    .map(be),
                (end > 0).then_some(end)
            );
        }
        if round % 3 == 0 {
            log.close();
        } else {
            // As if this process were killed, too: nothing is closed, only the lock goes.
            drop(log);
        }
    }
    assert_eq!(acknowledged.len(), PARTITIONS as usize);
}

/// The segment that a shard wrote to last.
fn last_written(folder: &Path, shard: u16) -> std::path::PathBuf {
    std::fs::read_dir(folder.join(format!("shard-{shard:02}")))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".redb"))
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("segment-"))
        .max_by_key(|entry| entry.metadata().unwrap().modified().unwrap())
        .unwrap()
        .path()
}

/// Reads all that is left, makes sure that it is right, and that the rest is reported where it is.
fn check_what_is_left(partition: &Partition, id: PartitionId) {
    let mut next = partition.log_start_offset();
    while next < partition.high_watermark() {
        match partition.read(next, 200_000) {
            Ok(fetched) => {
                for batch in weir_batch::iter_batches(&fetched.batches) {
                    let batch = weir_batch::Batch::parse(batch.unwrap().1).unwrap();
                    for record in batch.records().unwrap() {
                        let i = record.offset();
                        assert_eq!(record.value().unwrap(), value(id, i), "{id} {i}");
                    }
                }
                next = fetched.next_offset;
            }
            Err(ReadError::Corrupt { offset, .. }) => {
                let lost = partition
                    .damaged()
                    .into_iter()
                    .find(|range| (range.from..range.to).contains(&offset));
                assert!(offset >= next);
                // Damage in a segment that is sealed is found by reading alone.
                next = lost.map_or(offset + 1, |lost| lost.to);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn damage_after_a_kill_costs_what_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<u32, i64> = BTreeMap::new();
    let mut lossy = 0;
    for round in 0..6usize {
        let mut child = spawn("killed_while_writing", folder.path(), None);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let acks = lines
            .by_ref()
            .map(|line| line.unwrap())
            .filter_map(|line| ack(&line));
        acknowledged.extend(acks.take(200 + round * 97));
        child.kill().unwrap();
        acknowledged.extend(lines.map_while(Result::ok).filter_map(|line| ack(&line)));
        child.wait().unwrap();
        for shard in 0..2 {
            let path = last_written(folder.path(), shard);
            let mut bytes = std::fs::read(&path).unwrap();
            for flip in 0..8 {
                let at = (round * 7919 + flip * 104_729 + 5000) % bytes.len();
                bytes[at] ^= 1 << (flip % 8);
            }
            std::fs::write(&path, bytes).unwrap();
        }

        let log = open(folder.path());
        for index in 0..PARTITIONS {
            let partition = partition(&log, id(index));
            check_what_is_left(&partition, id(index));
            let known = acknowledged.get(&index).copied().unwrap_or(0);
            assert!(partition.high_watermark() >= known, "round {round}, {index}");
            lossy += usize::from(!partition.damaged().is_empty());
        }
    }
    assert!(lossy > 0);
}

fn be(bytes: Vec<u8>) -> i64 {
    i64::from_be_bytes(bytes.try_into().unwrap())
}

fn ack(line: &str) -> Option<(u32, i64)> {
    let (partition, next) = line.strip_prefix("ack ")?.split_once(' ')?;
    // The last line may be cut off: then it ends without a full stop.
    Some((partition.parse().ok()?, next.strip_suffix('.')?.parse().ok()?))
}

#[test]
#[ignore = "the other process of a_killed_process_loses_nothing_it_acknowledged"]
fn killed_while_writing() {
    let folder = std::env::var_os(FOLDER).unwrap();
    let log = open(Path::new(&folder));
    std::thread::scope(|scope| {
        for index in 0..PARTITIONS {
            let log = &log;
            scope.spawn(move || write_for_ever(log, id(index)));
        }
    });
}

fn write_for_ever(log: &Log, id: PartitionId) {
    // One of them expires as it goes, so that segments are removed and rewritten under way.
    let retention_bytes = (id.index == 1).then_some(300_000);
    let config = PartitionConfig {
        retention_bytes,
        retention_ms: None,
    };
    let partition = log.ensure_partition(id, config).unwrap();
    let mut next = partition.high_watermark();
    let mut receipts = std::collections::VecDeque::new();
    for round in 0.. {
        let records = 1 + (next + i64::from(id.index)) % 4;
        let mut entry = entry([(id, batch((next..next + records).map(|i| value(id, i))))]);
        next += records;
        entry.puts.push(weir_log::KvOp::Put {
            key: id.index.to_be_bytes().to_vec(),
            value: next.to_be_bytes().to_vec(),
        });
        receipts.push_back((next, log.submit_blocking(log.shard_of(id), entry).unwrap()));
        if receipts.len() > 10 {
            let (next, receipt) = receipts.pop_front().unwrap();
            receipt.wait().unwrap();
            // One write each, so that lines do not mix.
            std::io::stdout()
                .write_all(format!("ack {} {next}.\n", id.index).as_bytes())
                .unwrap();
        }
        if round % 500 == 499 && id.index == 1 {
            log.reclaim_now().unwrap();
        }
    }
}

#[test]
fn files_that_may_not_grow_are_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    // The limit can be lifted again by the process itself.
    let mut child = spawn(
        "writes_until_it_is_full",
        folder.path(),
        Some("trap '' XFSZ; ulimit -S -f 6000"),
    );
    let lines: Vec<String> = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .collect();
    assert!(child.wait().unwrap().success(), "{lines:?}");
    let stored: i64 = lines
        .iter()
        .find_map(|line| line.strip_prefix("stored "))
        .unwrap()
        .parse()
        .unwrap();
    let log = open_large(folder.path());
    let partition = partition(&log, P);
    assert_eq!(partition.high_watermark(), stored);
    assert!(
        values(&partition)
            .into_iter()
            .all(|(i, found)| found == value(P, i))
    );
}

fn open_large(folder: &Path) -> Log {
    let config = LogConfig {
        segment_bytes: 1 << 30,
        ..small()
    };
    Log::open(Storage::Folder(folder.to_owned()), config).unwrap()
}

#[test]
#[ignore = "the other process of files_that_may_not_grow_are_a_full_disk"]
fn writes_until_it_is_full() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let folder = std::env::var_os(FOLDER).unwrap();
    let log = open_large(Path::new(&folder));
    let partition = partition(&log, P);
    let mut stored = 0;
    let error = loop {
        match append(&log, P, batch([value(P, stored)])) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, AppendError::StorageFull);
    assert_eq!(append(&log, P, batch(["x"])), Err(AppendError::StorageFull));
    assert!(
        values(&partition)
            .into_iter()
            .all(|(i, found)| found == value(P, i))
    );

    let hard = getrlimit(Resource::Fsize).maximum;
    setrlimit(
        Resource::Fsize,
        Rlimit {
            current: hard,
            maximum: hard,
        },
    )
    .unwrap();
    for _ in 0..20 {
        append(&log, P, batch([value(P, stored)])).unwrap();
        stored += 1;
    }
    log.close();
    // The harness may have begun a line.
    println!("\nstored {stored}");
}
