//! The disk alone: appends with fdatasync, and redb commits.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use redb::{Database, TableDefinition};

use crate::cli::Failure;
use crate::stats::Times;

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("values");

/// A file is begun anew when it has this many bytes: the disk needs no more room than that.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// One way of writing, measured.
pub(super) struct Writes {
    pub(super) times: Times,
    pub(super) mb_per_s: f64,
}

/// A plain file that grows by appends, each followed by fdatasync.
pub(super) struct PlainFile {
    file: File,
    block: Vec<u8>,
    len: u64,
}

impl PlainFile {
    /// `bytes`: of one append.
    pub(super) fn create(dir: &Path, bytes: usize) -> Result<Self, Failure> {
        let path = dir.join(format!("append-{bytes}"));
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(path)?;
        let text = crate::flights::lines()?;
        let block = text.iter().copied().cycle().take(bytes).collect();
        Ok(Self { file, block, len: 0 })
    }

    /// One append and fdatasync.
    pub(super) fn append(&mut self) -> Result<Duration, Failure> {
        if self.len + self.block.len() as u64 > FILE_BYTES_MAX {
            std::io::Seek::rewind(&mut self.file)?;
            self.file.set_len(0)?;
            self.file.sync_all()?;
            self.len = 0;
        }
        let begun = Instant::now();
        self.file.write_all(&self.block)?;
        self.file.sync_data()?;
        self.len += self.block.len() as u64;
        Ok(begun.elapsed())
    }

    /// Appends for `time`.
    pub(super) fn append_for(&mut self, time: Duration) -> Result<Writes, Failure> {
        let bytes = self.block.len();
        measure(time, bytes, || self.append())
    }
}

/// A redb database that gets one commit after the other.
pub(super) struct RedbFile {
    db: Database,
    value: Vec<u8>,
    values_per_commit: u64,
    next: u64,
    quick_repair: bool,
}

impl RedbFile {
    /// `value_bytes` of one value, `values_per_commit` of them in one fsynced transaction.
    pub(super) fn create(
        dir: &Path,
        value_bytes: usize,
        values_per_commit: u64,
        quick_repair: bool,
    ) -> Result<Self, Failure> {
        let path = dir.join(format!("redb-{value_bytes}-{values_per_commit}-{quick_repair}"));
        let db = Database::create(path).map_err(redb_failure)?;
        let text = crate::flights::lines()?;
        let value = text.iter().copied().cycle().take(value_bytes).collect();
        Ok(Self {
            db,
            value,
            values_per_commit,
            next: 0,
            quick_repair,
        })
    }

    fn commit(&mut self) -> Result<Duration, Failure> {
        let begun = Instant::now();
        let mut transaction = self.db.begin_write().map_err(redb_failure)?;
        transaction.set_quick_repair(self.quick_repair);
        {
            let mut table = transaction.open_table(TABLE).map_err(redb_failure)?;
            for _ in 0..self.values_per_commit {
                table
                    .insert(self.next, self.value.as_slice())
                    .map_err(redb_failure)?;
                self.next += 1;
            }
        }
        transaction.commit().map_err(redb_failure)?;
        Ok(begun.elapsed())
    }

    /// Commits for `time`, or until the file is as large as one may become here.
    pub(super) fn commit_for(&mut self, time: Duration) -> Result<Writes, Failure> {
        let bytes = self.value.len() * usize::try_from(self.values_per_commit).unwrap_or(usize::MAX);
        measure(time, bytes, || self.commit())
    }
}

fn measure(
    time: Duration,
    bytes: usize,
    mut write: impl FnMut() -> Result<Duration, Failure>,
) -> Result<Writes, Failure> {
    let mut times = Times::new();
    let mut total = Duration::ZERO;
    let mut written = 0_u64;
    while total < time && written + (bytes as u64) <= 4 * FILE_BYTES_MAX {
        let took = write()?;
        times.record(took);
        total += took;
        written += bytes as u64;
    }
    Ok(Writes {
        times,
        mb_per_s: written as f64 / 1e6 / total.as_secs_f64(),
    })
}

fn redb_failure(error: impl std::fmt::Display) -> Failure {
    Failure::new(
        format!("redb cannot write: {error}"),
        "check the disk of --data-dir",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_writing_gives_figures() {
        let dir = tempfile::tempdir().unwrap();
        let time = Duration::from_millis(5);
        let plain = PlainFile::create(dir.path(), 4096)
            .unwrap()
            .append_for(time)
            .unwrap();
        assert!(plain.times.len() > 0 && plain.mb_per_s > 0.0);
        for quick_repair in [false, true] {
            let redb = RedbFile::create(dir.path(), 1100, 3, quick_repair)
                .unwrap()
                .commit_for(time)
                .unwrap();
            assert!(redb.times.len() > 0 && redb.mb_per_s > 0.0);
        }
    }
}
