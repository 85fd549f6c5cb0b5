//! From chunks of a stream to frames.

use bytes::{Buf, BufMut, BytesMut};

use crate::{
    FRAME_HEADER_LEN, FrameError, FrameHeader, FrameKind, MAX_BATCH_BYTES_CEILING, MAX_CONTROL_BYTES,
    MAX_RESPONSE_BYTES, RECORDS_HEADER_LEN,
};

/// Room that is made for a body before any of its bytes arrived. A header may lie about its length: a body over
/// this size gets its room as its bytes come in.
const TRUSTED_BODY_BYTES: usize = 128 * 1024;

/// One whole frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The header; its length is `body.len()`.
    pub header: FrameHeader,
    /// The bytes after the header, in one piece and in a buffer of their own.
    pub body: BytesMut,
}

impl Frame {
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
}

impl FrameLimits {
    /// What a client accepts from its broker.
    pub const CLIENT: Self = Self {
        control_bytes_max: MAX_RESPONSE_BYTES,
        data_bytes_max: MAX_BATCH_BYTES_CEILING + RECORDS_HEADER_LEN as u32,
    };

    /// What a broker accepts before it knows what a stream is for.
    pub const CONTROL: Self = Self {
        control_bytes_max: MAX_CONTROL_BYTES,
        data_bytes_max: 0,
    };

    fn check(self, header: FrameHeader) -> Result<(), FrameError> {
        let limit = if header.kind.is_data() {
            self.data_bytes_max
        } else {
            self.control_bytes_max
        };
        if header.length > limit {
            return Err(FrameError::TooLarge {
                kind: header.kind,
                length: header.length,
                limit,
            });
        }
        Ok(())
    }
}

/// Cuts a stream of bytes into frames. Each byte of a body is copied once, into the buffer that the frame owns;
/// an oversized frame is an error before room is made for it.
#[derive(Debug)]
pub struct FrameDecoder {
    limits: FrameLimits,
    head: [u8; FRAME_HEADER_LEN],
    head_len: usize,
    current: Option<(FrameHeader, BytesMut)>,
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

    /// Other limits, from the next frame header on.
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
        let Some((header, body)) = &mut self.current else {
            return Ok(None);
        };
        let want = header.length as usize;
        while body.len() < want && input.has_remaining() {
            let chunk = input.chunk();
            let take = chunk.len().min(want - body.len());
            make_room(body, take, want);
            body.put_slice(&chunk[..take]);
            input.advance(take);
        }
        if body.len() < want {
            return Ok(None);
        }
        Ok(self.current.take().map(|(header, body)| Frame { header, body }))
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
            Some((header, body)) => Err(FrameError::Truncated {
                have: body.len(),
                want: header.length as usize,
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
        self.limits.check(header)?;
        self.head_len = 0;
        let room = (header.length as usize).min(TRUSTED_BODY_BYTES);
        self.current = Some((header, BytesMut::with_capacity(room)));
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
        decoder.current.as_ref().map_or(0, |(_, body)| body.capacity())
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
