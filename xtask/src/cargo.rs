//! Running the cargo that runs us.

use std::process::{Command, Stdio};

/// The very cargo that started xtask, so that a `+toolchain` given by the user holds for what we start too.
fn program() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// Runs cargo with `args` then `rest`, on our own standard streams.
///
/// # Errors
///
/// A line that names the command and its status when it does not end with 0.
pub(crate) fn run(args: &[&str], rest: &[String]) -> Result<(), String> {
    let status = Command::new(program())
        .args(args)
        .args(rest)
        .status()
        .map_err(|error| format!("cannot run {}: {error}", program()))?;
    if status.success() {
        return Ok(());
    }
    Err(format!(
        "`cargo {} {}` ended with {status}",
        args.join(" "),
        rest.join(" ")
    ))
}

/// Runs cargo with `args` and what `more` adds, and gives what it writes to standard output, as far as that is text.
///
/// # Errors
///
/// A line that names the command and its status when it does not end with 0.
pub(crate) fn output(args: &[&str], more: impl FnOnce(&mut Command)) -> Result<String, String> {
    let mut command = Command::new(program());
    command.args(args).stdin(Stdio::null()).stderr(Stdio::inherit());
    more(&mut command);
    let output = command
        .output()
        .map_err(|error| format!("cannot run {}: {error}", program()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("`cargo {}` ended with {}", args.join(" "), output.status))
}

/// Whether the cargo subcommand `name` is installed.
pub(crate) fn has(name: &str) -> bool {
    Command::new(program())
        .args([name, "--version"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
