//! Why a broker does not start.

use std::io;
use std::path::PathBuf;

/// Why a data folder, and with it a broker, cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process holds the folder.
    #[error("the data folder {} is in use by another broker: stop that one, or give this one another folder", path.display())]
    Locked {
        /// The data folder.
        path: PathBuf,
    },
    /// A newer broker wrote the folder.
    #[error("the data folder {} has format {found}, this broker knows {known}: use a newer broker (nothing was changed)", path.display())]
    NewerFormat {
        /// The data folder.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that this broker knows.
        known: u32,
    },
    /// The folder holds something that this broker cannot make sense of.
    #[error("the data folder {} cannot be used: {what}. Restore it from a copy, or give an empty folder", path.display())]
    Corrupt {
        /// The data folder, or the file in it.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The partitions cannot be opened.
    #[error("{what}")]
    Log {
        /// What is wrong and what to do.
        what: String,
    },
    /// The plugin engine cannot be set up on this machine.
    #[error("the plugin engine cannot start: {what}")]
    Engine {
        /// What the engine said.
        what: String,
    },
}
