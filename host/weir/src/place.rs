//! Folders and the disks they are on.

use std::path::Path;

/// `TMPFS_MAGIC` and `RAMFS_MAGIC` of statfs(2).
const MEMORY_FILE_SYSTEMS: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// Whether a folder is in memory, where fsync costs nothing.
pub(crate) fn in_memory(dir: &Path) -> bool {
    // The type's width and sign differ between platforms; the magic numbers have 32 bits.
    rustix::fs::statfs(dir).is_ok_and(|fs| MEMORY_FILE_SYSTEMS.contains(&(fs.f_type as u64 & 0xffff_ffff)))
}

/// Bytes that the files under `dir` take on the disk (blocks, not lengths: a hole takes nothing).
pub(super) fn disk_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;

    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => disk_bytes(&entry.path()),
        Ok(meta) => meta.blocks() * 512,
        Err(_) => 0, // it was removed meanwhile
    };
    entries.flatten().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_takes_what_its_files_take() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a/b"), vec![1; 100_000]).unwrap();
        assert!((100_000..200_000).contains(&disk_bytes(dir.path())));
        assert_eq!(disk_bytes(&dir.path().join("none")), 0);
        assert!(in_memory(Path::new("/dev/shm")) || !Path::new("/dev/shm").exists());
    }
}
