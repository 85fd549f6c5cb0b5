//! The typed worlds: for a caller they are the packed ones, whatever crosses the border.
#![allow(clippy::unwrap_used)]

mod support;

use support::{batch, emitted, kept, options, refusal, runtime, runtime_with, start};
use weir_batch::frame::{Entry, Reader};
use weir_batch::{Batch, BatchBuilder};
use weir_runtime::{CallError, Instance, InstanceOptions, Kind, Limits};

fn transform(what: &str) -> Instance {
    let plugin = runtime().load(weir_plugins::TYPED_TRANSFORM).unwrap();
    start(&plugin, &[("do", what)]).unwrap()
}

fn filter(config: &[(&str, &str)]) -> Instance {
    start(&runtime().load(weir_plugins::TYPED_FILTER).unwrap(), config).unwrap()
}

/// Every field that a record may have, and every one left out.
fn varied(records: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for index in 0..records {
        let key = format!("key {index}");
        let value = vec![b'x'; index % 300];
        let number = index.to_string();
        let headers = [
            ("n", Some(number.as_bytes())),
            ("empty", None),
            ("n", Some(b"".as_slice())),
        ];
        builder
            .push(
                5_000 - index as i64,
                (index % 3 > 0).then_some(key.as_bytes()),
                (index % 5 > 0).then_some(&value),
                &headers[..index % 4],
            )
            .unwrap();
    }
    builder.finish().unwrap()
}

#[test]
fn a_plugin_of_a_typed_world_is_a_filter_or_a_transform_like_any_other() {
    let runtime = runtime();
    assert_eq!(
        runtime.load(weir_plugins::TYPED_FILTER).unwrap().kind(),
        Kind::Filter
    );
    assert_eq!(
        runtime.load(weir_plugins::TYPED_TRANSFORM).unwrap().kind(),
        Kind::Transform
    );
    let Err(error) = start(
        &runtime.load(weir_plugins::TYPED_FILTER).unwrap(),
        &[("contain", "x")],
    ) else {
        panic!("there is no such key")
    };
    assert_eq!(
        error,
        CallError::Configure {
            message: "there is no `contain`".to_owned()
        }
    );
}

#[test]
fn forwarding_gives_back_every_record_to_the_byte() {
    let mut typed = transform("forward");
    let identity = runtime().load(weir_plugins::IDENTITY).unwrap();
    let mut packed = start(&identity, &[]).unwrap();
    for records in [1, 7, 1_000, 20_000] {
        let bytes = varied(records);
        let (mut from_typed, mut from_packed) = (Vec::new(), Vec::new());
        typed.transform(&bytes, &mut from_typed).unwrap();
        packed.transform(&bytes, &mut from_packed).unwrap();
        assert!(from_typed == from_packed, "{records} records");
    }
}

#[test]
fn a_guest_sees_every_field() {
    let mut builder = BatchBuilder::new();
    builder
        .push(1_000, Some(b"k"), None, &[("a", Some(b"1")), ("b", None)])
        .unwrap();
    builder.push(900, None, Some(b""), &[]).unwrap();
    let mut bytes = builder.finish().unwrap();
    weir_batch::set_base_offset(&mut bytes, 41).unwrap();
    let mut frame = Vec::new();
    transform("describe").transform(&bytes, &mut frame).unwrap();
    let base = Batch::parse(&bytes).unwrap().base_timestamp();
    let seen: Vec<_> = Reader::new(&frame, 2, 1)
        .unwrap()
        .entries()
        .map(|entry| match entry {
            Entry::Emit {
                source,
                timestamp_delta,
                tail,
                ..
            } => {
                assert_eq!((tail.key(), tail.headers().len()), (None, 0));
                let value = String::from_utf8(tail.value().unwrap().to_vec()).unwrap();
                (source, base + timestamp_delta, value)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        seen,
        [
            (
                0,
                3_601_000,
                r#"41 1000 Some("k") None [("a", Some("1")), ("b", None)]"#.to_owned()
            ),
            (1, 3_600_900, r#"42 900 None Some("") []"#.to_owned()),
        ]
    );
}

#[test]
fn a_filter_keeps_what_it_says() {
    let mut instance = filter(&[("contains", "b")]);
    let values = ["abc", "xyz", "", "b", "B", "b", "-", "-", "-", "ab"];
    assert_eq!(kept(&mut instance, &batch(values), 10), Ok(vec![0, 3, 5, 9]));
    assert_eq!(
        kept(&mut filter(&[]), &varied(1_003), 1_003),
        Ok((0..1_003).collect())
    );
}

#[test]
fn outcomes_become_entries_of_the_frame() {
    let values = batch(["one", "two"]);
    assert_eq!(
        emitted(&mut transform("drop"), &values, 2),
        Ok(Vec::<String>::new())
    );
    assert_eq!(
        emitted(&mut transform("twice"), &values, 2).unwrap(),
        ["one", "one", "two", "two"]
    );
    for (what, kind) in [
        ("dead-letter", "DeadLetter"),
        ("retry", "Retry"),
        ("fail", "Fail"),
    ] {
        let got = emitted(&mut transform(what), &values, 2).unwrap();
        assert_eq!(got[1], format!("{kind} {{ source: 1, reason: \"two\" }}"));
    }
    let plugin = runtime().load(weir_plugins::TYPED_TRANSFORM).unwrap();
    let mut instance = plugin
        .instantiate(InstanceOptions {
            outputs: ["a", "b", "c"].map(str::to_owned).to_vec(),
            ..options(&[])
        })
        .unwrap();
    let mut frame = Vec::new();
    instance.transform(&values, &mut frame).unwrap();
    let entries: Vec<_> = Reader::new(&frame, 2, 3).unwrap().entries().collect();
    assert!(
        matches!(
            entries[..],
            [
                Entry::Emit {
                    output: 2,
                    source: 0,
                    ..
                },
                Entry::Emit {
                    output: 2,
                    source: 1,
                    ..
                }
            ]
        ),
        "{entries:?}"
    );
}

#[test]
fn answers_that_lie_are_refused_and_the_next_call_is_served() {
    let values = batch(["one", "two", "three"]);
    for answers in ["0", "2", "4", "1000000"] {
        let error = kept(&mut filter(&[("answers", answers)]), &values, 3).unwrap_err();
        assert_eq!(
            error,
            CallError::BadOutput {
                reason: format!("{answers} answers for 3 records")
            }
        );
    }
    for (what, words) in [("lie-source", "comes from record"), ("lie-output", "output")] {
        let mut instance = transform(what);
        for _ in 0..2 {
            let error = emitted(&mut instance, &values, 3).unwrap_err();
            assert!(
                matches!(&error, CallError::BadOutput { reason } if reason.contains(words)),
                "{error}"
            );
        }
        assert_eq!((instance.stats().errors, instance.stats().restarts), (2, 1));
    }
}

#[test]
fn limits_hold_for_typed_answers_too() {
    let values = batch(["one", "two", "three"]);
    let limits = Limits {
        output_bytes_max: 2 << 20,
        ..Limits::default()
    };
    let plugin = runtime_with(limits).load(weir_plugins::TYPED_TRANSFORM).unwrap();
    let error = emitted(&mut start(&plugin, &[("do", "flood-bytes")]).unwrap(), &values, 3).unwrap_err();
    assert!(
        matches!(error, CallError::OutputTooLarge { bytes, limit: 2_097_152 } if bytes > 2 << 20),
        "{error}"
    );
    let error = emitted(&mut transform("flood-records"), &values, 3).unwrap_err();
    assert_eq!(
        error,
        CallError::TooManyRecords {
            records: 3_003,
            input: 3,
            limit: 3_000
        }
    );
    // There is no room in the guest for the records alone.
    let limits = Limits {
        memory_bytes_max: 2 << 20,
        ..Limits::default()
    };
    let plugin = runtime_with(limits).load(weir_plugins::TYPED_FILTER).unwrap();
    let mut instance = start(&plugin, &[]).unwrap();
    let many = varied(100_000);
    let error = kept(&mut instance, &many, 100_000).unwrap_err();
    assert!(matches!(error, CallError::Memory { .. }), "{error}");
    assert_eq!(kept(&mut instance, &values, 3), Ok(vec![0, 1, 2]), "it goes on");
}

/// A typed transform whose guest answers with `outcomes` outcomes, all of whose values are the same `value_bytes` of its memory.
fn overlapping(outcomes: u32, value_bytes: u32) -> Vec<u8> {
    let text = format!(
        r#"(component
          (core module $m
            (memory (export "memory") 200)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 131072))
            (func (export "configure") (param i32 i32 i32 i32) (result i32) (i32.const 0))
            (func (export "transform") (param i32 i32) (result i32)
              (local $at i32) (local $end i32)
              (local.set $at (i32.const 262144))
              (local.set $end (i32.add (i32.const 262144) (i32.mul (i32.const {outcomes}) (i32.const 64))))
              (loop $next
                (i32.store8 offset=44 (local.get $at) (i32.const 1))
                (i32.store offset=52 (local.get $at) (i32.const {value_bytes}))
                (local.set $at (i32.add (local.get $at) (i32.const 64)))
                (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
              (i32.store (i32.const 8) (i32.const 262144))
              (i32.store (i32.const 12) (i32.const {outcomes}))
              (i32.const 8)))
          (core instance $i (instantiate $m))
          (type $bytes' (option (list u8)))
          (type $headers' (list (tuple string $bytes')))
          (type $record' (record (field "offset" s64) (field "timestamp" s64) (field "key" $bytes') (field "value" $bytes')
            (field "headers" $headers')))
          (type $emitted' (record (field "output" u32) (field "source" u32) (field "timestamp" (option s64)) (field "key" $bytes')
            (field "value" $bytes') (field "headers" $headers')))
          (type $fault' (record (field "source" u32) (field "reason" string)))
          (component $c
            (type $bytes (option (list u8)))
            (type $headers (list (tuple string $bytes)))
            (type $record-type (record (field "offset" s64) (field "timestamp" s64) (field "key" $bytes) (field "value" $bytes)
              (field "headers" $headers)))
            (type $emitted-type (record (field "output" u32) (field "source" u32) (field "timestamp" (option s64)) (field "key" $bytes)
              (field "value" $bytes) (field "headers" $headers)))
            (type $fault-type (record (field "source" u32) (field "reason" string)))
            (import "import-record" (type $record (eq $record-type)))
            (import "import-emitted" (type $emitted (eq $emitted-type)))
            (import "import-fault" (type $fault (eq $fault-type)))
            (type $outcome-type (variant (case "emit" $emitted) (case "dead-letter" $fault) (case "retry" $fault) (case "fail" $fault)))
            (import "import-outcome" (type $outcome (eq $outcome-type)))
            (import "import-configure" (func $configure (param "config" (list (tuple string string)))
              (param "outputs" (list string)) (result (result (error string)))))
            (import "import-transform" (func $transform (param "records" (list $record)) (result (list $outcome))))
            (export $record-out "record" (type $record-type))
            (export $emitted-out "emitted" (type $emitted-type))
            (export $fault-out "fault" (type $fault-type))
            (type $outcome-out-type (variant (case "emit" $emitted-out) (case "dead-letter" $fault-out) (case "retry" $fault-out)
              (case "fail" $fault-out)))
            (export $outcome-out "outcome" (type $outcome-out-type))
            (export "configure" (func $configure))
            (export "transform" (func $transform) (func (param "records" (list $record-out)) (result (list $outcome-out)))))
          (type $outcome' (variant (case "emit" $emitted') (case "dead-letter" $fault') (case "retry" $fault') (case "fail" $fault')))
          (func $configure (param "config" (list (tuple string string))) (param "outputs" (list string)) (result (result (error string)))
            (canon lift (core func $i "configure") (memory $i "memory") (realloc (func $i "realloc"))))
          (func $transform (param "records" (list $record')) (result (list $outcome'))
            (canon lift (core func $i "transform") (memory $i "memory") (realloc (func $i "realloc"))))
          (instance $world (instantiate $c
            (with "import-record" (type $record')) (with "import-emitted" (type $emitted')) (with "import-fault" (type $fault'))
            (with "import-outcome" (type $outcome')) (with "import-configure" (func $configure))
            (with "import-transform" (func $transform))))
          (export "weir:plugin/record-transform-typed@0.1.0" (instance $world)))"#
    );
    wat::parse_str(text).unwrap()
}

#[test]
fn values_that_overlap_in_the_guest_do_not_fill_the_host() {
    let one = batch(["x"]);
    let limits = Limits {
        output_records_max_per_input: 1_000_000,
        ..Limits::default()
    };
    let runtime = runtime_with(limits);
    let start = |component: &[u8]| start(&runtime.load(component).unwrap(), &[]).unwrap();
    let got = emitted(&mut start(&overlapping(3, 100)), &one, 1).unwrap();
    assert_eq!(got.len(), 3);
    // 32 MiB on this side: more than an answer may have, less than what the host sets aside for one.
    let error = emitted(&mut start(&overlapping(32, 1 << 20)), &one, 1).unwrap_err();
    assert!(matches!(error, CallError::OutputTooLarge { .. }), "{error}");
    // 100 GiB, out of 12 MiB.
    let error = emitted(&mut start(&overlapping(100_000, 1 << 20)), &one, 1).unwrap_err();
    assert!(
        matches!(&error, CallError::Trap { reason, .. } if reason.contains("too much data")),
        "{error}"
    );
}

#[test]
fn other_types_under_the_names_are_refused() {
    for (name, function) in [
        ("record-filter-typed", "filter"),
        ("record-transform-typed", "transform"),
    ] {
        let configure = if function == "filter" {
            r#"(param "config" (list (tuple string string))) (result (result (error string)))"#
        } else {
            r#"(param "config" (list (tuple string string))) (param "outputs" (list string)) (result (result (error string)))"#
        };
        let count = if function == "filter" {
            "i32 i32"
        } else {
            "i32 i32 i32 i32"
        };
        // The packed function under the typed name.
        let text = format!(
            r#"(component
              (core module $m (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
                (func (export "configure") (param {count}) (result i32) (i32.const 0))
                (func (export "call") (param i32 i32) (result i32) (i32.const 0)))
              (core instance $i (instantiate $m))
              (func $configure {configure}
                (canon lift (core func $i "configure") (memory $i "memory") (realloc (func $i "realloc"))))
              (func $call (param "batch" (list u8)) (result (list u8))
                (canon lift (core func $i "call") (memory $i "memory") (realloc (func $i "realloc"))))
              (instance $world (export "configure" (func $configure)) (export "{function}" (func $call)))
              (export "weir:plugin/{name}@0.1.0" (instance $world)))"#
        );
        let error = refusal(&wat::parse_str(text).unwrap()).to_string();
        assert!(error.contains(name) && error.contains("another type"), "{error}");
    }
}
