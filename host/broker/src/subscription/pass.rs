//! One turn of a subscription's filter.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use weir_batch::{Batch, BatchError, BatchHeader, Codec, bitmap, iter_batches};

use crate::flow::{Bisect, Chain, ChainError, Culprit, FailedRecord, FlowWork, bisect};
use crate::subscription::{Filtered, sparse};
use crate::{BrokerError, ErrorKind};

/// A turn ends at the next batch after this time: others have theirs.
const SLICE: Duration = Duration::from_millis(100);
/// And when this many times the bytes that went in have come out, which only compressed batches bring about.
const AMPLIFICATION_MAX: usize = 4;

/// One turn of a subscription's filter, to be run on one of the threads for guests.
pub(super) struct FilterPass {
    pub(super) work: Arc<FlowWork>,
    pub(super) plugin: String,
    pub(super) topic: String,
    pub(super) partition: u32,
    pub(super) unpacked_bytes_max: usize,
    pub(super) batches: Bytes,
    pub(super) from: i64,
    pub(super) end: Option<i64>,
}

impl FilterPass {
    /// Runs it. Blocks on the guest.
    pub(super) fn run(self) -> Filtered {
        let mut made = Made {
            source: self.batches.clone(),
            whole: 0,
            rewritten: None,
            next_offset: self.from,
            covered: None,
        };
        let failure = match self.work.chain() {
            Ok(mut chain) => {
                let failure = self.run_batches(&mut chain, &mut made).err();
                self.work.rest(chain);
                failure
            }
            Err((plugin, error)) => {
                let message = format!("the filter {plugin} does not start any more: {error}");
                Some(BrokerError::new(ErrorKind::PluginFailed, message))
            }
        };
        made.finish(failure)
    }

    fn run_batches(&self, chain: &mut Chain, made: &mut Made) -> Result<(), BrokerError> {
        let began = Instant::now();
        let bytes_max = AMPLIFICATION_MAX * self.batches.len();
        let mut scratch = Vec::new();
        for item in iter_batches(&self.batches) {
            let (header, bytes) = item.map_err(|error| self.unreadable(made.next_offset, &error))?;
            if header.next_offset() <= self.from {
                made.advance(header.next_offset());
                continue;
            }
            let enough =
                made.next_offset > self.from && (began.elapsed() >= SLICE || made.bytes() > bytes_max);
            if enough || self.end.is_some_and(|end| header.base_offset >= end) {
                break;
            }
            if header.is_control() {
                made.keep_whole(header.next_offset(), bytes);
                continue;
            }
            self.run_batch(chain, &header, bytes, &mut scratch, made)?;
        }
        Ok(())
    }

    fn run_batch(
        &self,
        chain: &mut Chain,
        header: &BatchHeader,
        bytes: &[u8],
        scratch: &mut Vec<u8>,
        made: &mut Made,
    ) -> Result<(), BrokerError> {
        let unreadable = |error: BatchError| self.unreadable(header.base_offset, &error);
        let batch = Batch::parse_trusted(bytes).map_err(unreadable)?;
        let batch = match batch.codec() {
            Codec::None => batch,
            _ => batch
                .decompress(scratch, self.unpacked_bytes_max)
                .map_err(unreadable)?,
        };
        let mut first = 0;
        if header.base_offset < self.from {
            let records = batch.records().map_err(unreadable)?;
            first = records.take_while(|record| record.offset() < self.from).count();
        }
        let mut selection = Selection {
            chain,
            batch,
            kept: vec![0; bitmap::byte_len(batch.len())],
        };
        let culprit = bisect(&mut selection, first..batch.len()).err();
        let kept = selection.kept;
        // Where the records end that were judged.
        let next_offset = match &culprit {
            None => header.next_offset(),
            Some(culprit) => {
                let record = batch.records().map_err(unreadable)?.nth(culprit.index);
                record.map_or(header.base_offset, |record| record.offset())
            }
        };
        let count = bitmap::count_ones(&kept);
        if culprit.is_none() && count == batch.len() - first {
            // Records before the first one that is wanted are in a reader's way as little as they are without a filter.
            made.keep_whole(next_offset, bytes);
            return Ok(());
        }
        if count > 0 {
            let rewritten = sparse::keep(&batch, &kept, next_offset).map_err(unreadable)?;
            made.keep_rewritten(next_offset, &rewritten);
        }
        made.advance(next_offset);
        culprit.map_or(Ok(()), |culprit| Err(self.failed(next_offset, &culprit)))
    }

    fn failed(&self, offset: i64, culprit: &Culprit) -> BrokerError {
        let message = format!(
            "the filter {} fails at {}/{}@{offset}: {}; begin behind that record, or subscribe without the filter",
            culprit.plugin.as_deref().unwrap_or(&self.plugin),
            self.topic,
            self.partition,
            culprit.reason
        );
        BrokerError::new(ErrorKind::PluginFailed, message)
            .at_partition(self.partition)
            .at_offset(offset)
    }

    fn unreadable(&self, offset: i64, error: &BatchError) -> BrokerError {
        let message = format!(
            "a stored batch of {}/{} cannot be read for the filter: {error}",
            self.topic, self.partition
        );
        BrokerError::new(ErrorKind::CorruptMessage, message)
            .at_partition(self.partition)
            .at_offset(offset)
    }
}

/// The records of one batch that are kept.
struct Selection<'a> {
    chain: &'a mut Chain,
    batch: Batch<'a>,
    kept: Vec<u8>,
}

impl Bisect for Selection<'_> {
    type Halt = Culprit;

    fn attempt(&mut self, range: Range<usize>) -> Result<Result<(), ChainError>, Culprit> {
        Ok(self.chain.select(self.batch, range, &mut self.kept).map(drop))
    }

    fn blame(&mut self, culprit: Culprit) -> Result<(), Culprit> {
        Err(culprit)
    }

    fn stop(&mut self, record: FailedRecord) -> Culprit {
        Culprit {
            index: record.index,
            plugin: record.plugin,
            reason: record.reason,
            slow: false,
        }
    }

    fn lost(&mut self, reason: String) -> Culprit {
        Culprit {
            index: 0,
            plugin: None,
            reason,
            slow: false,
        }
    }
}

/// What has come out so far. As long as nothing is left out between two batches, it is a part of what went in.
struct Made {
    source: Bytes,
    /// Bytes at the beginning of the source that are kept as they are, while nothing was left out.
    whole: usize,
    rewritten: Option<BytesMut>,
    next_offset: i64,
    covered: Option<i64>,
}

impl Made {
    fn bytes(&self) -> usize {
        self.rewritten.as_ref().map_or(self.whole, BytesMut::len)
    }

    fn keep_whole(&mut self, next_offset: i64, bytes: &[u8]) {
        let begins = bytes.as_ptr() as usize - self.source.as_ptr() as usize;
        match &mut self.rewritten {
            None if begins == self.whole => self.whole += bytes.len(),
            _ => self.copy().extend_from_slice(bytes),
        }
        self.covered = Some(next_offset);
        self.advance(next_offset);
    }

    fn keep_rewritten(&mut self, next_offset: i64, bytes: &[u8]) {
        self.copy().extend_from_slice(bytes);
        self.covered = Some(next_offset);
        self.advance(next_offset);
    }

    /// Everything before `next_offset` is done.
    fn advance(&mut self, next_offset: i64) {
        self.next_offset = self.next_offset.max(next_offset);
    }

    fn copy(&mut self) -> &mut BytesMut {
        let whole = &self.source[..self.whole];
        self.rewritten.get_or_insert_with(|| BytesMut::from(whole))
    }

    fn finish(self, failure: Option<BrokerError>) -> Filtered {
        Filtered {
            batches: match self.rewritten {
                Some(bytes) => bytes.freeze(),
                None => self.source.slice(..self.whole),
            },
            next_offset: self.next_offset,
            covered: self.covered,
            failure,
        }
    }
}
