use weir_batch::Codec;
use weir_batch::frame::Writer;
use weir_runtime::CallError;

use super::*;
use crate::flow::collector::tests::sink;

/// A guest made of closures over the records' values.
struct Fake {
    keep: fn(&str) -> bool,
    make: fn(&str) -> Vec<(u32, String)>,
    calls: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl Guest for Fake {
    fn filter(&mut self, batch: &[u8], bits: &mut Vec<u8>) -> Result<(), CallError> {
        self.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let batch = Batch::parse(batch).unwrap();
        bits.clear();
        bits.resize(bitmap::byte_len(batch.len()), 0);
        for (index, record) in batch.records().unwrap().enumerate() {
            let text = str::from_utf8(record.value().unwrap()).unwrap();
            if text == "trap" {
                return Err(CallError::Trap {
                    reason: "on purpose".to_owned(),
                    backtrace: Vec::new(),
                });
            }
            if (self.keep)(text) {
                bitmap::set(bits, index);
            }
        }
        Ok(())
    }

    fn transform(&mut self, batch: &[u8], out: &mut Vec<u8>) -> Result<(), CallError> {
        self.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let batch = Batch::parse(batch).unwrap();
        let mut writer = Writer::new(Vec::new());
        for (index, record) in batch.records().unwrap().enumerate() {
            let text = str::from_utf8(record.value().unwrap()).unwrap();
            if text == "fail" {
                writer.fail(index as u32, "cannot\u{7} read it").unwrap();
                continue;
            }
            for (output, made) in (self.make)(text) {
                writer
                    .emit(
                        output,
                        index as u32,
                        record.timestamp_delta(),
                        record.key(),
                        Some(made.as_bytes()),
                        &[],
                    )
                    .unwrap();
            }
        }
        *out = writer.finish();
        Ok(())
    }
}

fn filter(keep: fn(&str) -> bool) -> Stage {
    stage("filter@1", PluginKind::Filter, keep, |_| Vec::new())
}

fn transform(make: fn(&str) -> Vec<(u32, String)>) -> Stage {
    stage("transform@2", PluginKind::Transform, |_| true, make)
}

fn stage(
    plugin: &str,
    kind: PluginKind,
    keep: fn(&str) -> bool,
    make: fn(&str) -> Vec<(u32, String)>,
) -> Stage {
    let guest = Box::new(Fake {
        keep,
        make,
        calls: std::sync::Arc::default(),
    });
    Stage {
        plugin: plugin.to_owned(),
        kind,
        guest,
    }
}

/// A batch of `values` that begins at offset 100, a millisecond between records.
fn source(values: &[&str]) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for (index, value) in values.iter().enumerate() {
        builder
            .push(5_000 + index as i64, None, Some(value.as_bytes()), &[])
            .unwrap();
    }
    let mut bytes = builder.finish().unwrap();
    weir_batch::set_base_offset(&mut bytes, 100).unwrap();
    bytes
}

/// By sink: timestamps and values.
type Outputs = Vec<Vec<(i64, String)>>;

/// Runs the stages over the values; what came out by sink, with timestamps.
fn run_from(
    stages: Vec<Stage>,
    sinks: u32,
    values: &[&str],
    from: i64,
) -> Result<(ChainStats, Outputs), Failure> {
    let sinks: Vec<_> = (0..sinks).map(|n| sink(&n.to_string(), n, 1)).collect();
    let count = sinks.len();
    let mut collector = Collector::new(sinks, 0, vec![0, 0]);
    collector.begin_batch(Codec::None, 0);
    let bytes = source(values);
    let mut chain = Chain::new(stages);
    let mut stats = chain.run(Batch::parse(&bytes).unwrap(), from, &mut collector)?;
    stats.guest_ns = 0;
    let mut out = vec![Vec::new(); count];
    for batch in collector.take().unwrap() {
        let parsed = Batch::parse(&batch.batch).unwrap();
        for record in parsed.records().unwrap() {
            let text = str::from_utf8(record.value().unwrap()).unwrap().to_owned();
            out[batch.partition.topic as usize].push((record.timestamp() - 5_000, text));
        }
    }
    Ok((stats, out))
}

fn run(stages: Vec<Stage>, sinks: u32, values: &[&str]) -> (ChainStats, Outputs) {
    run_from(stages, sinks, values, 0).unwrap()
}

fn made(records: &[(i64, &str)]) -> Vec<(i64, String)> {
    records
        .iter()
        .map(|&(time, text)| (time, text.to_owned()))
        .collect()
}

fn stats(records: u64, dropped: u64) -> ChainStats {
    ChainStats {
        records,
        dropped,
        guest_ns: 0,
    }
}

#[test]
fn a_filter_alone_writes_what_it_keeps_to_every_sink() {
    let (seen, out) = run(vec![filter(|v| v != "b")], 2, &["a", "b", "c"]);
    let kept = made(&[(0, "a"), (2, "c")]);
    assert_eq!((seen, out), (stats(3, 1), vec![kept.clone(), kept]));
    let (seen, out) = run(vec![filter(|_| false)], 1, &["a", "b"]);
    assert_eq!((seen, out), (stats(2, 2), vec![vec![]]));
    let (seen, out) = run(vec![filter(|_| true)], 1, &["a", "b"]);
    assert_eq!((seen, out), (stats(2, 0), vec![made(&[(0, "a"), (1, "b")])]));
}

#[test]
fn a_transform_chooses_the_sink_of_each_record() {
    let make = |v: &str| match v {
        "both" => vec![(0, "x".to_owned()), (1, "y".to_owned())],
        "none" => vec![],
        v => vec![(1, v.to_uppercase())],
    };
    let (seen, out) = run(vec![transform(make)], 2, &["both", "none", "z"]);
    assert_eq!(
        (seen, out),
        (stats(3, 1), vec![made(&[(0, "x")]), made(&[(0, "y"), (2, "Z")])])
    );
}

#[test]
fn a_chain_passes_only_what_is_left_and_keeps_sources_and_times() {
    let double = |v: &str| vec![(0, format!("{v}1")), (0, format!("{v}2"))];
    let stages = || {
        vec![
            filter(|v| v != "b"),
            filter(|v| v != "d"),
            transform(double),
            filter(|v| v != "a2"),
            transform(|v| vec![(u32::from(v.starts_with('c')), format!("<{v}>"))]),
            filter(|v| v != "<c1>"),
        ]
    };
    let (seen, out) = run(stages(), 2, &["a", "b", "c", "d"]);
    assert_eq!(seen, stats(4, 2), "b and d");
    assert_eq!(out, [made(&[(0, "<a1>")]), made(&[(2, "<c2>")])]);
    // The next plugin is not called for nothing.
    let (seen, out) = run(
        vec![filter(|_| false), transform(|_| panic!("called"))],
        1,
        &["a"],
    );
    assert_eq!((seen, out), (stats(1, 1), vec![vec![]]));
    let (seen, _) = run(
        vec![transform(|_| vec![]), filter(|_| panic!("called"))],
        1,
        &["a"],
    );
    assert_eq!(seen, stats(1, 1));
}

#[test]
fn records_before_the_cursor_are_not_shown_to_anybody() {
    let stages = vec![filter(|v| if v == "a" { panic!("shown") } else { true })];
    let (seen, out) = run_from(stages, 1, &["a", "b", "c"], 101).unwrap();
    assert_eq!((seen, out), (stats(2, 0), vec![made(&[(1, "b"), (2, "c")])]));
}

#[test]
fn a_trap_names_the_batch_and_the_plugin() {
    let failure = run_from(vec![filter(|_| true)], 1, &["a", "trap"], 0).unwrap_err();
    assert_eq!((failure.offset, failure.last_offset), (100, Some(101)));
    assert_eq!(failure.plugin.as_deref(), Some("filter@1"));
    assert!(failure.reason.contains("on purpose"), "{}", failure.reason);
}

#[test]
fn a_failed_record_is_named_wherever_in_the_chain_it_fails() {
    let stages = vec![filter(|v| v != "a"), transform(|v| vec![(0, v.to_owned())])];
    let failure = run_from(stages, 1, &["a", "b", "fail", "c"], 0).unwrap_err();
    assert_eq!((failure.offset, failure.last_offset), (102, None));
    assert_eq!(failure.plugin.as_deref(), Some("transform@2"));
    assert!(failure.reason.contains("cannot  read it"), "{}", failure.reason);
}

#[test]
fn an_earlier_transform_has_one_output_only() {
    let stages = vec![
        transform(|v| vec![(1, v.to_owned())]),
        transform(|v| vec![(1, v.to_owned())]),
    ];
    let failure = run_from(stages, 2, &["a"], 0).unwrap_err();
    assert!(failure.reason.contains("bad frame"), "{}", failure.reason);
}
