use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// redb's page size, and so the smallest thing it writes whole. The header is smaller and lies in the first page.
const PAGE_BYTES: u64 = 4096;

/// A file that is only ever read, under a database that insists on writing: what is written stays in memory and goes
/// away with the database. redb writes its header when it opens a file, and whatever repairing takes.
#[derive(Debug)]
pub(crate) struct Overlay {
    file: Box<dyn StorageBackend>,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    /// Length up to which the file's own bytes count.
    base_len: u64,
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl Overlay {
    pub(crate) fn new(file: Box<dyn StorageBackend>) -> io::Result<Self> {
        let len = file.len()?;
        Ok(Self {
            file,
            written: Mutex::new(Written {
                len,
                base_len: len,
                pages: BTreeMap::new(),
            }),
        })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file's bytes, zeros behind its end.
    fn read_base(&self, base_len: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = usize::try_from(base_len.saturating_sub(offset))
            .unwrap_or(usize::MAX)
            .min(out.len());
        let (file, behind) = out.split_at_mut(there);
        if !file.is_empty() {
            self.file.read(offset, file)?;
        }
        behind.fill(0);
        Ok(())
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written();
        let end = offset.saturating_add(out.len() as u64);
        if end > written.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let base_len = written.base_len;
        let first = offset / PAGE_BYTES;
        let pages: Vec<(u64, Vec<u8>)> = written
            .pages
            .range(first..end.div_ceil(PAGE_BYTES))
            .map(|(page, bytes)| (*page, bytes.to_vec()))
            .collect();
        drop(written);
        self.read_base(base_len, offset, out)?;
        for (page, bytes) in pages {
            let start = page * PAGE_BYTES;
            let from = start.max(offset);
            let to = (start + PAGE_BYTES).min(end);
            out[(from - offset) as usize..(to - offset) as usize]
                .copy_from_slice(&bytes[(from - start) as usize..(to - start) as usize]);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.written();
        if len < written.len {
            written.pages.split_off(&len.div_ceil(PAGE_BYTES));
            written.base_len = written.base_len.min(len);
        }
        written.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written();
        let (mut at, mut data) = (offset, data);
        while !data.is_empty() {
            let page = at / PAGE_BYTES;
            let within = (at % PAGE_BYTES) as usize;
            let count = data.len().min(PAGE_BYTES as usize - within);
            if !written.pages.contains_key(&page) {
                let mut bytes = vec![0; PAGE_BYTES as usize].into_boxed_slice();
                self.read_base(written.base_len, page * PAGE_BYTES, &mut bytes)?;
                written.pages.insert(page, bytes);
            }
            if let Some(bytes) = written.pages.get_mut(&page) {
                bytes[within..within + count].copy_from_slice(&data[..count]);
            }
            at += count as u64;
            data = &data[count..];
        }
        written.len = written.len.max(at);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{MemoryVolume, Volume};

    #[test]
    fn the_file_stays_as_it_is() {
        let volume = MemoryVolume::new();
        let file = volume.create("f").unwrap();
        file.set_len(3 * PAGE_BYTES).unwrap();
        file.write(0, &[7; 3 * PAGE_BYTES as usize]).unwrap();

        let overlay = Overlay::new(volume.open("f").unwrap()).unwrap();
        overlay.write(PAGE_BYTES - 2, &[1, 2, 3, 4]).unwrap();
        let mut out = [0; 6];
        overlay.read(PAGE_BYTES - 3, &mut out).unwrap();
        assert_eq!(out, [7, 1, 2, 3, 4, 7]);

        overlay.set_len(2 * PAGE_BYTES).unwrap();
        overlay.set_len(4 * PAGE_BYTES).unwrap();
        let mut out = [9; 2];
        overlay.read(2 * PAGE_BYTES - 1, &mut out).unwrap();
        assert_eq!(out, [7, 0]);
        assert!(overlay.read(4 * PAGE_BYTES, &mut out).is_err());

        let mut out = [0; 3 * PAGE_BYTES as usize];
        file.read(0, &mut out).unwrap();
        assert!(out.iter().all(|&byte| byte == 7));
    }
}
