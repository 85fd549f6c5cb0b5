//! Filters and transforms on real batches, through components built from source.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Lines, batch, emitted, kept, options, runtime, start};
use weir_batch::frame::{Entry, Reader};
use weir_batch::{Batch, BatchBuilder};
use weir_runtime::{CallError, InstanceOptions};

#[test]
fn identity_gives_back_every_record_to_the_byte() {
    let plugin = runtime().load(weir_plugins::IDENTITY).unwrap();
    let mut instance = start(&plugin, &[]).unwrap();
    for records in [0, 1, 7, 1_000, 20_000] {
        let mut builder = BatchBuilder::new();
        for index in 0..records {
            let key = format!("key {index}");
            let header = index.to_string();
            let value = vec![b'x'; index % 300];
            builder
                .push(
                    5_000 - index as i64,
                    (index % 3 > 0).then_some(key.as_bytes()),
                    (index % 5 > 0).then_some(&value),
                    &[("n", Some(header.as_bytes()))],
                )
                .unwrap();
        }
        if records == 0 {
            continue;
        }
        let bytes = builder.finish().unwrap();
        let mut frame = Vec::new();
        instance.transform(&bytes, &mut frame).unwrap();
        let batch = Batch::parse(&bytes).unwrap();
        let reader = Reader::new(&frame, records as u32, 1).unwrap();
        assert_eq!(reader.len(), records);
        for ((index, record), entry) in batch.records().unwrap().enumerate().zip(reader.entries()) {
            let Entry::Emit {
                output,
                source,
                timestamp_delta,
                tail,
                ..
            } = entry
            else {
                panic!("{entry:?}")
            };
            assert_eq!((output, source as usize), (0, index));
            assert_eq!(timestamp_delta, record.timestamp_delta());
            assert_eq!(tail.as_bytes(), record.tail());
        }
    }
}

#[test]
fn trailing_bytes_after_the_batch_are_not_the_guests() {
    let plugin = runtime().load(weir_plugins::IDENTITY).unwrap();
    let mut instance = start(&plugin, &[]).unwrap();
    let mut bytes = batch(["a", "b"]);
    bytes.extend_from_slice(&batch(["c"]));
    assert_eq!(emitted(&mut instance, &bytes, 2).unwrap(), ["a", "b"]);
}

#[test]
fn a_json_filter_keeps_what_compares() {
    let plugin = runtime().load(weir_plugins::JSON_FILTER).unwrap();
    let records = batch([
        r#"{"delay": 5}"#,
        r#"{"delay": 61.5}"#,
        "garbage",
        r#"{"delay": null}"#,
        r#"{"delay": 120}"#,
    ]);
    let mut instance = start(&plugin, &[("field", "delay"), ("op", "ge"), ("value", "60")]).unwrap();
    assert_eq!(kept(&mut instance, &records, 5), Ok(vec![1, 4]));
    let Err(error) = start(&plugin, &[("field", "delay"), ("op", "over")]) else {
        panic!("there is no such operator")
    };
    assert!(
        matches!(&error, CallError::Configure { message } if message.contains("`op` cannot be \"over\"")),
        "{error}"
    );
}

#[test]
fn a_chain_of_plugins_makes_objects_of_lines() {
    let runtime = runtime();
    let lines = batch(["carrier,flight,dep_delay", "UA,1545,2", "AA,1141,NA", "B6,725"]);
    let parser = runtime.load(weir_plugins::LINES_TO_JSON).unwrap();
    let mut parser = start(
        &parser,
        &[("columns", "carrier,flight,dep_delay"), ("key", "carrier")],
    )
    .unwrap();
    let objects = emitted(&mut parser, &lines, 4).unwrap();
    assert_eq!(
        objects[..2],
        [
            r#"{"carrier":"UA","flight":1545,"dep_delay":2}"#,
            r#"{"carrier":"AA","flight":1141,"dep_delay":null}"#
        ]
    );
    assert!(
        objects[2].starts_with("Fail") && objects[2].contains("2 columns instead of 3"),
        "{}",
        objects[2]
    );

    let projector = runtime.load(weir_plugins::JSON_PROJECT).unwrap();
    let mut projector = start(
        &projector,
        &[
            ("keep", "carrier,flight"),
            ("mask", "flight"),
            ("rename", "carrier=airline"),
        ],
    )
    .unwrap();
    let projected = emitted(&mut projector, &batch(&objects[..2]), 2).unwrap();
    assert_eq!(
        projected,
        [
            r#"{"airline":"UA","flight":"***"}"#,
            r#"{"airline":"AA","flight":"***"}"#
        ]
    );
}

#[test]
fn outcomes_of_single_records_travel_in_the_frame() {
    let plugin = runtime().load(weir_plugins::HOSTILE).unwrap();
    for (what, kind) in [
        ("fail", "Fail"),
        ("retry", "Retry"),
        ("dead-letter", "DeadLetter"),
    ] {
        let mut instance = start(&plugin, &[("do", what), ("at", "bad")]).unwrap();
        let got = emitted(&mut instance, &batch(["one", "bad", "three"]), 3).unwrap();
        assert_eq!((got[0].as_str(), got[2].as_str()), ("one", "three"));
        assert!(
            got[1].starts_with(kind) && got[1].contains("source: 1") && got[1].contains("told to"),
            "{}",
            got[1]
        );
    }
}

#[test]
fn instances_of_one_plugin_run_at_the_same_time() {
    let plugin = runtime().load(weir_plugins::IDENTITY).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let plugin = plugin.clone();
            std::thread::spawn(move || {
                let mut instance = start(&plugin, &[]).unwrap();
                let value = format!("of thread {number}");
                for _ in 0..200 {
                    assert_eq!(
                        emitted(&mut instance, &batch([&value]), 1).unwrap(),
                        [value.as_str()]
                    );
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn the_machine_without_room_for_a_pool_runs_them_too() {
    let config = weir_runtime::RuntimeConfig {
        pooling: false,
        ..weir_runtime::RuntimeConfig::default()
    };
    let plugin = weir_runtime::Runtime::new(config)
        .unwrap()
        .load(weir_plugins::IDENTITY)
        .unwrap();
    let mut instance = start(&plugin, &[]).unwrap();
    assert_eq!(emitted(&mut instance, &batch(["a"]), 1).unwrap(), ["a"]);
}

#[test]
fn the_last_words_of_a_guest_are_in_its_log() {
    let plugin = runtime().load(weir_plugins::HOSTILE).unwrap();
    let lines = Lines::new();
    let mut instance = plugin
        .instantiate(InstanceOptions {
            log: lines.clone(),
            ..options(&[("do", "panic")])
        })
        .unwrap();
    let _ = emitted(&mut instance, &batch(["x"]), 1);
    let taken = lines.taken();
    assert!(
        taken
            .iter()
            .any(|(level, line)| *level == weir_runtime::Level::Critical && line.contains("told to panic")),
        "{taken:?}"
    );
}
