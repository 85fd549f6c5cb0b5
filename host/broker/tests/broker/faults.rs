//! A volume for the log that fails when it is told to.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};

use redb::StorageBackend;
use weir_log::volume::{MemoryVolume, Volume};

const HEALTHY: u8 = 0;
const FULL: u8 = 1;
const CRASHED: u8 = 2;

/// Files in memory. Once it "crashes" nothing changes any more, as if the process had been killed at that moment; what was
/// written until then is there for whoever opens the same files again through [`FaultyVolume::after_crash`].
#[derive(Debug)]
pub(crate) struct FaultyVolume {
    files: Arc<MemoryVolume>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    fault: AtomicU8,
    /// Writes until the crash; negative: there is none to come.
    writes_left: AtomicI64,
}

impl FaultyVolume {
    pub(crate) fn new() -> Arc<Self> {
        Self::on(Arc::new(MemoryVolume::new()))
    }

    /// The files as they are, on a volume that works.
    pub(crate) fn after_crash(&self) -> Arc<Self> {
        Self::on(Arc::clone(&self.files))
    }

    fn on(files: Arc<MemoryVolume>) -> Arc<Self> {
        let state = State {
            fault: AtomicU8::new(HEALTHY),
            writes_left: AtomicI64::new(-1),
        };
        Arc::new(Self {
            files,
            state: Arc::new(state),
        })
    }

    /// From now on, or not any more, there is no room.
    pub(crate) fn set_full(&self, full: bool) {
        self.state
            .fault
            .store(if full { FULL } else { HEALTHY }, Ordering::SeqCst);
    }

    /// Crashes after so many further writes.
    pub(crate) fn crash_after(&self, writes: i64) {
        self.state.writes_left.store(writes, Ordering::SeqCst);
    }
}

impl State {
    fn change(&self) -> io::Result<()> {
        if self.writes_left.load(Ordering::SeqCst) >= 0
            && self.writes_left.fetch_sub(1, Ordering::SeqCst) == 0
        {
            self.fault.store(CRASHED, Ordering::SeqCst);
        }
        match self.fault.load(Ordering::SeqCst) {
            HEALTHY => Ok(()),
            FULL => Err(io::ErrorKind::StorageFull.into()),
            _ => Err(io::Error::other("the machine is gone")),
        }
    }
}

impl Volume for FaultyVolume {
    fn create(&self, path: &str) -> io::Result<Box<dyn StorageBackend>> {
        self.state.change()?;
        Ok(Box::new(FaultyFile {
            file: self.files.create(path)?,
            state: Arc::clone(&self.state),
        }))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(FaultyFile {
            file: self.files.open(path)?,
            state: Arc::clone(&self.state),
        }))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.state.change()?;
        self.files.remove(path)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.state.change()?;
        self.files.rename(from, to)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.files.list(folder)
    }

    fn make_folder(&self, folder: &str) -> io::Result<()> {
        self.state.change()?;
        self.files.make_folder(folder)
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        self.state.change()?;
        self.files.sync_folder(folder)
    }

    fn read_small(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.files.read_small(path)
    }

    fn write_small(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.state.change()?;
        self.files.write_small(path, bytes)
    }

    fn used_bytes(&self, path: &str) -> io::Result<u64> {
        self.files.used_bytes(path)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        if self.state.fault.load(Ordering::SeqCst) == FULL {
            Ok(0)
        } else {
            self.files.free_bytes()
        }
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Box<dyn StorageBackend>,
    state: Arc<State>,
}

impl StorageBackend for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.state.change()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.state.change()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.state.change()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}
