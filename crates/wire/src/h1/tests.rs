//! Properties that hold across the files of this room.

use super::*;
use foregate_message::{BodyLength, Fault, FieldId, Fields, RequestHead, ResponseHead, hop};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const HEAD: HeadLimits = HeadLimits {
    head_bytes_max: 300,
    fields_max: 6,
    target_bytes_max: 30,
};

const BODY: BodyLimits = BodyLimits {
    body_bytes_max: Some(100),
    chunk_extension_bytes_max: 20,
    trailer_bytes_max: 60,
    trailer_fields_max: 3,
};

/// A start, fragments, and an end that often make sense together, with some bytes replaced.
fn text(parts: [&'static [&'static str]; 3]) -> impl Strategy<Value = Vec<u8>> {
    let [starts, fragments, ends] = parts;
    let odd = select(&b"\0\t\n\r :;=,\"\\aF0\x7f\x80\xff"[..]);
    let edits = vec((any::<prop::sample::Index>(), odd), 0..3);
    (
        select(starts),
        vec(select(fragments), 0..8),
        select(ends),
        edits,
    )
        .prop_map(|(start, fragments, end, edits)| {
            let mut bytes = [start, &fragments.concat(), end].concat().into_bytes();
            for (at, byte) in edits {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
            }
            bytes
        })
}

const FIELDS: &[&str] = &[
    "Host: a\r\n",
    "A:b\r\n",
    "B:  c \r\n",
    "C:\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Expect: 100-continue\r\n",
    "D: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
    "E : f\r\n",
    " g\r\n",
    "H: i\n",
];

const REQUEST: [&[&str]; 3] = [
    &[
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "POST /a?b HTTP/1.0\r\n",
        "PURGE http://a/b HTTP/1.1\r\nHost: a\r\n",
        "\r\nGET / HTTP/1.1\r\n",
        "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\n",
        "GET / HTTP/2.0\r\n",
        "\r\n",
        "",
    ],
    FIELDS,
    &["\r\n", "\r\n", "\r\nGET", "\n", ""],
];

const RESPONSE: [&[&str]; 3] = [
    &[
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 404\r\n",
        "HTTP/1.1 204 \r\n",
        "HTTP/1.1 099 x\r\n",
        "\r\nHTTP/1.1 200 OK\r\n",
        "",
    ],
    FIELDS,
    &["\r\n", "\r\n", "\r\nHTTP", "\n", ""],
];

const CHUNKS: [&[&str]; 3] = [
    &["", "1\r\nx\r\n"],
    &[
        "1\r\nx\r\n",
        "A\r\n0123456789\r\n",
        "2;a=b\r\nyz\r\n",
        "3;c;d=\"e\"\r\nabc\r\n",
        "40\r\n0123456789012345678901234567890123456789012345678901234567890123\r\n",
        "5\r\nhell",
    ],
    &[
        "0\r\n\r\n",
        "0;x\r\n\r\nGET",
        "0\r\nA: b\r\nC:d\r\n\r\nGET",
        "0\r\nHost: b\r\n\r\n",
        "0\r\nA: b\n\r\n",
        "fffffffff\r\n",
        "",
    ],
];

/// Gives the head byte by byte; the first verdict.
fn by_byte(
    input: &[u8],
    mut parse: impl FnMut(&[u8]) -> Result<Option<usize>, Fault>,
) -> Result<Option<usize>, Fault> {
    (0..=input.len())
        .map(|end| parse(&input[..end]))
        .find(|found| *found != Ok(None))
        .unwrap_or(Ok(None))
}

/// How a body ended: where, and with which trailers.
type Ending = Result<(usize, Vec<u8>), Fault>;

/// Everything a body gives when it comes in pieces that end at `cuts`.
fn decoded(input: &[u8], cuts: &[usize]) -> (Vec<u8>, Ending) {
    let mut head = RequestHead::with("POST", b"/");
    head.fields.append_line(b"Transfer-Encoding", b"chunked");
    let framing = RequestFraming {
        length: BodyLength::Unknown,
        keep_alive: true,
        expects_continue: false,
        upgrade: false,
    };
    let mut decoder = BodyDecoder::for_request(&head, &framing);
    let (mut data, mut start) = (Vec::new(), 0);
    for &end in cuts.iter().chain([&input.len()]) {
        loop {
            let window = &input[start..end.max(start)];
            match decoder.decode(window, &BODY) {
                Err(fault) => return (data, Err(fault)),
                Ok(Decoded::More { consumed }) => {
                    start += consumed;
                    break;
                }
                Ok(Decoded::Data { skip, len }) => {
                    data.extend_from_slice(&window[skip..skip + len]);
                    start += skip + len;
                }
                Ok(Decoded::End { consumed }) => return (data, Ok((start + consumed, Vec::new()))),
                Ok(Decoded::Trailers { consumed, fields }) => {
                    let mut text = Vec::new();
                    fields.write_http1(&mut text);
                    return (data, Ok((start + consumed, text)));
                }
            }
        }
    }
    let end = decoder.at_eof().map(|_| (input.len(), Vec::new()));
    (data, end)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn a_request_head_has_one_verdict_however_it_comes(input in text(REQUEST)) {
        let mut head = RequestHead::new();
        let whole = parse_request(&input, &HEAD, &mut head);
        prop_assert_eq!(by_byte(&input, |part| parse_request(part, &HEAD, &mut head)), whole);
        let mut progress = HeadProgress::default();
        let resumed = by_byte(&input, |part| progress.parse_request(part, &HEAD, &mut head));
        // A refusal may wait until the input has doubled, never a success.
        prop_assert!(resumed == whole || (resumed == Ok(None) && whole.is_err()), "{:?} {:?}", resumed, whole);
    }

    #[test]
    fn a_response_head_has_one_verdict_however_it_comes(input in text(RESPONSE)) {
        let mut head = ResponseHead::default();
        let whole = parse_response(&input, &HEAD, &mut head);
        prop_assert_eq!(by_byte(&input, |part| parse_response(part, &HEAD, &mut head)), whole);
    }

    #[test]
    fn a_chunked_body_has_one_reading_however_it_comes(input in text(CHUNKS), mut cuts in vec(0usize..200, 0..8)) {
        for cut in &mut cuts {
            *cut = (*cut).min(input.len());
        }
        cuts.sort_unstable();
        let whole = decoded(&input, &[]);
        prop_assert_eq!(&decoded(&input, &cuts), &whole);
        let every: Vec<usize> = (0..input.len()).collect();
        prop_assert_eq!(&decoded(&input, &every), &whole);
    }

    #[test]
    fn a_body_survives_the_way_through(pieces in vec("[a-z]{0,9}", 0..8), trailer in proptest::option::of("[a-z]{0,9}")) {
        let trailers = trailer.map(|value| {
            let mut fields = Fields::new();
            fields.append_line(b"X-T", value.as_bytes());
            fields
        });
        let mut encoder = BodyEncoder::chunked();
        let mut wire = Vec::new();
        for piece in &pieces {
            encoder.prefix(piece.len(), &mut wire).unwrap();
            wire.extend_from_slice(piece.as_bytes());
            encoder.suffix(&mut wire);
        }
        encoder.finish(trailers.as_ref(), &mut wire).unwrap();
        let mut expected = Vec::new();
        if let Some(fields) = &trailers {
            fields.write_http1(&mut expected);
        }
        let (data, end) = decoded(&wire, &[]);
        prop_assert_eq!(data, pieces.concat().into_bytes());
        prop_assert_eq!(end, Ok((wire.len(), expected)));
    }

    #[test]
    fn a_head_that_was_written_reads_as_it_was(input in text(REQUEST)) {
        let mut head = RequestHead::new();
        let Ok(Some(_)) = parse_request(&input, &HEAD, &mut head) else { return Ok(()); };
        let Ok(framing) = request_framing(&head) else { return Ok(()); };
        hop::strip(&mut head.fields);
        if !head.fields.has(FieldId::Host) {
            head.fields.append(FieldId::Host, b"a");
        }
        let out = RequestOut { length: framing.length, upgrade: None, keep_alive: true };
        let mut wire = Vec::new();
        write_request(&head, head.target(), out, &mut wire);
        let mut again = RequestHead::new();
        // What is written has a Host and a framing line of its own.
        let roomy = HeadLimits { head_bytes_max: 4096, fields_max: HEAD.fields_max + 2, ..HEAD };
        prop_assert_eq!(parse_request(&wire, &roomy, &mut again), Ok(Some(wire.len())));
        prop_assert_eq!(again.target(), head.target());
        prop_assert_eq!(again.method_name(), head.method_name());
        // That there is no body is said where one is usual.
        let read = request_framing(&again).map(|framing| match framing.length {
            BodyLength::Known(0) if !head.fields.has(FieldId::ContentLength) => BodyLength::Empty,
            length => length,
        });
        prop_assert_eq!(read, Ok(framing.length));
        again.fields.remove(FieldId::TransferEncoding);
        if !head.fields.has(FieldId::ContentLength) {
            again.fields.remove(FieldId::ContentLength);
        }
        prop_assert!(again.fields.iter().eq(head.fields.iter()));
    }
}
