//! Heads: from bytes to fields (RFC 9112 §2 to §5).
//!
//! One pass over the bytes takes what the grammar has and nothing else. Whatever that pass does not take is looked at
//! again by [`super::refusal`], which knows which rule was broken, or that the head is not complete.

use super::lines;
use super::refusal;
use foregate_message::{Fault, Method, RequestHead, ResponseHead, Status, Version, runs};
use std::ops::Range;

/// How large a head may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeadLimits {
    /// Bytes of the whole head: start line, fields and the empty line.
    pub head_bytes_max: usize,
    /// Field lines.
    pub fields_max: usize,
    /// Bytes of a request's target.
    pub target_bytes_max: usize,
}

/// No head is larger than this, whatever its limit says: message ranges are 32 bits wide.
const HEAD_BYTES_CEILING: usize = 64 * 1024 * 1024;

/// Looks for a request's head at the start of `input`.
///
/// `Ok(Some(n))`: the whole head stood in `input[..n]` and `head` holds it. `Ok(None)`: more bytes are needed.
/// One empty line before the request line is passed over (RFC 9112 §2.2). What `head` holds otherwise is unspecified.
/// A head that arrives in many pieces is better given to [`super::HeadProgress`], which does not start over each time.
///
/// # Errors
/// The first rule or limit that the head breaks; limits are noticed before the head is complete.
pub fn parse_request(
    input: &[u8],
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<Option<usize>, Fault> {
    let window = window(input, limits);
    let skipped = match window.first() {
        Some(b'\r' | b'\n') => match empty_line(window)? {
            Some(skipped) => skipped,
            None => return Ok(None),
        },
        _ => 0,
    };
    let rest = &window[skipped..];
    if let Some(end) = request_in(rest, limits, head) {
        return Ok(Some(skipped + end));
    }
    head.clear();
    undecided(refusal::of_request(rest, limits), window, limits)
}

/// What of a request line can be understood at the start of the `input` in which no head was found, for a log: the method,
/// the target if it is whole, and the version behind it. `head` holds that and nothing else.
#[cold]
pub fn read_request_line(input: &[u8], limits: &HeadLimits, head: &mut RequestHead) {
    head.clear();
    head.method = Method::Extension(0..0);
    head.version = Version::Unknown;
    let window = window(input, limits);
    let line = window.strip_prefix(b"\r\n").unwrap_or(window);
    let Some((method, method_len)) = method(line) else {
        return;
    };
    let target = method_len + 1..target_end(line, method_len + 1);
    let is_whole = line.get(target.end) == Some(&b' ') && target.len() <= limits.target_bytes_max;
    let end = if is_whole { target.end } else { method_len };
    head.fields.finish(&line[..end]);
    head.method = method;
    if !is_whole {
        return;
    }
    let behind = &line[target.end + 1..];
    head.set_target_range(target);
    if let Some((name, [b'\r', ..])) = behind.split_first_chunk::<8>() {
        head.version = version(*name).unwrap_or(Version::Unknown);
    }
}

/// [`parse_request`] for a response's head. No empty line is passed over before it.
///
/// # Errors
/// As [`parse_request`].
pub fn parse_response(
    input: &[u8],
    limits: &HeadLimits,
    head: &mut ResponseHead,
) -> Result<Option<usize>, Fault> {
    let window = window(input, limits);
    if let Some(end) = response_in(window, limits, head) {
        return Ok(Some(end));
    }
    head.clear(Status::OK);
    undecided(refusal::of_response(window, limits), window, limits)
}

/// What a head is that was not found in `window`, given the rule that it breaks so far.
#[cold]
fn undecided(
    broken: Option<Fault>,
    window: &[u8],
    limits: &HeadLimits,
) -> Result<Option<usize>, Fault> {
    match broken {
        Some(fault) => Err(fault),
        None if window.len() < ceiling(limits) => Ok(None),
        None => Err(Fault::HeadTooLarge),
    }
}

fn ceiling(limits: &HeadLimits) -> usize {
    limits.head_bytes_max.min(HEAD_BYTES_CEILING)
}

/// What may belong to the head. Bytes beyond the limit are not looked at, so that the verdict is the same however
/// much came at once.
fn window<'a>(input: &'a [u8], limits: &HeadLimits) -> &'a [u8] {
    &input[..input.len().min(ceiling(limits))]
}

/// The length of the one empty line that may precede a request line; `None` while that is open.
#[cold]
fn empty_line(input: &[u8]) -> Result<Option<usize>, Fault> {
    match input {
        [b'\n', ..] => Err(Fault::BareLf),
        [b'\r'] | [b'\r', b'\n'] => Ok(None),
        [b'\r', b'\n', b'\r' | b'\n', ..] => Err(Fault::StartLine),
        [b'\r', b'\n', ..] => Ok(Some(2)),
        _ => Err(Fault::BareCr),
    }
}

#[inline]
fn request_in(input: &[u8], limits: &HeadLimits, head: &mut RequestHead) -> Option<usize> {
    let (method, method_len) = match input.first_chunk::<4>() {
        Some(four) if u32::from_le_bytes(*four) == GET => (Method::Get, 3),
        _ => method(input)?,
    };
    let target = method_len + 1..target_end(input, method_len + 1);
    if target.is_empty() || target.len() > limits.target_bytes_max {
        return None;
    }
    let [b' ', version @ .., b'\r', b'\n'] = *input[target.end..].first_chunk::<11>()? else {
        return None;
    };
    let version = self::version(version)?;
    head.clear();
    let fields_at = target.end + 11;
    let end = lines::find(input, fields_at, limits.fields_max, &mut head.fields)?;
    head.fields.finish(&input[..end]);
    head.version = version;
    head.method = method;
    head.set_target_range(target);
    Some(end)
}

/// `GET` and a space, compared at once.
const GET: u32 = u32::from_le_bytes(*b"GET ");

/// The name of the protocol with its version (RFC 9112 §2.3).
#[inline]
fn version(name: [u8; 8]) -> Option<Version> {
    const HTTP_11: u64 = u64::from_le_bytes(*b"HTTP/1.1");
    const HTTP_10: u64 = u64::from_le_bytes(*b"HTTP/1.0");
    match u64::from_le_bytes(name) {
        HTTP_11 => Some(Version::Http11),
        HTTP_10 => Some(Version::Http10),
        _ => None,
    }
}

/// A token and the space behind it (RFC 9112 §3.1).
fn method(input: &[u8]) -> Option<(Method, usize)> {
    let len = lines::token_len(input);
    if len == 0 || input.get(len) != Some(&b' ') {
        return None;
    }
    let method = Method::known(&input[..len]).unwrap_or(Method::Extension(0..len as u32));
    Some((method, len))
}

/// Where the target ends that begins at `at`: visible ASCII, or other UTF-8, which is refused with the target's form.
#[inline]
fn target_end(input: &[u8], at: usize) -> usize {
    let end = runs::visible_end(input, at);
    match input.get(end) {
        Some(0x80..) => target_end_beyond_ascii(input, at),
        _ => end,
    }
}

#[cold]
fn target_end_beyond_ascii(input: &[u8], at: usize) -> usize {
    let is_target = |byte: &&u8| **byte > b' ' && **byte != 0x7f;
    let len = input[at..].iter().take_while(is_target).count();
    match std::str::from_utf8(&input[at..at + len]) {
        Ok(_) => at + len,
        Err(_) => at,
    }
}

#[inline]
fn response_in(input: &[u8], limits: &HeadLimits, head: &mut ResponseHead) -> Option<usize> {
    let (version, behind) = input.split_first_chunk::<8>()?;
    let version = self::version(*version)?;
    let [b' ', code @ ..] = *behind.first_chunk::<4>()? else {
        return None;
    };
    let status = status(code)?;
    let phrase = phrase(input, 12)?;
    head.clear(status);
    let fields_at = phrase.end + 2;
    let end = lines::find(input, fields_at, limits.fields_max, &mut head.fields)?;
    head.fields.finish(&input[..end]);
    head.version = version;
    head.set_phrase_range(phrase);
    Some(end)
}

/// Exactly three digits, of which the first is not zero.
#[inline]
fn status(text: [u8; 3]) -> Option<Status> {
    let digits = text.map(|byte| u16::from(byte.wrapping_sub(b'0')));
    match digits {
        [1..=9, 0..=9, 0..=9] => Status::new(digits[0] * 100 + digits[1] * 10 + digits[2]),
        _ => None,
    }
}

/// The reason phrase behind the status code, which CRLF must follow. Servers that leave the space before an empty
/// phrase out are common and harmless.
#[inline]
fn phrase(input: &[u8], code_end: usize) -> Option<Range<usize>> {
    let at = match input.get(code_end)? {
        b' ' => code_end + 1,
        b'\r' => code_end,
        _ => return None,
    };
    let mut end = runs::printable_end(input, at);
    if input.get(end) != Some(&b'\r') {
        end = runs::text_end(input, end);
    }
    (input[end..].first_chunk::<2>() == Some(b"\r\n")).then_some(at..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        head_bytes_max: 512,
        fields_max: 60,
        target_bytes_max: 40,
    };

    /// `Ok(n)`: a head of `n` bytes; `Ok(0)`: more is needed.
    #[track_caller]
    fn check(input: impl AsRef<[u8]>, expected: Result<usize, Fault>) {
        let input = input.as_ref();
        let found = parse_request(input, &LIMITS, &mut RequestHead::new());
        assert_eq!(
            found.map(Option::unwrap_or_default),
            expected,
            "{}",
            input.escape_ascii()
        );
    }

    #[track_caller]
    fn check_line(line: &str, expected: Result<(), Fault>) {
        let input = format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
        check(&input, expected.map(|()| input.len()));
    }

    #[track_caller]
    fn check_response(input: impl AsRef<[u8]>, expected: Result<usize, Fault>) {
        let input = input.as_ref();
        let found = parse_response(input, &LIMITS, &mut ResponseHead::default());
        assert_eq!(
            found.map(Option::unwrap_or_default),
            expected,
            "{}",
            input.escape_ascii()
        );
    }

    #[test]
    fn what_can_be_understood_of_a_refused_head_is_its_request_line() {
        let mut head = RequestHead::with("POST", b"/before");
        head.fields.append_line(b"Host", b"before");
        let long = format!("PUT /{} HTTP/1.1\r\n", "x".repeat(LIMITS.target_bytes_max));
        for (input, method, target, version) in [
            (
                "POST /secret HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
                "POST",
                "/secret",
                "HTTP/1.1",
            ),
            (
                "\r\nBREW /pot?a HTTP/1.0\r\nX\0: y",
                "BREW",
                "/pot?a",
                "HTTP/1.0",
            ),
            ("GET /x HTTP/2.0\r\n\r\n", "GET", "/x", ""),
            ("GET /x HTTP/1.1", "GET", "/x", ""),
            ("GET /x HTTP/1.1 \r\n", "GET", "/x", ""),
            (long.as_str(), "PUT", "", ""),
            ("GET /x\0 HTTP/1.1\r\n", "GET", "", ""),
            ("GET /x", "GET", "", ""),
            ("GET ", "GET", "", ""),
            ("GET", "", "", ""),
            ("\x16\x03\x01\x02\0\x01\0", "", "", ""),
            ("", "", "", ""),
        ] {
            read_request_line(input.as_bytes(), &LIMITS, &mut head);
            let seen = (head.method_name(), head.target(), head.version.as_str());
            assert_eq!(
                seen,
                (method.as_bytes(), target.as_bytes(), version),
                "{input:?}"
            );
            assert_eq!(head.fields.iter().count(), 0);
        }
    }

    #[test]
    fn a_request_is_taken_apart() {
        let text =
            b"\r\nPURGE /a?b HTTP/1.0\r\nHost: x\r\nX-A:1\r\nx-b: \t 2 \t\r\nX-C:\r\nX-D: \r\n\r\nbody";
        let mut head = RequestHead::new();
        let end = parse_request(text, &LIMITS, &mut head).unwrap();
        assert_eq!(end, Some(text.len() - 4));
        assert_eq!(head.method_name(), b"PURGE");
        assert_eq!(head.target(), b"/a?b");
        assert_eq!(head.version, Version::Http10);
        let mut out = Vec::new();
        head.fields.write_http1(&mut out);
        assert_eq!(
            out.escape_ascii().to_string(),
            b"Host: x\r\nX-A: 1\r\nx-b: 2\r\nX-C: \r\nX-D: \r\n"
                .escape_ascii()
                .to_string()
        );
    }

    #[test]
    fn request_lines() {
        check("GET / HTTP/1.1\r\n\r\n", Ok(18));
        check("", Ok(0));
        check("\r", Ok(0));
        check("\r\n", Ok(0));
        check("\r\nGET / HTTP/1.1\r\n\r\n", Ok(20));
        check("\r\n\r\nGET / HTTP/1.1\r\n\r\n", Err(Fault::StartLine));
        check("\r\n\r", Err(Fault::StartLine));
        check("\nGET / HTTP/1.1\r\n\r\n", Err(Fault::BareLf));
        check("\rGET / HTTP/1.1\r\n\r\n", Err(Fault::BareCr));
        check("\r\n\nGET / HTTP/1.1\r\n\r\n", Err(Fault::StartLine));
        check(" GET / HTTP/1.1\r\n\r\n", Err(Fault::Method));
        check("G(T / HTTP/1.1\r\n\r\n", Err(Fault::Method));
        check("GET\t/ HTTP/1.1\r\n\r\n", Err(Fault::Method));
        check("G\0T / HTTP/1.1\r\n\r\n", Err(Fault::Control));
        check(b"\x16\x03\x01\x02\x00\x01", Err(Fault::Control));
        check("GET\r\n\r\n", Err(Fault::StartLine));
        check("GET  / HTTP/1.1\r\n\r\n", Err(Fault::Target));
        check("GET /\0 HTTP/1.1\r\n\r\n", Err(Fault::Control));
        check("GET /\t HTTP/1.1\r\n\r\n", Err(Fault::Target));
        check(b"GET /\xff HTTP/1.1\r\n\r\n", Err(Fault::Target));
        check("GET /\r\n\r\n", Err(Fault::StartLine));
        check("GET / HTTP/1.1 \r\n\r\n", Err(Fault::StartLine));
        check("GET /  HTTP/1.1\r\n\r\n", Err(Fault::StartLine));
        check("GET / a HTTP/1.1\r\n\r\n", Err(Fault::StartLine));
        check("GET / HTTP/1.1\n\r\n", Err(Fault::BareLf));
        check("GET / HTTP/1.1\rHost: a\r\n\r\n", Err(Fault::BareCr));
        check("GET / HTTP/1.1\r\r\n\r\n", Err(Fault::BareCr));
        check(
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            Err(Fault::VersionUnsupported),
        );
    }

    #[test]
    fn versions() {
        let line = |version: &str| format!("GET / {version}\r\nHost: a\r\n\r\n");
        for good in ["HTTP/1.0", "HTTP/1.1"] {
            check(line(good), Ok(line(good).len()));
        }
        for unsupported in ["HTTP/2.0", "HTTP/1.2", "HTTP/1.9", "HTTP/3", "HTTP/0.9"] {
            check(line(unsupported), Err(Fault::VersionUnsupported));
        }
        for bad in [
            "HTTP/1.",
            "HTTP/1",
            "HTTP/",
            "HTTP/1.x",
            "HTTP/1,1",
            "HTTP/x.1",
            "HTTP/1.10",
            "HTTP 1.1",
            "Http/1.1",
            "HTTPS/1.1",
            "HTTP/ 1.1",
        ] {
            check(line(bad), Err(Fault::Version));
        }
        for other in ["http/1.1", "ICY/1.1", ""] {
            check(line(other), Err(Fault::StartLine));
        }
    }

    #[test]
    fn field_lines() {
        for good in [
            "a: b",
            "a:b",
            "a: \t b \t ",
            "a:",
            "a: \u{e9}\u{ff}",
            "a: b\tc",
            "!#$%&'*+-.^_`|~09: x",
            "a: \"b:c\", d",
        ] {
            check_line(good, Ok(()));
        }
        check_line("a : b", Err(Fault::SpaceBeforeColon));
        check_line("a\t: b", Err(Fault::SpaceBeforeColon));
        check_line(": b", Err(Fault::FieldName));
        check_line("a", Err(Fault::FieldName));
        check_line("a(: b", Err(Fault::FieldName));
        check_line("\u{e4}: b", Err(Fault::FieldName));
        check_line("a\0: b", Err(Fault::Control));
        check_line("a: b\0", Err(Fault::Control));
        check_line("a: \u{1}b", Err(Fault::Control));
        check_line("a: b\u{7f}c", Err(Fault::Control));
        check_line("a: b\u{b}", Err(Fault::Control));
        check_line("a: b\rc: d", Err(Fault::BareCr));
        check_line("a: b\nc: d", Err(Fault::BareLf));
        check_line("a:\nc: d", Err(Fault::BareLf));
        check_line("a: b\r\rc: d", Err(Fault::BareCr));
        check_line("a: b\r\n c", Err(Fault::ObsFold));
        check_line("a: b\r\n\tc", Err(Fault::ObsFold));
        check_line("a:\r\n c", Err(Fault::ObsFold));
        check("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Err(Fault::ObsFold));
        check("GET / HTTP/1.1\r\nHost: a\r\n\n", Err(Fault::BareLf));
        check("GET / HTTP/1.1\r\nHost: a\n\r\n", Err(Fault::BareLf));
        check("GET / HTTP/1.1\r\nHost: a\r\n\r", Ok(0));
        check("GET / HTTP/1.1\r\nHost: a\r\n\ra", Err(Fault::BareCr));
    }

    #[test]
    fn every_byte_has_its_place() {
        for byte in 0..=u8::MAX {
            let control = byte != b'\t' && (byte < b' ' || byte == 0x7f);
            let accepted = |before: &str, after: &str| {
                let text = [before.as_bytes(), &[byte], after.as_bytes()].concat();
                let found = parse_request(&text, &LIMITS, &mut RequestHead::new());
                found == Ok(Some(text.len()))
            };
            // Long enough for every vector width of the search.
            let pad = "x".repeat(70);
            assert_eq!(
                accepted(
                    &format!("GET / HTTP/1.1\r\nA: {pad}"),
                    &format!("{pad}\r\n\r\n")
                ),
                !control,
                "{byte:#x} in a value"
            );
            assert_eq!(
                accepted(
                    &format!("GET / HTTP/1.1\r\nA{pad}"),
                    &format!("{pad}: x\r\n\r\n")
                ),
                refusal::is_token_byte(byte) || byte == b':',
                "{byte:#x} in a name"
            );
            assert_eq!(
                accepted("G", "T / HTTP/1.1\r\n\r\n"),
                refusal::is_token_byte(byte),
                "{byte:#x} in a method"
            );
            let visible = byte > b' ' && byte < 0x7f;
            assert_eq!(
                accepted(
                    "GET /aaaaaaaaaaaaaaaa",
                    "aaaaaaaaaaaaaaaaaa HTTP/1.1\r\n\r\n"
                ),
                visible,
                "{byte:#x} in a target"
            );
        }
    }

    #[test]
    fn limits_are_noticed_before_the_head_is_complete() {
        let target = |len: usize| format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(len - 1));
        check(target(40), Ok(target(40).len()));
        check(target(41), Err(Fault::TargetTooLong));
        check(format!("GET /{}", "a".repeat(39)), Ok(0));
        check(
            format!("GET /{}", "a".repeat(40)),
            Err(Fault::TargetTooLong),
        );
        let head = |len: usize| format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(len - 23));
        check(head(512), Ok(512));
        check(head(513), Err(Fault::HeadTooLarge));
        check(&head(513)[..511], Ok(0));
        check(&head(513)[..512], Err(Fault::HeadTooLarge));
        check("x".repeat(512), Err(Fault::HeadTooLarge));
        let lines = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "a:b\r\n".repeat(count));
        check(lines(60), Ok(lines(60).len()));
        check(lines(61), Err(Fault::TooManyFields));
        check(&lines(61)[..lines(61).len() - 2], Err(Fault::TooManyFields));
    }

    #[test]
    fn a_name_longer_than_its_range_is_refused() {
        let limits = HeadLimits {
            head_bytes_max: 1 << 20,
            ..LIMITS
        };
        let input = format!("GET / HTTP/1.1\r\n{}: b\r\n\r\n", "a".repeat(65_536));
        let found = parse_request(input.as_bytes(), &limits, &mut RequestHead::new());
        assert_eq!(found, Err(Fault::HeadTooLarge));
        let input = format!("GET / HTTP/1.1\r\n{}: b\r\n\r\n", "a".repeat(65_535));
        let found = parse_request(input.as_bytes(), &limits, &mut RequestHead::new());
        assert_eq!(found, Ok(Some(input.len())));
    }

    #[test]
    fn a_response_is_taken_apart() {
        let text = b"HTTP/1.0 404 Nicht da\xff\r\nServer: x\r\n\r\n";
        let mut head = ResponseHead::default();
        assert_eq!(
            parse_response(text, &LIMITS, &mut head),
            Ok(Some(text.len()))
        );
        assert_eq!(head.status.code(), 404);
        assert_eq!(head.version, Version::Http10);
        assert_eq!(head.phrase(), b"Nicht da\xff");
        assert_eq!(head.fields.len(), 1);
    }

    #[test]
    fn status_lines() {
        check_response("HTTP/1.1 200 OK\r\n\r\n", Ok(19));
        check_response("HTTP/1.1 200 \r\n\r\n", Ok(17));
        check_response("HTTP/1.1 200\r\n\r\n", Ok(16));
        check_response("HTTP/1.1 999 x\ty\r\n\r\n", Ok(20));
        check_response("HTTP/1.1 200 OK", Ok(0));
        check_response("\r\nHTTP/1.1 200 OK\r\n\r\n", Err(Fault::StartLine));
        check_response("HTTP/2.0 200 OK\r\n\r\n", Err(Fault::VersionUnsupported));
        check_response("HTTP/1.1  200 OK\r\n\r\n", Err(Fault::StatusCode));
        check_response("HTTP/1.1 20 OK\r\n\r\n", Err(Fault::StatusCode));
        check_response("HTTP/1.1 2000 OK\r\n\r\n", Err(Fault::StatusCode));
        check_response("HTTP/1.1 099 OK\r\n\r\n", Err(Fault::StatusCode));
        check_response("HTTP/1.1 +20 OK\r\n\r\n", Err(Fault::StatusCode));
        check_response("HTTP/1.1\t200 OK\r\n\r\n", Err(Fault::StartLine));
        check_response("HTTP/1.1 200 O\0K\r\n\r\n", Err(Fault::Control));
        check_response("HTTP/1.1 200 OK\n\r\n", Err(Fault::BareLf));
        check_response("HTTP/1.1 200\n\r\n", Err(Fault::BareLf));
        check_response("HTTP/1.1 200 OK\rX: y\r\n\r\n", Err(Fault::BareCr));
        check_response("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Err(Fault::ObsFold));
        check_response(
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            Err(Fault::SpaceBeforeColon),
        );
        check_response("ICY 200 OK\r\n\r\n", Err(Fault::StartLine));
        check_response("<html>hello</html>\r\n\r\n", Err(Fault::StartLine));
        check_response(b"\0\0\0\x12\x04\0\0\0\0\0", Err(Fault::Control));
        check_response("x".repeat(600), Err(Fault::StartLine));
        check_response(
            format!("HTTP/1.1 200 {}", "x".repeat(600)),
            Err(Fault::HeadTooLarge),
        );
    }
}
