//! What became of each record of a batch: the tail of an ack that has more to say than an offset.

use bytes::{BufMut, BytesMut};

use crate::{DataError, FrameKind};

/// What became of each record of a batch that the topic's ingest flow has not let in just as it was sent:
/// `[rejections u32][runs u32] rejection* run*`, where a rejection is `[error code u16][flags u16][length u32][reason, UTF-8]`
/// (flag bit 0: retriable) and a run is `[kind u8][records u32][a u32][b u32]`: kind 0 stored (a: first, b: each), 1 dropped
/// (0, 0), 2 rejected (a: rejection, 0).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordResults {
    /// All records of the batch, in order.
    pub runs: Vec<RecordRun>,
    /// Why records were rejected; runs say which.
    pub rejections: Vec<Rejection>,
}

/// Records one after the other that fared alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordRun {
    /// Each is stored as `each` records, those of the first one from `first` offsets behind the ack's base offset on.
    Stored {
        /// Records of the batch.
        records: u32,
        /// Where the first is, from the base offset on.
        first: u32,
        /// How many are stored of each.
        each: u32,
    },
    /// They are not stored, as the flow is meant to have it.
    Dropped {
        /// Records of the batch.
        records: u32,
    },
    /// They are refused.
    Rejected {
        /// Records of the batch.
        records: u32,
        /// Index of the rejection that says why.
        rejection: u32,
    },
}

/// Why a record is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Number of an [`ErrorCode`](crate::ErrorCode).
    pub code: u16,
    /// Whether the record may be taken when it is sent again later.
    pub retriable: bool,
    /// The plugin's words.
    pub reason: String,
}

const STORED: u8 = 0;
const DROPPED: u8 = 1;
const REJECTED: u8 = 2;
/// Bit of a rejection's flags.
const RETRIABLE: u16 = 1;
const RUN_LEN: usize = 13;
const REJECTION_HEAD_LEN: usize = 8;

impl RecordRun {
    /// Records of the batch.
    pub fn records(self) -> u32 {
        match self {
            Self::Stored { records, .. } | Self::Dropped { records } | Self::Rejected { records, .. } => {
                records
            }
        }
    }
}

impl RecordResults {
    /// How many records it speaks of.
    pub fn records(&self) -> u64 {
        self.runs.iter().map(|run| u64::from(run.records())).sum()
    }

    pub(super) fn encode_into(&self, out: &mut BytesMut) {
        out.put_u32(self.rejections.len() as u32);
        out.put_u32(self.runs.len() as u32);
        for rejection in &self.rejections {
            out.put_u16(rejection.code);
            out.put_u16(if rejection.retriable { RETRIABLE } else { 0 });
            out.put_u32(rejection.reason.len() as u32);
            out.put_slice(rejection.reason.as_bytes());
        }
        for run in &self.runs {
            let (kind, a, b) = match *run {
                RecordRun::Stored { first, each, .. } => (STORED, first, each),
                RecordRun::Dropped { .. } => (DROPPED, 0, 0),
                RecordRun::Rejected { rejection, .. } => (REJECTED, rejection, 0),
            };
            out.put_u8(kind);
            out.put_u32(run.records());
            out.put_u32(a);
            out.put_u32(b);
        }
    }

    /// # Errors
    /// [`DataError::Results`].
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DataError> {
        let mut input = Input(bytes);
        let (rejections, runs) = (input.u32()? as usize, input.u32()? as usize);
        // A count that lies reserves no more than the bytes that are there justify.
        let mut results = Self {
            rejections: Vec::with_capacity(rejections.min(bytes.len() / REJECTION_HEAD_LEN)),
            runs: Vec::with_capacity(runs.min(bytes.len() / RUN_LEN)),
        };
        for _ in 0..rejections {
            let (code, flags, len) = (input.u16()?, input.u16()?, input.u32()? as usize);
            let reason = str::from_utf8(input.take(len)?).map_err(|_| lie("a reason is no UTF-8"))?;
            results.rejections.push(Rejection {
                code,
                retriable: flags & RETRIABLE != 0,
                reason: reason.to_owned(),
            });
        }
        for _ in 0..runs {
            let kind = input.take(1)?[0];
            let (records, a, b) = (input.u32()?, input.u32()?, input.u32()?);
            let run = match kind {
                STORED => RecordRun::Stored {
                    records,
                    first: a,
                    each: b,
                },
                DROPPED => RecordRun::Dropped { records },
                REJECTED if (a as usize) < rejections => RecordRun::Rejected {
                    records,
                    rejection: a,
                },
                REJECTED => return Err(lie("a rejection that is not there is named")),
                _ => return Err(lie("a run is of an unknown kind")),
            };
            results.runs.push(run);
        }
        match input.0.len() {
            0 => Ok(results),
            len => Err(DataError::Trailing {
                kind: FrameKind::Ack,
                len,
            }),
        }
    }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], DataError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(lie("they end too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, DataError> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn u32(&mut self) -> Result<u32, DataError> {
        let bytes = self.take(4)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}

fn lie(what: &'static str) -> DataError {
    DataError::Results { what }
}
