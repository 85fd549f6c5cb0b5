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
