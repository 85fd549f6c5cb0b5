use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::BuildError;

/// What plugins are compiled for.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Makes sure that rustc can compile for [`TARGET`], with rustup's help where it is there.
///
/// # Errors
///
/// [`BuildError::NoTarget`], [`BuildError::Run`] when there is no rustc.
pub fn ensure_target() -> Result<(), BuildError> {
    if installed()? {
        return Ok(());
    }
    // Whether rustup is there and has succeeded shows in the next line. Its messages go to standard error.
    let _ = Command::new("rustup")
        .args(["target", "add", TARGET])
        .stdout(Stdio::null())
        .status();
    if installed()? {
        Ok(())
    } else {
        Err(BuildError::NoTarget)
    }
}

fn installed() -> Result<bool, BuildError> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let output = Command::new(&rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|source| BuildError::Run {
            program: rustc,
            source,
        })?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    Ok(output.status.success() && folder.is_dir())
}
