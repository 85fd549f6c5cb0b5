//! Headers of the data frames: what stands in front of the raw batches.

mod results;

use bytes::{BufMut, BytesMut};
use thiserror::Error;

use crate::{
    ControlError, FRAME_HEADER_LEN, FrameHeader, FrameKind, WireError, control::encode_body_into,
    decode_control,
};

pub use results::{RecordResults, RecordRun, Rejection};

/// Bytes of a [`ProduceHeader`].
pub const PRODUCE_HEADER_LEN: usize = 8;
/// Bytes of an [`Ack`] without an error.
pub const ACK_LEN: usize = 32;
/// Bytes of a [`RecordsHeader`].
pub const RECORDS_HEADER_LEN: usize = 24;

/// In front of the batch in a [`FrameKind::Produce`] frame: `[partition u32][reserved u32 = 0]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProduceHeader {
    /// The partition that the batch is for.
    pub partition: u32,
}

impl ProduceHeader {
    /// The frame header and this header of a batch of `batch_len` bytes: write them, then the batch.
    ///
    /// # Errors
    /// [`DataError::TooLarge`] if the frame would be longer than a frame can be.
    pub fn encode(self, batch_len: usize) -> Result<[u8; FRAME_HEADER_LEN + PRODUCE_HEADER_LEN], DataError> {
        let mut bytes = [0; FRAME_HEADER_LEN + PRODUCE_HEADER_LEN];
        bytes[..8].copy_from_slice(&data_frame(FrameKind::Produce, PRODUCE_HEADER_LEN, batch_len)?);
        bytes[8..12].copy_from_slice(&self.partition.to_be_bytes());
        Ok(bytes)
    }

    /// The header of a `Produce` frame's body. The batch is what follows: `body[PRODUCE_HEADER_LEN..]`.
    ///
    /// # Errors
    /// [`DataError::Short`] and [`DataError::ReservedBits`].
    pub fn decode(body: &[u8]) -> Result<Self, DataError> {
        let header: &[u8; PRODUCE_HEADER_LEN] = head(body, FrameKind::Produce)?;
        if header[4..] != [0; 4] {
            return Err(DataError::ReservedBits {
                kind: FrameKind::Produce,
            });
        }
        Ok(Self {
            partition: u32_at(header, 0),
        })
    }
}

/// The body of an [`FrameKind::Ack`] frame: `[error code u16][flags u16][partition u32][base offset i64]
/// [log start offset i64][reserved u64 = 0]`, and, if the error code is not zero, a [`WireError`] in CBOR; if it is zero and
/// flag bit 1 is set, [`RecordResults`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The partition of the `Produce` frame that is answered.
    pub partition: u32,
    /// Offset of the first record that is stored of the batch; -1 with an error.
    pub base_offset: i64,
    /// First offset that the partition still holds; -1 if not known.
    pub log_start_offset: i64,
    /// Whether the batch was there already (same producer, epoch and sequence): `base_offset` is that of the
    /// first time, and nothing was written.
    pub duplicate: bool,
    /// What became of each record, if not all are stored as they were sent, one behind the other from the base offset on.
    /// Only for a client that [asked](crate::OpenProduce::record_results) for it. Never with an error.
    pub records: Option<Box<RecordResults>>,
    /// Why the batch was not written.
    pub error: Option<WireError>,
}

/// Bit of an ack's flags: [`Ack::duplicate`].
const ACK_DUPLICATE: u16 = 1;
/// Bit of an ack's flags: [`Ack::records`] follow.
const ACK_RECORDS: u16 = 2;

impl Ack {
    /// The ack of a batch that was refused.
    pub fn refused(partition: u32, error: WireError) -> Self {
        Self {
            partition,
            base_offset: -1,
            log_start_offset: -1,
            duplicate: false,
            records: None,
            error: Some(error),
        }
    }

    /// Appends the whole frame to `out`.
    ///
    /// # Errors
    /// [`DataError::Control`] if the error does not fit into a control message.
    pub fn encode_into(&self, out: &mut BytesMut) -> Result<(), DataError> {
        let start = out.len();
        out.put_slice(&data_frame(FrameKind::Ack, ACK_LEN, 0)?);
        out.put_u16(self.error.as_ref().map_or(0, |error| error.code));
        let records = self.records.as_ref().filter(|_| self.error.is_none());
        let duplicate = if self.duplicate { ACK_DUPLICATE } else { 0 };
        out.put_u16(duplicate | if records.is_some() { ACK_RECORDS } else { 0 });
        out.put_u32(self.partition);
        out.put_i64(self.base_offset);
        out.put_i64(self.log_start_offset);
        out.put_u64(0);
        if let Some(records) = records {
            records.encode_into(out);
        } else if let Some(error) = &self.error {
            if let Err(error) = encode_body_into(error, out) {
                out.truncate(start);
                return Err(error.into());
            }
        } else {
            return Ok(());
        }
        let length =
            u32::try_from(out.len() - start - FRAME_HEADER_LEN).map_err(|_| DataError::TooLarge {
                kind: FrameKind::Ack,
                length: out.len(),
            })?;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    /// Reads the body of an `Ack` frame. Unknown flags are ignored.
    ///
    /// # Errors
    /// [`DataError::Short`], [`DataError::Control`] for an error that cannot be read, [`DataError::CodeMismatch`], and
    /// [`DataError::Results`].
    pub fn decode(body: &[u8]) -> Result<Self, DataError> {
        let header: &[u8; ACK_LEN] = head(body, FrameKind::Ack)?;
        let code = u16::from_be_bytes([header[0], header[1]]);
        let flags = u16::from_be_bytes([header[2], header[3]]);
        let tail = &body[ACK_LEN..];
        let mut records = None;
        let error = match (code, tail.is_empty()) {
            (0, _) if flags & ACK_RECORDS != 0 => {
                records = Some(Box::new(RecordResults::decode(tail)?));
                None
            }
            (0, true) => None,
            (0, false) => {
                return Err(DataError::Trailing {
                    kind: FrameKind::Ack,
                    len: tail.len(),
                });
            }
            (code, _) => {
                let error: WireError = decode_control(tail)?;
                if error.code != code {
                    return Err(DataError::CodeMismatch {
                        header: code,
                        body: error.code,
                    });
                }
                Some(error)
            }
        };
        Ok(Self {
            partition: u32_at(header, 4),
            base_offset: i64_at(header, 8),
            log_start_offset: i64_at(header, 16),
            duplicate: flags & ACK_DUPLICATE != 0,
            records,
            error,
        })
    }
}

/// In front of the batches in a [`FrameKind::Records`] frame: `[partition u32][flags u32][high watermark i64]
/// [log start offset i64]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordsHeader {
    /// The partition that the batches are from.
    pub partition: u32,
    /// The end noted when an `until_end` subscription was opened is reached: nothing more comes from this
    /// partition. The frame may be without batches.
    pub end_reached: bool,
    /// Offset after the last committed record, when the frame was made.
    pub high_watermark: i64,
    /// First offset that the partition still holds.
    pub log_start_offset: i64,
}

/// Bit of a records header's flags: [`RecordsHeader::end_reached`].
const RECORDS_END_REACHED: u32 = 1;

impl RecordsHeader {
    /// The frame header and this header of batches of `batches_len` bytes: write them, then the batches.
    ///
    /// # Errors
    /// [`DataError::TooLarge`] if the frame would be longer than a frame can be.
    pub fn encode(
        self,
        batches_len: usize,
    ) -> Result<[u8; FRAME_HEADER_LEN + RECORDS_HEADER_LEN], DataError> {
        let mut bytes = [0; FRAME_HEADER_LEN + RECORDS_HEADER_LEN];
        let flags = if self.end_reached { RECORDS_END_REACHED } else { 0 };
        bytes[..8].copy_from_slice(&data_frame(FrameKind::Records, RECORDS_HEADER_LEN, batches_len)?);
        bytes[8..12].copy_from_slice(&self.partition.to_be_bytes());
        bytes[12..16].copy_from_slice(&flags.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.high_watermark.to_be_bytes());
        bytes[24..].copy_from_slice(&self.log_start_offset.to_be_bytes());
        Ok(bytes)
    }

    /// The header of a `Records` frame's body. The batches are what follows: `body[RECORDS_HEADER_LEN..]`. Unknown flags
    /// are ignored.
    ///
    /// # Errors
    /// [`DataError::Short`].
    pub fn decode(body: &[u8]) -> Result<Self, DataError> {
        let header: &[u8; RECORDS_HEADER_LEN] = head(body, FrameKind::Records)?;
        Ok(Self {
            partition: u32_at(header, 0),
            end_reached: u32_at(header, 4) & RECORDS_END_REACHED != 0,
            high_watermark: i64_at(header, 8),
            log_start_offset: i64_at(header, 16),
        })
    }
}

/// A data frame whose header says something that cannot be.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The frame is shorter than its kind's header.
    #[error("a {kind:?} frame of {have} bytes is shorter than its header of {want} bytes")]
    Short {
        /// The frame's kind.
        kind: FrameKind,
        /// Bytes in the body.
        have: usize,
        /// Bytes that it has at least.
        want: usize,
    },
    /// A reserved field is not zero.
    #[error("reserved bits of a {kind:?} header are not zero")]
    ReservedBits {
        /// The frame's kind.
        kind: FrameKind,
    },
    /// Bytes follow where the frame should end.
    #[error("{len} bytes follow the end of a {kind:?} frame")]
    Trailing {
        /// The frame's kind.
        kind: FrameKind,
        /// Bytes too many.
        len: usize,
    },
    /// A frame cannot be this long.
    #[error("a {kind:?} frame cannot carry {length} bytes")]
    TooLarge {
        /// The frame's kind.
        kind: FrameKind,
        /// Bytes that it was to carry.
        length: usize,
    },
    /// An ack's header and its error differ.
    #[error("an ack's header says error {header}, its error says {body}")]
    CodeMismatch {
        /// The code in the header.
        header: u16,
        /// The code in the error.
        body: u16,
    },
    /// What an ack says of single records makes no sense.
    #[error("the results of single records in an ack make no sense: {what}")]
    Results {
        /// Why.
        what: &'static str,
    },
    /// The error of an ack cannot be read or written.
    #[error(transparent)]
    Control(#[from] ControlError),
}

fn data_frame(kind: FrameKind, header: usize, rest: usize) -> Result<[u8; FRAME_HEADER_LEN], DataError> {
    let length = u32::try_from(header + rest).map_err(|_| DataError::TooLarge { kind, length: rest })?;
    Ok(FrameHeader::new(kind, length).encode())
}

fn head<const N: usize>(body: &[u8], kind: FrameKind) -> Result<&[u8; N], DataError> {
    body.first_chunk().ok_or(DataError::Short {
        kind,
        have: body.len(),
        want: N,
    })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(value)
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    i64::from_be_bytes(value)
}
