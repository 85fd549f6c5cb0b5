use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use redb::StorageBackend;

/// What failed first on a file. It decides whether the file can be trusted afterwards.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FailedOperation {
    /// Something that the system reports before it takes the bytes: write, resize, read.
    Write,
    /// An fsync: what was written since the last one may be lost although it can still be read.
    Sync,
}

impl FailedOperation {
    pub(crate) fn worse(self, other: Self) -> Self {
        if self == Self::Sync { self } else { other }
    }
}

/// Says what failed first on a [`Watched`] file, even when redb has long swallowed the error.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch(Arc<AtomicU8>);

impl Watch {
    pub(crate) fn failed(&self) -> Option<FailedOperation> {
        match self.0.load(Ordering::Acquire) {
            0 => None,
            1 => Some(FailedOperation::Write),
            _ => Some(FailedOperation::Sync),
        }
    }

    fn note<T>(&self, result: io::Result<T>, operation: u8) -> io::Result<T> {
        if result.is_err() {
            // An fsync that failed is never forgotten.
            self.0.fetch_max(operation, Ordering::AcqRel);
        }
        result
    }
}

/// A file whose failures are remembered.
#[derive(Debug)]
pub(crate) struct Watched {
    file: Box<dyn StorageBackend>,
    watch: Watch,
}

impl Watched {
    pub(crate) fn new(file: Box<dyn StorageBackend>) -> (Self, Watch) {
        let watch = Watch::default();
        let watched = Self {
            file,
            watch: watch.clone(),
        };
        (watched, watch)
    }
}

impl StorageBackend for Watched {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.watch.note(self.file.read(offset, out), 1)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.watch.note(self.file.set_len(len), 1)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.watch.note(self.file.sync_data(), 2)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.watch.note(self.file.write(offset, data), 1)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}
