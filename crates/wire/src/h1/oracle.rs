//! Heads as `httparse` finds them, which must be those that this room finds.
//!
//! `httparse` is lenient about what stands between the tokens, so each gap is looked at again here: a gap holds
//! exactly what the grammar says, or the head is refused.

use super::{HeadLimits, parse_request, parse_response};
use foregate_message::{Fields, Method, RequestHead, ResponseHead, Status, Version};
use httparse::Header;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const LIMITS: HeadLimits = HeadLimits {
    head_bytes_max: 4096,
    fields_max: 12,
    target_bytes_max: 50,
};

/// A whole head: where it ends, its start line and its fields.
#[derive(PartialEq, Eq, Debug)]
struct Whole {
    end: usize,
    version: Version,
    start: [Vec<u8>; 2],
    lines: Vec<(u8, Vec<u8>, Vec<u8>)>,
    written: Vec<u8>,
}

impl Whole {
    fn new(end: usize, version: Version, start: [&[u8]; 2], fields: &Fields) -> Whole {
        let lines = fields.iter();
        let lines = lines.map(|line| (line.id as u8, line.name.to_vec(), line.value.to_vec()));
        let mut written = Vec::new();
        fields.write_http1(&mut written);
        Whole {
            end,
            version,
            start: start.map(<[u8]>::to_vec),
            lines: lines.collect(),
            written,
        }
    }
}

fn request(input: &[u8]) -> Option<Whole> {
    let skipped = match input {
        [b'\r', b'\n', b'\r' | b'\n', ..] => return None,
        [b'\r', b'\n', ..] => 2,
        [b'\r' | b'\n', ..] => return None,
        _ => 0,
    };
    let input = &input[skipped..];
    let mut places = [httparse::EMPTY_HEADER; LIMITS.fields_max];
    let mut request = httparse::Request::new(&mut places);
    let httparse::Status::Complete(end) = request.parse(input).ok()? else {
        return None;
    };
    let (method, target) = (request.method?, request.path?);
    let target_end = method.len() + 1 + target.len();
    let version = version(request.version);
    let fields = fields(&input[..end], target_end + 9, request.headers)?;
    let start = [method.as_bytes(), target.as_bytes()];
    (target.len() <= LIMITS.target_bytes_max)
        .then(|| Whole::new(skipped + end, version, start, &fields))
}

fn response(input: &[u8]) -> Option<Whole> {
    if matches!(input.first(), Some(b'\r' | b'\n')) {
        return None;
    }
    let mut places = [httparse::EMPTY_HEADER; LIMITS.fields_max];
    let mut response = httparse::Response::new(&mut places);
    let httparse::Status::Complete(end) = response.parse(input).ok()? else {
        return None;
    };
    let status = Status::new(response.code?)?;
    let code_end = "HTTP/1.1 200".len();
    let phrase_at = code_end + usize::from(input.get(code_end) == Some(&b' '));
    let phrase = input[phrase_at..].split(|&byte| matches!(byte, b'\r' | b'\n'));
    let phrase = phrase.take(1).next()?;
    let version = version(response.version);
    let fields = fields(&input[..end], phrase_at + phrase.len(), response.headers)?;
    let mut head = ResponseHead::new(status);
    if phrase.is_empty() {
        head.clear(status);
        let registered = head.phrase().to_vec();
        let start = [&input[9..12], registered.as_slice()];
        return Some(Whole::new(end, version, start, &fields));
    }
    Some(Whole::new(end, version, [&input[9..12], phrase], &fields))
}

fn version(minor: Option<u8>) -> Version {
    match minor {
        Some(0) => Version::Http10,
        _ => Version::Http11,
    }
}

/// The lines of a section whose start line ends at `at`; `None` when a gap between two ranges is not what the grammar
/// wants (RFC 9112 §5): `:` OWS before a value, OWS CRLF behind it, and one CRLF at the end of the section.
fn fields(section: &[u8], mut at: usize, lines: &[Header<'_>]) -> Option<Fields> {
    let mut fields = Fields::new();
    fields.start(section);
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
    let base = section.as_ptr().addr();
    let line_end = |at: usize| section.get(at..at + 2) == Some(b"\r\n");
    if !line_end(at) {
        return None;
    }
    at += 2;
    for line in lines {
        let name = at..at + line.name.len();
        let value_at = line.value.as_ptr().addr().wrapping_sub(base);
        let value = value_at..value_at.wrapping_add(line.value.len());
        if line.name.as_ptr().addr().wrapping_sub(base) != at {
            return None;
        }
        let [b':', before @ ..] = section.get(name.end..value.start)? else {
            return None;
        };
        let behind = section[value.end..].iter().take_while(blank).count();
        if !before.iter().all(|byte| blank(&byte)) || !line_end(value.end + behind) {
            return None;
        }
        at = value.end + behind + 2;
        fields.push_received(name, value, before == b" " && behind == 0);
    }
    (section[at..] == *b"\r\n").then_some(fields)
}

fn check_request(input: &[u8]) {
    let mut head = RequestHead::new();
    let found = parse_request(input, &LIMITS, &mut head).ok().flatten();
    let found = found.map(|end| {
        let start = [head.method_name(), head.target()];
        Whole::new(end, head.version, start, &head.fields)
    });
    assert_eq!(found, request(input), "{}", input.escape_ascii());
    if found.is_some() {
        let known = Method::known(head.method_name());
        assert_eq!(known.is_none(), matches!(head.method, Method::Extension(_)));
    }
}

fn check_response(input: &[u8]) {
    let mut head = ResponseHead::default();
    let found = parse_response(input, &LIMITS, &mut head).ok().flatten();
    let found = found.map(|end| {
        let code = head.status.code().to_string();
        let start = [code.as_bytes(), head.phrase()];
        Whole::new(end, head.version, start, &head.fields)
    });
    assert_eq!(found, response(input), "{}", input.escape_ascii());
}

/// Every byte replaced by every other, a byte of interest put before each, and each left out.
fn with_each_byte_changed(head: &[u8], check: fn(&[u8])) {
    check(head);
    for at in 0..head.len() {
        let (before, behind) = head.split_at(at);
        check(before);
        check(&[before, &behind[1..]].concat());
        for byte in 0..=u8::MAX {
            check(&[before, &[byte], &behind[1..]].concat());
        }
        for byte in *b"\0\t\n\r :a\x7f\x80\xff" {
            check(&[before, &[byte], behind].concat());
        }
    }
}

#[test]
fn every_byte_of_a_request() {
    let head = b"PUT /a?b=c HTTP/1.1\r\nHost: example.org:81\r\nX:y\r\nTransfer-Encoding: \t chunked\t \r\n\
        X-Empty: \r\nReferer:\r\nX-Long-Name-Of-A-Field: one\ttwo \xc3\xa4 three\r\n\r\nGET";
    with_each_byte_changed(head, check_request);
    with_each_byte_changed(b"GET / HTTP/1.0\r\n\r\n", check_request);
    with_each_byte_changed(b"\r\nA /\xc3\xa4 HTTP/1.1\r\na:\r\n\r\n", check_request);
}

#[test]
fn every_byte_of_a_response() {
    let head = b"HTTP/1.1 200 Fine\xff by\tme\r\nContent-Length: 10\r\nx-a: \r\n\r\n0123456789";
    with_each_byte_changed(head, check_response);
    with_each_byte_changed(b"HTTP/1.0 404\r\nETag: \"a\"\r\n\r\n", check_response);
    with_each_byte_changed(b"HTTP/1.0 100 \r\n\r\n", check_response);
}

const FRAGMENTS: &[&str] = &[
    "Host: a.example:80\r\n",
    "content-length: 0\r\n",
    "If-Unmodified-Since: Thu, 01 Jan 2026 00:00:00 GMT\r\n",
    "Strict-Transport-Security:max-age=1\r\n",
    "A:b\r\n",
    "B:  c \r\n",
    "C:\r\n",
    "D: \r\n",
    "X-Name: d\te\u{e4}\r\n",
    "Accept: */*\r\n",
    "E : f\r\n",
    " g\r\n",
    "H: i\n",
    "\r\n",
];

fn edited(starts: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let odd = select(&b"\0\t\n\r :;aF0\x1f\x7f\x80\xff"[..]);
    let edits = vec((any::<Index>(), odd), 0..3);
    let fragments = vec(select(FRAGMENTS), 0..14);
    let cut = any::<Index>();
    (select(starts), fragments, edits, any::<bool>(), cut).prop_map(
        |(start, fragments, edits, whole, cut)| {
            let mut bytes = [start, &fragments.concat(), "\r\n"].concat().into_bytes();
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if !whole {
                bytes.truncate(cut.index(bytes.len()));
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn requests(input in edited(&[
        "GET / HTTP/1.1\r\n",
        "\r\nOPTIONS * HTTP/1.0\r\n",
        "PROPFIND /a-rather-long-target/of/a/request?a=b HTTP/1.1\r\n",
        "GET /a-target-that-is-longer-than-the-limit-by-far?aaaa HTTP/1.1\r\n",
    ])) {
        check_request(&input);
    }

    #[test]
    fn responses(input in edited(&[
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 503\r\n",
        "HTTP/1.1 299 Nicht da \u{e4}\r\n",
    ])) {
        check_response(&input);
    }
}
