//! What is done to a batch before it may enter the log.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};
use weir_batch::{Batch, BatchBuilder, BatchError, BatchHeader, Codec, set_producer};

use crate::topic::{Compression, TimestampType, TopicConfig};
use crate::{BrokerError, ErrorKind};

/// Bit 3 of the attributes: the records' time is that of appending.
const LOG_APPEND_TIME: i16 = 0x08;
const ATTRIBUTES: std::ops::Range<usize> = 21..23;
const MAX_TIMESTAMP: std::ops::Range<usize> = 35..43;
/// A thread keeps a scratch buffer of this size; what a rare large batch needs beyond it is given back.
const SCRATCH_BYTES_KEPT: usize = 2 * 1024 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Whether [`admit`] takes long: a batch to be unpacked, or packed, of some size. What it says of bytes that are no batch
/// does not matter.
pub(crate) fn is_work(bytes: &[u8], config: &TopicConfig) -> bool {
    /// What so many bytes unpack to is done sooner than another thread takes it over.
    const BYTES_MIN: usize = 4096;
    let Ok(header) = BatchHeader::parse(bytes) else {
        return false;
    };
    let wanted = match config.compression {
        Compression::Codec(codec) => codec,
        Compression::Producer => Codec::None,
    };
    bytes.len() >= BYTES_MIN && (header.codec() != Ok(Codec::None) || wanted != Codec::None)
}

/// Checks a batch that a client wants to append, and makes it what the topic asks for: codec, time of appending.
///
/// `unpacked_bytes_max` bounds what the records of a compressed batch may unpack to; `now_ms` is in milliseconds since
/// 1970.
///
/// # Errors
/// [`ErrorKind::MessageTooLarge`], [`ErrorKind::CorruptMessage`], [`ErrorKind::InvalidRecord`],
/// [`ErrorKind::UnsupportedCompression`].
pub(crate) fn admit(
    bytes: BytesMut,
    config: &TopicConfig,
    unpacked_bytes_max: usize,
    now_ms: i64,
) -> Result<BytesMut, BrokerError> {
    check_size(bytes.len(), config)?;
    let batch = Batch::parse(&bytes).map_err(parse_error)?;
    let behind = bytes.len() - batch.as_bytes().len();
    if behind > 0 {
        let message = format!("{behind} bytes follow the batch: send one batch at a time");
        return Err(BrokerError::new(ErrorKind::InvalidRecord, message));
    }
    check_header(batch.header())?;
    let wanted = match config.compression {
        Compression::Codec(codec) if codec != batch.codec() => Some(codec),
        _ => None,
    };
    let repacked = if batch.codec() == Codec::None && wanted.is_none() {
        None
    } else {
        with_scratch(|scratch| {
            let unpacked = batch
                .decompress(scratch, unpacked_bytes_max)
                .map_err(parse_error)?;
            wanted.map(|codec| repack(&unpacked, codec)).transpose()
        })?
    };
    let mut bytes = match repacked {
        None => bytes,
        Some(repacked) => {
            check_size(repacked.len(), config)?;
            repacked
        }
    };
    if config.timestamp_type == TimestampType::LogAppendTime {
        stamp_append_time(&mut bytes, now_ms).map_err(parse_error)?;
    }
    Ok(bytes)
}

/// Gives all records of the batch the time of appending, and sets the CRC anew.
pub(crate) fn stamp_append_time(batch: &mut [u8], now_ms: i64) -> Result<(), BatchError> {
    let header = BatchHeader::parse(batch)?;
    batch[ATTRIBUTES].copy_from_slice(&(header.attributes | LOG_APPEND_TIME).to_be_bytes());
    batch[MAX_TIMESTAMP].copy_from_slice(&now_ms.to_be_bytes());
    // Writes what is there already; it is the CRC that has to be computed.
    set_producer(
        batch,
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
    )
}

fn check_size(bytes: usize, config: &TopicConfig) -> Result<(), BrokerError> {
    let max = config.message_bytes_max;
    if bytes <= max {
        return Ok(());
    }
    let message = format!(
        "the batch has {bytes} bytes and the topic takes {max}: send smaller batches, or raise the topic's \
         max.message.bytes"
    );
    Err(BrokerError::new(ErrorKind::MessageTooLarge, message))
}

fn check_header(header: &BatchHeader) -> Result<(), BrokerError> {
    let what = if header.is_control() {
        "control batches are the broker's own"
    } else if header.is_transactional() {
        "transactions are not there yet: send batches without the transactional bit"
    } else if header.is_log_append_time() {
        "a producer does not say when a batch is appended: send it with the time of creation"
    } else if header.has_producer() && (header.producer_epoch < 0 || header.base_sequence < 0) {
        "a batch with a producer id needs an epoch and a base sequence"
    } else {
        return Ok(());
    };
    Err(BrokerError::new(ErrorKind::InvalidRecord, what))
}

fn parse_error(error: BatchError) -> BrokerError {
    let kind = match error {
        BatchError::UnknownCodec { .. } | BatchError::UnsupportedCodec { .. } => {
            ErrorKind::UnsupportedCompression
        }
        BatchError::DecompressedTooLarge { .. } => ErrorKind::MessageTooLarge,
        BatchError::InvalidRecordCount { .. } | BatchError::InvalidRecord { .. } | BatchError::Empty => {
            ErrorKind::InvalidRecord
        }
        _ => ErrorKind::CorruptMessage,
    };
    BrokerError::new(kind, format!("the batch is refused: {error}"))
}

/// The records of `batch`, which is not compressed, compressed with `codec`.
fn repack(batch: &Batch<'_>, codec: Codec) -> Result<BytesMut, BrokerError> {
    let header = batch.header();
    let mut builder = BatchBuilder::new().codec(codec).producer(
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
    );
    for record in batch.records().map_err(parse_error)? {
        builder
            .push_tail(record.timestamp(), record.tail())
            .map_err(parse_error)?;
    }
    let bytes = builder.finish().map_err(parse_error)?;
    Ok(BytesMut::from(Bytes::from(bytes)))
}

fn with_scratch<T>(f: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        let result = f(scratch);
        if scratch.capacity() > SCRATCH_BYTES_KEPT {
            *scratch = Vec::new();
        }
        result
    })
}

#[cfg(test)]
mod tests;
