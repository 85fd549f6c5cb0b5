//! The data folder: its lock, its format version, its layout.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::OpenError;

/// The version of the whole folder's format that this broker reads and writes.
pub const FORMAT_VERSION: u32 = 1;

const FORMAT_FILE: &str = "format.json";
const LOCK_FILE: &str = "LOCK";
/// `format.json` is a few dozen bytes; anything longer is not ours.
const FORMAT_FILE_BYTES_MAX: u64 = 4096;

/// A data folder that this process alone holds, of a format that it knows.
///
/// The lock (an advisory lock on the file `LOCK`) lasts until the last clone is dropped; the operating system lets go
/// of it when the process ends in whatever way.
#[derive(Clone, Debug)]
pub struct DataFolder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    _lock: File,
}

#[derive(Deserialize, Serialize)]
struct Format {
    format: String,
    version: u32,
}

impl DataFolder {
    /// Makes the folder where it is missing, takes its lock and checks its format.
    ///
    /// A folder of another or newer format is left exactly as it is.
    ///
    /// # Errors
    /// - [`OpenError::Locked`] when another process holds the folder.
    /// - [`OpenError::NewerFormat`] when a newer broker wrote it.
    /// - [`OpenError::Corrupt`] when it holds something that is no data folder of Weir.
    /// - [`OpenError::Io`] when the folder cannot be made, read or written.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let path = path.into();
        let io_error = |path: &Path, source| OpenError::Io {
            path: path.to_owned(),
            source,
        };
        // Before the lock, which is a file that a folder of another format need not have.
        check_format(&path)?;
        fs::create_dir_all(&path).map_err(|source| io_error(&path, source))?;
        let lock_path = path.join(LOCK_FILE);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(|source| io_error(&lock_path, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked { path }),
            Err(TryLockError::Error(source)) => return Err(io_error(&lock_path, source)),
        }
        if !check_format(&path)? {
            let format_path = path.join(FORMAT_FILE);
            write_format(&format_path).map_err(|source| io_error(&format_path, source))?;
        }
        Ok(Self(Arc::new(Inner { path, _lock: lock })))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The metadata: topics, plugins, flows.
    pub(crate) fn meta(&self) -> PathBuf {
        self.0.path.join("meta.redb")
    }

    /// The partitions, weir-log's own.
    pub(crate) fn shards(&self) -> PathBuf {
        self.0.path.join("shards")
    }

    /// The uploaded plugins, one file each.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.0.path.join("plugins")
    }

    /// The compiled plugins; can be deleted at any time while the broker is down.
    pub(crate) fn plugin_cache(&self) -> PathBuf {
        self.plugins().join("cache")
    }
}

/// Writes `bytes` to `path` so that after a crash the file is there whole or not at all.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path
        .parent()
        .ok_or_else(|| io::Error::other("a file needs a folder"))?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let written = (|| {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        // Half a file is of no use to anybody; that it cannot be removed changes nothing for the caller.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Whether the folder has a format, which then is one that this broker knows.
fn check_format(folder: &Path) -> Result<bool, OpenError> {
    let path = folder.to_owned();
    match read_format(&folder.join(FORMAT_FILE)) {
        Ok(Some(found)) if found > FORMAT_VERSION => Err(OpenError::NewerFormat {
            path,
            found,
            known: FORMAT_VERSION,
        }),
        Ok(Some(_)) => Ok(true),
        Ok(None) if folder.join("meta.redb").exists() => {
            let what = format!("{FORMAT_FILE} is missing although the folder holds data");
            Err(OpenError::Corrupt { path, what })
        }
        Ok(None) => Ok(false),
        Err(source) if source.kind() == io::ErrorKind::InvalidData => Err(OpenError::Corrupt {
            path,
            what: source.to_string(),
        }),
        Err(source) => Err(OpenError::Io {
            path: folder.join(FORMAT_FILE),
            source,
        }),
    }
}

fn read_format(path: &Path) -> io::Result<Option<u32>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut text = String::new();
    file.take(FORMAT_FILE_BYTES_MAX).read_to_string(&mut text)?;
    let format: Format = serde_json::from_str(&text)
        .map_err(|error| invalid(format!("{FORMAT_FILE} cannot be read ({error})")))?;
    if format.format != "weir" {
        return Err(invalid(format!(
            "{FORMAT_FILE} says '{}', not 'weir'",
            format.format.escape_debug()
        )));
    }
    Ok(Some(format.version))
}

fn write_format(path: &Path) -> io::Result<()> {
    let format = Format {
        format: "weir".to_owned(),
        version: FORMAT_VERSION,
    };
    let mut text = serde_json::to_string(&format)?;
    text.push('\n');
    write_durably(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(path: &Path) -> Vec<String> {
        let names = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn one_holder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let held = DataFolder::open(folder.path()).unwrap();
        assert!(matches!(
            DataFolder::open(folder.path()),
            Err(OpenError::Locked { .. })
        ));
        let clone = held.clone();
        drop(held);
        assert!(matches!(
            DataFolder::open(folder.path()),
            Err(OpenError::Locked { .. })
        ));
        drop(clone);
        DataFolder::open(folder.path()).unwrap();
    }

    #[test]
    fn a_newer_format_is_refused_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"format":"weir","version":2,"more":true}"#;
        fs::write(folder.path().join(FORMAT_FILE), text).unwrap();
        let error = DataFolder::open(folder.path()).unwrap_err();
        assert!(
            matches!(
                error,
                OpenError::NewerFormat {
                    found: 2,
                    known: 1,
                    ..
                }
            ),
            "{error}"
        );
        assert_eq!(fs::read_to_string(folder.path().join(FORMAT_FILE)).unwrap(), text);
        assert_eq!(listing(folder.path()), [FORMAT_FILE]);
    }

    #[test]
    fn a_foreign_or_damaged_folder_is_refused() {
        for text in ["", "{", r#"{"format":"kafka","version":1}"#] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(FORMAT_FILE), text).unwrap();
            let error = DataFolder::open(folder.path()).unwrap_err();
            assert!(matches!(error, OpenError::Corrupt { .. }), "{text}: {error}");
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("meta.redb"), "x").unwrap();
        assert!(matches!(
            DataFolder::open(folder.path()),
            Err(OpenError::Corrupt { .. })
        ));
    }

    #[test]
    fn a_durable_write_replaces_the_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_durably(&path, b"long, long ago").unwrap();
        write_durably(&path, b"now").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"now");
        assert_eq!(listing(folder.path()), ["a"]);
        assert!(write_durably(&folder.path().join("none/a"), b"x").is_err());
    }
}
