//! A data folder is opened by one process, and only by one that knows its format.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use weir_tests::BrokerCommand;

const BINARY: &str = env!("CARGO_BIN_EXE_weir-under-test");

/// Every file below `folder` with its bytes.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                found.insert(path, bytes);
            }
        }
    }
    found
}

#[test]
fn a_second_process_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = BrokerCommand::new(BINARY, folder.path()).start();
    let (status, said) = BrokerCommand::new(BINARY, folder.path()).try_start().unwrap_err();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains(folder.path().to_str().unwrap()),
        "the folder is named: {said}"
    );
    assert!(first.is_running());
    first.kill();
    // The lock of a killed process is gone with it.
    BrokerCommand::new(BINARY, folder.path()).start();
}

#[test]
fn a_folder_of_a_newer_format_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let broker = BrokerCommand::new(BINARY, folder.path()).start();
    broker.signal(rustix::process::Signal::TERM);
    broker.wait();
    let format = folder.path().join("format.json");
    let mut version: serde_json::Value = serde_json::from_slice(&std::fs::read(&format).unwrap()).unwrap();
    let known = version["version"].as_u64().unwrap();
    version["version"] = (known + 1).into();
    std::fs::write(&format, version.to_string()).unwrap();

    let before = contents(folder.path());
    let (status, said) = BrokerCommand::new(BINARY, folder.path()).try_start().unwrap_err();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("newer"), "{said}");
    assert!(
        contents(folder.path()) == before,
        "not a byte of the folder was changed"
    );
}
