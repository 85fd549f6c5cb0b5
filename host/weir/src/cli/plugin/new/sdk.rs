//! Where the guest SDK is: until it is in a registry, in a checkout of the repository.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::cli::Failure;

/// Where the SDK is in a checkout.
const IN_CHECKOUT: &str = "sdk/plugin";

/// Folders beside the new one that are looked into.
const NEIGHBOURS_MAX: usize = 1_000;

/// A folder that holds the guest SDK.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sdk {
    folder: String,
    batch: String,
}

/// Of a manifest, what tells whose it is.
#[derive(Deserialize)]
struct Manifest {
    package: Package,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

impl Sdk {
    /// The SDK in `folder`, which may be that of the checkout as well.
    ///
    /// # Errors
    ///
    /// When it is not there.
    pub(super) fn at(folder: &Path) -> Result<Self, Failure> {
        Self::open(folder)
            .or_else(|| Self::of_checkout(folder))
            .ok_or_else(|| {
                Failure::new(
                    format!("--sdk {}: the crate weir-plugin is not there", folder.display()),
                    "name a checkout of Weir's repository, or the folder sdk/plugin in it",
                )
            })
    }

    /// The SDK of the checkout around `new`, of one beside it, or of the one this program was built from.
    pub(super) fn find(new: &Path) -> Option<Self> {
        let new = std::path::absolute(new).ok()?;
        let around = || new.ancestors().find_map(Self::of_checkout);
        let beside = || {
            let mut neighbours: Vec<PathBuf> = std::fs::read_dir(new.parent()?)
                .ok()?
                .take(NEIGHBOURS_MAX)
                .filter_map(|entry| Some(entry.ok()?.path()))
                .collect();
            // The same one every time, whatever the order in the folder.
            neighbours.sort_unstable();
            neighbours
                .iter()
                .find_map(|neighbour| Self::of_checkout(neighbour))
        };
        let built_from = || Self::of_checkout(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
        around().or_else(beside).or_else(built_from)
    }

    /// The folder, as the manifest and the answer name it.
    pub(super) fn folder(&self) -> &str {
        &self.folder
    }

    /// The crate of batches beside it.
    pub(super) fn batch(&self) -> &str {
        &self.batch
    }

    fn of_checkout(checkout: &Path) -> Option<Self> {
        Self::open(&checkout.join(IN_CHECKOUT))
    }

    fn open(folder: &Path) -> Option<Self> {
        let crate_in = |folder: PathBuf, name: &str| {
            let text = std::fs::read_to_string(folder.join("Cargo.toml")).ok()?;
            let manifest: Manifest = toml::from_str(&text).ok()?;
            let folder = folder.canonicalize().ok()?;
            (manifest.package.name == name).then_some(folder.to_str()?.to_owned())
        };
        Some(Self {
            folder: crate_in(folder.to_owned(), "weir-plugin")?,
            batch: crate_in(folder.join("../batch"), "weir-batch")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkout(at: &Path) -> Sdk {
        for (folder, name) in [("plugin", "weir-plugin"), ("batch", "weir-batch")] {
            let folder = at.join("sdk").join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            let manifest = format!("[package]\nname = \"{name}\"\nversion.workspace = true\n");
            std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        }
        let named = Sdk::at(&at.join(IN_CHECKOUT)).unwrap();
        assert_eq!(
            Sdk::at(at).unwrap().folder(),
            named.folder(),
            "the checkout will do"
        );
        named
    }

    #[test]
    fn the_nearest_checkout_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let beside = checkout(&folder.path().join("weir"));
        assert_eq!(Sdk::find(&folder.path().join("keep")), Some(beside));

        let around = checkout(folder.path());
        assert_eq!(Sdk::find(&folder.path().join("deep/down/keep")), Some(around));
    }

    #[test]
    fn without_one_nearby_it_is_the_one_this_program_was_built_from() {
        let folder = tempfile::tempdir().unwrap();
        let found = Sdk::find(&folder.path().join("keep")).unwrap();
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/plugin");
        assert_eq!(found.folder(), here.canonicalize().unwrap().to_str().unwrap());
        assert!(found.batch().ends_with("sdk/batch"), "{found:?}");
    }

    #[test]
    fn another_crate_is_no_sdk() {
        let folder = tempfile::tempdir().unwrap();
        checkout(folder.path());
        let refusal = Sdk::at(&folder.path().join("sdk/batch")).unwrap_err().to_string();
        assert!(refusal.contains("weir-plugin is not there"), "{refusal}");
        assert!(Sdk::at(&folder.path().join("none")).is_err());
    }
}
