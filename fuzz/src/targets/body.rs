//! Chunked bodies: the reference reads the same data, trailers and end, at every cut, and so does `gather`.

use super::{BODY_LIMITS, pairs};
use crate::reference::{self, Body, Reading, Style};
use foregate_message::{BodyLength, Fault, RequestHead};
use foregate_wire::h1::{BodyDecoder, Decoded, Last, RequestFraming};

/// A decoder of a chunked body.
pub(crate) fn decoder() -> BodyDecoder {
    let framing = RequestFraming {
        length: BodyLength::Unknown,
        keep_alive: true,
        expects_continue: false,
        upgrade: false,
    };
    BodyDecoder::for_request(&RequestHead::new(), &framing)
}

/// The first byte says how the rest, a chunked body, is cut: into pieces of so many bytes, 0 for not at all.
pub fn chunked_body(input: &[u8]) {
    let Some((&piece, input)) = input.split_first() else {
        return;
    };
    let whole = decode(input, input.len());
    match (&whole, reference::chunked_body(input, Style::Received)) {
        (Ok(Some((body, used))), Reading::Whole(expected, expected_used)) => {
            assert_eq!((body, *used), (&expected, expected_used));
            for forbidden in ["content-length", "transfer-encoding", "host", "set-cookie"] {
                assert!(reference::values(&body.trailers, forbidden).is_empty());
            }
        }
        (Err(Fault::Trailer), Reading::Whole(expected, _)) => {
            assert!(!expected.trailers.is_empty())
        }
        (Ok(None), Reading::Incomplete | Reading::Refused(_)) => {}
        (Err(_), Reading::Refused(_) | Reading::Incomplete) => {}
        (found, reference) => panic!("wire says {found:?}, the reference {reference:?}"),
    }
    if piece > 0 {
        assert_eq!(decode(input, usize::from(piece)), whole);
    }
    assert_eq!(gather(input, 1 + usize::from(piece)), whole);
}

type Outcome = Result<Option<(Body, usize)>, Fault>;

/// Decodes `input` in pieces: the body and how much of the input it took, `None` if it did not end.
pub(crate) fn decode(input: &[u8], piece: usize) -> Outcome {
    let mut decoder = decoder();
    let mut body = Body::default();
    let (mut start, mut end) = (0, 0);
    loop {
        end = (end + piece).min(input.len());
        loop {
            let window = &input[start..end];
            match decoder.decode(window, &BODY_LIMITS)? {
                Decoded::More { consumed } => {
                    start += consumed;
                    break;
                }
                Decoded::Data { skip, len } => {
                    assert!(len > 0);
                    body.data.extend_from_slice(&window[skip..skip + len]);
                    start += skip + len;
                }
                Decoded::Trailers { consumed, fields } => {
                    assert!(!fields.is_empty());
                    body.trailers = pairs(&fields);
                    return ended(decoder, body, start + consumed);
                }
                Decoded::End { consumed } => return ended(decoder, body, start + consumed),
            }
        }
        if end == input.len() {
            assert!(!decoder.is_done() && decoder.at_eof().is_err());
            return Ok(None);
        }
    }
}

fn ended(decoder: BodyDecoder, body: Body, used: usize) -> Outcome {
    assert!(decoder.is_done());
    assert_eq!(decoder.received(), body.data.len() as u64);
    Ok(Some((body, used)))
}

fn gather(input: &[u8], piece: usize) -> Outcome {
    let mut decoder = decoder();
    let mut body = Body::default();
    let mut buffer = Vec::new();
    let mut used = 0;
    for piece in input.chunks(piece).chain([&[][..]]) {
        buffer.extend_from_slice(piece);
        let gathered = decoder.gather(&mut buffer, &BODY_LIMITS);
        assert!(gathered.start + gathered.len <= gathered.consumed);
        body.data
            .extend_from_slice(&buffer[gathered.start..gathered.start + gathered.len]);
        buffer.drain(..gathered.consumed);
        used += gathered.consumed;
        match gathered.last {
            Last::Open => {}
            Last::End => return Ok(Some((body, used))),
            Last::Trailers(fields) => {
                body.trailers = pairs(&fields);
                return Ok(Some((body, used)));
            }
            Last::Broken(fault) => return Err(fault),
        }
    }
    Ok(None)
}
