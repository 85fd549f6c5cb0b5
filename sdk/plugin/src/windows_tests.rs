use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use weir_batch::frame::{Entry, Reader};
use weir_batch::{Batch, BatchBuilder};

use super::*;
use crate::event_time::AHEAD_IN_A_ROW;
use crate::{Records, run_transform_with, testing};

/// What windows are set up with.
#[derive(Clone, Copy, Debug)]
struct Setting {
    size_ms: i64,
    advance_ms: i64,
    grace_ms: i64,
    max_ahead_ms: Option<i64>,
    burst: u32,
    late: Late,
}

/// A record: its timestamp and its key.
type Input = (i64, u8);

struct Counting {
    windows: Windows<u64>,
    prefetch: bool,
}

impl Counting {
    fn new(setting: Setting, prefetch: bool) -> Self {
        let mut windows = Windows::sliding("w", setting.size_ms as u64, setting.advance_ms as u64).unwrap();
        windows = windows
            .grace_ms(setting.grace_ms as u64)
            .late(setting.late)
            .burst(setting.burst);
        if let Some(most) = setting.max_ahead_ms {
            windows = windows.max_ahead_ms(most as u64);
        }
        Self { windows, prefetch }
    }

    fn begin(&mut self, records: Records<'_>) {
        if self.prefetch {
            let keys = records.map(|record| (record.timestamp(), record.key().unwrap()));
            self.windows.prefetch(keys);
        }
    }

    fn record(&mut self, record: &Record<'_>, out: &mut Output) {
        for window in self.windows.add(record, record.key().unwrap(), |n| *n += 1, out) {
            let text = format!("{}..{}:{}", window.start_ms, window.end_ms, window.value);
            let draft = out.create().key(&window.key).value(&text);
            draft.timestamp(window.timestamp_ms()).emit();
        }
    }
}

fn batch_of(records: &[Input]) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for (timestamp_ms, key) in records {
        builder
            .push(*timestamp_ms, Some(&[*key]), Some(b"x"), &[])
            .unwrap();
    }
    builder.finish().unwrap()
}

/// What comes out of a batch whose first record is the `first` of all, in words.
fn run(plugin: &mut Counting, first: usize, records: &[Input], said: &mut Vec<String>) {
    let batch = batch_of(records);
    let base = Batch::parse(&batch).unwrap().base_timestamp();
    let mut out = Output::new(vec!["out".to_owned(), "late".to_owned()]);
    let frame = run_transform_with(
        plugin,
        &mut out,
        Counting::begin,
        Counting::record,
        |_, _| {},
        &batch,
    );
    let reader = Reader::new(&frame, records.len() as u32, 2).unwrap();
    for entry in reader.entries() {
        let source = first + entry.source() as usize;
        said.push(match entry {
            Entry::Emit {
                output: 0,
                timestamp_delta,
                tail,
                ..
            } => {
                let text = str::from_utf8(tail.value().unwrap()).unwrap();
                format!(
                    "{source}: {:?} {text} at {}",
                    tail.key().unwrap(),
                    base + timestamp_delta
                )
            }
            Entry::Emit { .. } => format!("{source}: late"),
            Entry::DeadLetter { .. } => format!("{source}: dead"),
            other => panic!("{other:?}"),
        });
    }
}

/// The same by the words of the documentation, over all records at once.
fn model(setting: Setting, records: &[Input]) -> Vec<String> {
    let Setting {
        size_ms, advance_ms, ..
    } = setting;
    let mut open: BTreeMap<(i64, i64, u8), u64> = BTreeMap::new();
    let (mut newest, mut watermark) = (None::<i64>, i64::MIN);
    let (mut credit, mut ahead) = (setting.burst, 0);
    let mut said = Vec::new();
    let per_record = 4 + 2 * ((size_ms + advance_ms - 1) / advance_ms) as u32;
    for (index, &(time, key)) in records.iter().enumerate() {
        credit = (credit + per_record).min(setting.burst);
        let moved = newest.map_or(0, |newest| time - newest);
        ahead = if setting.max_ahead_ms.is_some_and(|most| moved > most) {
            ahead + 1
        } else {
            0
        };
        let believed = ahead == 0 || ahead == AHEAD_IN_A_ROW;
        let mut counted = false;
        if believed {
            ahead = 0;
            if newest.is_none_or(|newest| time > newest) {
                newest = Some(time);
                watermark = time - setting.grace_ms;
                credit = (i64::from(credit) + moved).min(i64::from(setting.burst)) as u32;
            }
            // Windows begin at the multiples of the advance.
            for start in time - size_ms + 1..=time {
                if start.rem_euclid(advance_ms) == 0 && start + size_ms > watermark {
                    *open.entry((start + size_ms, start, key)).or_default() += 1;
                    counted = true;
                }
            }
        }
        if !counted {
            match setting.late {
                Late::Drop => {}
                Late::Output(_) => said.push(format!("{index}: late")),
                Late::DeadLetter => {
                    said.push(format!("{index}: dead"));
                    continue;
                }
            }
        }
        while let Some(first) = open.first_entry()
            && first.key().0 <= watermark
            && credit > 0
        {
            credit -= 1;
            let ((end, start, key), count) = first.remove_entry();
            said.push(format!(
                "{index}: {:?} {start}..{end}:{count} at {}",
                [key],
                end - 1
            ));
        }
    }
    said
}

fn settings() -> impl Strategy<Value = Setting> {
    let spans = (1_i64..60, 1_i64..60, 0_i64..40);
    let late = prop_oneof![Just(Late::Drop), Just(Late::Output(1)), Just(Late::DeadLetter)];
    let burst = prop_oneof![1_u32..6, Just(500)];
    (spans, proptest::option::of(20_i64..100), burst, late).prop_map(
        |((size_ms, advance_ms, grace_ms), max_ahead_ms, burst, late)| Setting {
            size_ms,
            advance_ms: advance_ms.min(size_ms),
            grace_ms,
            max_ahead_ms,
            burst,
            late,
        },
    )
}

/// Times that wander forward, with some out of order, some jumps and some clocks that are wrong.
fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let step = prop_oneof![
        10 => -30_i64..40,
        1 => 0_i64..2_000,
        1 => -1_000_i64..0,
    ];
    vec((step, 0_u8..4), 0..250).prop_map(|steps| {
        let mut time = -50;
        let record = |(step, key): (i64, u8)| {
            let at = time + step;
            // What goes back by far is one record's fault, not the time's.
            time = time.max(at - 20);
            (at, key)
        };
        steps.into_iter().map(record).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_fires_depends_on_the_records_alone(
        setting in settings(),
        records in inputs(),
        cuts in vec((1_usize..40, any::<bool>(), any::<bool>()), 1..20),
    ) {
        let expected = model(setting, &records);
        for whole in [true, false] {
            testing::reset();
            let mut plugin = Counting::new(setting, true);
            let (mut said, mut done) = (Vec::new(), 0);
            for (len, restart, prefetch) in cuts.iter().cycle() {
                if done == records.len() {
                    break;
                }
                let len = if whole { records.len() } else { *len };
                let end = (done + len).min(records.len());
                if *restart {
                    plugin = Counting::new(setting, *prefetch);
                }
                run(&mut plugin, done, &records[done..end], &mut said);
                done = end;
            }
            prop_assert_eq!(&said, &expected);
        }
    }
}

const PLAIN: Setting = Setting {
    size_ms: 10,
    advance_ms: 10,
    grace_ms: 0,
    max_ahead_ms: None,
    burst: 500,
    late: Late::Drop,
};

#[test]
fn a_batch_costs_three_calls_however_many_records_it_has() {
    testing::reset();
    let mut plugin = Counting::new(PLAIN, true);
    let records: Vec<Input> = (0..200).map(|n| (1_000 + n / 40, n as u8)).collect();
    let mut said = Vec::new();
    run(&mut plugin, 0, &records, &mut said);
    assert_eq!(testing::state_calls(), 2, "rows are read and written");
    run(&mut plugin, 200, &records, &mut said);
    assert_eq!(testing::state_calls(), 4);
    assert!(said.is_empty());
    run(&mut plugin, 400, &[(1_010, 0); 100], &mut said);
    assert_eq!(said.len(), 200);
    // 16, 64 and 256 rows are looked for.
    assert_eq!(testing::state_calls(), 4 + 2 + 3);
    assert_eq!(testing::rows().len(), 2, "the window that is open, and the time");
}

#[test]
fn a_jump_over_very_many_windows_loses_none() {
    testing::reset();
    let setting = Setting {
        size_ms: 1_000,
        advance_ms: 1_000,
        ..PLAIN
    };
    let keys = 60_000_u32;
    let mut windows = Windows::<u64>::tumbling("w", setting.size_ms as u64).unwrap();
    let mut fired = Vec::new();
    let mut most = 0;
    let mut feed = |timestamp_ms: i64, keys: std::ops::Range<u32>| {
        for chunk in keys.collect::<Vec<_>>().chunks(1_000) {
            let mut builder = BatchBuilder::new();
            for key in chunk {
                builder
                    .push(timestamp_ms, Some(&key.to_be_bytes()), None, &[])
                    .unwrap();
            }
            let batch = builder.finish().unwrap();
            let mut in_call = 0;
            let before = testing::state_calls();
            let mut out = Output::new(vec!["out".to_owned()]);
            let seen = std::cell::RefCell::new((&mut fired, &mut in_call));
            run_transform_with(
                &mut windows,
                &mut out,
                |windows, records| {
                    windows.prefetch(records.map(|record| (record.timestamp(), record.key().unwrap())));
                },
                |windows, record, out| {
                    let now = windows.add(record, record.key().unwrap(), |n| *n += 1, out);
                    assert!(now.len() <= 500);
                    let (fired, in_call) = &mut *seen.borrow_mut();
                    **in_call += now.len();
                    fired.extend(now.into_iter().map(|window| (window.end_ms, window.key)));
                },
                |_, _| {},
                &batch,
            );
            most = most.max(in_call);
            assert!(
                testing::state_calls() - before < 30,
                "a call of the host is no record's"
            );
        }
    };
    feed(0, 0..keys);
    feed(100_000, 0..11_000);
    // 500 at first and 6 with each record: a call of 1,000 records stays far below what the host allows.
    assert!(most <= 500 + 6 * 1_000, "{most} in one call");
    assert_eq!(fired.len(), keys as usize);
    assert!(fired.is_sorted() && fired.iter().all(|(end, _)| *end == 1_000));
}

#[test]
fn late_records_are_counted_once_for_a_batch() {
    testing::reset();
    let mut plugin = Counting::new(
        Setting {
            max_ahead_ms: Some(1_000),
            ..PLAIN
        },
        true,
    );
    let records = [(100, 0), (5, 0), (99, 1), (5_000, 0), (i64::MAX, 2), (101, 0)];
    run(&mut plugin, 0, &records, &mut Vec::new());
    assert_eq!(testing::counter("late_records"), 2);
    assert_eq!(testing::counter("ahead_records"), 1);
    assert_eq!(testing::counter("timeless_records"), 1);
}

#[test]
fn a_change_of_size_lets_open_windows_fire_as_they_are() {
    testing::reset();
    let mut said = Vec::new();
    run(&mut Counting::new(PLAIN, true), 0, &[(0, 1), (12, 1)], &mut said);
    let longer = Setting {
        size_ms: 100,
        advance_ms: 100,
        ..PLAIN
    };
    run(
        &mut Counting::new(longer, true),
        2,
        &[(13, 1), (100, 1)],
        &mut said,
    );
    assert_eq!(
        said,
        [
            "1: [1] 0..10:1 at 9",
            "3: [1] 10..20:1 at 19",
            "3: [1] 0..100:1 at 99"
        ]
    );
}

#[test]
fn sizes_that_make_no_windows_are_refused_in_words() {
    let refused = |size_ms, advance_ms| Windows::<u64>::sliding("w", size_ms, advance_ms).unwrap_err();
    assert!(refused(0, 0).contains("cannot have 0 ms"));
    assert!(refused(u64::MAX, 1).contains("2^52"));
    assert!(refused(10, 0).contains("every 0 ms"));
    assert!(refused(10, 11).contains("by their size at most"));
    assert!(refused(10_000, 99).contains("in 102 windows"));
}

#[test]
#[should_panic(expected = "not what the plugin gathers now")]
fn what_gathers_something_else_has_another_name() {
    testing::reset();
    run(&mut Counting::new(PLAIN, true), 0, &[(0, 1)], &mut Vec::new());
    let mut windows = Windows::<crate::Aggregate>::tumbling("w", 10).unwrap();
    let _ = windows.advance(100);
}
