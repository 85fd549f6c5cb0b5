use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use redb::StorageBackend;

use super::Volume;

/// Bytes allocated at a time. A file's holes take none.
const BLOCK_BYTES: usize = 64 << 10;

/// Files in memory.
#[derive(Debug, Default)]
pub struct MemoryVolume {
    files: Mutex<BTreeMap<String, Arc<MemoryFile>>>,
}

impl MemoryVolume {
    /// An empty volume.
    pub fn new() -> Self {
        Self::default()
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Arc<MemoryFile>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, path: &str) -> io::Result<Arc<MemoryFile>> {
        self.files().get(path).cloned().ok_or_else(not_found)
    }
}

impl Volume for MemoryVolume {
    fn create(&self, path: &str) -> io::Result<Box<dyn StorageBackend>> {
        let mut files = self.files();
        if files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = Arc::new(MemoryFile::default());
        files.insert(path.to_owned(), file.clone());
        Ok(Box::new(Handle(file)))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(Handle(self.file(path)?)))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.files().remove(path).map(drop).ok_or_else(not_found)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files();
        let file = files.remove(from).ok_or_else(not_found)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let prefix = format!("{folder}/");
        let names = self
            .files()
            .keys()
            .filter_map(|path| path.strip_prefix(&prefix).map(str::to_owned))
            .collect();
        Ok(names)
    }

    fn make_folder(&self, _folder: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, _folder: &str) -> io::Result<()> {
        Ok(())
    }

    fn read_small(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let Ok(file) = self.file(path) else {
            return Ok(None);
        };
        let mut bytes = vec![0; file.len()];
        file.read(0, &mut bytes)?;
        Ok(Some(bytes))
    }

    fn write_small(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let file = Arc::new(MemoryFile::default());
        file.set_len(bytes.len());
        file.write(0, bytes)?;
        self.files().insert(path.to_owned(), file);
        Ok(())
    }

    fn used_bytes(&self, path: &str) -> io::Result<u64> {
        Ok(self.file(path)?.used_bytes())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

#[derive(Debug)]
struct Handle(Arc<MemoryFile>);

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(position(offset)?, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(position(len)?);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(position(offset)?, data)
    }
}

fn position(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

#[derive(Debug, Default)]
struct MemoryFile(RwLock<Blocks>);

#[derive(Default)]
struct Blocks {
    len: usize,
    blocks: Vec<Option<Box<[u8]>>>,
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocks")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl MemoryFile {
    fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len
    }

    fn set_len(&self, len: usize) {
        let mut file = self.0.write().unwrap_or_else(PoisonError::into_inner);
        file.blocks.resize(len.div_ceil(BLOCK_BYTES), None);
        if len < file.len && !len.is_multiple_of(BLOCK_BYTES) {
            // What a later growth brings back has to be zeros.
            if let Some(Some(last)) = file.blocks.last_mut() {
                last[len % BLOCK_BYTES..].fill(0);
            }
        }
        file.len = len;
    }

    fn read(&self, offset: usize, out: &mut [u8]) -> io::Result<()> {
        let file = self.0.read().unwrap_or_else(PoisonError::into_inner);
        check(offset, out.len(), file.len)?;
        let (mut at, mut out) = (offset, out);
        while !out.is_empty() {
            let within = at % BLOCK_BYTES;
            let count = out.len().min(BLOCK_BYTES - within);
            let (now, rest) = out.split_at_mut(count);
            match &file.blocks[at / BLOCK_BYTES] {
                Some(block) => now.copy_from_slice(&block[within..within + count]),
                None => now.fill(0),
            }
            at += count;
            out = rest;
        }
        Ok(())
    }

    fn write(&self, offset: usize, data: &[u8]) -> io::Result<()> {
        let mut file = self.0.write().unwrap_or_else(PoisonError::into_inner);
        check(offset, data.len(), file.len)?;
        let (mut at, mut data) = (offset, data);
        while !data.is_empty() {
            let within = at % BLOCK_BYTES;
            let count = data.len().min(BLOCK_BYTES - within);
            let block =
                file.blocks[at / BLOCK_BYTES].get_or_insert_with(|| vec![0; BLOCK_BYTES].into_boxed_slice());
            block[within..within + count].copy_from_slice(&data[..count]);
            at += count;
            data = &data[count..];
        }
        Ok(())
    }

    fn used_bytes(&self) -> u64 {
        let file = self.0.read().unwrap_or_else(PoisonError::into_inner);
        (file.blocks.iter().flatten().count() * BLOCK_BYTES) as u64
    }
}

fn check(offset: usize, count: usize, len: usize) -> io::Result<()> {
    match offset.checked_add(count) {
        Some(end) if end <= len => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_take_nothing_and_read_as_zeros() {
        let volume = MemoryVolume::new();
        let file = volume.create("a/b").unwrap();
        file.set_len(10 * BLOCK_BYTES as u64).unwrap();
        assert_eq!(volume.used_bytes("a/b").unwrap(), 0);

        file.write(BLOCK_BYTES as u64 - 2, &[1, 2, 3, 4]).unwrap();
        assert_eq!(volume.used_bytes("a/b").unwrap(), 2 * BLOCK_BYTES as u64);
        let mut out = [9; 6];
        file.read(BLOCK_BYTES as u64 - 3, &mut out).unwrap();
        assert_eq!(out, [0, 1, 2, 3, 4, 0]);

        file.set_len(BLOCK_BYTES as u64 - 1).unwrap();
        file.set_len(BLOCK_BYTES as u64 + 4).unwrap();
        let mut out = [9; 4];
        file.read(BLOCK_BYTES as u64 - 2, &mut out).unwrap();
        assert_eq!(out, [1, 0, 0, 0]);
        assert!(file.read(BLOCK_BYTES as u64, &mut [0; 5]).is_err());
    }
}
