//! The stored components, by their SHA-256.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::folder::write_durably;

const EXTENSION: &str = "wasm";

/// Where the components are: a folder with a file for each, or memory. All calls block.
pub(crate) enum Blobs {
    Folder(PathBuf),
    Memory(Mutex<HashMap<String, Vec<u8>>>),
}

impl Blobs {
    /// Keeps `bytes` under `sha256`, durably. What is there already is replaced, which repairs a damaged file.
    pub(crate) fn put(&self, sha256: &str, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Folder(folder) => {
                fs::create_dir_all(folder)?;
                write_durably(&path(folder, sha256), bytes)
            }
            Self::Memory(blobs) => {
                let mut blobs = blobs.lock().unwrap_or_else(PoisonError::into_inner);
                blobs.insert(sha256.to_owned(), bytes.to_vec());
                Ok(())
            }
        }
    }

    /// The bytes under `sha256`.
    ///
    /// # Errors
    /// `InvalidData` when they are not the ones that were put there.
    pub(crate) fn read(&self, sha256: &str) -> io::Result<Vec<u8>> {
        match self {
            Self::Folder(folder) => {
                let path = path(folder, sha256);
                let bytes = fs::read(&path)?;
                if hex(&Sha256::digest(&bytes)) != sha256 {
                    let what = format!("{} is damaged: upload the plugin again", path.display());
                    return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                }
                Ok(bytes)
            }
            Self::Memory(blobs) => {
                let blobs = blobs.lock().unwrap_or_else(PoisonError::into_inner);
                blobs
                    .get(sha256)
                    .cloned()
                    .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
            }
        }
    }

    /// Removes the bytes under `sha256`, if they are there.
    pub(crate) fn remove(&self, sha256: &str) -> io::Result<()> {
        match self {
            Self::Folder(folder) => match fs::remove_file(path(folder, sha256)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
            Self::Memory(blobs) => {
                blobs
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(sha256);
                Ok(())
            }
        }
    }

    /// Removes what a crash left behind: halves of files, and components that no version refers to.
    pub(crate) fn sweep(&self, known: &HashSet<&str>) -> io::Result<()> {
        let Self::Folder(folder) = self else { return Ok(()) };
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let Some((stem, extension)) = name.to_str().and_then(|name| name.split_once('.')) else {
                continue;
            };
            let ours = extension == EXTENSION || extension == "wasm.tmp";
            let orphan = extension != EXTENSION || !known.contains(stem);
            if ours && orphan && entry.file_type()?.is_file() {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// `bytes` in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn path(folder: &std::path::Path, sha256: &str) -> PathBuf {
    folder.join(format!("{sha256}.{EXTENSION}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_read_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        for blobs in [
            Blobs::Folder(folder.path().join("plugins")),
            Blobs::Memory(Mutex::default()),
        ] {
            let sha256 = hex(&Sha256::digest(b"abc"));
            assert_eq!(blobs.read(&sha256).unwrap_err().kind(), io::ErrorKind::NotFound);
            blobs.put(&sha256, b"abc").unwrap();
            assert_eq!(blobs.read(&sha256).unwrap(), b"abc");
            blobs.remove(&sha256).unwrap();
            blobs.remove(&sha256).unwrap();
            assert!(blobs.read(&sha256).is_err());
        }
    }

    #[test]
    fn a_damaged_file_is_not_served() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::Folder(folder.path().to_owned());
        let sha256 = hex(&Sha256::digest(b"abc"));
        blobs.put(&sha256, b"abd").unwrap();
        assert_eq!(
            blobs.read(&sha256).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }

    #[test]
    fn the_sweep_removes_what_nobody_knows_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::Folder(folder.path().to_owned());
        for name in [
            "known.wasm",
            "orphan.wasm",
            "known.wasm.tmp",
            "README",
            "notes.txt",
        ] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        fs::create_dir(folder.path().join("cache")).unwrap();
        blobs.sweep(&HashSet::from(["known"])).unwrap();
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["README", "cache", "known.wasm", "notes.txt"]);
        Blobs::Folder(folder.path().join("missing"))
            .sweep(&HashSet::new())
            .unwrap();
    }
}
