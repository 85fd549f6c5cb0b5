use weir_batch::Codec;
use weir_batch::frame::{Checked, Writer};
use weir_runtime::{CallError, Stats};

use super::*;
use crate::flow::OnError;
use crate::flow::collector::Sink;
use crate::flow::collector::tests::sink;
use crate::flow::guest::Guest;
use crate::flow::policy::Policy;

/// A guest made of closures over the records' values.
struct Fake {
    keep: fn(&str) -> bool,
    make: fn(&str) -> Vec<(u32, String)>,
    calls: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl Guest for Fake {
    fn state_version(&mut self) -> Result<u32, CallError> {
        Ok(0)
    }

    fn migrate(&mut self, _: u32, _: Option<&[u8]>, _: i64) -> Result<Option<Vec<u8>>, CallError> {
        Ok(None)
    }

    fn stats(&self) -> Stats {
        Stats::default()
    }

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

    fn transform(&mut self, batch: &[u8], out: &mut Vec<u8>) -> Result<Option<Checked>, CallError> {
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
                // "to:N" chooses the partition.
                let partition = made.strip_prefix("to:").map(|n| n.parse().unwrap());
                let target = Target {
                    output,
                    partition: partition.map_or(OutputPartition::Unchosen, OutputPartition::Index),
                };
                writer
                    .emit_to(
                        target,
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
        Ok(None)
    }

    fn set_seed(&mut self, _: u64) {}

    fn set_state(&mut self, _: Option<Box<dyn weir_runtime::StateStore>>) {}
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
        metrics: Arc::default(),
        accounted: Stats::default(),
        state_label: None,
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
    from: usize,
) -> Result<(ChainStats, Outputs), ChainError> {
    let sinks: Vec<_> = (0..sinks).map(|n| sink(&n.to_string(), n, 1)).collect();
    let (made, out) = run_with(OnError::Pause, stages, sinks, values, from)?;
    assert_eq!(made.failed, []);
    Ok((made.stats, out))
}

fn run_with(
    on_error: OnError,
    stages: Vec<Stage>,
    sinks: Vec<Sink>,
    values: &[&str],
    from: usize,
) -> Result<(Made, Outputs), ChainError> {
    let count = sinks.len();
    let mut collector = Collector::new(sinks, 0, vec![0, 0]);
    collector.begin_batch(Codec::None, 0);
    let bytes = source(values);
    let mut chain = Chain::new(stages);
    let policy = Policy {
        on_error,
        given_up: None,
    };
    let batch = Batch::parse(&bytes).unwrap();
    let run = chain.run(batch, from..values.len(), &policy, &mut collector);
    let mut result = match run {
        Ok(made) => made,
        Err(error) => {
            assert!(
                collector.take().unwrap().is_empty(),
                "after an error it is as it was"
            );
            return Err(error);
        }
    };
    result.stats.guest_ns = 0;
    let mut out = vec![Vec::new(); count];
    for batch in collector.take().unwrap() {
        let parsed = Batch::parse(&batch.batch).unwrap();
        for record in parsed.records().unwrap() {
            let text = str::from_utf8(record.value().unwrap()).unwrap().to_owned();
            out[batch.partition.topic as usize].push((record.timestamp() - 5_000, text));
        }
    }
    Ok((result, out))
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
    let (seen, out) = run_from(stages, 1, &["a", "b", "c"], 1).unwrap();
    assert_eq!((seen, out), (stats(2, 0), vec![made(&[(1, "b"), (2, "c")])]));
}

#[test]
fn a_trap_names_the_plugin() {
    let error = run_from(vec![filter(|_| true)], 1, &["a", "trap"], 0).unwrap_err();
    let ChainError::Call {
        plugin,
        reason,
        fault,
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!((plugin.as_deref(), fault), (Some("filter@1"), Fault::Trap));
    assert!(reason.contains("on purpose"), "{reason}");
}

fn stopped(result: Result<(ChainStats, Outputs), ChainError>) -> FailedRecord {
    match result.unwrap_err() {
        ChainError::Record(failed) => failed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_failed_record_is_named_wherever_in_the_chain_it_fails() {
    let stages = vec![filter(|v| v != "a"), transform(|v| vec![(0, v.to_owned())])];
    let failed = stopped(run_from(stages, 1, &["a", "b", "fail", "c", "fail"], 0));
    assert_eq!((failed.index, failed.plugin.as_deref()), (2, Some("transform@2")));
    assert!(failed.reason.contains("cannot  read it"), "{}", failed.reason);
}

#[test]
fn a_chain_goes_on_without_the_records_that_fail() {
    let copy = || transform(|v| vec![(0, v.to_owned())]);
    let values = ["a", "fail", "b", "fail"];
    for stages in [
        vec![copy()],
        vec![copy(), copy()],
        vec![filter(|_| true), copy(), filter(|_| true)],
    ] {
        let (result, out) = run_with(OnError::Skip, stages, vec![sink("0", 0, 1)], &values, 0).unwrap();
        assert_eq!(out, [made(&[(0, "a"), (2, "b")])]);
        let failed: Vec<_> = result.failed.iter().map(|f| (f.index, f.verdict)).collect();
        assert_eq!(failed, [(1, Verdict::Skip), (3, Verdict::Skip)]);
        assert_eq!(result.stats, stats(4, 0), "what failed was not dropped");
    }
}

#[test]
fn a_record_too_large_for_a_sink_is_the_record_s_failure() {
    let small = || {
        let mut small = sink("small", 0, 1);
        small.message_bytes_max = 200;
        vec![small]
    };
    let large = "x".repeat(300);
    let values = ["a", &large, "b"];
    for stage in [
        || filter(|_| true),
        || transform(|v| vec![(0, "before".to_owned()), (0, v.to_owned())]),
    ] {
        let (result, out) = run_with(OnError::Skip, vec![stage()], small(), &values, 0).unwrap();
        assert!(result.failed[0].reason.contains("max.message.bytes"));
        assert_eq!((result.failed.len(), result.failed[0].index), (1, 1));
        let sources: Vec<_> = out[0].iter().map(|(time, _)| *time).collect();
        assert!(!sources.contains(&1), "all of a record or nothing: {out:?}");
        assert!(sources.contains(&0) && sources.contains(&2));
        let error = run_with(OnError::Pause, vec![stage()], small(), &values, 0).unwrap_err();
        assert!(matches!(error, ChainError::Record(failed) if failed.index == 1));
    }
}

#[test]
fn a_dead_letter_needs_its_topic() {
    let stages = vec![transform(|v| vec![(0, v.to_owned())])];
    let sinks = vec![sink("0", 0, 1)];
    let error = run_with(OnError::DeadLetter, stages, sinks, &["a", "fail"], 0).unwrap_err();
    assert!(
        matches!(&error, ChainError::Record(failed) if failed.verdict == Verdict::DeadLetter),
        "{error:?}"
    );
}

#[test]
fn an_earlier_transform_has_one_output_only() {
    let stages = vec![
        transform(|v| vec![(1, v.to_owned())]),
        transform(|v| vec![(1, v.to_owned())]),
    ];
    let error = run_from(stages, 2, &["a"], 0).unwrap_err();
    assert!(
        matches!(&error, ChainError::Call { reason, .. } if reason.contains("bad frame")),
        "{error:?}"
    );
}

#[test]
fn partitions_are_chosen_by_the_last_transform() {
    let choose = || transform(|text| vec![(0, text.to_owned())]);
    let keep_all = || filter(|_| true);
    let sinks = || vec![sink("0", 0, 3)];
    for stages in [
        vec![choose()],
        vec![choose(), keep_all(), filter(|text| text != "x")],
    ] {
        let collector = partitions(stages, sinks(), &["to:2", "to:1", "x", "to:2"]);
        let placed: Vec<_> = collector.into_iter().filter(|(_, value)| value != "x").collect();
        let expected = [(1, "to:1"), (2, "to:2"), (2, "to:2")].map(|(n, value)| (n, value.to_owned()));
        assert_eq!(placed, expected);
    }
    // One that comes before it has no say.
    let last = transform(|_| vec![(0, "made".to_owned())]);
    let made = partitions(vec![choose(), last], sinks(), &["to:2", "to:9"]);
    assert_eq!(made, [(0, "made".to_owned()), (0, "made".to_owned())]);
}

#[test]
fn a_record_for_a_partition_that_is_not_there_fails_alone() {
    let stages = || vec![transform(|text| vec![(0, text.to_owned())]), filter(|_| true)];
    let (made, out) = run_with(
        OnError::Skip,
        stages(),
        vec![sink("0", 0, 3)],
        &["a", "to:3", "b"],
        0,
    )
    .unwrap();
    assert_eq!(
        out[0].iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!(made.failed.len(), 1);
    assert_eq!(made.failed[0].index, 1);
    assert!(
        made.failed[0]
            .reason
            .contains("partition 3 of topic '0', which has 3"),
        "{:?}",
        made.failed
    );
    let stopped = run_with(
        OnError::Pause,
        stages(),
        vec![sink("0", 0, 3)],
        &["a", "to:3", "b"],
        0,
    );
    assert!(matches!(stopped, Err(ChainError::Record(record)) if record.index == 1));
}

/// Partition and value of everything that comes out, in order of the partitions.
fn partitions(stages: Vec<Stage>, sinks: Vec<Sink>, values: &[&str]) -> Vec<(u32, String)> {
    let mut collector = Collector::new(sinks, 0, vec![0, 0]);
    collector.begin_batch(Codec::None, 0);
    let bytes = source(values);
    let policy = Policy {
        on_error: OnError::Pause,
        given_up: None,
    };
    let batch = Batch::parse(&bytes).unwrap();
    Chain::new(stages)
        .run(batch, 0..values.len(), &policy, &mut collector)
        .unwrap();
    let mut out = Vec::new();
    for batch in collector.take().unwrap() {
        for record in Batch::parse(&batch.batch).unwrap().records().unwrap() {
            let text = str::from_utf8(record.value().unwrap()).unwrap().to_owned();
            out.push((batch.partition.index, text));
        }
    }
    out.sort();
    out
}
