use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use weir_batch::{Batch, iter_batches};

use crate::descriptor::Op;
use crate::log::submit_control;
use crate::partition_state::PartitionState;
use crate::segment::{ReadFault, Selection};
use crate::shard::Shard;
use crate::store_error::StoreError;
use crate::{DamagedRange, LogError, PartitionConfig, PartitionId, PartitionStats, ReadError};

/// Bytes read at once while looking for a time.
const TIME_READ_BYTES: usize = 256 << 10;
/// The most that the records of a batch may take uncompressed when a time is looked for in it.
const UNCOMPRESSED_BYTES_MAX: usize = 256 << 20;
/// The most that one read gives, whatever is asked for, apart from a single batch that is larger.
const READ_BYTES_MAX: usize = 64 << 20;
/// Times that a read begins anew because the segment it went to was replaced or removed meanwhile.
const RETRIES_MAX: usize = 16;

/// A partition. A handle: cheap to clone, usable from any thread.
#[derive(Clone, Debug)]
pub struct Partition {
    state: Arc<PartitionState>,
    shard: Arc<Shard>,
}

/// What a read gives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fetched {
    /// Whole batches, one after the other. The first contains the offset asked for and may begin before it.
    pub batches: Bytes,
    /// The offset to read from next.
    pub next_offset: i64,
    /// The offset that is written next.
    pub high_watermark: i64,
    /// The first offset there is.
    pub log_start_offset: i64,
}

impl Partition {
    pub(crate) fn new(state: Arc<PartitionState>, shard: Arc<Shard>) -> Self {
        Self { state, shard }
    }

    /// Which partition this is.
    pub fn id(&self) -> PartitionId {
        self.state.id
    }

    /// The shard it belongs to.
    pub fn shard(&self) -> u16 {
        self.shard.id
    }

    /// The first offset that is kept.
    pub fn log_start_offset(&self) -> i64 {
        self.state.log_start()
    }

    /// The offset that is written next. Everything below it is committed.
    pub fn high_watermark(&self) -> i64 {
        self.state.end()
    }

    /// Follows the high watermark. It is closed when the topic is deleted or the log is closed.
    pub fn watch(&self) -> watch::Receiver<i64> {
        self.state.watch()
    }

    /// Offsets and size.
    pub fn stats(&self) -> PartitionStats {
        PartitionStats {
            id: self.state.id,
            log_start_offset: self.state.log_start(),
            high_watermark: self.state.end(),
            bytes: self.state.live_bytes(),
        }
    }

    /// The stretches of offsets, from the log start on, whose records were lost with a damaged file. Reading there is
    /// [`ReadError::Corrupt`], behind them it goes on.
    pub fn damaged(&self) -> Vec<DamagedRange> {
        self.state.damaged()
    }

    /// Changes what is kept.
    pub fn configure(&self, config: PartitionConfig) {
        *self.state.config() = config;
        self.shard.housekeeper.kick();
    }

    /// Batches from memory: never waits for a disk. `None` if the offset is not there, or not in memory; then
    /// [`read`](Self::read) knows. At the high watermark there is nothing, which is no batches.
    pub fn read_cached(&self, offset: i64, max_bytes: usize) -> Option<Fetched> {
        let (log_start, end) = self.bounds().ok()?;
        if offset < log_start || offset > end {
            return None;
        }
        if offset == end {
            return Some(self.fetched(Bytes::new(), offset));
        }
        let (batches, next_offset) = self.state.tail.read(offset, max_bytes)?;
        // What is in memory may be a moment ahead of what may be seen.
        (next_offset <= end).then(|| self.fetched(batches, next_offset))
    }

    /// Batches from memory or disk: up to `max_bytes` of whole batches, one at least. Blocks.
    ///
    /// # Errors
    ///
    /// [`ReadError`]. [`ReadError::Corrupt`] is about the batch at the offset asked for: damage further on is
    /// reported by the read that gets there.
    pub fn read(&self, offset: i64, max_bytes: usize) -> Result<Fetched, ReadError> {
        let max_bytes = max_bytes.min(READ_BYTES_MAX);
        for _ in 0..RETRIES_MAX {
            let (log_start, end) = self.bounds()?;
            if offset < log_start || offset > end {
                return Err(ReadError::OffsetOutOfRange {
                    requested: offset,
                    log_start,
                    high_watermark: end,
                });
            }
            if let Some(fetched) = self.read_cached(offset, max_bytes) {
                return Ok(fetched);
            }
            if let Some(lost) = self.state.damaged_at(offset) {
                return Err(self.corrupt(offset, lost.to_string()));
            }
            let Some(range) = self.state.range_at(offset) else {
                if self.bounds()? != (log_start, end) {
                    continue;
                }
                return Err(self.corrupt(offset, "no segment holds it".to_owned()));
            };
            let selection = Selection {
                partition: self.state.id,
                offset,
                end: range.end.min(end),
                max_bytes,
            };
            self.shard.open_segments.note(&range.segment);
            match range.segment.read(selection) {
                Ok((batches, next_offset)) => return Ok(self.fetched(batches.freeze(), next_offset)),
                // It was rewritten, or there is nothing live in it any more.
                Err(ReadFault::Store(StoreError::Gone)) => {}
                // The file does not even open.
                Err(ReadFault::Store(StoreError::Corrupt(what))) => return Err(self.corrupt(offset, what)),
                Err(ReadFault::Store(error)) => {
                    return Err(ReadError::Io {
                        what: error.to_string(),
                    });
                }
                Err(ReadFault::Damaged { offset, what }) => {
                    // What redb has in memory may be affected, too.
                    range.segment.file().close_view();
                    if self.bounds()?.0 > offset {
                        continue;
                    }
                    return Err(self.corrupt(offset, what));
                }
            }
        }
        Err(ReadError::Io {
            what: "the segment is replaced again and again".to_owned(),
        })
    }

    /// The first offset whose record is not older than `timestamp_ms` (milliseconds since 1970); `None` if all are.
    /// Blocks.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn offset_for_time(&self, timestamp_ms: i64) -> Result<Option<i64>, ReadError> {
        let (log_start, end) = self.bounds()?;
        let ranges = self.state.ranges().clone();
        for range in ranges.iter().filter(|range| range.max_timestamp >= timestamp_ms) {
            self.shard.open_segments.note(&range.segment);
            let index = match range.segment.partition_index(self.state.id) {
                Ok(index) => index,
                Err(StoreError::Gone) => continue,
                Err(StoreError::Corrupt(what)) => return Err(self.corrupt(range.base, what)),
                Err(error) => {
                    return Err(ReadError::Io {
                        what: error.to_string(),
                    });
                }
            };
            // An entry tells the latest time up to the next one.
            let entries = index.entries();
            let until = |at: usize| entries.get(at + 1).map_or(range.end, |next| next.base_offset);
            for (at, entry) in entries.iter().enumerate() {
                let until = until(at).min(end);
                if entry.max_timestamp < timestamp_ms || until <= log_start {
                    continue;
                }
                let from = entry.base_offset.max(log_start);
                if let Some(found) = self.search_time(from, until, log_start, timestamp_ms)? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// Looks for the time in the batches from `from` up to `until`.
    fn search_time(
        &self,
        from: i64,
        until: i64,
        log_start: i64,
        timestamp: i64,
    ) -> Result<Option<i64>, ReadError> {
        let mut offset = from;
        let mut scratch = Vec::new();
        while offset < until {
            let fetched = self.read(offset, TIME_READ_BYTES)?;
            for batch in iter_batches(&fetched.batches) {
                let (header, bytes) = batch.map_err(|error| self.corrupt(offset, error.to_string()))?;
                if header.max_timestamp < timestamp {
                    continue;
                }
                let corrupt =
                    |error: weir_batch::BatchError| self.corrupt(header.base_offset, error.to_string());
                if header.is_log_append_time() {
                    return Ok(Some(header.base_offset.max(log_start)));
                }
                let batch = Batch::parse_trusted(bytes).map_err(corrupt)?;
                let batch = batch
                    .decompress(&mut scratch, UNCOMPRESSED_BYTES_MAX)
                    .map_err(corrupt)?;
                let found = batch
                    .records()
                    .map_err(corrupt)?
                    .find(|record| record.offset() >= log_start && record.timestamp() >= timestamp)
                    .map(|record| record.offset());
                if found.is_some() {
                    return Ok(found);
                }
            }
            if fetched.next_offset <= offset {
                break;
            }
            offset = fetched.next_offset;
        }
        Ok(None)
    }

    /// Deletes the records below `before` (at most the high watermark) and returns the first offset that is left.
    /// Durable when this returns. Blocks.
    ///
    /// # Errors
    ///
    /// [`LogError::Append`].
    pub fn delete_records(&self, before: i64) -> Result<i64, LogError> {
        let offset = before.min(self.state.end());
        let partition = self.state.id;
        submit_control(&self.shard, Op::LogStart { partition, offset })?.wait()?;
        self.shard.housekeeper.kick();
        Ok(self.state.log_start())
    }

    /// Log start and high watermark, while there is something to read.
    fn bounds(&self) -> Result<(i64, i64), ReadError> {
        if self.shard.is_closed() {
            return Err(ReadError::Closed);
        }
        if self.state.is_gone() {
            return Err(ReadError::UnknownPartition);
        }
        Ok((self.state.log_start(), self.state.end()))
    }

    fn fetched(&self, batches: Bytes, next_offset: i64) -> Fetched {
        Fetched {
            batches,
            next_offset,
            high_watermark: self.state.end().max(next_offset),
            log_start_offset: self.state.log_start(),
        }
    }

    fn corrupt(&self, offset: i64, what: String) -> ReadError {
        ReadError::Corrupt {
            partition: self.state.id,
            offset,
            what,
        }
    }
}
