//! What a newcomer types into two terminals works, word for word: serve, topic, produce from a file, plugin build and
//! upload, flow create, consume, and a stop by SIGTERM.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

use std::path::Path;
use std::process::{Command, Output};

use rustix::process::Signal;
use weir_tests::{BrokerCommand, BrokerProcess};

const BINARY: &str = env!("CARGO_BIN_EXE_weir-under-test");

const GUEST: &str = r#"
use weir_plugin::{Record, filter};

filter!(|record: &Record<'_>| record.value().is_some_and(|value| value.starts_with(b"keep")));
"#;

fn run(broker: &BrokerProcess, args: &[&str]) -> Output {
    broker.weir(BINARY, args).output().unwrap()
}

/// Runs `weir ARGS`, asserts that it succeeded, returns its standard output.
fn ok(broker: &BrokerProcess, args: &[&str]) -> String {
    let output = run(broker, args);
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "weir {args:?}: {}\n{stdout}\n{stderr}",
        output.status
    );
    stdout.into_owned()
}

fn write_guest(folder: &Path) {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../sdk/plugin")
        .canonicalize()
        .unwrap();
    std::fs::create_dir_all(folder.join("src")).unwrap();
    std::fs::write(folder.join("src/lib.rs"), GUEST).unwrap();
    std::fs::write(
        folder.join("Cargo.toml"),
        format!(
            "[package]\nname = \"keep\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n\
             [dependencies]\nweir-plugin = {{ path = {sdk:?} }}\n\n[workspace]\n"
        ),
    )
    .unwrap();
    // The same versions as the workspace's, so that nothing is looked up that a build of Weir did not need.
    std::fs::copy(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock"),
        folder.join("Cargo.lock"),
    )
    .unwrap();
}

#[test]
fn the_whole_story_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = BrokerCommand::new(BINARY, &folder.path().join("data")).start();

    ok(
        &broker,
        &[
            "topic",
            "create",
            "lines",
            "--partitions",
            "2",
            "--config",
            "retention.ms=86400000",
        ],
    );
    ok(&broker, &["topic", "create", "kept"]);
    let topics: serde_json::Value =
        serde_json::from_str(&ok(&broker, &["topic", "list", "--output", "json"])).unwrap();
    assert_eq!(topics.as_array().unwrap().len(), 2, "{topics}");

    let guest = folder.path().join("keep");
    write_guest(&guest);
    let built = ok(
        &broker,
        &["plugin", "build", guest.to_str().unwrap(), "--output", "json"],
    );
    let built: serde_json::Value = serde_json::from_str(&built).unwrap();
    let wasm = built["path"].as_str().unwrap();
    ok(&broker, &["plugin", "upload", wasm, "--name", "keep"]);
    assert!(ok(&broker, &["plugin", "list"]).contains("keep"));
    ok(
        &broker,
        &[
            "flow", "create", "keeper", "--plugin", "keep", "--from", "lines", "--to", "kept",
        ],
    );

    let input = folder.path().join("input.txt");
    let lines: Vec<String> = (0..1000)
        .map(|i| {
            if i % 4 == 0 {
                format!("keep {i}")
            } else {
                format!("toss {i}")
            }
        })
        .collect();
    std::fs::write(&input, lines.join("\n") + "\n").unwrap();
    let produced = ok(
        &broker,
        &["produce", "lines", input.to_str().unwrap(), "--output", "json"],
    );
    let produced: serde_json::Value = serde_json::from_str(&produced).unwrap();
    assert_eq!(produced["records"], 1000, "{produced}");

    // Waits at the tail for what the flow still has to write.
    let kept = ok(&broker, &["consume", "kept", "--from", "earliest", "-n", "250"]);
    let mut kept: Vec<&str> = kept.lines().collect();
    let mut expected: Vec<&str> = lines
        .iter()
        .map(String::as_str)
        .filter(|l| l.starts_with("keep"))
        .collect();
    kept.sort_unstable();
    expected.sort_unstable();
    assert_eq!(kept, expected);

    let flow: serde_json::Value =
        serde_json::from_str(&ok(&broker, &["flow", "describe", "keeper", "--output", "json"])).unwrap();
    assert_eq!(flow["state"], "running", "{flow}");
    ok(&broker, &["flow", "pause", "keeper"]);
    ok(&broker, &["flow", "resume", "keeper"]);
    let refused = run(&broker, &["plugin", "delete", "keep"]);
    assert_eq!(refused.status.code(), Some(1), "a plugin in use is not deleted");
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("keeper"),
        "the flow that uses it is named"
    );
    ok(&broker, &["flow", "delete", "keeper"]);
    ok(&broker, &["plugin", "delete", "keep"]);
    ok(&broker, &["topic", "delete", "kept"]);
    let gone = run(&broker, &["consume", "kept", "--exit-at-end"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&gone.stderr).contains("kept"),
        "the topic that is not there is named"
    );

    assert!(broker.is_running());
    broker.signal(Signal::TERM);
    let (status, said) = broker.wait();
    assert_eq!(status.code(), Some(0), "{said}");
}

#[test]
fn completions_are_scripts_of_their_shell() {
    for (shell, mark) in [("bash", "complete"), ("zsh", "#compdef"), ("fish", "complete")] {
        let output = Command::new(BINARY)
            .args(["completions", shell])
            .output()
            .unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains(mark), "{shell}");
    }
}
