//! `weir plugin test` runs a plugin over lines as a flow would: what comes out is what the plugin's own code makes of them, a
//! record that fails is found by its line, and nothing grows with the input.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_weir-under-test");

/// A folder with a plugin in it.
struct Bench {
    folder: tempfile::TempDir,
    wasm: PathBuf,
}

/// What a run of `weir plugin test` gave.
#[derive(Debug)]
struct Tested {
    status: Option<i32>,
    out: String,
    said: String,
}

impl Bench {
    fn new(wasm: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin.wasm");
        std::fs::write(&path, wasm).unwrap();
        Self { folder, wasm: path }
    }

    /// Runs it over `input`, given as a file.
    fn test(&self, args: &str, input: &str) -> Tested {
        let file = self.folder.path().join("input");
        std::fs::write(&file, input).unwrap();
        let output = Command::new(BINARY)
            .args(["plugin", "test"])
            .arg(&self.wasm)
            .arg("--input")
            .arg(&file)
            .args(args.split_whitespace())
            .output()
            .unwrap();
        Tested {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            said: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The same with the summary.
    fn summary(&self, args: &str, input: &str) -> (Tested, Value) {
        let file = self.folder.path().join("summary.json");
        let tested = self.test(&format!("{args} --summary {}", file.display()), input);
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{error}: {}", tested.said));
        (tested, serde_json::from_str(&text).unwrap())
    }
}

/// `{"n":0}` and so on, one a line: enough for several batches.
fn numbers(count: usize) -> String {
    (0..count).map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

#[test]
fn kept_lines_are_those_that_the_configuration_names() {
    let bench = Bench::new(weir_plugins::JSON_FILTER);
    let input = numbers(30_000);
    let (tested, summary) = bench.summary("--set field=n --set op=lt --set value=12345", &input);
    assert_eq!(tested.status, Some(0), "{}", tested.said);
    assert!(
        tested.out == numbers(12_345),
        "other lines came out, or in another order"
    );
    assert_eq!(summary["records_in"], 30_000);
    assert_eq!(summary["records_out"], 12_345);
    assert_eq!(summary["dropped"], 17_655);
    assert_eq!(summary["passed"], true);
    assert!(summary["calls"].as_u64().unwrap() > 5, "{summary}");
    assert!(summary["ns_per_record"].as_f64().unwrap() > 0.0, "{summary}");
    assert!(
        summary["memory_bytes_peak"].as_u64().unwrap() >= 65_536,
        "{summary}"
    );
    assert_eq!(tested.said, "", "the summary is in the file");
}

#[test]
fn a_trap_is_found_by_its_line_and_the_others_go_on() {
    for (wasm, kind) in [
        (weir_plugins::HOSTILE, "transform"),
        (weir_plugins::HOSTILE_FILTER, "filter"),
    ] {
        let bench = Bench::new(wasm);
        let input = numbers(20_000);
        let others = input.replace("{\"n\":12344}\n", "");
        let (tested, summary) = bench.summary("--set do=panic --set at=:12344}", &input);
        assert_eq!(tested.status, Some(1), "{}", tested.said);
        assert_eq!(summary["kind"], kind);
        assert_eq!(summary["errors"]["trap"], 1, "{summary}");
        assert_eq!(summary["problems"].as_array().unwrap().len(), 1);
        assert_eq!(summary["problems"][0]["line"], 12_345);
        let said = &tested.said;
        assert!(
            said.contains("line 12345: trap: ") && said.contains("told to panic"),
            "{said}"
        );
        assert!(tested.out == others, "the other lines come out, in order");

        let skipped = bench.test("--set do=panic --set at=:12344} --on-error skip", &input);
        assert_eq!(skipped.status, Some(0), "{}", skipped.said);
        assert!(skipped.out == others && skipped.said.contains("line 12345: trap: "));

        let stopped = bench.test("--set do=panic --set at=:12344} --on-error stop", &input);
        assert_eq!(stopped.status, Some(1));
        assert!(
            stopped.out == numbers(12_344),
            "what comes before the line, and no more"
        );
    }
}

#[test]
fn limits_are_the_brokers_unless_told_otherwise() {
    let bench = Bench::new(weir_plugins::HOSTILE);
    let (tested, summary) = bench.summary("--set do=loop --set at=:3} --deadline-ms 50", &numbers(100));
    assert_eq!(tested.status, Some(1));
    assert_eq!(summary["errors"]["deadline"], 1, "{summary}");
    assert_eq!(summary["problems"][0]["line"], 4);

    let (_, summary) = bench.summary("--set do=memory --set at=:3}", &numbers(100));
    let reason = summary["problems"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("may have 67108864"), "{reason}");
    let (_, summary) = bench.summary("--set do=memory --set at=:3} --memory 4M", &numbers(100));
    let reason = summary["problems"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("may have 4194304"), "{reason}");

    let malformed = bench.test("--set do=frame-tail --on-error stop", &numbers(100));
    assert_eq!(malformed.status, Some(1));
    assert!(malformed.said.contains("line 1: output: "), "{}", malformed.said);
}

#[test]
fn what_a_plugin_says_of_a_record_is_said_with_its_line() {
    let bench = Bench::new(weir_plugins::HOSTILE);
    for (what, status, reason) in [
        ("dead-letter", 0, "told to give up"),
        ("retry", 1, "told to ask again"),
        ("fail", 1, "told to fail"),
    ] {
        let tested = bench.test(&format!("--set do={what} --set at=:7"), &numbers(80));
        assert_eq!(tested.status, Some(status), "{what}: {}", tested.said);
        assert_eq!(tested.out.lines().count(), 80 - 11);
        assert!(
            tested.said.contains(&format!("line 71: {what}: {reason}\n")),
            "{}",
            tested.said
        );
        assert!(tested.said.contains(&format!("11 {what}")), "{}", tested.said);
    }
    let logged = bench.test("--set do=flood-log --set n=2", &numbers(3));
    assert!(
        logged
            .said
            .starts_with("log info: line 0 of a flood\nlog info: line 1 of a flood\nrecords "),
        "{}",
        logged.said
    );
}

#[test]
fn json_lines_are_output_and_input() {
    let bench = Bench::new(weir_plugins::IDENTITY);
    let input = concat!(
        r#"{"topic":"t","partition":1,"offset":9,"timestamp":1000,"key":"k","value":"v","headers":[{"name":"h","value":null}]}"#,
        "\n",
        r#"{"timestamp":2000,"key":null,"value_base64":"/wA=","headers":[]}"#,
        "\n"
    );
    let first = bench.test("--input-format json --output json", input);
    assert_eq!(first.status, Some(0), "{}", first.said);
    let expected = concat!(
        r#"{"line":1,"output":"out","timestamp":1000,"key":"k","value":"v","headers":[{"name":"h","value":null}]}"#,
        "\n",
        r#"{"line":2,"output":"out","timestamp":2000,"key":null,"value_base64":"/wA=","headers":[]}"#,
        "\n"
    );
    assert_eq!(first.out, expected);
    assert_eq!(
        bench.test("--input-format json --output json", &first.out).out,
        expected
    );

    let keyed = bench.test("--key-separator =", "a=1\nb=2=3\n");
    assert_eq!(keyed.out, "a=1\nb=2=3\n", "{}", keyed.said);
    let named = bench.test("--outputs good,bad", "x\n");
    assert_eq!(named.out, "good\tx\n", "{}", named.said);
}

#[test]
fn what_cannot_be_tested_is_said_in_two_lines() {
    let transform = Bench::new(weir_plugins::HOSTILE);
    let filter = Bench::new(weir_plugins::JSON_FILTER);
    let text = Bench::new(b"#!/bin/sh\n");
    let input = "{\"value\":\"x\"}\n";
    for (bench, args, what) in [
        (&text, "", "this is not WebAssembly"),
        (
            &transform,
            "--set do=configure-error",
            "configure was told to refuse",
        ),
        (
            &transform,
            "--set do=configure-panic",
            "configure was told to panic",
        ),
        (&transform, "--set dou=1", "`dou`"),
        (&transform, "--outputs a,a", "\"a\""),
        (&filter, "", "`field` has to be set"),
        (
            &filter,
            "--set field=n --set op=exists --outputs a,b",
            "a filter has no outputs",
        ),
    ] {
        let tested = bench.test(args, input);
        assert_eq!(tested.status, Some(1), "{tested:?}");
        assert_eq!(tested.out, "");
        assert_eq!(tested.said.lines().count(), 2, "{}", tested.said);
        assert!(
            tested.said.starts_with("error: ")
                && tested.said.contains("\n  help: ")
                && tested.said.contains(what),
            "{}",
            tested.said
        );
    }
    for (wasm, input, what) in [
        (Path::new("/nowhere/plugin.wasm"), "-", "/nowhere/plugin.wasm"),
        (&transform.wasm, "/nowhere/lines.txt", "/nowhere/lines.txt"),
    ] {
        let missing = Command::new(BINARY)
            .args(["plugin", "test", "--input", input])
            .arg(wasm)
            .output()
            .unwrap();
        let said = String::from_utf8(missing.stderr).unwrap();
        assert_eq!(missing.status.code(), Some(1));
        assert!(said.contains(what) && said.lines().count() == 2, "{said}");
    }

    // What was read before a line that is none has been run.
    let identity = Bench::new(weir_plugins::IDENTITY);
    let broken = identity.test("--key-separator ,", "a,1\nb,2\nc\nd,4\n");
    assert_eq!(broken.status, Some(1));
    assert_eq!(broken.out, "a,1\nb,2\n");
    assert!(broken.said.contains("error: line 3: "), "{}", broken.said);
}

#[test]
fn a_plugin_that_remembers_is_found_out() {
    // What `grow` keeps from batch to batch does not show in its answers.
    let bench = Bench::new(weir_plugins::HOSTILE);
    let (tested, summary) = bench.summary("--set do=grow --set n=1000 --repeat 5", &numbers(10));
    assert_eq!(tested.status, Some(0), "{}", tested.said);
    assert_eq!(
        (&summary["calls"], &summary["records_out"]),
        (&5.into(), &10.into())
    );
    // And here it does: it has no memory left for the last of the calls.
    let (tested, summary) = bench.summary(
        "--set do=grow --set n=1000000 --memory 4M --repeat 5",
        &numbers(10),
    );
    assert_eq!(tested.status, Some(1));
    assert_eq!(tested.out, numbers(10), "the first call's answer counts");
    assert_eq!(summary["errors"]["unstable"], 1, "{summary}");
    assert_eq!(
        (
            &summary["problems"][0]["line"],
            &summary["problems"][0]["last_line"]
        ),
        (&1.into(), &10.into())
    );
}

#[test]
fn lines_of_a_pipe_come_out_without_waiting_for_its_end() {
    let bench = Bench::new(weir_plugins::IDENTITY);
    let mut child = Command::new(BINARY)
        .args(["plugin", "test"])
        .arg(&bench.wasm)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    for line in [b"one\n", b"two\n"] {
        input.write_all(line).unwrap();
        let mut back = [0; 4];
        output.read_exact(&mut back).unwrap();
        assert_eq!(&back, line);
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn memory_does_not_grow_with_the_input() {
    let bench = Bench::new(weir_plugins::IDENTITY);
    let mut child = Command::new(BINARY)
        .args(["plugin", "test"])
        .arg(&bench.wasm)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let megabyte = format!("{}\n", "x".repeat(1023)).repeat(1024);
    let peak_kib = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let mut give = |megabytes: usize| {
        for _ in 0..megabytes {
            input.write_all(megabyte.as_bytes()).unwrap();
        }
    };
    // A pipe holds 64 KiB and a few chunks are read ahead: what was written before has been run.
    give(8);
    let early = peak_kib();
    give(40);
    let late = peak_kib();
    assert!(
        late < early + 16 * 1024,
        "{early} KiB after 8 MiB, {late} KiB after 48 MiB"
    );
    drop(input);
    assert!(child.wait().unwrap().success());
}
