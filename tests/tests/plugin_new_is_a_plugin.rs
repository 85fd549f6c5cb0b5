//! `weir plugin new` makes a crate that builds, passes its own tests, does what its README says, and can be tested without a
//! broker: what a plugin's author types first.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_weir-under-test");

/// Where the crates are compiled: what they depend on is still there the next time.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-plugins-target")
}

fn weir(folder: &Path, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(BINARY)
        .args(args)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Standard output of a command that succeeds.
fn ok(folder: &Path, args: &[&str], input: &str) -> String {
    let output = weir(folder, args, input);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "weir {args:?}: {}\n{stderr}",
        output.status
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A new crate with the versions of this repository's lock file, so that nothing is looked up that a build of Weir did not need.
fn new(folder: &Path, name: &str, kind: &str) {
    let made = ok(folder, &["plugin", "new", name, "--kind", kind], "");
    assert!(
        made.contains(&format!("next: weir plugin build {name}\n")),
        "{made}"
    );
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    std::fs::copy(lock, folder.join(name).join("Cargo.lock")).unwrap();
    ok(folder, &["plugin", "build", name], "");
}

fn passes_its_own_tests(folder: &Path) {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["test", "--quiet"])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target())
        .env("RUSTFLAGS", "-D warnings")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", folder.display());
    let counted = String::from_utf8_lossy(&output.stdout);
    assert!(counted.contains("test result: ok. 2 passed"), "{counted}");
}

#[test]
fn a_new_crate_builds_and_does_what_its_readme_says() {
    // The same place each time, so that cargo knows the crates again.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-plugins");
    let folder = folder.as_path();
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).unwrap();

    new(folder, "errors", "filter");
    passes_its_own_tests(&folder.join("errors"));
    let lines = "all is well\nERROR: the pump is hot\nno ERROR\n";
    let test = ["plugin", "test", "errors/errors.wasm", "--set", "contains=ERROR"];
    assert_eq!(ok(folder, &test, lines), "ERROR: the pump is hot\nno ERROR\n");
    let refused = weir(folder, &test[..3], lines);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&refused.stderr).lines().next(),
        Some("error: the plugin refuses its configuration: `contains` has to be set")
    );

    new(folder, "keyed", "transform");
    passes_its_own_tests(&folder.join("keyed"));
    let test = [
        "plugin",
        "test",
        "keyed/keyed.wasm",
        "--set",
        "column=2",
        "--output",
        "json",
    ];
    let output = weir(folder, &test, "1545,UA,EWR\n1714\n1141,AA,JFK\n");
    assert_eq!(
        output.status.code(),
        Some(1),
        "the second line has no second column"
    );
    let keys: Vec<serde_json::Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["key"].clone())
        .collect();
    assert_eq!(keys, ["UA", "AA"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("line 2: fail: there is no column 2 in \"1714\""),
        "{said}"
    );
}

#[test]
fn what_cannot_be_made_is_refused_in_two_lines() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir(folder.join("full")).unwrap();
    std::fs::write(folder.join("full/file"), "kept").unwrap();
    for (args, what) in [
        (&["full"][..], "not empty"),
        (&["2fast"], "letter"),
        (&["fn"], "taken"),
        (&["new", "--sdk", "nowhere"], "--sdk nowhere"),
    ] {
        let command = [&["plugin", "new", "--kind", "filter"], args].concat();
        let output = weir(folder, &command, "");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
        assert_eq!(said.lines().count(), 2, "{said}");
        assert!(
            said.starts_with("error: ") && said.contains("\n  help: "),
            "{said}"
        );
        assert!(said.contains(what), "{said}");
    }
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1, "nothing was made");
    assert_eq!(std::fs::read(folder.join("full/file")).unwrap(), b"kept");

    let kindless = weir(folder, &["plugin", "new", "feed", "--kind", "sink"], "");
    assert_eq!(kindless.status.code(), Some(2));
}
