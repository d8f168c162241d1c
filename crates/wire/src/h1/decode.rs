//! Bodies: from bytes to data, trailers and an end (RFC 9112 §6, §7).

use super::chunked::ChunkedDecoder;
use super::framing::{RequestFraming, ResponseFraming};
use super::trailers::TrailersOf;
use foregate_message::{BodyLength, Fault, FieldId, Fields, RequestHead, ResponseHead};

/// How large a body, and what frames it, may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BodyLimits {
    /// Bytes of data; `None` for no limit.
    pub body_bytes_max: Option<u64>,
    /// Bytes of chunk extensions in the whole body.
    pub chunk_extension_bytes_max: usize,
    /// Bytes of the trailer section.
    pub trailer_bytes_max: usize,
    /// Lines of the trailer section.
    pub trailer_fields_max: usize,
}

/// What comes next in a body.
#[derive(Debug)]
pub enum Decoded {
    /// More input is needed.
    More {
        /// Bytes of input that were framing and are to be dropped.
        consumed: usize,
    },
    /// Data stands in `input[skip..skip + len]`; the caller drops `skip + len` bytes once it is used. Never empty.
    Data {
        /// Bytes of framing before it.
        skip: usize,
        /// Bytes of data.
        len: usize,
    },
    /// The trailer section, which ends the body.
    Trailers {
        /// Bytes of input to drop.
        consumed: usize,
        /// The trailers; never none.
        fields: Box<Fields>,
    },
    /// The body is complete.
    End {
        /// Bytes of input to drop.
        consumed: usize,
    },
}

/// How a body ended.
#[derive(Debug)]
pub enum Last {
    /// It has not ended yet.
    Open,
    /// It is complete.
    End,
    /// It is complete, with trailers.
    Trailers(Box<Fields>),
    /// It breaks a rule or a limit. Nothing may be decoded afterwards.
    Broken(Fault),
}

/// What [`BodyDecoder::gather`] found: data in `buffer[start..start + len]`, after which `consumed` bytes are to be
/// dropped from the front of what the buffer held.
#[derive(Debug)]
pub struct Gathered {
    /// Where the data begins.
    pub start: usize,
    /// How much there is; 0 when only framing came.
    pub len: usize,
    /// Bytes of the buffer that are used up, data and framing together.
    pub consumed: usize,
    /// Whether that was all.
    pub last: Last,
}

#[derive(Debug)]
enum Form {
    /// The body is over, or there never was one.
    Done,
    Known {
        remaining: u64,
    },
    Chunked(ChunkedDecoder),
    UntilClose,
    Tunnel,
}

/// The receiving side of one body.
///
/// ```text
///            Known ──── last byte ────┐
/// for_… ───► Chunked ── last chunk ───┼──► Done
///            UntilClose, Tunnel ─ eof ┘
/// ```
#[derive(Debug)]
pub struct BodyDecoder {
    form: Form,
    received: u64,
    /// Chunks with hardly anything in them, of which nobody has taken note yet.
    tiny_chunks: u32,
}

impl BodyDecoder {
    const fn of(form: Form) -> BodyDecoder {
        BodyDecoder {
            form,
            received: 0,
            tiny_chunks: 0,
        }
    }

    /// The decoder of a request's body.
    pub fn for_request(_head: &RequestHead, framing: &RequestFraming) -> BodyDecoder {
        BodyDecoder::of(match framing.length {
            BodyLength::Empty | BodyLength::Bare | BodyLength::Known(0) => Form::Done,
            BodyLength::Known(remaining) => Form::Known { remaining },
            BodyLength::Unknown => Form::Chunked(ChunkedDecoder::new(TrailersOf::Request)),
            BodyLength::Tunnel => Form::Tunnel,
        })
    }

    /// The decoder of a response's body.
    pub fn for_response(head: &ResponseHead, framing: &ResponseFraming) -> BodyDecoder {
        BodyDecoder::of(match framing.length {
            BodyLength::Empty | BodyLength::Bare | BodyLength::Known(0) => Form::Done,
            BodyLength::Known(remaining) => Form::Known { remaining },
            BodyLength::Unknown if head.fields.has(FieldId::TransferEncoding) => {
                Form::Chunked(ChunkedDecoder::new(TrailersOf::Answer))
            }
            BodyLength::Unknown => Form::UntilClose,
            BodyLength::Tunnel => Form::Tunnel,
        })
    }

    /// The decoder where no body follows.
    pub const fn empty() -> BodyDecoder {
        BodyDecoder::of(Form::Done)
    }

    /// The decoder of a tunnel: everything is data until the connection ends.
    pub const fn tunnel() -> BodyDecoder {
        BodyDecoder::of(Form::Tunnel)
    }

    /// Looks at `input` and says what comes next. Data is counted as received when it is named, so `input` must be
    /// moved on accordingly before the next call. After the body's end this answers [`Decoded::End`] and consumes
    /// nothing: what follows belongs to the next message.
    ///
    /// # Errors
    /// The rule or limit that the body breaks. Nothing may be decoded afterwards.
    #[inline]
    pub fn decode(&mut self, input: &[u8], limits: &BodyLimits) -> Result<Decoded, Fault> {
        let len = match &mut self.form {
            Form::Done => return Ok(Decoded::End { consumed: 0 }),
            Form::Known { remaining } => {
                // The whole body is measured before its first byte is taken.
                if exceeds(self.received.saturating_add(*remaining), limits) {
                    return Err(Fault::BodyTooLarge);
                }
                let len = usize::try_from(*remaining).map_or(input.len(), |r| r.min(input.len()));
                *remaining -= len as u64;
                if *remaining == 0 {
                    self.form = Form::Done;
                }
                len
            }
            Form::UntilClose => {
                if exceeds(self.received.saturating_add(input.len() as u64), limits) {
                    return Err(Fault::BodyTooLarge);
                }
                input.len()
            }
            Form::Tunnel => input.len(),
            Form::Chunked(chunked) => {
                let tiny = &mut self.tiny_chunks;
                let decoded = chunked.decode(input, limits, self.received, tiny)?;
                match decoded {
                    Decoded::Data { len, .. } => self.received += len as u64,
                    Decoded::End { .. } | Decoded::Trailers { .. } => self.form = Form::Done,
                    Decoded::More { .. } => {}
                }
                return Ok(decoded);
            }
        };
        self.received += len as u64;
        Ok(if len == 0 {
            Decoded::More { consumed: 0 }
        } else {
            Decoded::Data { skip: 0, len }
        })
    }

    /// Decodes all of `buffer`, moving the data of its chunks together: many small chunks become one piece. What stands
    /// in front of a fault is found all the same.
    pub fn gather(&mut self, buffer: &mut [u8], limits: &BodyLimits) -> Gathered {
        let mut gathered = Gathered {
            start: 0,
            len: 0,
            consumed: 0,
            last: Last::Open,
        };
        loop {
            match self.decode(&buffer[gathered.consumed..], limits) {
                Ok(Decoded::Data { skip, len }) => {
                    let from = gathered.consumed + skip;
                    let end = gathered.start + gathered.len;
                    if gathered.len == 0 {
                        gathered.start = from;
                    } else if end != from {
                        buffer.copy_within(from..from + len, end);
                    }
                    gathered.len += len;
                    gathered.consumed = from + len;
                }
                Ok(Decoded::More { consumed }) => {
                    gathered.consumed += consumed;
                    return gathered;
                }
                Ok(Decoded::End { consumed }) => {
                    gathered.consumed += consumed;
                    gathered.last = Last::End;
                    return gathered;
                }
                Ok(Decoded::Trailers { consumed, fields }) => {
                    gathered.consumed += consumed;
                    gathered.last = Last::Trailers(fields);
                    return gathered;
                }
                Err(fault) => {
                    gathered.last = Last::Broken(fault);
                    return gathered;
                }
            }
        }
    }

    /// The sender has closed its side: `End` if that is how this body ends (RFC 9112 §8).
    ///
    /// # Errors
    /// [`Fault::Truncated`] when the body was to be longer.
    pub fn at_eof(&mut self) -> Result<Decoded, Fault> {
        match self.form {
            Form::Done | Form::UntilClose | Form::Tunnel => {
                self.form = Form::Done;
                Ok(Decoded::End { consumed: 0 })
            }
            Form::Known { .. } | Form::Chunked(_) => Err(Fault::Truncated),
        }
    }

    /// Whether the body is complete: true as soon as the last byte of a body of known length was named.
    #[inline]
    pub fn is_done(&self) -> bool {
        matches!(self.form, Form::Done)
    }

    /// How many bytes of data are still to come, where the head has said that.
    #[inline]
    pub fn remaining(&self) -> Option<u64> {
        match self.form {
            Form::Done => Some(0),
            Form::Known { remaining } => Some(remaining),
            Form::Chunked(_) | Form::UntilClose | Form::Tunnel => None,
        }
    }

    /// How many chunks there were with hardly anything in them since this was last asked.
    #[inline]
    pub(super) fn take_tiny_chunks(&mut self) -> u32 {
        std::mem::take(&mut self.tiny_chunks)
    }

    /// Takes note of `bytes` of data that were not handed in; true when they were the last.
    pub(super) fn pass(&mut self, bytes: u64) -> bool {
        if self.is_tunnel() {
            self.received += bytes;
        }
        if let Form::Known { remaining } = &mut self.form {
            *remaining = remaining.saturating_sub(bytes);
            self.received += bytes;
            if *remaining == 0 {
                self.form = Form::Done;
                return true;
            }
        }
        false
    }

    /// Whether it is one direction of a tunnel.
    #[inline]
    pub fn is_tunnel(&self) -> bool {
        matches!(self.form, Form::Tunnel)
    }

    /// Whether the body lasts until the sender closes.
    pub fn is_until_close(&self) -> bool {
        matches!(self.form, Form::UntilClose | Form::Tunnel)
    }

    /// Bytes of data so far.
    #[inline]
    pub fn received(&self) -> u64 {
        self.received
    }
}

#[inline]
pub(super) fn exceeds(bytes: u64, limits: &BodyLimits) -> bool {
    limits.body_bytes_max.is_some_and(|max| bytes > max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BodyLimits = BodyLimits {
        body_bytes_max: Some(40),
        chunk_extension_bytes_max: 16,
        trailer_bytes_max: 60,
        trailer_fields_max: 3,
    };

    /// Decodes `input` given in pieces of `piece` bytes: the data, the trailers as text, and what is left over.
    fn decode(
        mut decoder: BodyDecoder,
        input: &[u8],
        piece: usize,
    ) -> Result<(Vec<u8>, String, usize), Fault> {
        let mut data = Vec::new();
        let (mut start, mut end) = (0, 0);
        while end < input.len() || start < end {
            if start == end {
                end = (end + piece).min(input.len());
            }
            let window = &input[start..end];
            match decoder.decode(window, &LIMITS)? {
                Decoded::More { consumed } => {
                    start += consumed;
                    if end == input.len() {
                        break;
                    }
                    end = (end + piece).min(input.len());
                }
                Decoded::Data { skip, len } => {
                    assert!(len > 0);
                    data.extend_from_slice(&window[skip..skip + len]);
                    start += skip + len;
                }
                Decoded::Trailers { consumed, fields } => {
                    let mut text = Vec::new();
                    fields.write_http1(&mut text);
                    let left = input.len() - start - consumed;
                    assert!(decoder.is_done());
                    return Ok((data, String::from_utf8(text).unwrap(), left));
                }
                Decoded::End { consumed } => {
                    assert!(decoder.is_done());
                    return Ok((data, String::new(), input.len() - start - consumed));
                }
            }
        }
        decoder.at_eof().map(|_| (data, String::new(), 0))
    }

    fn chunked() -> BodyDecoder {
        chunked_of(TrailersOf::Request)
    }

    fn chunked_of(of: TrailersOf) -> BodyDecoder {
        BodyDecoder::of(Form::Chunked(ChunkedDecoder::new(of)))
    }

    /// However the input is split, the outcome is the same.
    #[track_caller]
    fn check(input: &str, expected: Result<(&str, &str, usize), Fault>) {
        let expected = expected.map(|(data, trailers, left)| (data.into(), trailers.into(), left));
        for piece in [1, 2, 3, 5, 1000] {
            let found = decode(chunked(), input.as_bytes(), piece);
            assert_eq!(found, expected, "{input:?} by {piece}");
        }
    }

    #[test]
    fn chunked_bodies() {
        check("0\r\n\r\n", Ok(("", "", 0)));
        check("5\r\nhello\r\n0\r\n\r\nnext", Ok(("hello", "", 4)));
        check(
            "5\r\nhello\r\n0A\r\n0123456789\r\n000\r\n\r\n",
            Ok(("hello0123456789", "", 0)),
        );
        check(
            "a\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
            Ok(("0123456789", "X: y\r\n", 0)),
        );
        check("1;a\r\nx\r\n0;b=c;d=\"e;\\\"f\"\r\n\r\n", Ok(("x", "", 0)));
        check(
            "0\r\nA:b\r\nC:  d \r\n\r\nE",
            Ok(("", "A: b\r\nC: d\r\n", 1)),
        );
        check("0000000000000001\r\nx\r\n0\r\n\r\n", Ok(("x", "", 0)));
        let zeros = "0".repeat(63);
        check(
            &format!("{zeros}1\r\nx\r\n{zeros}0\r\n\r\n"),
            Ok(("x", "", 0)),
        );
        check(
            &format!("{zeros}01\r\nx\r\n0\r\n\r\n"),
            Err(Fault::ChunkSize),
        );
    }

    #[test]
    fn sizes_are_hexadecimal_digits_and_nothing_else() {
        for bad in [
            "\r\n",
            ";a\r\n",
            "0x5\r\n",
            "+5\r\n",
            "-5\r\n",
            " 5\r\n",
            "5 \r\n",
            "5\t\r\n",
            "5 ;a\r\n",
            "g\r\n",
            "5_0\r\n",
            "5,\r\n",
            "00ffffffffffffffff\r\n",
            "10000000000000000\r\n",
            "ffffffffffffffff\r\n",
            "8000000000000000\r\n",
            "1ffffffffffffffff\r\n",
            "\0",
            "\n",
            "5\r\nhello\r\n\r\n",
            "5\0\r\n",
            "\u{663}\r\n",
        ] {
            check(bad, Err(Fault::ChunkSize));
        }
        for bad in [
            "5\n",
            "5\rhello",
            "5\r\r\n",
            "5;a\n",
            "5;a=\"\n",
            "5\r\nhello\n",
            "5\r\nhello0\r\n",
            "5\r\nhello\r0",
            "5\r\nhelloo\r\n",
        ] {
            check(bad, Err(Fault::ChunkEnd));
        }
        check("29\r\n", Err(Fault::BodyTooLarge));
        check(
            "28\r\n0123456789012345678901234567890123456789\r\n1\r\n",
            Err(Fault::BodyTooLarge),
        );
        check("5\r\nhel", Err(Fault::Truncated));
        check("5\r\nhello\r\n0\r\n", Err(Fault::Truncated));
        check("0\r\n\r", Err(Fault::Truncated));
    }

    #[test]
    fn extensions_are_names_and_values() {
        for good in [
            "a",
            "a=b",
            "a=\"\"",
            "a=\" \\\" \u{e9}\"",
            "a;b;c=d",
            "a=b;c",
        ] {
            check(&format!("0;{good}\r\n\r\n"), Ok(("", "", 0)));
        }
        for bad in [
            "",
            ";",
            "a;",
            "a;;b",
            " a",
            "a ",
            "a =b",
            "a= b",
            "a=",
            "=b",
            "a=\"b",
            "a=\"b\"c",
            "a\"",
            "a=b=c",
            "a\0",
            "a=\"\0\"",
            "a=\"\t\"",
            "a=\"\\\u{1}\"",
            "a=\"\u{7f}\"",
            "a,b",
            "\u{e4}",
        ] {
            check(&format!("0;{bad}\r\n\r\n"), Err(Fault::ChunkExtension));
        }
        check("0;123456789012345\r\n\r\n", Ok(("", "", 0)));
        check(
            "0;1234567890123456\r\n\r\n",
            Err(Fault::ChunkExtensionsTooLarge),
        );
        check(
            "1;1234567\r\nx\r\n1;123456789\r\n",
            Err(Fault::ChunkExtensionsTooLarge),
        );
    }

    #[test]
    fn trailers_obey_the_law_of_fields() {
        let check = |lines: &str, fault| check(&format!("0\r\n{lines}\r\n"), Err(fault));
        check("A : b\r\n", Fault::SpaceBeforeColon);
        check("A: b\r\n c\r\n", Fault::ObsFold);
        check("A: b\n", Fault::BareLf);
        check("A: b\rc: d\r\n", Fault::BareCr);
        check("A: \0\r\n", Fault::Control);
        check(": b\r\n", Fault::FieldName);
        check("GET / HTTP/1.1\r\n", Fault::SpaceBeforeColon);
        check(
            &format!("A: {}\r\n", "b".repeat(60)),
            Fault::TrailersTooLarge,
        );
        check(&"A: b\r\n".repeat(4), Fault::TooManyFields);
        for name in [
            "content-length",
            "Transfer-Encoding",
            "Host",
            "Set-Cookie",
            "Authorization",
            "TE",
            "x-forwarded-for",
        ] {
            check(&format!("{name}: 5\r\n"), Fault::Trailer);
        }
    }

    #[test]
    fn an_answer_loses_trailers_that_may_not_be_ones() {
        let check = |lines: &str, expected: Result<&str, Fault>| {
            let body = format!("0\r\n{lines}\r\n");
            let found = decode(chunked_of(TrailersOf::Answer), body.as_bytes(), 7);
            let trailers = found.map(|(_, trailers, _)| trailers);
            assert_eq!(trailers, expected.map(str::to_owned), "{lines}");
        };
        check("Vary: a\r\nX: y\r\nVia: b\r\n", Ok("X: y\r\n"));
        check("Cache-Control: no-store\r\n", Ok(""));
        check("X: y\r\nContent-Length: 5\r\n", Err(Fault::Trailer));
        check("Connection: close\r\n", Err(Fault::Trailer));
    }

    #[test]
    fn a_counted_body_ends_with_its_last_byte() {
        let known = |remaining| BodyDecoder::of(Form::Known { remaining });
        assert_eq!(
            decode(known(5), b"hellonext", 3),
            Ok((b"hello".to_vec(), String::new(), 4))
        );
        assert_eq!(decode(known(5), b"hell", 3), Err(Fault::Truncated));
        assert_eq!(decode(known(41), b"h", 3), Err(Fault::BodyTooLarge));
        let mut body = known(2);
        assert!(matches!(
            body.decode(b"", &LIMITS),
            Ok(Decoded::More { consumed: 0 })
        ));
        assert!(matches!(
            body.decode(b"abc", &LIMITS),
            Ok(Decoded::Data { skip: 0, len: 2 })
        ));
        assert!(body.is_done() && body.received() == 2);
        assert!(matches!(
            body.decode(b"c", &LIMITS),
            Ok(Decoded::End { consumed: 0 })
        ));
    }

    #[test]
    fn an_open_body_ends_when_its_sender_closes() {
        let open = || BodyDecoder::of(Form::UntilClose);
        assert_eq!(
            decode(open(), b"hello", 2),
            Ok((b"hello".to_vec(), String::new(), 0))
        );
        assert_eq!(decode(open(), &[b'x'; 41], 2), Err(Fault::BodyTooLarge));
        assert_eq!(
            decode(BodyDecoder::tunnel(), &[b'x'; 41], 9)
                .unwrap()
                .0
                .len(),
            41
        );
        assert_eq!(
            decode(BodyDecoder::empty(), b"x", 1),
            Ok((Vec::new(), String::new(), 1))
        );
    }

    #[test]
    fn small_chunks_are_gathered_into_one_piece() {
        let mut buffer = *b"1\r\na\r\n2\r\nbc\r\n1;x\r\nd\r\n3\r\ne";
        let mut body = chunked();
        let gathered = body.gather(&mut buffer, &LIMITS);
        let data = gathered.start..gathered.start + gathered.len;
        assert_eq!(&buffer[data], b"abcde");
        assert_eq!(gathered.consumed, buffer.len());
        assert!(matches!(gathered.last, Last::Open));
        let mut rest = *b"fg\r\n0\r\nA: b\r\n\r\nGET";
        let gathered = body.gather(&mut rest, &LIMITS);
        assert_eq!(&rest[gathered.start..gathered.start + gathered.len], b"fg");
        assert_eq!(gathered.consumed, rest.len() - 3);
        assert!(matches!(gathered.last, Last::Trailers(fields) if fields.len() == 1));
    }
}
