//! Compiled code is taken from the cache if, and only if, every byte of it is ours.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use support::{batch, emitted, start};
use weir_runtime::{Runtime, RuntimeConfig};

fn open(folder: &Path) -> Runtime {
    Runtime::new(RuntimeConfig {
        cache_dir: Some(folder.to_owned()),
        ..RuntimeConfig::default()
    })
    .unwrap()
}

/// Loads the identity plugin in an engine of its own; says whether its code came from the cache. It works either way.
fn load(folder: &Path) -> bool {
    let plugin = open(folder).load(weir_plugins::IDENTITY).unwrap();
    let mut instance = start(&plugin, &[]).unwrap();
    assert_eq!(emitted(&mut instance, &batch(["a", "b"]), 2).unwrap(), ["a", "b"]);
    plugin.from_cache()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

fn file(folder: &Path) -> PathBuf {
    let files = files(folder);
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn a_second_load_does_not_compile() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("deep/cache");
    assert!(!load(&cache));
    assert!(load(&cache));
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(
        fs::metadata(file(&cache)).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn damage_anywhere_is_noticed_and_repaired() {
    let folder = tempfile::tempdir().unwrap();
    load(folder.path());
    let path = file(folder.path());
    let sound = fs::read(&path).unwrap();
    let places = (0..96)
        .step_by(5)
        .chain((96..sound.len()).step_by(sound.len() / 12))
        .chain([sound.len() - 1]);
    for place in places {
        let mut damaged = sound.clone();
        damaged[place] ^= 1;
        fs::write(&path, &damaged).unwrap();
        assert!(!load(folder.path()), "a flipped bit at {place}");
        assert_eq!(file(folder.path()), path);
        assert!(load(folder.path()), "it has been written anew");
    }
    for damaged in [
        &sound[..0],
        &sound[..50],
        &sound[..sound.len() - 1],
        &[&sound[..], b"x"].concat(),
    ] {
        fs::write(&path, damaged).unwrap();
        assert!(
            !load(folder.path()),
            "{} bytes instead of {}",
            damaged.len(),
            sound.len()
        );
    }
}

#[test]
fn another_components_code_is_not_taken_for_it() {
    let folder = tempfile::tempdir().unwrap();
    load(folder.path());
    let path = file(folder.path());
    let other = tempfile::tempdir().unwrap();
    open(other.path()).load(weir_plugins::HOSTILE).unwrap();
    fs::copy(file(other.path()), &path).unwrap();
    assert!(!load(folder.path()));
}

#[test]
fn another_engines_code_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    load(folder.path());
    let config = RuntimeConfig {
        cache_dir: Some(folder.path().to_owned()),
        pooling: false,
        ..RuntimeConfig::default()
    };
    let plugin = Runtime::new(config)
        .unwrap()
        .load(weir_plugins::IDENTITY)
        .unwrap();
    // Whether the code differs is the engine's affair; that it runs is ours.
    let mut instance = start(&plugin, &[]).unwrap();
    assert_eq!(emitted(&mut instance, &batch(["a"]), 1).unwrap(), ["a"]);
    assert_eq!(
        files(folder.path()).len(),
        1,
        "of one component, one file is kept"
    );
}

#[test]
fn a_file_that_others_may_write_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    load(folder.path());
    let path = file(folder.path());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(!load(folder.path()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("code");
    fs::rename(&path, &target).unwrap();
    std::os::unix::fs::symlink(&target, &path).unwrap();
    assert!(!load(folder.path()), "a link is not followed");
    assert!(!fs::symlink_metadata(&path).unwrap().is_symlink());
}

#[test]
fn a_deleted_plugin_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = open(folder.path());
    let plugin = runtime.load(weir_plugins::IDENTITY).unwrap();
    runtime.load(weir_plugins::HOSTILE).unwrap();
    assert_eq!(files(folder.path()).len(), 2);
    runtime.forget(&plugin.sha256());
    assert_eq!(files(folder.path()).len(), 1);
}

#[test]
fn leftovers_of_a_crash_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("half.tmp"), b"half a file").unwrap();
    assert!(!load(folder.path()));
    assert!(
        files(folder.path())
            .iter()
            .all(|path| path.extension().is_some_and(|extension| extension == "code"))
    );
}

#[test]
fn a_cache_that_cannot_be_written_costs_time_only() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = open(folder.path());
    fs::remove_dir(folder.path()).unwrap();
    let plugin = runtime.load(weir_plugins::IDENTITY).unwrap();
    let mut instance = start(&plugin, &[]).unwrap();
    assert_eq!(emitted(&mut instance, &batch(["a"]), 1).unwrap(), ["a"]);
    fs::create_dir(folder.path()).unwrap();
}
