//! The measurements behind the defaults of `LogConfig`: row size, joining, segment size, shards, quick repair.
//!
//! ```text
//! cargo run --release -p weir-log --example layout_bench -- [FOLDER] [MIB]
//! cargo run --release -p weir-log --example layout_bench -- recovery [FOLDER] [GIB]
//! ```
//!
//! Each line is one configuration: durable MB/s of 64 KiB batches of 1 KiB records into one partition and into 16,
//! milliseconds of processor per 100 MB of the first, bytes on disk per byte of batches, MB/s read back from disk, and the time of a single small append. Before it the
//! disk's own figures: append and fdatasync of plain files. Only figures of one run are comparable.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use weir_batch::BatchBuilder;
use weir_log::{Append, Durability, Entry, Log, LogConfig, Partition, PartitionConfig, PartitionId, Storage};

const MIB: f64 = 1e6;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("recovery") => recovery(&args[1..]),
        Some("fill") => fill(
            Path::new(&args[1]),
            args[2].parse().unwrap(),
            args[3].parse().unwrap(),
        ),
        _ => compare(&args),
    }
}

fn compare(args: &[String]) {
    let root = args
        .first()
        .map_or_else(|| std::env::temp_dir().join("weir-layout-bench"), PathBuf::from);
    let mib: usize = args.get(1).map_or(512, |mib| mib.parse().unwrap());
    let only = args.get(2);
    fs::create_dir_all(&root).unwrap();
    plain(&root);

    let base = LogConfig {
        tail_cache_bytes: 0,
        ..LogConfig::default()
    };
    let one = || LogConfig {
        shards: 1,
        ..base.clone()
    };
    let mut cases = vec![("default".to_owned(), base.clone())];
    for kib in [16, 32, 64, 128, 256, 512, 1024] {
        cases.push((
            format!("row {kib} KiB"),
            LogConfig {
                chunk_bytes_max: kib << 10,
                ..one()
            },
        ));
    }
    for mib in [1, 2, 4, 8, 16] {
        cases.push((
            format!("group {mib} MiB"),
            LogConfig {
                group_bytes_max: mib << 20,
                ..one()
            },
        ));
    }
    for mib in [64, 128, 256, 512] {
        cases.push((
            format!("segment {mib} MiB"),
            LogConfig {
                segment_bytes: mib << 20,
                ..one()
            },
        ));
    }
    for shards in [1, 2, 4] {
        cases.push((
            format!("{shards} shards"),
            LogConfig {
                shards,
                ..base.clone()
            },
        ));
    }
    for mib in [2, 4, 12, 32, 64] {
        cases.push((
            format!("cache {mib} MiB"),
            LogConfig {
                write_cache_bytes: mib << 20,
                ..one()
            },
        ));
    }
    cases.push((
        "quick repair".to_owned(),
        LogConfig {
            quick_repair: true,
            ..one()
        },
    ));

    println!(
        "{:<16} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>8} {:>7} {:>18}",
        "",
        "1x64K",
        "cpu ms",
        "16x64K",
        "cpu ms",
        "1x8K",
        "1x100B",
        "read",
        "cpu ms",
        "disk",
        "disk 8K",
        "append p50/p99 us"
    );
    for (name, config) in cases {
        if only.is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let case = Case {
            folder: root.join("case"),
            config,
            bytes: mib << 20,
        };
        let one = case.run(1, 65_000, 1024, true);
        let many = case.run(16, 65_000, 1024, false);
        let small = case.run(1, 8_000, 1024, false);
        let tiny = case.run(1, 65_000, 100, false);
        let (p50, p99) = case.latency();
        println!(
            "{name:<16} {:>7.0} {:>7.0} {:>7.0} {:>7.0} {:>7.0} {:>7.0} {:>7.0} {:>7.0} {:>8.3} {:>7.3} {:>9.0}/{:.0}",
            one.write.rate,
            one.write.cpu_ms,
            many.write.rate,
            many.write.cpu_ms,
            small.write.rate,
            tiny.write.rate,
            one.read.rate,
            one.read.cpu_ms,
            one.disk,
            small.disk,
            p50 * 1e6,
            p99 * 1e6
        );
    }
    println!("largest resident memory: {} MB", status("VmHWM:") / 1000);
    let _ = fs::remove_dir_all(&root);
}

/// A line of this process's status, in kB.
fn status(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let value = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    value.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Processor time of this process so far.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // User and system time in hundredths of a second, after the name, which ends with a parenthesis.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// What moving some bytes took.
#[derive(Default)]
struct Moved {
    /// MB/s.
    rate: f64,
    /// Processor time for 100 MB.
    cpu_ms: f64,
}

fn measure(work: impl FnOnce() -> usize) -> Moved {
    let (begun, cpu_begun) = (Instant::now(), cpu());
    let bytes = work() as f64;
    Moved {
        rate: bytes / MIB / begun.elapsed().as_secs_f64(),
        cpu_ms: (cpu() - cpu_begun).as_secs_f64() * 1e3 / (bytes / 1e8),
    }
}

struct Figures {
    write: Moved,
    read: Moved,
    /// Bytes on disk per byte of batches.
    disk: f64,
}

struct Case {
    folder: PathBuf,
    config: LogConfig,
    bytes: usize,
}

impl Case {
    fn run(&self, partitions: u32, batch_bytes: usize, record: usize, read: bool) -> Figures {
        let log = open(&self.folder, &self.config);
        let ids: Vec<PartitionId> = (0..partitions)
            .map(|index| PartitionId { topic: 1, index })
            .collect();
        let partitions: Vec<_> = ids
            .iter()
            .map(|&id| log.ensure_partition(id, PartitionConfig::default()).unwrap())
            .collect();
        let template = batch(batch_bytes, record);
        let count = self.bytes / template.len();
        let write = measure(|| {
            // As a connection would: the bytes come from elsewhere.
            let next = |i: usize| submit(&log, ids[i % ids.len()], BytesMut::from(&template[..]));
            let receipts: Vec<_> = (0..count).map(next).collect();
            receipts
                .into_iter()
                .for_each(|receipt| drop(receipt.wait().unwrap()));
            count * template.len()
        });
        log.reclaim_now().unwrap();
        let disk = used_bytes(&self.folder) as f64 / (count * template.len()) as f64;
        let read = if read {
            measure(|| partitions.iter().map(read_all).sum())
        } else {
            Moved::default()
        };
        log.close();
        Figures { write, read, disk }
    }

    /// p50 and p99 of one small durable append at a time, in seconds.
    fn latency(&self) -> (f64, f64) {
        let log = open(&self.folder, &self.config);
        let id = PartitionId { topic: 1, index: 0 };
        log.ensure_partition(id, PartitionConfig::default()).unwrap();
        let template = batch(1_100, 1_024);
        let times = (0..2_000).map(|_| {
            let batch = BytesMut::from(&template[..]);
            let begun = Instant::now();
            submit(&log, id, batch).wait().unwrap();
            begun.elapsed()
        });
        percentiles(times.collect())
    }
}

fn read_all(partition: &Partition) -> usize {
    let (mut next, mut bytes) = (0, 0);
    while next < partition.high_watermark() {
        let fetched = partition.read(next, 1 << 20).unwrap();
        next = fetched.next_offset;
        bytes += fetched.batches.len();
    }
    bytes
}

/// A batch of about `bytes` of records with random-looking values of `record` bytes.
fn batch(bytes: usize, record: usize) -> BytesMut {
    let mut builder = BatchBuilder::new();
    let mut seed = 1u64;
    let mut value = vec![0; record];
    while builder.encoded_len() + record + 20 <= bytes || builder.is_empty() {
        for byte in &mut value {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            *byte = (seed >> 56) as u8;
        }
        builder.push(1_700_000_000_000, None, Some(&value), &[]).unwrap();
    }
    BytesMut::from(builder.finish().unwrap().as_slice())
}

fn open(folder: &Path, config: &LogConfig) -> Log {
    let _ = fs::remove_dir_all(folder);
    Log::open(Storage::Folder(folder.to_owned()), config.clone()).unwrap()
}

fn submit(log: &Log, id: PartitionId, batch: BytesMut) -> weir_log::Receipt {
    let entry = Entry {
        appends: vec![Append { partition: id, batch }],
        puts: vec![],
        durability: Durability::Fsync,
    };
    log.submit_blocking(log.shard_of(id), entry).unwrap()
}

fn percentiles(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64();
    (at(0.5), at(0.99))
}

fn used_bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut total = 0;
    for entry in fs::read_dir(folder).unwrap() {
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

/// What the disk does without anything on top.
fn plain(root: &Path) {
    let path = root.join("plain");
    let mut file = File::create(&path).unwrap();
    let append = |file: &mut File, bytes: &[u8]| {
        let begun = Instant::now();
        file.write_all(bytes).unwrap();
        file.sync_data().unwrap();
        begun.elapsed()
    };
    let small: Vec<Duration> = (0..1_000).map(|_| append(&mut file, &[7; 4096])).collect();
    let large: Vec<Duration> = (0..100).map(|_| append(&mut file, &vec![7; 4 << 20])).collect();
    let rate = 100.0 * f64::from(4 << 20) / MIB / large.iter().sum::<Duration>().as_secs_f64();
    let (p50, p99) = percentiles(small);
    println!(
        "plain file: append 4 KiB + fdatasync p50/p99 {:.0}/{:.0} us; 4 MiB {rate:.0} MB/s",
        p50 * 1e6,
        p99 * 1e6
    );
    drop(file);
    fs::remove_file(path).unwrap();
}

/// How long opening takes after `kill -9`, by what is stored and by segment size.
fn recovery(args: &[String]) {
    let root = args
        .first()
        .map_or_else(|| std::env::temp_dir().join("weir-layout-bench"), PathBuf::from);
    let gib: u64 = args.get(1).map_or(5, |gib| gib.parse().unwrap());
    fs::create_dir_all(&root).unwrap();
    for segment_mib in [128u64, 256, 512] {
        for mib in [100, gib * 1024] {
            let folder = root.join("recovery");
            let _ = fs::remove_dir_all(&folder);
            let mut child = std::process::Command::new(std::env::current_exe().unwrap())
                .args([
                    "fill",
                    folder.to_str().unwrap(),
                    &mib.to_string(),
                    &segment_mib.to_string(),
                ])
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            std::io::BufRead::read_line(
                &mut std::io::BufReader::new(child.stdout.take().unwrap()),
                &mut line,
            )
            .unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
            let config = LogConfig {
                segment_bytes: segment_mib << 20,
                ..LogConfig::default()
            };
            let begun = Instant::now();
            let log = Log::open(Storage::Folder(folder.clone()), config.clone()).unwrap();
            let dirty = begun.elapsed();
            log.close();
            let begun = Instant::now();
            let log = Log::open(Storage::Folder(folder.clone()), config).unwrap();
            let clean = begun.elapsed();
            log.close();
            println!(
                "segment {segment_mib} MiB, {mib} MiB stored: open after kill {:.0} ms, after close {:.1} ms",
                dirty.as_secs_f64() * 1e3,
                clean.as_secs_f64() * 1e3
            );
        }
    }
    let _ = fs::remove_dir_all(&root);
}

/// The child of `recovery`: fills a log, says so, and goes on writing until it is killed.
fn fill(folder: &Path, mib: usize, segment_mib: u64) {
    let config = LogConfig {
        segment_bytes: segment_mib << 20,
        ..LogConfig::default()
    };
    let log = open(folder, &config);
    let ids: Vec<PartitionId> = (0..16).map(|index| PartitionId { topic: 1, index }).collect();
    for &id in &ids {
        log.ensure_partition(id, PartitionConfig::default()).unwrap();
    }
    let template = batch(65_000, 1_024);
    let count = (mib << 20) / template.len();
    let mut last = None;
    for i in 0.. {
        last = Some(submit(&log, ids[i % ids.len()], BytesMut::from(&template[..])));
        if i == count {
            last.take().map(weir_log::Receipt::wait);
            println!("filled");
        }
    }
    drop(last);
}
