//! Reading batches out of a segment. Nothing that is read here is believed.

use bytes::BytesMut;
use redb::{Database, ReadableDatabase};
use weir_batch::{BatchHeader, HEADER_LEN};

use super::{DATA, Segment};
use crate::PartitionId;
use crate::chunk::{Row, RowKey, parse_row_key, row_key};
use crate::store_error::{StoreError, guarded};

/// Where the bytes covered by a batch's CRC begin.
const CRC_FROM: usize = 21;
/// Most bytes reserved before anything is read.
const RESERVE_MAX: usize = 4 << 20;

/// What to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selection {
    pub(crate) partition: PartitionId,
    /// An offset in the first batch wanted.
    pub(crate) offset: i64,
    /// No batch from here on.
    pub(crate) end: i64,
    /// Most bytes, apart from a single batch that is larger.
    pub(crate) max_bytes: usize,
}

/// Why nothing was read.
#[derive(Clone, Debug)]
pub(crate) enum ReadFault {
    /// What is stored at `offset` is not what was written.
    Damaged {
        offset: i64,
        what: String,
    },
    Store(StoreError),
}

impl From<StoreError> for ReadFault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Segment {
    /// Whole batches, from the one that contains the selection's offset on, with the offset after the last. If damage
    /// is met behind good batches, those are returned, and the next read reports it.
    pub(crate) fn read(&self, selection: Selection) -> Result<(BytesMut, i64), ReadFault> {
        self.file.with_reader(|database| {
            // The first panic is the file's fault; the damage is where the read began.
            match guarded(|| Ok(read(database, selection))) {
                Ok(result) => result,
                Err(StoreError::Corrupt(what)) => Err(damaged(selection.offset, what)),
                Err(error) => Err(error.into()),
            }
        })
    }
}

fn read(database: &Database, selection: Selection) -> Result<(BytesMut, i64), ReadFault> {
    let partition = selection.partition;
    let store = |error: StoreError| match error {
        StoreError::Corrupt(what) => damaged(selection.offset, what),
        other => ReadFault::Store(other),
    };
    let txn = database.begin_read().map_err(|error| store(error.into()))?;
    let table = txn.open_table(DATA).map_err(|error| store(error.into()))?;

    // The row in which the batch begins is the last one with a key up to the offset.
    let low = row_key(partition, 0, 0);
    let high = row_key(partition, selection.offset, u32::MAX);
    let last = table
        .range::<&RowKey>(&low..=&high)
        .map_err(|error| store(error.into()))?
        .next_back()
        .transpose()
        .map_err(|error| store(error.into()))?;
    let Some((key, _)) = last else {
        return Err(damaged(selection.offset, "no row holds it"));
    };
    let (_, base_offset, _) = parse_row_key(key.value());
    drop(key);

    let low = row_key(partition, base_offset, 0);
    let high = row_key(partition, i64::MAX, u32::MAX);
    let mut rows = table
        .range::<&RowKey>(&low..=&high)
        .map_err(|error| store(error.into()))?;
    let mut assembler = None;
    loop {
        let fault = match rows.next() {
            None => damaged(selection.offset, "the rows end before the batch does"),
            Some(Err(error)) => store(error.into()),
            Some(Ok((key, value))) => {
                let (_, base_offset, part) = parse_row_key(key.value());
                let result = match Row::parse(value.value()) {
                    None => Err(damaged(selection.offset, "a row without a header")),
                    Some(row) => match &mut assembler {
                        None => Assembler::begin(selection, base_offset, part, row)
                            .map(|begun| assembler.insert(begun))
                            .and_then(Assembler::advance),
                        Some(assembler) => assembler
                            .add(base_offset, part, row)
                            .and_then(|()| assembler.advance()),
                    },
                };
                match result {
                    Ok(Progress::Done) => break,
                    Ok(Progress::More) => continue,
                    Err(fault) => fault,
                }
            }
        };
        match &assembler {
            Some(assembler) if assembler.checked > 0 => break,
            _ => return Err(fault),
        }
    }
    // Every way out of the loop without an assembler is an error.
    let Some(mut assembler) = assembler else {
        return Err(damaged(selection.offset, "nothing there"));
    };
    assembler.out.truncate(assembler.checked);
    Ok((assembler.out, assembler.expected))
}

fn damaged(offset: i64, what: impl Into<String>) -> ReadFault {
    ReadFault::Damaged {
        offset,
        what: what.into(),
    }
}

enum Progress {
    More,
    Done,
}

/// Puts the shares of a run together again and checks each batch.
struct Assembler {
    selection: Selection,
    out: BytesMut,
    /// Bytes of `out` that are whole, checked batches.
    checked: usize,
    /// Base offset of the batch that comes next.
    expected: i64,
    /// Leader epoch it has to have.
    epoch: i32,
    /// The last row.
    row: (i64, u32),
}

impl Assembler {
    /// Begins with the batch that contains the selection's offset and begins in this row.
    fn begin(selection: Selection, base_offset: i64, part: u32, row: Row<'_>) -> Result<Self, ReadFault> {
        let fault = |what: &str| Err(damaged(base_offset.max(0), what));
        if part != 0 || row.skip >= row.bytes.len() {
            return fault("a row that should begin a batch begins none");
        }
        let (mut at, mut expected) = (row.skip, base_offset);
        loop {
            let rest = &row.bytes[at..];
            if rest.is_empty() {
                return Err(damaged(selection.offset, "no batch holds it"));
            }
            // A header that is cut off belongs to the last batch that begins here, the one looked for.
            if rest.len() < HEADER_LEN {
                break;
            }
            let header = match BatchHeader::parse(rest) {
                Ok(header) => header,
                Err(error) => return fault(&error.to_string()),
            };
            if header.base_offset != expected {
                return fault("a batch with another offset");
            }
            if header.next_offset() > selection.offset {
                break;
            }
            if header.batch_len > rest.len() || header.last_offset_delta < 0 {
                return fault("a batch with an impossible length");
            }
            at += header.batch_len;
            expected = header.next_offset();
        }
        let reserve = selection.max_bytes.min(RESERVE_MAX);
        let mut out = BytesMut::with_capacity(reserve.max(row.bytes.len() - at));
        out.extend_from_slice(&row.bytes[at..]);
        Ok(Self {
            selection,
            out,
            checked: 0,
            expected,
            epoch: row.leader_epoch,
            row: (base_offset, part),
        })
    }

    /// Adds the next row.
    fn add(&mut self, base_offset: i64, part: u32, row: Row<'_>) -> Result<(), ReadFault> {
        let begun = self.out.len() - self.checked;
        let fits = if begun == 0 {
            self.epoch = row.leader_epoch;
            row.skip == 0 && part == 0 && base_offset == self.expected
        } else {
            let missing = match BatchHeader::parse(&self.out[self.checked..]) {
                Ok(header) => header.batch_len.saturating_sub(begun).min(row.bytes.len()),
                // The header is cut off as well: what it says is checked once it is whole.
                Err(_) => row.skip,
            };
            let goes_on = row.skip == row.bytes.len() && (base_offset, part) == (self.row.0, self.row.1 + 1);
            let begins = part == 0 && row.skip < row.bytes.len() && base_offset > self.expected;
            row.skip == missing && (goes_on || begins)
        };
        if !fits {
            return Err(damaged(self.expected, "a row is missing"));
        }
        self.row = (base_offset, part);
        self.out.extend_from_slice(row.bytes);
        // The batch that is begun keeps the epoch of its own row; the ones after it have that of this row, and a run
        // has one epoch.
        if begun > 0 && row.leader_epoch != self.epoch {
            return Err(damaged(self.expected, "the leader epoch changes within a run"));
        }
        Ok(())
    }

    /// Checks the batches that are whole.
    fn advance(&mut self) -> Result<Progress, ReadFault> {
        loop {
            if self.expected >= self.selection.end {
                return Ok(Progress::Done);
            }
            let rest = &self.out[self.checked..];
            if self.checked > 0 && self.checked >= self.selection.max_bytes {
                return Ok(Progress::Done);
            }
            if rest.len() < HEADER_LEN {
                return Ok(Progress::More);
            }
            let fault = |what: String| Err(damaged(self.expected, what));
            let header = match BatchHeader::parse(rest) {
                Ok(header) => header,
                Err(error) => return fault(error.to_string()),
            };
            if header.base_offset != self.expected {
                return fault(format!("a batch with offset {} in its place", header.base_offset));
            }
            if header.leader_epoch != self.epoch {
                return fault(format!(
                    "leader epoch {} instead of {}",
                    header.leader_epoch, self.epoch
                ));
            }
            if header.last_offset_delta < 0 {
                return fault("a batch without records".to_owned());
            }
            if self.checked > 0 && self.checked.saturating_add(header.batch_len) > self.selection.max_bytes {
                return Ok(Progress::Done);
            }
            let Some(batch) = rest.get(..header.batch_len) else {
                return Ok(Progress::More);
            };
            let crc = crc32c::crc32c(&batch[CRC_FROM..]);
            if crc != header.crc {
                return fault(format!("checksum {crc:08x} instead of {:08x}", header.crc));
            }
            self.checked += header.batch_len;
            self.expected = header.next_offset();
        }
    }
}
