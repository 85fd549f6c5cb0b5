//! Compiles plugin crates for `wasm32-unknown-unknown` and makes components of them: what `weir plugin build` does, and what
//! the build script of `weir-plugins` does.
//!
//! Needed are cargo and the target's standard library, nothing else; [`ensure_target`] asks rustup for the latter where it is missing.

mod cargo;
mod target;

use std::path::{Path, PathBuf};

pub use target::{TARGET, ensure_target};

/// Why there is no component. `Display` says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The standard library for the target is missing, and rustup cannot bring it.
    #[error(
        "the Rust toolchain cannot compile for {TARGET}: run `rustup target add {TARGET}`, or install your distribution's package for it"
    )]
    NoTarget,
    /// There is no crate.
    #[error("{} has no Cargo.toml: name the folder of a plugin's crate", folder.display())]
    NoCrate {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A program cannot be run.
    #[error("cannot run {program}: {source}")]
    Run {
        /// Its name.
        program: String,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The crate does not compile. The compiler has said why, on standard error.
    #[error("the plugin does not compile (see above)")]
    Compile,
    /// The crate compiles to no WebAssembly module.
    #[error("the crate makes no WebAssembly module: set `crate-type = [\"cdylib\"]` under `[lib]` in {}", manifest.display())]
    NoModule {
        /// The crate's manifest.
        manifest: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The module describes no world.
    #[error("{name} is no plugin: {reason}")]
    Componentize {
        /// The plugin's name.
        name: String,
        /// In the encoder's words.
        reason: String,
    },
}

/// A plugin's component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The name of the crate, as in its manifest.
    pub name: String,
    /// The component: what is uploaded.
    pub component: Vec<u8>,
}

/// What is built, and where to.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Cargo's target folder; that of the crate's workspace if none.
    pub target_dir: Option<PathBuf>,
    /// Take `Cargo.lock` as it is; fail if it has to change.
    pub locked: bool,
    /// Say nothing but errors.
    pub quiet: bool,
}

/// Builds the plugins of the crate or workspace in `folder`, in release mode, and makes components of them.
///
/// The compiler talks on standard error meanwhile.
///
/// # Errors
///
/// See [`BuildError`].
pub fn build(folder: &Path, options: &Options) -> Result<Vec<Built>, BuildError> {
    let manifest = folder.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(BuildError::NoCrate {
            folder: folder.to_owned(),
        });
    }
    ensure_target()?;
    let modules = cargo::build(&manifest, options)?;
    if modules.is_empty() {
        return Err(BuildError::NoModule { manifest });
    }
    modules
        .into_iter()
        .map(|module| component(module.name, &module.path))
        .collect()
}

const DESCRIPTION: &[u8] = b"component-type:";

fn component(name: String, path: &Path) -> Result<Built, BuildError> {
    let module = std::fs::read(path).map_err(|source| BuildError::Read {
        path: path.to_owned(),
        source,
    })?;
    // Whoever describes a world says so in a section of this name; without one, the encoder makes a component of nothing.
    if !module.windows(DESCRIPTION.len()).any(|part| part == DESCRIPTION) {
        let reason =
            "it exports no world of weir:plugin, use `filter!` or `transform!` of the crate weir-plugin"
                .to_owned();
        return Err(BuildError::Componentize { name, reason });
    }
    let encoded = wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|mut encoder| encoder.encode());
    match encoded {
        Ok(component) => Ok(Built { name, component }),
        Err(error) => Err(BuildError::Componentize {
            name,
            reason: format!("{error:#}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(folder: &Path) -> String {
        build(
            folder,
            &Options {
                quiet: true,
                ..Options::default()
            },
        )
        .expect_err("there is no plugin")
        .to_string()
    }

    #[test]
    fn what_is_missing_is_said() {
        let folder = tempfile::tempdir().unwrap();
        assert!(refusal(folder.path()).contains("has no Cargo.toml"));
        std::fs::create_dir(folder.path().join("src")).unwrap();
        std::fs::write(folder.path().join("src/lib.rs"), "").unwrap();
        let manifest = |lib: &str| {
            let text = format!(
                "[package]\nname = \"nothing\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\n{lib}\n[workspace]\n"
            );
            std::fs::write(folder.path().join("Cargo.toml"), text).unwrap();
        };
        manifest("");
        let error = refusal(folder.path());
        assert!(error.contains("crate-type = [\"cdylib\"]"), "{error}");
        manifest("crate-type = [\"cdylib\"]");
        let error = refusal(folder.path());
        assert!(
            error.contains("nothing is no plugin") && error.contains("`filter!`"),
            "{error}"
        );
    }
}
