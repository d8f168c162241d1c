//! From received bytes to the frames of one body.

use super::decode::exceeds;
use super::{BodyDecoder, BodyLimits, Last};
use foregate_message::{CHUNK_BYTES, Chunk, Fault, Frame, LARGE_CHUNK_BYTES};

/// So much of a body must be to come for its next piece to stay in the kernel.
const PASSABLE_BYTES_MIN: u64 = 32 * 1024;

/// So much of a tunnel must have come in one direction before what follows may stay in the kernel.
const PASSABLE_TUNNEL_BYTES_MIN: u64 = 128 * 1024;

/// Reads one body out of a connection's input, handing the buffer itself on wherever the body fills it.
#[derive(Debug)]
pub struct BodyReader {
    decoder: BodyDecoder,
    limits: BodyLimits,
    /// The end, found behind data that had to be handed out first.
    end: Option<Frame>,
}

impl BodyReader {
    /// A reader of the body that `decoder` knows the framing of.
    pub fn new(decoder: BodyDecoder, limits: BodyLimits) -> BodyReader {
        BodyReader {
            decoder,
            limits,
            end: None,
        }
    }

    /// Replaces the limit of the body's bytes, `None` for any number.
    pub fn limit(&mut self, bytes_max: Option<u64>) {
        self.limits.body_bytes_max = bytes_max;
    }

    /// Whether the body has ended, though its last frame may not have been taken yet.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.decoder.is_done()
    }

    /// Whether so much is still to come that a large buffer is worth it.
    #[inline]
    pub fn is_long(&self) -> bool {
        match self.decoder.remaining() {
            Some(remaining) => remaining > CHUNK_BYTES as u64,
            // Of unknown length, and long already.
            None => self.decoder.received() >= 2 * LARGE_CHUNK_BYTES as u64,
        }
    }

    /// How many bytes are still to come, when so many of them are nothing but data that they may stay in the kernel:
    /// nobody has to look at them, and fewer are read faster.
    #[inline]
    pub fn passable(&self) -> Option<u64> {
        // A tunnel is not limited, and has shown by then that it moves more than a chat.
        if self.is_tunnel() && self.decoder.received() >= PASSABLE_TUNNEL_BYTES_MIN {
            return Some(u64::MAX);
        }
        let remaining = self.decoder.remaining()?;
        let whole = self.decoder.received().saturating_add(remaining);
        (remaining >= PASSABLE_BYTES_MIN && !exceeds(whole, &self.limits)).then_some(remaining)
    }

    /// Whether it is one direction of a tunnel, which ends when its peer closes.
    #[inline]
    pub fn is_tunnel(&self) -> bool {
        self.decoder.is_tunnel()
    }

    /// Takes note of data that went past unseen: at most [`BodyReader::passable`] bytes.
    pub fn passed(&mut self, bytes: u64) {
        if self.decoder.pass(bytes) {
            self.end = Some(Frame::End);
        }
    }

    /// The next frame, or `None` when `input` holds none yet. What follows the body stays in `input`.
    ///
    /// # Errors
    /// The body is malformed or over a limit.
    #[inline]
    pub fn next(&mut self, input: &mut Chunk) -> Result<Option<Frame>, Fault> {
        if let Some(end) = self.end.take() {
            return Ok(Some(end));
        }
        let found = self.decoder.gather(input.as_mut_slice(), &self.limits)?;
        let end = match found.last {
            Last::Open => None,
            Last::End => Some(Frame::End),
            Last::Trailers(fields) => Some(Frame::Trailers(fields)),
        };
        if found.len == 0 {
            input.consume(found.consumed);
            return Ok(end);
        }
        self.end = end;
        let data = found.start..found.start + found.len;
        Ok(Some(Frame::Data(input.split(data, found.consumed))))
    }

    /// What the peer's closing means: the end of a body that lasts until then, or a truncation.
    ///
    /// # Errors
    /// [`Fault::Truncated`].
    pub fn at_eof(&mut self) -> Result<Frame, Fault> {
        if let Some(end) = self.end.take() {
            return Ok(end);
        }
        self.decoder.at_eof()?;
        Ok(Frame::End)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BodyLimits = BodyLimits {
        body_bytes_max: None,
        chunk_extension_bytes_max: 64,
        trailer_bytes_max: 256,
        trailer_fields_max: 8,
    };

    fn chunked() -> BodyReader {
        use crate::h1::{RequestFraming, request_framing};
        let mut head = foregate_message::RequestHead::with("POST", b"/");
        head.fields.append_line(b"Host", b"a");
        head.fields.append_line(b"Transfer-Encoding", b"chunked");
        let framing: RequestFraming = request_framing(&head).unwrap();
        BodyReader::new(BodyDecoder::for_request(&head, &framing), LIMITS)
    }

    #[test]
    fn chunks_become_one_piece_and_the_rest_stays() {
        let mut input = Chunk::copy_of(b"3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\nGET /");
        let mut reader = chunked();
        let Ok(Some(Frame::Data(data))) = reader.next(&mut input) else {
            panic!("data first");
        };
        assert_eq!(data.as_slice(), b"abcde");
        assert!(matches!(reader.next(&mut input), Ok(Some(Frame::End))));
        assert_eq!(input.as_slice(), b"GET /");
    }

    #[test]
    fn a_part_of_the_framing_waits_for_more() {
        let mut input = Chunk::copy_of(b"3\r\nabc\r\n2");
        let mut reader = chunked();
        assert!(matches!(reader.next(&mut input), Ok(Some(Frame::Data(_)))));
        assert!(matches!(reader.next(&mut input), Ok(None)));
        assert_eq!(reader.at_eof().unwrap_err(), Fault::Truncated);
    }
}
