//! The folder above the shards: who may use it, and what it was made with.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::folder_lock::FolderLock;
use crate::volume::{FolderVolume, MemoryVolume, Volume};
use crate::{LogConfig, OpenError, Storage};

const FORMAT: &str = "weir-log";
/// The newest format this release knows, and the one it writes.
const VERSION: u64 = 1;
const FORMAT_FILE: &str = "format.json";

/// What cannot change once there is data.
#[derive(Debug, Deserialize, Serialize)]
struct Format {
    format: String,
    version: u64,
    #[serde(default)]
    shards: u16,
}

/// An opened root.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) volume: Arc<dyn Volume>,
    pub(crate) shards: u16,
    pub(crate) lock: Option<FolderLock>,
}

impl Root {
    pub(crate) fn open(storage: Storage, config: &LogConfig) -> Result<Self, OpenError> {
        if config.shards == 0 {
            return Err(OpenError::Config("a log has one shard at least"));
        }
        let (volume, lock): (Arc<dyn Volume>, _) = match storage {
            Storage::Memory => (Arc::new(MemoryVolume::new()), None),
            Storage::Volume(volume) => (volume, None),
            Storage::Folder(path) => {
                let volume = Arc::new(FolderVolume::new(&path));
                if path.exists() {
                    // Nothing of a newer format is touched, not even to lock it.
                    read_format(&*volume)?;
                }
                create_folder(&path).map_err(|error| OpenError::Io {
                    what: format!("making {}", path.display()),
                    error: error.to_string(),
                })?;
                (volume, Some(FolderLock::take(&path)?))
            }
        };
        let shards = match read_format(&*volume)? {
            Some(format) => format.shards,
            None => {
                write_format(&*volume, config.shards)?;
                config.shards
            }
        };
        Ok(Self { volume, shards, lock })
    }
}

/// Makes a folder and those above it, durably.
fn create_folder(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    fs::create_dir_all(&path)?;
    for folder in missing {
        if let Some(parent) = folder.parent() {
            File::open(parent)?.sync_all()?;
        }
    }
    Ok(())
}

fn read_format(volume: &dyn Volume) -> Result<Option<Format>, OpenError> {
    let bytes = volume.read_small(FORMAT_FILE).map_err(|error| OpenError::Io {
        what: format!("reading {FORMAT_FILE}"),
        error: error.to_string(),
    })?;
    let Some(bytes) = bytes else { return Ok(None) };
    let corrupt = |what: String| OpenError::Corrupt {
        file: FORMAT_FILE.to_owned(),
        what,
    };
    let format: Format = serde_json::from_slice(&bytes).map_err(|error| corrupt(error.to_string()))?;
    if format.format != FORMAT {
        return Err(corrupt(format!(
            "it is of a '{}', not of a '{FORMAT}'",
            format.format
        )));
    }
    if format.version > VERSION {
        return Err(OpenError::NewerFormat {
            found: format.version,
            known: VERSION,
        });
    }
    if format.version == 0 || format.shards == 0 {
        return Err(corrupt("version and shards begin with 1".to_owned()));
    }
    Ok(Some(format))
}

fn write_format(volume: &dyn Volume, shards: u16) -> Result<(), OpenError> {
    let format = Format {
        format: FORMAT.to_owned(),
        version: VERSION,
        shards,
    };
    let error = |error: String| OpenError::Io {
        what: format!("writing {FORMAT_FILE}"),
        error,
    };
    let bytes = serde_json::to_vec(&format).map_err(|e| error(e.to_string()))?;
    volume
        .write_small(FORMAT_FILE, &bytes)
        .map_err(|e| error(e.to_string()))
}
