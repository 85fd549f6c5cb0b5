//! From chunks of a stream to frames.

use bytes::{Buf, BufMut, BytesMut};

use crate::{
    FRAME_HEADER_LEN, FrameError, FrameHeader, FrameKind, MAX_BATCH_BYTES_CEILING, MAX_CONTROL_BYTES,
    MAX_RESPONSE_BYTES, RECORDS_HEADER_LEN,
};

/// Room that is made for a body before any of its bytes arrived. A header may lie about its length: a body over
/// this size gets its room as its bytes come in.
const TRUSTED_BODY_BYTES: usize = 128 * 1024;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The header; its length is `body.len()`, unless the frame is cut.
    pub header: FrameHeader,
    /// The bytes after the header, in one piece and in a buffer of their own.
    pub body: BytesMut,
}

impl Frame {
    /// Whether this is an oversized frame of which only the first bytes were kept, see
    /// [`FrameLimits::oversized_data_bytes_kept`].
    pub fn is_cut(&self) -> bool {
        self.body.len() < self.header.length as usize
    }

    /// What the frame carries.
    pub fn kind(&self) -> FrameKind {
        self.header.kind
    }
}

/// The largest bodies that a [`FrameDecoder`] accepts, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// For control frames.
    pub control_bytes_max: u32,
    /// For data frames, with their data header.
    pub data_bytes_max: u32,
    /// What becomes of a data frame that is larger, up to [`MAX_BATCH_BYTES_CEILING`]. `None`: an error. Otherwise the
    /// frame is passed over, and only so many of its first bytes are kept: enough to answer it and to go on.
    pub oversized_data_bytes_kept: Option<u32>,
}

impl FrameLimits {
    /// What a client accepts from its broker.
    pub const CLIENT: Self = Self {
        control_bytes_max: MAX_RESPONSE_BYTES,
        data_bytes_max: MAX_BATCH_BYTES_CEILING + RECORDS_HEADER_LEN as u32,
        oversized_data_bytes_kept: None,
    };

    /// What a broker accepts before it knows what a stream is for.
    pub const CONTROL: Self = Self {
        control_bytes_max: MAX_CONTROL_BYTES,
        data_bytes_max: 0,
        oversized_data_bytes_kept: None,
    };

    /// How many bytes of the frame's body are to be kept.
    fn kept(self, header: FrameHeader) -> Result<u32, FrameError> {
        let limit = if header.kind.is_data() {
            self.data_bytes_max
        } else {
            self.control_bytes_max
        };
        if header.length <= limit {
            return Ok(header.length);
        }
        match self.oversized_data_bytes_kept {
            Some(kept) if header.kind.is_data() && header.length <= MAX_BATCH_BYTES_CEILING => {
                Ok(kept.min(header.length))
            }
            _ => Err(FrameError::TooLarge {
                kind: header.kind,
                length: header.length,
                limit,
            }),
        }
    }
}

/// Cuts a stream of bytes into frames. Each byte of a body is copied once, into the buffer that the frame owns;
/// an oversized frame is an error before room is made for it.
#[derive(Debug)]
pub struct FrameDecoder {
    limits: FrameLimits,
    head: [u8; FRAME_HEADER_LEN],
    head_len: usize,
    current: Option<Partial>,
}

/// A frame whose header is known.
#[derive(Debug)]
struct Partial {
    header: FrameHeader,
    body: BytesMut,
    /// Bytes that belong into `body`.
    kept: usize,
    /// Bytes after those that have been passed over.
    skipped: usize,
}

impl Partial {
    fn skip_bytes(&self) -> usize {
        self.header.length as usize - self.kept
    }

    /// Takes bytes from `input`; true once the frame is whole.
    fn fill(&mut self, input: &mut impl Buf) -> bool {
        while self.body.len() < self.kept && input.has_remaining() {
            let chunk = input.chunk();
            let take = chunk.len().min(self.kept - self.body.len());
            make_room(&mut self.body, take, self.kept);
            self.body.put_slice(&chunk[..take]);
            input.advance(take);
        }
        if self.body.len() < self.kept {
            return false;
        }
        let pass = input.remaining().min(self.skip_bytes() - self.skipped);
        input.advance(pass);
        self.skipped += pass;
        self.skipped == self.skip_bytes()
    }
}

impl FrameDecoder {
    /// A decoder at the start of a frame.
    pub fn new(limits: FrameLimits) -> Self {
        Self {
            limits,
            head: [0; FRAME_HEADER_LEN],
            head_len: 0,
            current: None,
        }
    }

    /// Other limits, from the next frame on.
    pub fn set_limits(&mut self, limits: FrameLimits) {
        self.limits = limits;
    }

    /// Takes bytes from the front of `input`, at most up to the end of the current frame, and returns the frame
    /// once it is whole. `None` means that `input` is used up: call again with the next bytes.
    ///
    /// # Errors
    /// Any [`FrameError`] but [`FrameError::Truncated`]. After an error the decoder and its stream are of no use.
    pub fn decode(&mut self, input: &mut impl Buf) -> Result<Option<Frame>, FrameError> {
        if self.current.is_none() && !self.read_header(input)? {
            return Ok(None);
        }
        if !self.current.as_mut().is_some_and(|partial| partial.fill(input)) {
            return Ok(None);
        }
        Ok(self.current.take().map(|partial| Frame {
            header: partial.header,
            body: partial.body,
        }))
    }

    /// Whether the bytes so far end where a frame ends.
    pub fn is_between_frames(&self) -> bool {
        self.current.is_none() && self.head_len == 0
    }

    /// To be called when the stream ends.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] if it ended inside a frame.
    pub fn finish(&self) -> Result<(), FrameError> {
        match &self.current {
            Some(partial) => Err(FrameError::Truncated {
                have: partial.body.len() + partial.skipped,
                want: partial.header.length as usize,
            }),
            None if self.head_len > 0 => Err(FrameError::Truncated {
                have: self.head_len,
                want: FRAME_HEADER_LEN,
            }),
            None => Ok(()),
        }
    }

    /// Reads on in the header; true once it is whole and acceptable.
    fn read_header(&mut self, input: &mut impl Buf) -> Result<bool, FrameError> {
        let take = input.remaining().min(FRAME_HEADER_LEN - self.head_len);
        input.copy_to_slice(&mut self.head[self.head_len..self.head_len + take]);
        self.head_len += take;
        if self.head_len < FRAME_HEADER_LEN {
            return Ok(false);
        }
        let header = FrameHeader::decode(self.head)?;
        let kept = self.limits.kept(header)? as usize;
        self.head_len = 0;
        let body = BytesMut::with_capacity(kept.min(TRUSTED_BODY_BYTES));
        self.current = Some(Partial {
            header,
            body,
            kept,
            skipped: 0,
        });
        Ok(true)
    }
}

/// Room for `take` more bytes of a body of `want` bytes: four times what there is, so that little is copied again, but
/// never past the body's end. `BytesMut::reserve` would double a last step that needs a few bytes only.
fn make_room(body: &mut BytesMut, take: usize, want: usize) {
    if body.capacity() - body.len() >= take {
        return;
    }
    let grown = (body.capacity() * 4).max(body.len() + take).min(want);
    let mut larger = BytesMut::with_capacity(grown);
    larger.extend_from_slice(body);
    *body = larger;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(decoder: &FrameDecoder) -> usize {
        decoder
            .current
            .as_ref()
            .map_or(0, |partial| partial.body.capacity())
    }

    #[test]
    fn a_lying_length_gets_room_only_for_what_arrives() {
        let mut decoder = FrameDecoder::new(FrameLimits::CLIENT);
        let header = FrameHeader::new(FrameKind::Records, 60_000_000).encode();
        assert_eq!(decoder.decode(&mut &header[..]), Ok(None));
        assert!(room(&decoder) <= TRUSTED_BODY_BYTES);
        let chunk = [0; 1000];
        for arrived in 1..=10_000 {
            assert_eq!(decoder.decode(&mut &chunk[..]), Ok(None));
            assert!(room(&decoder) <= (4 * arrived * chunk.len()).max(TRUSTED_BODY_BYTES));
        }
    }

    #[test]
    fn a_body_never_gets_more_room_than_its_length() {
        let mut decoder = FrameDecoder::new(FrameLimits::CLIENT);
        let length = TRUSTED_BODY_BYTES + 10;
        let header = FrameHeader::new(FrameKind::Records, length as u32).encode();
        assert_eq!(decoder.decode(&mut &header[..]), Ok(None));
        assert_eq!(decoder.decode(&mut &vec![0; length - 1][..]), Ok(None));
        assert_eq!(room(&decoder), length);
    }
}
