//! How long a record takes to parse, iterate, build, compress: `cargo run --release -p weir-batch --example batch_bench`.
//!
//! Each figure is the best of several rounds, in nanoseconds a record, for batches of 64 KiB.

use std::hint::black_box;
use std::time::{Duration, Instant};

use weir_batch::{Batch, BatchBuilder, Codec, frame};

const BATCH_BYTES: usize = 64 * 1024;
const ROUND: Duration = Duration::from_millis(3);
const ROUNDS: usize = 100;

fn main() {
    for value_len in [100, 1024] {
        let bytes = build(&mut BatchBuilder::new(), &values(value_len));
        let records = Batch::parse(&bytes).expect("built right here").len();
        println!("{value_len} B values, {records} records a batch");
        plain(value_len, &bytes);
        output_frame(&bytes);
        for codec in [Codec::Lz4, Codec::Zstd, Codec::Snappy, Codec::Gzip] {
            compressed(value_len, codec);
        }
    }
}

fn plain(value_len: usize, bytes: &[u8]) {
    let records = Batch::parse(bytes).expect("built right here").len();
    report("parse: CRC and walk", records, bytes.len(), || {
        black_box(Batch::parse(black_box(bytes)).expect("sound"));
    });
    report("decompress of trusted: walk alone", records, bytes.len(), || {
        let mut scratch = Vec::new();
        let batch = Batch::parse_trusted(black_box(bytes)).expect("sound");
        black_box(batch.decompress(&mut scratch, usize::MAX).expect("sound"));
    });
    report("iterate: sum of value lengths", records, bytes.len(), || {
        let batch = Batch::parse_trusted(black_box(bytes)).expect("sound");
        let records = batch.records().expect("not compressed");
        black_box(
            records
                .map(|record| record.value().map_or(0, <[u8]>::len))
                .sum::<usize>(),
        );
    });
    report("iterate: every field", records, bytes.len(), || {
        let batch = Batch::parse_trusted(black_box(bytes)).expect("sound");
        for record in batch.records().expect("not compressed") {
            black_box((
                record.offset(),
                record.timestamp(),
                record.key(),
                record.value(),
                record.headers().len(),
            ));
        }
    });
    let mut builder = BatchBuilder::new();
    let values = values(value_len);
    report("build", records, bytes.len(), || {
        black_box(build(&mut builder, black_box(&values)));
    });
    report("rebuild from tails", records, bytes.len(), || {
        let batch = Batch::parse_trusted(black_box(bytes)).expect("sound");
        for record in batch.records().expect("not compressed") {
            builder
                .push_tail(record.timestamp(), record.tail())
                .expect("fits");
        }
        black_box(builder.finish().expect("has records"));
    });
}

fn output_frame(bytes: &[u8]) {
    let batch = Batch::parse(bytes).expect("built right here");
    let records = batch.len();
    let mut buffer = Vec::new();
    report("frame: write, tails unchanged", records, bytes.len(), || {
        let mut writer = frame::Writer::new(std::mem::take(&mut buffer));
        for (source, record) in batch.records().expect("not compressed").enumerate() {
            writer
                .emit_tail(0, source as u32, record.timestamp_delta(), record.tail())
                .expect("fits");
        }
        buffer = black_box(writer.finish());
    });
    report("frame: check", records, bytes.len(), || {
        black_box(frame::Reader::new(black_box(&buffer), records as u32, 1).expect("sound"));
    });
    let reader = frame::Reader::new(&buffer, records as u32, 1).expect("sound");
    report("frame: iterate", records, bytes.len(), || {
        for entry in reader.entries() {
            black_box(entry);
        }
    });
}

fn compressed(value_len: usize, codec: Codec) {
    let values = values(value_len);
    let mut builder = BatchBuilder::new().codec(codec);
    let bytes = build(&mut builder, &values);
    let batch = Batch::parse(&bytes).expect("built right here");
    let mut scratch = Vec::new();
    let plain_len = batch
        .decompress(&mut scratch, usize::MAX)
        .expect("sound")
        .as_bytes()
        .len();
    println!("  {codec}: {} of {plain_len} bytes", bytes.len());
    report("  build and compress", values.len(), plain_len, || {
        black_box(build(&mut builder, black_box(&values)));
    });
    report("  parse and decompress", values.len(), plain_len, || {
        let batch = Batch::parse(black_box(&bytes)).expect("sound");
        black_box(batch.decompress(&mut scratch, 1 << 20).expect("sound"));
    });
}

/// As many values as make a batch; half of each is noise, so that codecs have work.
fn values(len: usize) -> Vec<Vec<u8>> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b'a' + (state % 26) as u8
    };
    (0..BATCH_BYTES / (len + 10))
        .map(|_| {
            (0..len)
                .map(|at| if at % 8 < 4 { noise() } else { b'=' })
                .collect()
        })
        .collect()
}

fn build(builder: &mut BatchBuilder, values: &[Vec<u8>]) -> Vec<u8> {
    for (at, value) in values.iter().enumerate() {
        builder
            .push(1_700_000_000_000 + at as i64 / 10, Some(b"key"), Some(value), &[])
            .expect("fits");
    }
    builder.finish().expect("has records")
}

/// Prints the best round's time for one of `records` and the rate over `bytes`.
fn report(what: &str, records: usize, bytes: usize, mut run: impl FnMut()) {
    let best = (0..ROUNDS).map(|_| round(&mut run)).fold(f64::INFINITY, f64::min);
    println!(
        "  {what:36} {:8.1} ns/record {:9.0} MB/s",
        best / records as f64,
        bytes as f64 / best * 1e3
    );
}

/// Nanoseconds a run, averaged over a round.
fn round(run: &mut impl FnMut()) -> f64 {
    let begun = Instant::now();
    let mut runs = 0u32;
    while begun.elapsed() < ROUND {
        for _ in 0..8 {
            run();
        }
        runs += 8;
    }
    begun.elapsed().as_nanos() as f64 / f64::from(runs)
}
