//! Somebody who writes a producer has a crate to begin with, and sees what its polls give, without a broker.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_weir-under-test");

/// Where cargo builds the new crate: kept from run to run.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-plugins-target")
}

fn weir(folder: &Path, args: &[&str]) -> Output {
    Command::new(BINARY)
        .args(args)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target())
        .output()
        .unwrap()
}

/// What a run wrote to standard output and standard error, and its exit status.
fn told(output: Output) -> (String, String, Option<i32>) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

/// Runs `weir plugin test` of a plugin of this repository.
fn polled(plugin: &str, args: &str) -> (String, String, Option<i32>) {
    let folder = tempfile::tempdir().unwrap();
    let wasm = weir_plugins::component(plugin).unwrap();
    std::fs::write(folder.path().join("plugin.wasm"), wasm).unwrap();
    let args: Vec<&str> = ["plugin", "test", "plugin.wasm"]
        .into_iter()
        .chain(args.split_whitespace())
        .collect();
    told(weir(folder.path(), &args))
}

#[test]
fn a_new_crate_builds_and_does_what_its_readme_says() {
    // The same place each time, so that cargo knows the crate again.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-producers");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let done = |args: &[&str]| {
        let (out, said, status) = told(weir(&folder, args));
        assert_eq!(status, Some(0), "{said}");
        out
    };
    done(&["plugin", "new", "hello", "--kind", "producer"]);
    // With the versions of this repository, so that nothing is looked up that a build of Weir did not need.
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    std::fs::copy(lock, folder.join("hello/Cargo.lock")).unwrap();
    done(&["plugin", "build", "hello"]);
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let tests = Command::new(cargo)
        .args(["test", "--quiet"])
        .current_dir(folder.join("hello"))
        .env("CARGO_TARGET_DIR", target())
        .env("RUSTFLAGS", "-D warnings")
        .output()
        .unwrap();
    let (out, said, _) = told(tests);
    assert!(out.contains("test result: ok. 2 passed"), "{out}{said}");
    let polls = [
        "plugin",
        "test",
        "hello/hello.wasm",
        "--set",
        "text=hello",
        "--polls",
        "3",
    ];
    assert_eq!(done(&polls), "1 hello\n2 hello\n3 hello\n");
    let readme = std::fs::read_to_string(folder.join("hello/README.md")).unwrap();
    assert!(readme.contains("--every 5s"), "{readme}");
}

#[test]
fn polls_go_on_where_the_last_page_ended() {
    let (out, said, status) = polled("ticker", "--set per-poll=2 --polls 3 --cursor 10");
    assert_eq!(status, Some(0), "{said}");
    let values: Vec<&str> = out.lines().collect();
    let expected: Vec<String> = (10..16).map(|n| format!("{{\"n\":{n}}}")).collect();
    assert_eq!(values, expected);
    for line in [
        "poll 1: 2 records, cursor \"12\"",
        "poll 3: 2 records, cursor \"16\"",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}: {said}");
    }
    let (out, said, _) = polled("ticker", "--set per-poll=2 --set prefix=k --output json");
    let records: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records.len(), 2, "one poll unless told otherwise: {said}");
    assert_eq!(
        (&records[1]["poll"], &records[1]["key"]),
        (&Value::from(1), &Value::from("k1"))
    );
    assert!(records[1]["timestamp"].as_i64().unwrap() > 1_700_000_000_000);
    assert_eq!(records[1]["output"], "out");
}

#[test]
fn the_summary_is_for_scripts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("summary.json");
    let args = format!(
        "--set limit=7 --set per-poll=5 --polls 3 --summary {}",
        file.display()
    );
    let (out, said, status) = polled("ticker", &args);
    assert_eq!((out.lines().count(), status), (7, Some(0)), "{said}");
    let summary: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(summary["kind"], "producer");
    assert_eq!(
        (&summary["polls"], &summary["records_out"]),
        (&Value::from(3), &Value::from(7))
    );
    assert_eq!(summary["outputs"], serde_json::json!({ "out": 7 }));
    assert_eq!(
        (&summary["cursor"], &summary["passed"]),
        (&Value::from("7"), &Value::from(true))
    );
}

#[test]
fn what_fails_is_said_and_ends_with_exit_status_1() {
    for (deed, words) in [
        ("panic", "told to panic"),
        ("loop", "longer than 50 ms"),
        ("records", "10001"),
        ("refuse", "refused: "),
        ("truncated", "output: "),
    ] {
        let args = format!("--set do={deed} --set n=3 --polls 2 --deadline-ms 50");
        let (out, said, status) = polled("hostile-producer", &args);
        assert_eq!((out.as_str(), status), ("", Some(1)), "{said}");
        let line = said.lines().find(|line| line.starts_with("poll 2: "));
        assert!(line.is_some_and(|line| line.contains(words)), "{deed}: {said}");
        assert!(said.contains("2 polls failed"), "{said}");
    }
    let (_, said, status) = polled("hostile-producer", "--set do=refuse --polls 3 --on-error skip");
    assert_eq!(status, Some(0), "{said}");
    let (_, said, status) = polled("hostile-producer", "--set do=panic --polls 1000");
    assert_eq!(status, Some(1));
    assert!(
        said.contains("10 polls failed"),
        "a flow would have paused: {said}"
    );
    let (_, said, status) = polled("identity", "--polls 3");
    assert_eq!(status, Some(1));
    assert!(said.contains("is no producer"), "{said}");
    let (_, said, status) = polled("ticker", "--set per-poll=0");
    assert_eq!(status, Some(1));
    assert!(said.contains("per-poll"), "{said}");
}
