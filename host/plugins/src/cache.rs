//! Compiled code on disk.
//!
//! A file is `[magic 8 "WEIRCODE"][format u32 LE = 1][reserved u32 = 0][key 32][SHA-256 of the artifact 32][artifact length u64 LE][artifact]`,
//! its name `<SHA-256 of the component>-<first 16 digits of the key>.code`. The key is the SHA-256 of the component's
//! hash, of everything about the engine that the code depends on (version, target, settings, CPU features) and of the interfaces that
//! plugins may be granted.
//!
//! Whatever is not exactly that is compiled anew and written over: a torn write, a flipped bit, another engine's code, a file of
//! another user or one that others may write to.

use std::fs::{File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::RuntimeError;
use crate::inspect::GRANTED;

const MAGIC: &[u8; 8] = b"WEIRCODE";
const FORMAT: u32 = 1;
const HEADER_LEN: usize = 8 + 4 + 4 + 32 + 32 + 8;
/// Compiled code is some three to five times its component; more than this is no file of ours.
const ARTIFACT_BYTES_MAX: u64 = 1 << 30;

pub(crate) struct Cache {
    folder: PathBuf,
    engine_key: [u8; 32],
}

impl Cache {
    /// Opens or makes the folder, mode 0700.
    pub(crate) fn open(folder: &Path, engine: &Engine) -> Result<Self, RuntimeError> {
        let failed = |source| RuntimeError::Cache {
            path: folder.to_owned(),
            source,
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            // Left over from a write that a crash cut short. The folder has one broker, which is us.
            if path.extension().is_some_and(|extension| extension == "tmp") {
                let _ = std::fs::remove_file(path);
            }
        }
        let mut hasher = KeyHasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        // What may be granted: code is not used again by a broker that links something else.
        GRANTED.hash(&mut hasher);
        Ok(Self {
            folder: folder.to_owned(),
            engine_key: hasher.0.finalize().into(),
        })
    }

    /// The compiled form of the component with this hash, if a sound one is there.
    pub(crate) fn get(&self, engine: &Engine, component: &[u8; 32]) -> Option<Component> {
        let path = self.path(component);
        let bytes = match read_own(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!("compiled plugin {} is not used: {error}", path.display());
                return None;
            }
        };
        let Some(artifact) = artifact(&bytes, &self.key(component)) else {
            tracing::warn!(
                "compiled plugin {} is damaged or foreign: compiling again",
                path.display()
            );
            return None;
        };
        // SAFETY: `deserialize` runs whatever the bytes say, so they must be what this engine's `serialize` gave. They are: the file
        // is owned by our own user and writable by nobody else (checked on the open file), who could as well replace this program; its
        // key says that this component and an engine with the same version and settings made it; and its hash says that not a bit
        // has changed since `put` wrote it. No upload ever gets here: users give components, never compiled code.
        #[allow(unsafe_code)]
        let component = unsafe { Component::deserialize(engine, artifact) };
        component
            .inspect_err(|error| {
                tracing::warn!("compiled plugin {} does not load: {error:#}", path.display());
            })
            .ok()
    }

    /// Writes the compiled form down. A cache that cannot be written to costs time, nothing else: failures are logged.
    pub(crate) fn put(&self, component: &[u8; 32], compiled: &Component) {
        let path = self.path(component);
        let written = compiled
            .serialize()
            .map_err(std::io::Error::other)
            .and_then(|artifact| {
                self.remove(component);
                write_own(&path, &header(&self.key(component), &artifact), &artifact)
            });
        if let Err(error) = written {
            tracing::warn!("compiled plugin {} cannot be written: {error}", path.display());
        }
    }

    /// Removes what is kept for a component, of this engine and of others.
    pub(crate) fn remove(&self, component: &[u8; 32]) {
        let prefix = hex(component);
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            return;
        };
        for entry in entries.filter_map(Result::ok) {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    fn key(&self, component: &[u8; 32]) -> [u8; 32] {
        Sha256::new()
            .chain_update(component)
            .chain_update(self.engine_key)
            .finalize()
            .into()
    }

    fn path(&self, component: &[u8; 32]) -> PathBuf {
        let key = hex(&self.key(component));
        self.folder
            .join(format!("{}-{}.code", hex(component), &key[..16]))
    }
}

fn header(key: &[u8; 32], artifact: &[u8]) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    header[16..48].copy_from_slice(key);
    header[48..80].copy_from_slice(&Sha256::digest(artifact));
    header[80..].copy_from_slice(&(artifact.len() as u64).to_le_bytes());
    header
}

/// The artifact in a file's bytes, if every byte of the file is what it should be.
fn artifact<'a>(bytes: &'a [u8], key: &[u8; 32]) -> Option<&'a [u8]> {
    let (found, artifact) = bytes.split_at_checked(HEADER_LEN)?;
    (found == header(key, artifact)).then_some(artifact)
}

/// The bytes of a file that is ours alone.
fn read_own(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
        .open(path)?;
    let metadata = file.metadata()?;
    if metadata.uid() != rustix::process::geteuid().as_raw()
        || metadata.mode() & 0o022 != 0
        || !metadata.is_file()
    {
        return Err(std::io::Error::other(
            "it belongs to another user, or others may write to it",
        ));
    }
    if metadata.len() > ARTIFACT_BYTES_MAX {
        return Err(std::io::Error::other("it is too large to be compiled code"));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file of mode 0600 that appears whole or not at all as long as the machine runs; after a power cut its hash tells.
fn write_own(path: &Path, header: &[u8], artifact: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("tmp");
    let _ = std::fs::remove_file(&temporary);
    let written = create_own(&temporary)
        .and_then(|mut file| file.write_all(header).and_then(|()| file.write_all(artifact)))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

fn create_own(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Makes a strong hash of what only offers [`Hash`].
struct KeyHasher(Sha256);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        let digest: [u8; 32] = self.0.clone().finalize().into();
        u64::from_le_bytes([
            digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7],
        ])
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}
