//! A plugin with keyed state can be tried without a broker: its state lasts from batch to batch, from run to run in a file, and a
//! call that fails changes nothing.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_weir-under-test");

/// Runs `weir plugin test` over keyed lines; standard output, standard error and whether it passed.
fn tested(folder: &Path, plugin: &str, input: &str, args: &[&str]) -> (String, String, bool) {
    let (wasm, lines) = (folder.join("plugin.wasm"), folder.join("input"));
    std::fs::write(&wasm, weir_plugins::component(plugin).unwrap()).unwrap();
    std::fs::write(&lines, input).unwrap();
    let output = Command::new(BINARY)
        .args(["plugin", "test"])
        .arg(&wasm)
        .arg("--input")
        .arg(&lines)
        .args(["--key-separator", ":"])
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.success())
}

#[test]
fn counts_go_on_from_batch_to_batch_and_from_run_to_run() {
    let folder = tempfile::tempdir().unwrap();
    let input: String = (0..20_000)
        .map(|n| format!("{}:{n}\n", ["a", "b"][n % 2]))
        .collect();
    let last = "a:{\"key\":\"a\",\"count\":10000}\nb:{\"key\":\"b\",\"count\":10000}\n";
    for repeat in ["1", "3"] {
        let (out, said, passed) = tested(folder.path(), "count-by-key", &input, &["--repeat", repeat]);
        assert!(passed, "{said}");
        assert!(out.ends_with(last), "{said}");
    }
    let kept = ["--state", "state.jsonl", "--summary", "summary.json"];
    for run in 1..4 {
        let (out, said, passed) = tested(folder.path(), "count-by-key", "a:x\na:y\n", &kept);
        assert!(passed, "{said}");
        let wanted = format!("a:{{\"key\":\"a\",\"count\":{}}}\n", 2 * run);
        assert!(out.ends_with(&wanted), "{out}");
    }
    let summary = std::fs::read_to_string(folder.path().join("summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["state_rows"], 1);
    let state = std::fs::read_to_string(folder.path().join("state.jsonl")).unwrap();
    assert_eq!(state.lines().count(), 1, "{state}");
}

#[test]
fn repeats_are_left_out_over_runs_too() {
    let folder = tempfile::tempdir().unwrap();
    let kept = ["--state", "seen.jsonl"];
    let (out, said, _) = tested(folder.path(), "dedup", "a:1\nb:2\na:3\n", &kept);
    assert_eq!(out, "a:1\nb:2\n", "{said}");
    let (out, said, _) = tested(folder.path(), "dedup", "c:4\nb:5\n", &kept);
    assert_eq!(out, "c:4\n", "{said}");
    std::fs::write(folder.path().join("seen.jsonl"), "no row\n").unwrap();
    let (_, said, passed) = tested(folder.path(), "dedup", "c:4\n", &kept);
    assert!(!passed && said.contains("seen.jsonl line 1"), "{said}");
    let (_, said, passed) = tested(folder.path(), "ticker", "", &kept);
    assert!(!passed && said.contains("--cursor"), "{said}");
}

#[test]
fn windows_go_on_from_run_to_run() {
    let folder = tempfile::tempdir().unwrap();
    let record = |timestamp: i64, key: &str| {
        format!("{{\"timestamp\":{timestamp},\"key\":\"{key}\",\"value\":\"x\"}}\n")
    };
    let kept = [
        "--state",
        "state.jsonl",
        "--input-format",
        "json",
        "--set",
        "window=60s",
        "--set",
        "late=rest",
        "--outputs",
        "counts,rest",
        "--output",
        "json",
        "--repeat",
        "2",
    ];
    let values = |input: &str| -> Vec<String> {
        let (wasm, lines) = (folder.path().join("plugin.wasm"), folder.path().join("input"));
        std::fs::write(&wasm, weir_plugins::WINDOWED_COUNT).unwrap();
        std::fs::write(&lines, input).unwrap();
        let output = Command::new(BINARY)
            .args(["plugin", "test"])
            .arg(&wasm)
            .arg("--input")
            .arg(&lines)
            .args(kept)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout).unwrap();
        let printed = text.lines().map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let [output, time, value] = ["output", "timestamp", "value"].map(|field| &line[field]);
            format!("{} {time} {}", output.as_str().unwrap(), value.as_str().unwrap())
        });
        printed.collect()
    };
    let first = [(0, "b"), (59_999, "a"), (30_000, "b")].map(|(at, key)| record(at, key));
    assert!(values(&first.concat()).is_empty(), "the minute is not over");
    let second = [(60_000, "a"), (59_998, "b")].map(|(at, key)| record(at, key));
    assert_eq!(
        values(&second.concat()),
        [
            r#"counts 59999 {"key":"a","start":0,"end":60000,"count":1}"#,
            r#"counts 59999 {"key":"b","start":0,"end":60000,"count":2}"#,
            "rest 59998 x",
        ]
    );
}

#[test]
fn state_of_an_older_version_is_migrated_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.jsonl");
    let kept = ["--state", "state.jsonl"];
    let (_, said, passed) = tested(folder.path(), "count-by-key", "a:1\na:2\n", &kept);
    assert!(passed, "{said}");
    let (out, said, passed) = tested(folder.path(), "count-since", "a:3\n", &kept);
    assert!(passed && said.contains("from version 0 to 1"), "{said}");
    assert_eq!(out, "a:{\"key\":\"a\",\"count\":3}\n");
    let (out, said, passed) = tested(folder.path(), "count-since", "a:4\n", &kept);
    assert!(passed && !said.contains("migrated"), "{said}");
    assert_eq!(out, "a:{\"key\":\"a\",\"count\":4}\n");
    // The plugin of before does not know what that is.
    let before = std::fs::read_to_string(&file).unwrap();
    let (out, said, passed) = tested(folder.path(), "count-by-key", "a:5\n", &kept);
    assert!(
        !passed && said.contains("knows no versions of its state"),
        "{said}"
    );
    assert_eq!(
        (out.as_str(), std::fs::read_to_string(&file).unwrap()),
        ("", before)
    );
}
