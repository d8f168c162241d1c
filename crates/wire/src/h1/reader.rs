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
    /// The end, or what is wrong, found behind data that had to be handed out first. What is wrong stays.
    end: Option<Result<Frame, Fault>>,
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

    /// Whether a fault was found: the frame that was taken last, if any, is the last good one.
    #[inline]
    pub fn is_broken(&self) -> bool {
        matches!(self.end, Some(Err(_)))
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
            self.end = Some(Ok(Frame::End));
        }
    }

    /// The next frame, or `None` when `input` holds none yet. What follows the body stays in `input`.
    ///
    /// # Errors
    /// The body is malformed or over a limit, once all that is good has been taken.
    #[inline]
    pub fn next(&mut self, input: &mut Chunk) -> Result<Option<Frame>, Fault> {
        if self.end.is_some() {
            return self.take_end();
        }
        let found = self.decoder.gather(input.as_mut_slice(), &self.limits);
        let end = match found.last {
            Last::Open => None,
            Last::End => Some(Ok(Frame::End)),
            Last::Trailers(fields) => Some(Ok(Frame::Trailers(fields))),
            Last::Broken(fault) => Some(Err(fault)),
        };
        if found.len == 0 {
            input.consume(found.consumed);
            if let Some(Err(fault)) = end {
                self.end = Some(Err(fault));
            }
            return end.transpose();
        }
        self.end = end;
        let data = found.start..found.start + found.len;
        Ok(Some(Frame::Data(input.split(data, found.consumed))))
    }

    #[inline]
    fn take_end(&mut self) -> Result<Option<Frame>, Fault> {
        match self.end {
            Some(Err(fault)) => Err(fault),
            _ => self.end.take().transpose(),
        }
    }

    /// How many chunks came with hardly anything in them since this was last asked, for the sender's budget.
    #[inline]
    pub fn take_tiny_chunks(&mut self) -> u32 {
        self.decoder.take_tiny_chunks()
    }

    /// What the peer's closing means: the end of a body that lasts until then, or a truncation.
    ///
    /// # Errors
    /// [`Fault::Truncated`], or what is wrong with it otherwise.
    pub fn at_eof(&mut self) -> Result<Frame, Fault> {
        if let Some(end) = self.take_end()? {
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

    /// A backend that loses its thread in the middle of a read: what it said before that must not be lost.
    #[test]
    fn what_is_good_comes_before_what_is_wrong_and_that_stays() {
        let mut input = Chunk::copy_of(b"3\r\nabc\r\n2\r\nde\r\nzz\r\n1\r\nf\r\n0\r\n\r\n");
        let mut reader = chunked();
        let Ok(Some(Frame::Data(data))) = reader.next(&mut input) else {
            panic!("data first");
        };
        assert_eq!(data.as_slice(), b"abcde");
        assert!(reader.is_broken() && !reader.is_done());
        for _ in 0..2 {
            assert_eq!(reader.next(&mut input).unwrap_err(), Fault::ChunkSize);
            assert!(reader.is_broken());
        }
        assert_eq!(reader.at_eof().unwrap_err(), Fault::ChunkSize);

        let mut input = Chunk::copy_of(b"zz\r\n1\r\nf\r\n0\r\n\r\n");
        let mut reader = chunked();
        for _ in 0..2 {
            assert_eq!(reader.next(&mut input).unwrap_err(), Fault::ChunkSize);
        }
    }

    /// Whatever the reads cut, and when the body ends with the last of them.
    #[test]
    fn tiny_chunks_are_counted_once_and_the_last_one_is_none() {
        let body = b"1\r\na\r\n7;x\r\n1234567\r\n8\r\n12345678\r\n2\r\nbc\r\n0\r\n\r\n";
        for size in [1, 2, 7, body.len()] {
            let mut reader = chunked();
            let mut rest = Vec::new();
            let mut tiny = 0;
            for part in body.chunks(size) {
                rest.extend(part);
                let mut input = Chunk::copy_of(&rest);
                while let Some(Frame::Data(_)) = reader.next(&mut input).unwrap() {}
                rest = input.as_slice().to_vec();
                tiny += reader.take_tiny_chunks();
            }
            assert!(reader.is_done());
            assert_eq!(tiny, 3, "{size}");
            assert_eq!(reader.take_tiny_chunks(), 0);
        }
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
