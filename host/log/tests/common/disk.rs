//! A disk in memory that records what is done to it, fails when it is told to, and knows what a power cut would leave.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;
use weir_log::volume::Volume;

const PAGE: usize = 4096;

/// Something that was done, in order.
#[derive(Clone, Debug)]
pub enum Op {
    Create(String),
    Write(String, u64, Vec<u8>),
    SetLen(String, u64),
    Sync(String),
    Remove(String),
    Rename(String, String),
    Small(String, Vec<u8>),
    SyncFolder(String),
    /// The test was told that so many of its entries are committed.
    Ack(usize),
}

/// What goes wrong, for files whose path contains the string.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    pub write: Option<(String, io::ErrorKind)>,
    pub sync: Option<String>,
    pub free_bytes: Option<u64>,
}

#[derive(Debug, Default)]
struct File {
    bytes: Vec<u8>,
    /// What a power cut leaves.
    durable: Vec<u8>,
    /// Pages written since the last fsync that worked.
    dirty: BTreeSet<usize>,
    /// Pages whose fsync failed: the system forgets that they were never written.
    lost: BTreeSet<usize>,
    named: bool,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Arc<Mutex<File>>>,
    ops: Vec<Op>,
    faults: Faults,
    failed: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<State>>);

impl Disk {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub fn faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// How often something went wrong.
    pub fn failed(&self) -> usize {
        self.state().failed
    }

    pub fn ack(&self, count: usize) {
        self.state().ops.push(Op::Ack(count));
    }

    pub fn ops(&self) -> Vec<Op> {
        self.state().ops.clone()
    }

    /// Does again what was recorded.
    pub fn redo(&self, op: &Op) {
        match op {
            Op::Create(path) => drop(self.create(path).unwrap()),
            Op::Write(path, offset, bytes) => self.handle(path).write(*offset, bytes).unwrap(),
            Op::SetLen(path, len) => self.handle(path).set_len(*len).unwrap(),
            Op::Sync(path) => self.handle(path).sync_data().unwrap(),
            Op::Remove(path) => self.remove(path).unwrap(),
            Op::Rename(from, to) => self.rename(from, to).unwrap(),
            Op::Small(path, bytes) => self.write_small(path, bytes).unwrap(),
            Op::SyncFolder(folder) => self.sync_folder(folder).unwrap(),
            Op::Ack(_) => {}
        }
    }

    /// The disk as the process that is killed now leaves it: what was written is there.
    pub fn killed(&self) -> Arc<Self> {
        self.copy(|file| Some(file.bytes.clone()))
    }

    /// The disk after a power cut: what was not synced is there, or not, as `keep` says page by page.
    pub fn power_cut(&self, mut keep: impl FnMut() -> bool) -> Arc<Self> {
        self.copy(|file| {
            if !file.named && !keep() {
                return None;
            }
            let mut bytes = file.durable.clone();
            if bytes.len() != file.bytes.len() && keep() {
                bytes.resize(file.bytes.len(), 0);
            }
            for &page in &file.dirty {
                let (from, to) = (page * PAGE, ((page + 1) * PAGE).min(file.bytes.len()));
                if to <= bytes.len() && from < to && keep() {
                    bytes[from..to].copy_from_slice(&file.bytes[from..to]);
                }
            }
            Some(bytes)
        })
    }

    fn copy(&self, mut bytes: impl FnMut(&File) -> Option<Vec<u8>>) -> Arc<Self> {
        let copy = Self::new();
        for (path, file) in &self.state().files {
            if let Some(bytes) = bytes(&file.lock().unwrap()) {
                let file = File {
                    durable: bytes.clone(),
                    bytes,
                    named: true,
                    ..File::default()
                };
                copy.state()
                    .files
                    .insert(path.clone(), Arc::new(Mutex::new(file)));
            }
        }
        copy
    }

    /// Changes a byte of a file behind everybody's back.
    pub fn damage(&self, path: &str, at: usize, mask: u8) {
        self.alter(path, |bytes| bytes[at] ^= mask);
    }

    /// Changes a file's bytes behind everybody's back.
    pub fn alter(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let file = self.state().files[path].clone();
        let mut file = file.lock().unwrap();
        change(&mut file.bytes);
        file.durable = file.bytes.clone();
    }

    pub fn paths(&self) -> Vec<(String, usize)> {
        let state = self.state();
        state
            .files
            .iter()
            .map(|(path, file)| (path.clone(), file.lock().unwrap().bytes.len()))
            .collect()
    }

    fn handle(&self, path: &str) -> Handle {
        let file = self.state().files[path].clone();
        Handle {
            disk: self.clone(),
            path: path.to_owned(),
            file,
        }
    }
}

impl Volume for Disk {
    fn create(&self, path: &str) -> io::Result<Box<dyn StorageBackend>> {
        self.fails(path)?;
        let mut state = self.state();
        if state.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.files.insert(path.to_owned(), Arc::default());
        state.ops.push(Op::Create(path.to_owned()));
        drop(state);
        Ok(Box::new(self.handle(path)))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn StorageBackend>> {
        if !self.state().files.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Box::new(self.handle(path)))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.state();
        state.files.remove(path).ok_or(io::ErrorKind::NotFound)?;
        state.ops.push(Op::Remove(path.to_owned()));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let file = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.files.insert(to.to_owned(), file);
        state.ops.push(Op::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let prefix = format!("{folder}/");
        Ok(self
            .state()
            .files
            .keys()
            .filter_map(|path| path.strip_prefix(&prefix).map(str::to_owned))
            .collect())
    }

    fn make_folder(&self, _folder: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let mut state = self.state();
        for (path, file) in &state.files {
            if path.starts_with(folder) {
                file.lock().unwrap().named = true;
            }
        }
        state.ops.push(Op::SyncFolder(folder.to_owned()));
        Ok(())
    }

    fn read_small(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self
            .state()
            .files
            .get(path)
            .map(|file| file.lock().unwrap().bytes.clone()))
    }

    fn write_small(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.fails(path)?;
        let mut state = self.state();
        let file = File {
            bytes: bytes.to_vec(),
            durable: bytes.to_vec(),
            named: true,
            ..File::default()
        };
        state.files.insert(path.to_owned(), Arc::new(Mutex::new(file)));
        state.ops.push(Op::Small(path.to_owned(), bytes.to_vec()));
        Ok(())
    }

    fn used_bytes(&self, path: &str) -> io::Result<u64> {
        let state = self.state();
        let file = state.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(file.lock().unwrap().bytes.len() as u64)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.state().faults.free_bytes.unwrap_or(u64::MAX))
    }
}

impl Disk {
    fn fails(&self, path: &str) -> io::Result<()> {
        let mut state = self.state();
        match state.faults.write.clone() {
            Some((which, kind)) if path.contains(&which) => {
                state.failed += 1;
                Err(kind.into())
            }
            _ => Ok(()),
        }
    }
}

#[derive(Debug)]
struct Handle {
    disk: Disk,
    path: String,
    file: Arc<Mutex<File>>,
}

impl Handle {
    fn note(&self, op: Op) {
        let mut state = self.disk.state();
        // What is done to a file that was removed leaves no trace.
        if state
            .files
            .get(&self.path)
            .is_some_and(|file| Arc::ptr_eq(file, &self.file))
        {
            state.ops.push(op);
        }
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.lock().unwrap().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let file = self.file.lock().unwrap();
        let from = offset as usize;
        let bytes = file
            .bytes
            .get(from..from + out.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.fails(&self.path)?;
        {
            let mut file = self.file.lock().unwrap();
            file.bytes.resize(len as usize, 0);
        }
        self.note(Op::SetLen(self.path.clone(), len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let fails = {
            let mut state = self.disk.state();
            let fails = state
                .faults
                .sync
                .as_ref()
                .is_some_and(|which| self.path.contains(which));
            state.failed += usize::from(fails);
            fails
        };
        {
            let mut file = self.file.lock().unwrap();
            let file = &mut *file;
            let dirty = std::mem::take(&mut file.dirty);
            if fails {
                file.lost.extend(dirty);
                return Err(io::Error::other("the disk does not answer"));
            }
            file.durable.resize(file.bytes.len(), 0);
            for page in dirty.difference(&file.lost) {
                let (from, to) = (page * PAGE, ((page + 1) * PAGE).min(file.bytes.len()));
                if from < to {
                    file.durable[from..to].copy_from_slice(&file.bytes[from..to]);
                }
            }
        }
        self.note(Op::Sync(self.path.clone()));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.fails(&self.path)?;
        {
            let mut file = self.file.lock().unwrap();
            let from = offset as usize;
            if file.bytes.len() < from + data.len() {
                file.bytes.resize(from + data.len(), 0);
            }
            file.bytes[from..from + data.len()].copy_from_slice(data);
            for page in from / PAGE..(from + data.len()).div_ceil(PAGE) {
                file.dirty.insert(page);
                file.lost.remove(&page);
            }
        }
        self.note(Op::Write(self.path.clone(), offset, data.to_vec()));
        Ok(())
    }
}
