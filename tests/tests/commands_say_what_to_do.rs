//! What the command line says of what cannot be, of what was so already, and of what stays.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use weir_tests::{BrokerCommand, BrokerProcess};

const BINARY: &str = env!("CARGO_BIN_EXE_weir-under-test");

/// What does not come in this time never comes.
const PATIENCE: Duration = Duration::from_secs(60);

struct Fixture {
    folder: tempfile::TempDir,
    broker: BrokerProcess,
}

/// What a command did: whether its exit status was 0, its standard output and its standard error.
struct Did {
    ok: bool,
    out: String,
    err: String,
}

impl Did {
    fn of(output: &Output) -> Self {
        Self {
            ok: output.status.success(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts that it did not do it, for this reason and with this advice.
    fn refused(&self, why: &str, advice: &str) {
        assert!(
            !self.ok && self.err.starts_with("error: "),
            "{}{}",
            self.out,
            self.err
        );
        let (what, todo) = self.err.split_once("\n  help: ").unwrap();
        assert!(what.contains(why), "{}", self.err);
        assert!(todo.contains(advice), "{}", self.err);
    }
}

impl Fixture {
    /// A broker with topics `in` (2 partitions) and `out`, and the plugin `hostile`.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let broker = BrokerCommand::new(BINARY, &folder.path().join("data")).start();
        let fixture = Self { folder, broker };
        fixture.ok(&["topic", "create", "in", "--partitions", "2"]);
        fixture.ok(&["topic", "create", "out"]);
        let file = fixture.guest("hostile");
        fixture.ok(&["plugin", "upload", file.to_str().unwrap(), "--name", "hostile"]);
        fixture
    }

    fn guest(&self, name: &str) -> PathBuf {
        guest(self.folder.path(), name)
    }

    fn did(&self, args: &[&str]) -> Did {
        Did::of(&self.broker.weir(BINARY, args).output().unwrap())
    }

    /// Standard output of what has to succeed.
    fn ok(&self, args: &[&str]) -> String {
        let did = self.did(args);
        assert!(did.ok, "weir {args:?}: {}{}", did.out, did.err);
        did.out
    }

    fn json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.ok(&[args, &["--output", "json"]].concat())).unwrap()
    }

    fn produce(&self, partition: &str, lines: &str) {
        let mut command = self
            .broker
            .weir(BINARY, &["produce", "in", "--partition", partition]);
        let did = with_input(&mut command, lines);
        assert!(did.ok, "{}", did.err);
    }

    /// Waits until the flow `f` is in that state.
    fn wait_for(&self, state: &str) -> serde_json::Value {
        // A flow's state is not announced to other processes; each question is a process of its own, which paces this.
        let began = Instant::now();
        loop {
            let flow = self.json(&["flow", "describe", "f"]);
            if flow["state"] == state {
                return flow;
            }
            assert!(began.elapsed() < PATIENCE, "not {state}: {flow}");
        }
    }
}

fn guest(folder: &Path, name: &str) -> PathBuf {
    let file = folder.join(format!("{name}.wasm"));
    std::fs::write(&file, weir_plugins::component(name).unwrap()).unwrap();
    file
}

fn with_input(command: &mut Command, input: &str) -> Did {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Did::of(&child.wait_with_output().unwrap())
}

#[test]
fn without_a_broker_that_is_what_is_said() {
    let home = tempfile::tempdir().unwrap();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let list = |address: &str| {
        let output = Command::new(BINARY)
            .args(["topic", "list", "--broker", address])
            .env("HOME", home.path())
            .env_remove("XDG_STATE_HOME")
            .env_remove("WEIR_CA")
            .env_remove("WEIR_BROKER")
            .output();
        Did::of(&output.unwrap())
    };
    // Something is there, though it says nothing: what is wanting is its CA.
    list(&address).refused(&format!("is known at {address}"), "with --ca FILE or WEIR_CA");
    drop(socket);
    list(&address).refused(
        &format!("no broker at {address}: nothing listens there"),
        "start one (`weir serve`)",
    );
}

#[test]
fn names_that_are_not_there_are_refused_alike() {
    let f = Fixture::start();
    for command in ["describe", "logs", "pause", "resume", "rollback", "delete"] {
        f.did(&["flow", command, "nosuch"])
            .refused("there is no flow 'nosuch' (UNKNOWN_FLOW)", "weir flow list");
    }
    f.did(&["topic", "describe", "nosuch"]).refused(
        "there is no topic 'nosuch' (UNKNOWN_TOPIC_OR_PARTITION)",
        "weir topic list",
    );
    f.did(&["plugin", "describe", "nosuch"])
        .refused("there is no plugin 'nosuch' (UNKNOWN_PLUGIN)", "weir plugin list");
    f.did(&["consume", "in", "--from", "999999", "--exit-at-end"])
        .refused(
            "offset 999999 is beyond the end: in/0 has none, and 0 comes next, in/1 has none",
            "--from earliest",
        );
    f.produce("1", "a\nb\n");
    assert_eq!(
        f.ok(&[
            "consume",
            "in",
            "--from",
            "1",
            "--exit-at-end",
            "--partition",
            "1"
        ]),
        "b\n"
    );
    f.did(&[
        "consume",
        "in",
        "--from",
        "3",
        "--exit-at-end",
        "--partition",
        "1",
    ])
    .refused("in/1 has 0 to 1 (OFFSET_OUT_OF_RANGE)", "--from earliest");
}

#[test]
fn a_flow_that_stands_still_or_runs_already_says_so() {
    let f = Fixture::start();
    let create = "flow create f --plugin hostile --set do=trap --set at=bad --from in --to out";
    f.ok(&create.split(' ').collect::<Vec<_>>());
    f.wait_for("running");
    assert_eq!(f.ok(&["flow", "resume", "f"]), "f is running already\n");
    f.produce("1", "good\nbad\ngood\n");
    f.wait_for("paused");
    let described = f.ok(&["flow", "describe", "f"]);
    assert!(
        described.contains("stopped at: in/1@1 in hostile@1\n"),
        "{described}"
    );
    let again = f.did(&["flow", "resume", "f"]);
    again.refused("f is paused again: ", "weir flow describe f");
    assert!(
        again.out.contains("resumed f; it stopped again at once\n"),
        "{}",
        again.out
    );
    assert!(f.ok(&["flow", "pause", "f"]).contains("f is paused already: "));

    f.ok(&["flow", "upgrade", "f", "--on-error", "dead-letter"]);
    f.ok(&["consume", "f.dead-letter", "--from", "earliest", "-n", "1"]);
    let flow = f.wait_for("running");
    assert_eq!(flow["revisions"].as_array().unwrap().len(), 2);
    let table = f.ok(&["flow", "describe", "f"]);
    assert!(table.contains("in/0@0 in/1@1"), "{table}");
    assert_eq!(
        f.ok(&["consume", "out", "--from", "earliest", "-n", "2"]),
        "good\ngood\n"
    );
    assert_eq!(f.ok(&["flow", "pause", "f"]), "paused f\n");
    let listed = f.ok(&["flow", "list"]);
    let row: Vec<&str> = listed
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .take(6)
        .collect();
    assert!(listed.starts_with("FLOW  STATE"), "{listed}");
    assert_eq!(
        row,
        ["f", "paused", "0", "3", "2", "1"],
        "in, out, failed: {listed}"
    );
}

#[test]
fn what_is_deleted_says_who_needs_it_and_what_stays() {
    let f = Fixture::start();
    let create =
        "flow create f --plugin hostile --set do=fail --set at=bad --on-error dead-letter --from in --to out";
    f.ok(&create.split(' ').collect::<Vec<_>>());
    f.produce("0", "bad\n");
    f.ok(&["consume", "f.dead-letter", "--from", "earliest", "-n", "1"]);
    f.did(&["topic", "delete", "in"]).refused(
        "topic 'in' is in use: flow f reads it",
        "weir topic delete in --force",
    );
    f.did(&["topic", "delete", "out"])
        .refused("flow f writes it", "--force");
    f.did(&["plugin", "delete", "hostile"])
        .refused("plugin hostile@1 is run by flow f", "delete the flow");
    f.ok(&["topic", "delete", "in", "--force"]);
    assert!(f.wait_for("paused")["reason"].as_str().unwrap().contains("'in'"));
    let deleted = f.ok(&["flow", "delete", "f"]);
    assert!(
        deleted.starts_with("deleted f\n") && deleted.contains("weir topic delete f.dead-letter\n"),
        "{deleted}"
    );
    f.ok(&["topic", "delete", "f.dead-letter"]);
    f.ok(&["plugin", "delete", "hostile"]);
}

#[test]
fn dry_runs_and_tests_that_fail_do_not_pass() {
    let f = Fixture::start();
    f.produce("0", "good\nbad\ngood\ngood\n");
    let create = "flow create f --plugin hostile --from in --to out";
    f.ok(&create.split(' ').collect::<Vec<_>>());
    let dry_run = |deed: &str| {
        f.did(&[
            "flow",
            "dry-run",
            "f",
            "--set",
            &format!("do={deed}"),
            "--set",
            "at=bad",
        ])
    };
    let failed = dry_run("fail");
    failed.refused("hostile@1 did not pass: 1 record failed", "--on-error skip");
    assert!(
        failed.out.contains("\nin/0@1 fails in hostile@1: "),
        "{}",
        failed.out
    );
    let letter = dry_run("dead-letter");
    assert!(
        letter.ok && letter.out.contains("\nin/0@1 is a dead letter in hostile@1: "),
        "{}",
        letter.out
    );

    let file = f.guest("hostile");
    let test = [
        "plugin",
        "test",
        file.to_str().unwrap(),
        "--set",
        "do=fail",
        "--set",
        "at=bad",
        "--on-error",
        "stop",
    ];
    let stopped = with_input(Command::new(BINARY).args(test), "good\nbad\ngood\ngood\n");
    assert!(
        !stopped.ok && stopped.out == "good\n",
        "{}{}",
        stopped.out,
        stopped.err
    );
    for part in [
        "records   2 in, 1 out, 0 dropped\n",
        "not run   2 records and what was not read yet",
    ] {
        assert!(stopped.err.contains(part), "{}", stopped.err);
    }
    let input = f.folder.path().join("lines");
    let lines: String = (0..20_000)
        .map(|n| if n == 9_999 { "bad\n" } else { "good\n" })
        .collect();
    std::fs::write(&input, lines).unwrap();
    let test = [&test[..], &["--input", input.to_str().unwrap()]].concat();
    let stopped = Did::of(&Command::new(BINARY).args(test).output().unwrap());
    for part in ["records   10000 in, 9999 out", "not run   10000 records, behind"] {
        assert!(!stopped.ok && stopped.err.contains(part), "{}", stopped.err);
    }
}
