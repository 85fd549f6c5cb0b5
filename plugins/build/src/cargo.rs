use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{BuildError, Options, TARGET};

/// A core module that cargo has made.
pub(crate) struct Module {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// Variables for cargo itself, which the inner cargo needs as the outer one does. `CARGO_MAKEFLAGS` shares its job slots.
const KEPT: [&str; 8] = [
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_MAKEFLAGS",
    "CARGO_NET_",
    "CARGO_REGISTR",
    "CARGO_SOURCE_",
    "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_",
    "CARGO_TERM_",
];

/// The variable with the compiler's options for plugins alone; cargo joins them with those of its own configuration for the target.
const GUEST_FLAGS: &str = "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS";
/// What Weir's engine has on every machine, and the target leaves out unless it is asked for.
const GUEST_FEATURES: &str = "-C target-feature=+simd128";

/// Whether a variable is of no concern to a build for another target. Inside a build script, cargo sets dozens that describe the outer crate, and
/// `RUSTFLAGS` or clippy's wrapper are meant for native code.
fn is_foreign(name: &str) -> bool {
    let ours = name.starts_with("CARGO")
        || matches!(
            name,
            "RUSTFLAGS" | "RUSTDOCFLAGS" | "RUSTC_WRAPPER" | "RUSTC_WORKSPACE_WRAPPER" | "RUSTC_LINKER"
        );
    ours && !KEPT.iter().any(|kept| name.starts_with(kept))
}

pub(crate) fn build(manifest: &Path, options: &Options) -> Result<Vec<Module>, BuildError> {
    let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(&program);
    command
        .args([
            "build",
            "--release",
            "--lib",
            "--target",
            TARGET,
            "--message-format",
            "json-render-diagnostics",
            "--manifest-path",
        ])
        .arg(manifest)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    // A workspace is built whole, whatever its default members.
    if is_virtual(manifest) {
        command.arg("--workspace");
    }
    if let Some(target_dir) = &options.target_dir {
        command.arg("--target-dir").arg(target_dir);
    }
    if options.locked {
        command.arg("--locked");
    }
    if options.quiet {
        command.arg("--quiet");
    }
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_foreign) {
            command.env_remove(name);
        }
    }
    // Whoever sets it knows better.
    if std::env::var_os(GUEST_FLAGS).is_none() {
        command.env(GUEST_FLAGS, GUEST_FEATURES);
    }
    let failed = |source| BuildError::Run {
        program: program.clone(),
        source,
    };
    let mut cargo = command.spawn().map_err(failed)?;
    let mut modules = Vec::new();
    for line in cargo
        .stdout
        .take()
        .into_iter()
        .flat_map(|stdout| BufReader::new(stdout).lines())
    {
        modules.extend(module(&line.map_err(failed)?));
    }
    if !cargo.wait().map_err(failed)?.success() {
        return Err(BuildError::Compile);
    }
    modules.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(modules)
}

fn is_virtual(manifest: &Path) -> bool {
    std::fs::read_to_string(manifest).is_ok_and(|text| !text.lines().any(|line| line.trim() == "[package]"))
}

/// The module that one of cargo's messages announces.
fn module(message: &str) -> Option<Module> {
    let message: Value = serde_json::from_str(message).ok()?;
    if message["reason"] != "compiler-artifact"
        || !message["target"]["crate_types"]
            .as_array()?
            .iter()
            .any(|kind| kind == "cdylib")
    {
        return None;
    }
    let path = message["filenames"]
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .find(|path| path.ends_with(".wasm"))?;
    // The target's name has underscores; the manifest's folder or the package's id the name as it is written.
    let name = package_name(message["package_id"].as_str()?)
        .unwrap_or_else(|| message["target"]["name"].to_string());
    Some(Module {
        name,
        path: PathBuf::from(path),
    })
}

/// The name in `path+file:///folder/name#0.1.0` or `path+file:///folder#name@0.1.0`.
fn package_name(id: &str) -> Option<String> {
    let (url, fragment) = id.rsplit_once('#')?;
    let name = match fragment.split_once('@') {
        Some((name, _version)) => name,
        None => url.rsplit_once('/')?.1,
    };
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_found_in_cargos_messages() {
        let message = r#"{"reason":"compiler-artifact","package_id":"path+file:///p/json-filter#0.1.0",
            "target":{"name":"json_filter","crate_types":["cdylib","rlib"]},"filenames":["/t/libjson_filter.rlib","/t/json_filter.wasm"]}"#;
        let found = module(message).expect("a module");
        assert_eq!(
            (found.name.as_str(), found.path.as_path()),
            ("json-filter", Path::new("/t/json_filter.wasm"))
        );
        assert!(module(r#"{"reason":"build-finished","success":true}"#).is_none());
        assert!(module(&message.replace("cdylib", "lib")).is_none());
        assert!(module("no json").is_none());
        assert_eq!(
            package_name("path+file:///p/folder#my-plugin@0.1.0").as_deref(),
            Some("my-plugin")
        );
    }

    #[test]
    fn what_is_meant_for_native_code_stays_out() {
        for name in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_PKG_NAME",
        ] {
            assert!(is_foreign(name), "{name}");
        }
        for name in [
            "CARGO_HOME",
            "PATH",
            "RUSTUP_TOOLCHAIN",
            "CARGO_NET_OFFLINE",
            "CARGO_REGISTRIES_X_INDEX",
            "RUSTC",
        ] {
            assert!(!is_foreign(name), "{name}");
        }
    }
}
