//! WASI is there with nothing behind it.
#![allow(clippy::unwrap_used)]

mod support;

use support::{FilterText, Lines, batch, kept, options, runtime};
use weir_runtime::{CallError, InstanceOptions, Level, Plugin};

/// A filter that looks at what WASI gives: keeps its record if nothing surprises it.
fn load(outer: &str, lowered: &str, with: &str, imports: &str, filter: &str) -> Plugin {
    let outer = format!("{outer} {LIBC} {lowered}");
    let module = format!("(import \"libc\" \"memory\" (memory 1)) {imports}");
    let with = format!("(with \"libc\" (instance $libc)) {with}");
    let filter = format!(
        "{filter} (i32.store (i32.const 8) (i32.const 16)) (i32.store (i32.const 12) (i32.const 1)) (i32.store8 (i32.const 16) (i32.const 1)) (i32.const 8)"
    );
    let component = FilterText {
        outer: &outer,
        with: &with,
        module: &module,
        memory: r#"(export "memory" (memory 0))"#,
        filter: &filter,
        ..FilterText::default()
    }
    .component();
    runtime().load(&component).unwrap()
}

/// Memory of its own module, for lowered functions need one before there is an instance.
const LIBC: &str = r#"
    (core module $libc_module (memory (export "memory") 1)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 2048)))
    (core instance $libc (instantiate $libc_module))"#;

/// What a call kept, or why it failed.
type Kept = Result<Vec<usize>, CallError>;

fn run(plugin: &Plugin) -> (Kept, Vec<(Level, String)>) {
    let lines = Lines::new();
    let mut instance = plugin
        .instantiate(InstanceOptions {
            log: lines.clone(),
            ..options(&[])
        })
        .unwrap();
    (kept(&mut instance, &batch(["a"]), 1), lines.taken())
}

#[test]
fn clocks_show_the_time_of_the_records() {
    let plugin = load(
        r#"(import "wasi:clocks/wall-clock@0.2.6" (instance $clock
            (type $t (record (field "seconds" u64) (field "nanoseconds" u32))) (export "datetime" (type $d (eq $t)))
            (export "now" (func (result $d)))))
          (import "wasi:clocks/monotonic-clock@0.2.6" (instance $mono (export "now" (func (result u64)))))"#,
        r#"(core func $now (canon lower (func $clock "now") (memory $libc "memory")))
          (core func $ticks (canon lower (func $mono "now")))"#,
        r#"(with "w" (instance (export "now" (func $now)) (export "ticks" (func $ticks))))"#,
        r#"(import "w" "now" (func $now (param i32))) (import "w" "ticks" (func $ticks (result i64)))"#,
        // The batch's newest record is of 1,000 ms: 1 s, 0 ns. The other clock moves on, from 0.
        r#"(call $now (i32.const 64))
           (if (i64.ne (i64.load (i32.const 64)) (i64.const 1)) (then unreachable))
           (if (i32.ne (i32.load (i32.const 72)) (i32.const 0)) (then unreachable))
           (if (i64.ne (call $ticks) (i64.const 1000)) (then unreachable))
           (if (i64.ne (call $ticks) (i64.const 2000)) (then unreachable))"#,
    );
    assert_eq!(run(&plugin).0, Ok(vec![0]));
    assert_eq!(run(&plugin).0, Ok(vec![0]), "and again the same");
}

#[test]
fn random_numbers_repeat() {
    let plugin = load(
        r#"(import "wasi:random/random@0.2.0" (instance $random
            (export "get-random-u64" (func (result u64))) (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))"#,
        r#"(core func $u64 (canon lower (func $random "get-random-u64")))
          (core func $bytes (canon lower (func $random "get-random-bytes") (memory $libc "memory") (realloc (func $libc "realloc"))))"#,
        r#"(with "w" (instance (export "u64" (func $u64)) (export "bytes" (func $bytes))))"#,
        r#"(import "w" "u64" (func $u64 (result i64))) (import "w" "bytes" (func $bytes (param i64 i32)))
           (global $first (mut i64) (i64.const 0)) (global $seen (mut i64) (i64.const 0))"#,
        r#"(global.set $first (call $u64))
           (if (i64.eqz (global.get $first)) (then unreachable))
           (if (i64.eq (global.get $first) (call $u64)) (then unreachable))
           (if (i64.ne (global.get $seen) (i64.const 0)) (then
             (if (i64.ne (global.get $seen) (global.get $first)) (then unreachable))))
           (global.set $seen (global.get $first))
           (call $bytes (i64.const 12) (i32.const 64))
           (if (i32.ne (i32.load (i32.const 68)) (i32.const 12)) (then unreachable))"#,
    );
    let mut instance = plugin.instantiate(options(&[])).unwrap();
    for _ in 0..3 {
        assert_eq!(
            kept(&mut instance, &batch(["a"]), 1),
            Ok(vec![0]),
            "each call draws the same numbers"
        );
    }
}

#[test]
fn there_is_no_environment_and_no_file() {
    let plugin = load(
        r#"(import "wasi:cli/environment@0.2.0" (instance $env
            (export "get-environment" (func (result (list (tuple string string))))) (export "initial-cwd" (func (result (option string))))))
          (import "wasi:filesystem/types@0.2.0" (instance $types (export "descriptor" (type (sub resource)))))
          (alias export $types "descriptor" (type $descriptor))
          (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
            (alias outer 1 $descriptor (type $outer)) (export "descriptor" (type $d (eq $outer)))
            (export "get-directories" (func (result (list (tuple (own $d) string)))))))"#,
        r#"(core func $env (canon lower (func $env "get-environment") (memory $libc "memory") (realloc (func $libc "realloc"))))
          (core func $cwd (canon lower (func $env "initial-cwd") (memory $libc "memory") (realloc (func $libc "realloc"))))
          (core func $dirs (canon lower (func $preopens "get-directories") (memory $libc "memory") (realloc (func $libc "realloc"))))"#,
        r#"(with "w" (instance (export "env" (func $env)) (export "cwd" (func $cwd)) (export "dirs" (func $dirs))))"#,
        r#"(import "w" "env" (func $env (param i32))) (import "w" "cwd" (func $cwd (param i32))) (import "w" "dirs" (func $dirs (param i32)))"#,
        r#"(call $env (i32.const 64)) (if (i32.load (i32.const 68)) (then unreachable))
           (call $cwd (i32.const 64)) (if (i32.load8_u (i32.const 64)) (then unreachable))
           (call $dirs (i32.const 64)) (if (i32.load (i32.const 68)) (then unreachable))"#,
    );
    assert_eq!(run(&plugin).0, Ok(vec![0]));
}

const STREAMS: &str = r#"
    (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
    (alias export $error "error" (type $error_type))
    (import "wasi:io/streams@0.2.0" (instance $streams
      (export "output-stream" (type $o (sub resource)))
      (alias outer 1 $error_type (type $e_outer)) (export "error" (type $e (eq $e_outer)))
      (type $v (variant (case "last-operation-failed" (own $e)) (case "closed"))) (export "stream-error" (type $se (eq $v)))
      (export "[method]output-stream.blocking-write-and-flush"
        (func (param "self" (borrow $o)) (param "contents" (list u8)) (result (result (error $se)))))))
    (alias export $streams "output-stream" (type $output))
    (import "wasi:cli/stderr@0.2.0" (instance $stderr
      (alias outer 1 $output (type $outer)) (export "output-stream" (type $o (eq $outer))) (export "get-stderr" (func (result (own $o))))))
    (import "wasi:cli/stdout@0.2.0" (instance $stdout
      (alias outer 1 $output (type $outer)) (export "output-stream" (type $o (eq $outer))) (export "get-stdout" (func (result (own $o))))))
    (import "wasi:cli/exit@0.2.0" (instance $exit (export "exit" (func (param "status" (result))))))"#;

const STREAMS_LOWERED: &str = r#"
    (core func $stdout (canon lower (func $stdout "get-stdout")))
    (core func $stderr (canon lower (func $stderr "get-stderr")))
    (core func $exit (canon lower (func $exit "exit")))
    (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") (memory $libc "memory")))
    (core func $drop (canon resource.drop $output))"#;

const STREAMS_WITH: &str = r#"(with "w" (instance (export "stdout" (func $stdout)) (export "stderr" (func $stderr))
    (export "write" (func $write)) (export "exit" (func $exit)) (export "drop" (func $drop))))"#;

const STREAMS_IMPORTS: &str = r#"
    (import "w" "stdout" (func $stdout (result i32))) (import "w" "stderr" (func $stderr (result i32)))
    (import "w" "write" (func $write (param i32 i32 i32 i32))) (import "w" "exit" (func $exit (param i32)))
    (import "w" "drop" (func $drop (param i32)))
    (data (i32.const 512) "hello\nworld\n")
    (func $say (param $to i32) (param $at i32) (param $len i32)
      (call $write (local.get $to) (local.get $at) (local.get $len) (i32.const 64))
      (if (i32.load8_u (i32.const 64)) (then unreachable))
      (call $drop (local.get $to)))"#;

#[test]
fn output_goes_to_the_log() {
    let filter = r#"(call $say (call $stdout) (i32.const 512) (i32.const 8))
        (call $say (call $stdout) (i32.const 520) (i32.const 4))
        (call $say (call $stderr) (i32.const 518) (i32.const 6))"#;
    let plugin = load(STREAMS, STREAMS_LOWERED, STREAMS_WITH, STREAMS_IMPORTS, filter);
    let (kept, lines) = run(&plugin);
    assert_eq!(kept, Ok(vec![0]));
    let said = |level, line: &str| (level, line.to_owned());
    assert_eq!(
        lines,
        [
            said(Level::Info, "hello"),
            said(Level::Info, "world"),
            said(Level::Warn, "world")
        ]
    );
}

#[test]
fn what_was_said_on_standard_error_is_the_reason_of_a_trap() {
    let filter = "(call $say (call $stderr) (i32.const 512) (i32.const 6)) unreachable";
    let plugin = load(STREAMS, STREAMS_LOWERED, STREAMS_WITH, STREAMS_IMPORTS, filter);
    let Err(CallError::Trap { reason, .. }) = run(&plugin).0 else {
        panic!("it traps")
    };
    assert_eq!(reason, "hello");
}

#[test]
fn exit_is_a_trap() {
    let plugin = load(
        STREAMS,
        STREAMS_LOWERED,
        STREAMS_WITH,
        STREAMS_IMPORTS,
        "(call $exit (i32.const 0))",
    );
    let Err(CallError::Trap { reason, .. }) = run(&plugin).0 else {
        panic!("it exits")
    };
    assert!(reason.contains("called exit"), "{reason}");
}

#[test]
fn waiting_is_over_at_once() {
    let plugin = load(
        r#"(import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type $p (sub resource)))
            (export "[method]pollable.block" (func (param "self" (borrow $p))))
            (export "poll" (func (param "in" (list (borrow $p))) (result (list u32))))))
          (alias export $poll "pollable" (type $pollable))
          (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
            (alias outer 1 $pollable (type $outer)) (export "pollable" (type $p (eq $outer)))
            (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))"#,
        r#"(core func $sleep (canon lower (func $clock "subscribe-duration")))
          (core func $block (canon lower (func $poll "[method]pollable.block")))
          (core func $poll (canon lower (func $poll "poll") (memory $libc "memory") (realloc (func $libc "realloc"))))"#,
        r#"(with "w" (instance (export "sleep" (func $sleep)) (export "block" (func $block)) (export "poll" (func $poll))))"#,
        r#"(import "w" "sleep" (func $sleep (param i64) (result i32))) (import "w" "block" (func $block (param i32)))
           (import "w" "poll" (func $poll (param i32 i32 i32)))"#,
        // An hour, and another.
        r#"(call $block (call $sleep (i64.const 3600000000000)))
           (i32.store (i32.const 64) (call $sleep (i64.const 3600000000000)))
           (call $poll (i32.const 64) (i32.const 1) (i32.const 72))
           (if (i32.ne (i32.load (i32.const 76)) (i32.const 1)) (then unreachable))"#,
    );
    assert_eq!(run(&plugin).0, Ok(vec![0]));
}

#[test]
fn what_has_no_meaning_traps_with_its_name() {
    let plugin = load(
        r#"(import "wasi:clocks/wall-clock@0.2.6" (instance $clock (export "set-alarm" (func))))"#,
        r#"(core func $alarm (canon lower (func $clock "set-alarm")))"#,
        r#"(with "w" (instance (export "alarm" (func $alarm))))"#,
        r#"(import "w" "alarm" (func $alarm))"#,
        "(call $alarm)",
    );
    let Err(CallError::Trap { reason, .. }) = run(&plugin).0 else {
        panic!("there is no such function")
    };
    assert!(
        reason.contains("wasi:clocks/wall-clock#set-alarm is not there"),
        "{reason}"
    );
}
