//! Where files are: a folder, memory, or something between for tests.
//!
//! Everything the log stores goes through a [`Volume`]. A path is relative, with `/` between folder and file.

mod boxed;
mod file;
mod folder;
mod memory;
mod overlay;
mod watched;

use std::fmt::Debug;
use std::io;

use redb::StorageBackend;

pub use folder::FolderVolume;
pub use memory::MemoryVolume;

pub(crate) use boxed::Boxed;
pub(crate) use overlay::Overlay;
pub(crate) use watched::{FailedOperation, Watch, Watched};

/// Files by path.
pub trait Volume: Debug + Send + Sync {
    /// Makes a new, empty file.
    ///
    /// # Errors
    ///
    /// Those of the system; [`io::ErrorKind::AlreadyExists`] if it is there.
    fn create(&self, path: &str) -> io::Result<Box<dyn StorageBackend>>;

    /// Opens a file to read and write.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn open(&self, path: &str) -> io::Result<Box<dyn StorageBackend>>;

    /// Removes a file; its space comes back once nobody has it open.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Gives a file another name, in the same folder.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Names of the files in a folder, in no order.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Makes a folder if it is not there, durably.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn make_folder(&self, folder: &str) -> io::Result<()>;

    /// Makes names made or removed in a folder durable.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn sync_folder(&self, folder: &str) -> io::Result<()>;

    /// Reads a small file; `None` if it is not there.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn read_small(&self, path: &str) -> io::Result<Option<Vec<u8>>>;

    /// Writes a small file, all or nothing, durably.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn write_small(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Bytes of storage a file takes, holes not counted.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn used_bytes(&self, path: &str) -> io::Result<u64>;

    /// Bytes that can still be written; `u64::MAX` where nobody can say.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn free_bytes(&self) -> io::Result<u64>;
}
