//! Where a benchmark puts its files.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::cli::Failure;

/// Options of every benchmark that writes.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct PlaceArgs {
    /// A folder on the disk to be measured; files go into a new folder in it, which is removed at the end
    #[arg(long, value_name = "DIR", default_value = ".")]
    data_dir: PathBuf,
}

impl PlaceArgs {
    /// A new folder. It is removed when the returned value is dropped.
    pub(super) fn make(&self) -> Result<Place, Failure> {
        let dir = tempfile::Builder::new()
            .prefix("weir-bench-")
            .tempdir_in(&self.data_dir)
            .map_err(|error| {
                Failure::new(
                    format!("cannot make a folder in {}: {error}", self.data_dir.display()),
                    "choose another --data-dir",
                )
            })?;
        if crate::place::in_memory(dir.path()) {
            eprintln!(
                "note: {} is in memory: fsync costs nothing there; choose a disk with --data-dir",
                self.data_dir.display()
            );
        }
        Ok(Place { dir })
    }
}

pub(super) struct Place {
    dir: TempDir,
}

impl Place {
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_gone_after_use() {
        let dir = tempfile::tempdir().unwrap();
        let place = PlaceArgs {
            data_dir: dir.path().to_owned(),
        }
        .make()
        .unwrap();
        let path = place.path().to_owned();
        std::fs::write(place.join("a"), "b").unwrap();
        drop(place);
        assert!(!path.exists());
    }
}
