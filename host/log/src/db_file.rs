//! A redb file that can be open for writing, open for reading, closed, or gone.

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::{Builder, Database, WriteTransaction};

use crate::store_error::{StoreError, guarded};
use crate::volume::{Boxed, FailedOperation, Overlay, Volume, Watch, Watched};

/// Sizes of redb's page caches, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CacheSizes {
    pub(crate) write_bytes: usize,
    pub(crate) read_bytes: usize,
}

/// A redb file. Everything that touches it is guarded against redb's assertions.
#[derive(Debug)]
pub(crate) struct DbFile {
    volume: Arc<dyn Volume>,
    caches: CacheSizes,
    path: Mutex<String>,
    slot: RwLock<Slot>,
}

enum Slot {
    Closed,
    /// Read through an overlay: nothing reaches the file.
    View(Database),
    /// Written to.
    Writer(Database, Watch),
    Gone,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Closed => "Closed",
            Self::View(_) => "View",
            Self::Writer(..) => "Writer",
            Self::Gone => "Gone",
        })
    }
}

impl DbFile {
    /// The file at `path`, closed.
    pub(crate) fn new(volume: Arc<dyn Volume>, caches: CacheSizes, path: String) -> Self {
        Self {
            volume,
            caches,
            path: Mutex::new(path),
            slot: RwLock::new(Slot::Closed),
        }
    }

    /// The file, as the volume names it.
    pub(crate) fn path(&self) -> String {
        self.path.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes of storage that the file takes.
    pub(crate) fn used_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.volume.used_bytes(&self.path())?)
    }

    fn slot(&self) -> RwLockReadGuard<'_, Slot> {
        self.slot.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot_mut(&self) -> RwLockWriteGuard<'_, Slot> {
        self.slot.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the file, runs `fill` in its first transaction and leaves it open for writing. The name is not durable
    /// before its folder is synced.
    pub(crate) fn create(
        &self,
        fill: impl FnOnce(&WriteTransaction) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        guarded(|| {
            let mut slot = self.slot_mut();
            let (file, watch) = Watched::new(self.volume.create(&self.path())?);
            let database = database(self.caches.write_bytes, Boxed(Box::new(file)))?;
            let txn = database.begin_write()?;
            fill(&txn)?;
            txn.commit()?;
            *slot = Slot::Writer(database, watch);
            Ok(())
        })
    }

    /// Opens the file to be written to, repairing it if need be.
    pub(crate) fn open_writer(&self) -> Result<(), StoreError> {
        self.open_writer_with(Builder::new())
    }

    /// The same, but a file whose last commit is not whole is refused, with [`StoreError::Corrupt`], and left as it is.
    pub(crate) fn open_writer_as_is(&self) -> Result<(), StoreError> {
        let mut builder = Builder::new();
        builder.set_repair_callback(|session| {
            // The share of its work that redb has done when it is about to go back to the commit before the last; a
            // repair that need not do that has none in between.
            if (0.1..0.5).contains(&session.progress()) {
                session.abort();
            }
        });
        self.open_writer_with(builder)
    }

    fn open_writer_with(&self, mut builder: Builder) -> Result<(), StoreError> {
        guarded(|| {
            let mut slot = self.slot_mut();
            // Two databases must never share a file.
            *slot = Slot::Closed;
            let (file, watch) = Watched::new(self.volume.open(&self.path())?);
            builder.set_cache_size(self.caches.write_bytes);
            *slot = Slot::Writer(builder.create_with_backend(Boxed(Box::new(file)))?, watch);
            Ok(())
        })
    }

    /// Puts a view of the file as it is in the place of a writer that failed, so that reads go on.
    pub(crate) fn degrade(&self) -> Result<(), StoreError> {
        guarded(|| {
            let mut slot = self.slot_mut();
            *slot = Slot::Closed;
            *slot = Slot::View(self.view()?);
            Ok(())
        })
    }

    fn view(&self) -> Result<Database, StoreError> {
        let file = Overlay::new(self.volume.open(&self.path())?)?;
        database(self.caches.read_bytes, Boxed(Box::new(file)))
    }

    /// Runs `work` on the open writer. Readers go on meanwhile.
    pub(crate) fn with_writer<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        guarded(|| match &*self.slot() {
            Slot::Writer(database, _) => work(database),
            Slot::Gone => Err(StoreError::Gone),
            Slot::Closed | Slot::View(_) => {
                Err(StoreError::Io(format!("{} is not open for writing", self.path())))
            }
        })
    }

    /// Whether the file is open for writing.
    pub(crate) fn is_writer(&self) -> bool {
        matches!(*self.slot(), Slot::Writer(..))
    }

    /// What failed first on the file since it was opened for writing.
    pub(crate) fn failed_operation(&self) -> Option<FailedOperation> {
        match &*self.slot() {
            Slot::Writer(_, watch) => watch.failed(),
            _ => None,
        }
    }

    /// Runs `work` on the file, opening a view of it if it is closed. The file stays open. The caller guards what it
    /// does there.
    pub(crate) fn with_reader<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, E>,
    ) -> Result<T, E> {
        loop {
            match &*self.slot() {
                Slot::View(database) | Slot::Writer(database, _) => return work(database),
                Slot::Gone => return Err(StoreError::Gone.into()),
                Slot::Closed => {}
            }
            guarded(|| {
                let mut slot = self.slot_mut();
                if matches!(*slot, Slot::Closed) {
                    *slot = Slot::View(self.view()?);
                }
                Ok(())
            })?;
        }
    }

    /// Closes a view, if nobody reads at this moment; it opens again when it is needed.
    pub(crate) fn close_view(&self) {
        if let Ok(mut slot) = self.slot.try_write()
            && matches!(*slot, Slot::View(_))
        {
            *slot = Slot::Closed;
        }
    }

    /// Closes the file, whatever it is open for. Waits for those who read.
    pub(crate) fn close(&self) {
        let closed = guarded(|| {
            let mut slot = self.slot_mut();
            if !matches!(*slot, Slot::Gone) {
                *slot = Slot::Closed;
            }
            Ok(())
        });
        if let Err(error) = closed {
            tracing::error!(file = self.path(), %error, "closing a file failed");
        }
    }

    /// Goes on with the file at `path`, which is there and durable, and removes the present one.
    pub(crate) fn replace(&self, path: String) {
        let old = {
            let mut slot = self.slot_mut();
            *slot = Slot::Closed;
            std::mem::replace(
                &mut *self.path.lock().unwrap_or_else(PoisonError::into_inner),
                path,
            )
        };
        self.unlink(&old);
    }

    /// Goes on with the name `path`; the present file is left as it is.
    pub(crate) fn leave(&self, path: String) {
        *self.slot_mut() = Slot::Closed;
        *self.path.lock().unwrap_or_else(PoisonError::into_inner) = path;
    }

    /// Removes the file. Reads that began before are done when this returns, later ones find it gone.
    pub(crate) fn remove(&self) {
        *self.slot_mut() = Slot::Gone;
        self.unlink(&self.path());
    }

    fn unlink(&self, path: &str) {
        // If this fails the file is found unlisted, and removed, at the next start.
        if let Err(error) = self.volume.remove(path) {
            tracing::warn!(file = path, %error, "removing a file failed");
        }
    }
}

/// Opens or initializes a database.
fn database(cache_bytes: usize, file: Boxed) -> Result<Database, StoreError> {
    Ok(Builder::new()
        .set_cache_size(cache_bytes)
        .create_with_backend(file)?)
}
