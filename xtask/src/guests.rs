//! The compilation target of guest plugins.

use std::path::PathBuf;
use std::process::Command;

/// What guest plugins are compiled for. A core module of this target becomes a component afterwards.
const TARGET: &str = "wasm32-unknown-unknown";

/// Makes sure that rustc can compile for [`TARGET`]: looks for its standard library, asks rustup for it when it is missing.
///
/// A `rust-toolchain.toml` with `targets` would not do: rustup does not add targets to a toolchain that is already there.
///
/// # Errors
///
/// One line that says what to do by hand.
pub(crate) fn ensure_target() -> Result<(), String> {
    if installed()? {
        return Ok(());
    }
    eprintln!("xtask: adding the target {TARGET} to the Rust toolchain (plugins are compiled for it)");
    let added = Command::new("rustup").args(["target", "add", TARGET]).status();
    if added.is_ok_and(|status| status.success()) && installed()? {
        return Ok(());
    }
    Err(format!(
        "the Rust toolchain has no standard library for {TARGET}: run `rustup target add {TARGET}`, or install it with your distribution's package for it"
    ))
}

fn installed() -> Result<bool, String> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let output = Command::new(&rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|error| format!("cannot run {rustc}: {error}"))?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    Ok(output.status.success() && folder.is_dir())
}
