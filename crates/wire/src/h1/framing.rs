//! What a head says about its body and its connection (RFC 9112 §6, §9).

use super::host;
use foregate_message::{
    BodyLength, Fault, FieldId, Fields, Method, RequestHead, ResponseHead, Version, hop,
};

/// What a request's head says about its body and its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestFraming {
    /// How much body follows: `Empty`, `Known`, or `Unknown`, which is chunked.
    pub length: BodyLength,
    /// Whether the client wants another request on this connection.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends its body.
    pub expects_continue: bool,
    /// Whether the client asks for another protocol, which begins behind the request's body. Not set for `h2c` or other
    /// versions of HTTP: through a tunnel they would carry requests past every rule of this gateway.
    pub upgrade: bool,
}

/// What a response's head says about its body and its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResponseFraming {
    /// How much body follows. `Unknown` is chunked when the head says so, else it lasts until the backend closes.
    pub length: BodyLength,
    /// Whether the connection may serve another request afterwards.
    pub keep_alive: bool,
}

/// Checks a request's target, Host, Expect and framing, and says what follows the head.
///
/// # Errors
/// The rule that is broken.
pub fn request_framing(head: &RequestHead) -> Result<RequestFraming, Fault> {
    host::check(head)?;
    let length = declared_length(&head.fields, head.version)?.unwrap_or(BodyLength::Empty);
    let expects_continue = expects_continue(head)? && !length.is_empty();
    Ok(RequestFraming {
        length,
        keep_alive: keeps_alive(&head.fields, head.version),
        expects_continue,
        upgrade: head.version == Version::Http11 && asks_upgrade(&head.fields),
    })
}

/// Checks a response's framing and says what follows the head (RFC 9112 §6.3). Whether a 101 is one that was asked for is
/// another question: see [`switches_as_asked`].
///
/// # Errors
/// The rule that is broken.
pub fn response_framing(
    head: &ResponseHead,
    request_method: &Method,
) -> Result<ResponseFraming, Fault> {
    let declared = declared_length(&head.fields, head.version)?;
    let status = head.status;
    let mut is_clear = true;
    let length = match status.code() {
        101 => BodyLength::Tunnel,
        200..=299 if *request_method == Method::Connect => BodyLength::Tunnel,
        code if status.is_bodiless() => {
            is_clear = !promises_body(code, declared);
            BodyLength::Empty
        }
        _ if *request_method == Method::Head => BodyLength::Empty,
        _ => declared.unwrap_or(BodyLength::Unknown),
    };
    let until_close = length == BodyLength::Unknown && declared.is_none();
    Ok(ResponseFraming {
        length,
        keep_alive: length != BodyLength::Tunnel
            && !until_close
            && is_clear
            && keeps_alive(&head.fields, head.version),
    })
}

/// Whether a response that can have no body says that it has one (RFC 9110 §8.6, RFC 9112 §6.1): somebody who believes
/// that may send it, and it must not be taken for the next response. The length of a 304 is that of what it stands for.
fn promises_body(code: u16, declared: Option<BodyLength>) -> bool {
    match declared {
        Some(BodyLength::Known(bytes)) => bytes > 0 && code != 304,
        Some(BodyLength::Unknown) => true,
        _ => false,
    }
}

/// Whether a 101 says what it switches to, and that is nothing but what was asked for (RFC 9110 §7.8). `asked` is the
/// `Upgrade` that the request went out with.
pub fn switches_as_asked(head: &ResponseHead, asked: &[u8]) -> bool {
    let is_asked = |protocol: &[u8]| {
        let mut asked = asked.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        asked.any(|one| one.eq_ignore_ascii_case(protocol))
    };
    let mut protocols = head.fields.tokens(FieldId::Upgrade).peekable();
    head.fields.has_token(FieldId::Connection, b"upgrade")
        && protocols.peek().is_some()
        && protocols.all(is_asked)
}

/// What Content-Length and Transfer-Encoding say together; `None` when there is neither.
#[inline]
fn declared_length(fields: &Fields, version: Version) -> Result<Option<BodyLength>, Fault> {
    let coded = fields.has(FieldId::TransferEncoding);
    let counted = fields.has(FieldId::ContentLength);
    match (coded, counted) {
        (false, false) => Ok(None),
        (false, true) => Ok(Some(BodyLength::Known(content_length(fields)?))),
        (true, true) => Err(Fault::LengthAndCoding),
        (true, false) if version == Version::Http10 => Err(Fault::CodingInHttp10),
        (true, false) => {
            transfer_coding(fields)?;
            Ok(Some(BodyLength::Unknown))
        }
    }
}

/// Exactly one line that is one decimal number. Repeated lines and lists are refused even when they agree: RFC 9112
/// §6.3 lets a recipient do that, and two recipients that repair differently are a smuggler's tool.
pub(crate) fn content_length(fields: &Fields) -> Result<u64, Fault> {
    let mut lines = fields.all(FieldId::ContentLength);
    let first = lines.next().unwrap_or_default();
    let mut several = false;
    for other in lines {
        if other != first {
            return Err(Fault::LengthsDiffer);
        }
        several = true;
    }
    match decimal(first) {
        Some(length) if !several => Ok(length),
        _ => Err(Fault::Length),
    }
}

/// A number of digits only, up to 2⁶³ - 1: what every other implementation can hold.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    let zeros = text.iter().take_while(|&&byte| byte == b'0').count();
    // Nineteen digits always fit 64 bits.
    if text.is_empty() || text.len() - zeros > 19 {
        return None;
    }
    let mut number: u64 = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u64::from(digit);
    }
    (number <= i64::MAX as u64).then_some(number)
}

/// Exactly one line that is `chunked` and nothing else (RFC 9112 §6.1).
fn transfer_coding(fields: &Fields) -> Result<(), Fault> {
    let mut lines = fields.all(FieldId::TransferEncoding);
    let first = lines.next().unwrap_or_default();
    if lines.next().is_none() && first.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    Err(coding_fault(fields))
}

#[cold]
fn coding_fault(fields: &Fields) -> Fault {
    let is_chunked = |coding: &&[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let codings: Vec<&[u8]> = fields.tokens(FieldId::TransferEncoding).collect();
    let chunked = codings.iter().copied().filter(|c| is_chunked(c)).count();
    let ends_chunked = codings.last().is_some_and(is_chunked);
    match (codings.len(), chunked) {
        // `gzip`, and `gzip, chunked`: well framed, but not spoken here.
        (1.., 0) => Fault::CodingUnknown,
        (2.., 1) if ends_chunked => Fault::CodingUnknown,
        // `chunked, gzip`, `chunked, chunked`, and lists with empty elements.
        _ => Fault::CodingNotLast,
    }
}

/// Whether the connection persists after this message (RFC 9112 §9.3).
#[inline]
fn keeps_alive(fields: &Fields, version: Version) -> bool {
    if !fields.has(FieldId::Connection) {
        return version != Version::Http10;
    }
    !fields.has_token(FieldId::Connection, b"close")
        && (version != Version::Http10 || fields.has_token(FieldId::Connection, b"keep-alive"))
}

/// `Expect` is `100-continue` or refused; HTTP/1.0 clients don't mean it (RFC 9110 §10.1.1).
#[inline]
pub(crate) fn expects_continue(head: &RequestHead) -> Result<bool, Fault> {
    if !head.fields.has(FieldId::Expect) {
        return Ok(false);
    }
    let mut lines = head.fields.all(FieldId::Expect);
    match (lines.next(), lines.next()) {
        (Some(value), None) if value.eq_ignore_ascii_case(b"100-continue") => {
            Ok(head.version != Version::Http10)
        }
        _ => Err(Fault::Expectation),
    }
}

fn asks_upgrade(fields: &Fields) -> bool {
    fields.has(FieldId::Upgrade)
        && hop::upgrade(fields).is_some()
        && !fields.tokens(FieldId::Upgrade).any(hop::is_http)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::{HeadLimits, parse_request, parse_response};
    use BodyLength::{Empty, Known, Tunnel, Unknown};

    const LIMITS: HeadLimits = HeadLimits {
        head_bytes_max: 4096,
        fields_max: 100,
        target_bytes_max: 1000,
    };

    fn framing(line: &str, fields: &[&str]) -> Result<RequestFraming, Fault> {
        let text = format!("{line}\r\n{}\r\n\r\n", fields.join("\r\n"));
        let mut head = RequestHead::new();
        assert_eq!(
            parse_request(text.as_bytes(), &LIMITS, &mut head),
            Ok(Some(text.len()))
        );
        request_framing(&head)
    }

    #[track_caller]
    fn check(fields: &[&str], expected: Result<BodyLength, Fault>) {
        let fields = [&["Host: a"], fields].concat();
        let found = framing("POST / HTTP/1.1", &fields).map(|framing| framing.length);
        assert_eq!(found, expected, "{fields:?}");
    }

    #[test]
    fn lengths() {
        check(&[], Ok(Empty));
        check(&["Content-Length: 0"], Ok(Known(0)));
        check(&["Content-Length: 42"], Ok(Known(42)));
        check(&["Content-Length: 007"], Ok(Known(7)));
        check(&["content-LENGTH:\t42 "], Ok(Known(42)));
        check(
            &["Content-Length: 9223372036854775807"],
            Ok(Known(i64::MAX as u64)),
        );
        for bad in [
            "",
            "+1",
            "-1",
            "1 2",
            "1,1",
            "5, 5",
            "5, 6",
            "0x5",
            "5a",
            "1.0",
            "1e3",
            "\"5\"",
            "٣",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "99999999999999999999999999",
        ] {
            check(&[&format!("Content-Length: {bad}")], Err(Fault::Length));
        }
        check(
            &["Content-Length: 5", "Content-Length: 5"],
            Err(Fault::Length),
        );
        check(
            &["Content-Length: 5", "X: y", "content-length: 6"],
            Err(Fault::LengthsDiffer),
        );
    }

    #[test]
    fn codings() {
        check(&["Transfer-Encoding: chunked"], Ok(Unknown));
        check(&["transfer-encoding:  ChUnKeD "], Ok(Unknown));
        for unknown in [
            "gzip",
            "identity",
            "gzip, chunked",
            "xchunked",
            "chunked;q=1",
            "\"chunked\"",
            "chunked chunked",
            "x, y, chunked",
        ] {
            check(
                &[&format!("Transfer-Encoding: {unknown}")],
                Err(Fault::CodingUnknown),
            );
        }
        for not_last in [
            "",
            ",",
            "chunked, gzip",
            "chunked, chunked",
            "chunked,",
            ", chunked",
            "chunked, gzip, chunked",
            "chunked, identity",
        ] {
            check(
                &[&format!("Transfer-Encoding: {not_last}")],
                Err(Fault::CodingNotLast),
            );
        }
        let twice = ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"];
        check(&twice, Err(Fault::CodingNotLast));
        let hidden = ["Transfer-Encoding: chunked", "Transfer-Encoding: x"];
        check(&hidden, Err(Fault::CodingNotLast));
        for length in ["0", "5", "x"] {
            let length = format!("Content-Length: {length}");
            let both = ["Transfer-Encoding: chunked", &length];
            check(&both, Err(Fault::LengthAndCoding));
            let both = [&length, "Transfer-Encoding: gzip"];
            check(&both, Err(Fault::LengthAndCoding));
        }
        assert_eq!(
            framing("POST / HTTP/1.0", &["Transfer-Encoding: chunked"]),
            Err(Fault::CodingInHttp10)
        );
    }

    #[test]
    fn hosts() {
        let check = |line: &str, hosts: &[&str], expected: Result<(), Fault>| {
            let fields: Vec<String> = hosts.iter().map(|host| format!("Host: {host}")).collect();
            let fields: Vec<&str> = fields.iter().map(String::as_str).chain(["A: b"]).collect();
            assert_eq!(
                framing(line, &fields).map(|_| ()),
                expected,
                "{line} {hosts:?}"
            );
        };
        check("GET / HTTP/1.1", &["a"], Ok(()));
        check("GET / HTTP/1.1", &["[::1]:80"], Ok(()));
        check("GET / HTTP/1.1", &[], Err(Fault::HostMissing));
        check("GET http://a/ HTTP/1.1", &[], Err(Fault::HostMissing));
        check("GET / HTTP/1.0", &[], Ok(()));
        check("GET / HTTP/1.1", &["a", "a"], Err(Fault::HostSeveral));
        check("GET / HTTP/1.0", &["a", "b"], Err(Fault::HostSeveral));
        for bad in [
            "", "a b", "a,b", "a/b", "u@a", "a:b", "a:99999", "http://a", "::1",
        ] {
            check("GET / HTTP/1.1", &[bad], Err(Fault::Host));
            check("GET / HTTP/1.0", &[bad], Err(Fault::Host));
        }
        check("GET http://a/x HTTP/1.1", &["A"], Ok(()));
        check("GET http://a:80/x HTTP/1.1", &["a"], Ok(()));
        check("GET http://a HTTP/1.1", &["a:80"], Ok(()));
        check("GET https://a HTTP/1.1", &["a:443"], Ok(()));
        check(
            "GET https://a HTTP/1.1",
            &["a:80"],
            Err(Fault::HostMismatch),
        );
        check("GET http://a/ HTTP/1.1", &["b"], Err(Fault::HostMismatch));
        check(
            "GET http://a:81/ HTTP/1.1",
            &["a"],
            Err(Fault::HostMismatch),
        );
        check("GET http://a/ HTTP/1.0", &["b"], Err(Fault::HostMismatch));
        check("OPTIONS * HTTP/1.1", &["a"], Ok(()));
        check("CONNECT a:443 HTTP/1.1", &["a:443"], Ok(()));
        check("CONNECT a:443 HTTP/1.1", &["a"], Ok(()));
        check(
            "CONNECT a:443 HTTP/1.1",
            &["b:443"],
            Err(Fault::HostMismatch),
        );
        check("GET * HTTP/1.1", &["a"], Err(Fault::Target));
        check("GET a HTTP/1.1", &["a"], Err(Fault::Target));
        check("GET ftp://a/ HTTP/1.1", &["a"], Err(Fault::Target));
        check("GET /#f HTTP/1.1", &["a"], Err(Fault::Target));
        check("GET /\u{e4} HTTP/1.1", &["a"], Err(Fault::Target));
    }

    #[test]
    fn persistence() {
        let check = |version: &str, connection: &[&str], expected: bool| {
            let fields: Vec<String> = connection
                .iter()
                .map(|c| format!("Connection: {c}"))
                .collect();
            let fields: Vec<&str> = fields
                .iter()
                .map(String::as_str)
                .chain(["Host: a"])
                .collect();
            let found = framing(&format!("GET / {version}"), &fields).map(|f| f.keep_alive);
            assert_eq!(found, Ok(expected), "{version} {connection:?}");
        };
        check("HTTP/1.1", &[], true);
        check("HTTP/1.1", &["keep-alive"], true);
        check("HTTP/1.1", &["x, Close"], false);
        check("HTTP/1.1", &["x", "close"], false);
        check("HTTP/1.1", &["closed"], true);
        check("HTTP/1.0", &[], false);
        check("HTTP/1.0", &["Keep-Alive"], true);
        check("HTTP/1.0", &["keep-alive, close"], false);
    }

    #[test]
    fn expectations_and_upgrades() {
        let with = |line: &str, fields: &[&str]| framing(line, &[&["Host: a"], fields].concat());
        let expect = "Expect: 100-Continue";
        let waits = with("PUT / HTTP/1.1", &[expect, "Content-Length: 1"]);
        assert!(waits.unwrap().expects_continue);
        assert!(!with("PUT / HTTP/1.1", &[expect]).unwrap().expects_continue);
        let old = with("PUT / HTTP/1.0", &[expect, "Content-Length: 1"]);
        assert!(!old.unwrap().expects_continue);
        for bad in [&["Expect: x"][..], &["Expect:"], &[expect, expect]] {
            assert_eq!(with("PUT / HTTP/1.1", bad), Err(Fault::Expectation));
        }
        let upgrade = |version: &str, fields: &[&str]| {
            with(&format!("GET / {version}"), fields).unwrap().upgrade
        };
        let asked = ["Connection: upgrade", "Upgrade: websocket"];
        assert!(upgrade("HTTP/1.1", &asked));
        assert!(!upgrade("HTTP/1.0", &asked));
        assert!(!upgrade("HTTP/1.1", &asked[1..]));
        for body in ["Content-Length: 3", "Transfer-Encoding: chunked"] {
            assert!(upgrade("HTTP/1.1", &[asked[0], asked[1], body]));
        }
        for http in ["h2c", "websocket, H2C", "HTTP/2.0", "http/1.1", "h2"] {
            assert!(
                !upgrade("HTTP/1.1", &[asked[0], &format!("Upgrade: {http}")]),
                "{http}"
            );
        }
    }

    #[test]
    fn a_switch_is_to_what_was_asked_for() {
        let switches = |asked: &str, fields: &[&str]| {
            let lines = [&["A: b"], fields].concat().join("\r\n");
            let text = format!("HTTP/1.1 101 x\r\n{lines}\r\n\r\n");
            let mut head = ResponseHead::default();
            assert!(matches!(
                parse_response(text.as_bytes(), &LIMITS, &mut head),
                Ok(Some(_))
            ));
            switches_as_asked(&head, asked.as_bytes())
        };
        let names = "Connection: keep-alive, Upgrade";
        for (asked, answered, expected) in [
            ("tcp", "tcp", true),
            ("websocket", "WebSocket", true),
            ("foo/2 , tcp", "tcp", true),
            ("foo/2,tcp", "foo/2, TCP", true),
            ("foo/2", "foo", false),
            ("tcp", "other", false),
            ("tcp", "tcp, other", false),
            ("tcp, other", "", false),
        ] {
            let upgrade = format!("Upgrade: {answered}");
            assert_eq!(
                switches(asked, &[names, &upgrade]),
                expected,
                "{asked} {answered}"
            );
            assert!(!switches(asked, &[&upgrade]), "Connection does not name it");
        }
        assert!(!switches("tcp", &[names]));
    }

    #[test]
    fn responses() {
        let check = |method: Method, line: &str, fields: &[&str], expected| {
            let text = format!(
                "{line}\r\n{}\r\n\r\n",
                [&["A: b"], fields].concat().join("\r\n")
            );
            let mut head = ResponseHead::default();
            let parsed = parse_response(text.as_bytes(), &LIMITS, &mut head);
            assert_eq!(parsed, Ok(Some(text.len())));
            let found = response_framing(&head, &method).map(|f| (f.length, f.keep_alive));
            assert_eq!(found, expected, "{line} {fields:?}");
        };
        let get = || Method::Get;
        let chunked = "Transfer-Encoding: chunked";
        let five = "Content-Length: 5";
        check(get(), "HTTP/1.1 200 OK", &[five], Ok((Known(5), true)));
        check(get(), "HTTP/1.1 200 OK", &[chunked], Ok((Unknown, true)));
        check(get(), "HTTP/1.1 200 OK", &[], Ok((Unknown, false)));
        check(get(), "HTTP/1.0 200 OK", &[five], Ok((Known(5), false)));
        let kept = "Connection: keep-alive";
        check(
            get(),
            "HTTP/1.0 200 OK",
            &[five, kept],
            Ok((Known(5), true)),
        );
        check(
            get(),
            "HTTP/1.1 200 OK",
            &[five, "Connection: close"],
            Ok((Known(5), false)),
        );
        check(Method::Head, "HTTP/1.1 200 OK", &[five], Ok((Empty, true)));
        check(
            Method::Head,
            "HTTP/1.1 200 OK",
            &[chunked],
            Ok((Empty, true)),
        );
        check(Method::Head, "HTTP/1.1 200 OK", &[], Ok((Empty, true)));
        let none = "Content-Length: 0";
        check(get(), "HTTP/1.1 304 x", &[five], Ok((Empty, true)));
        for bodiless in ["204", "304", "103", "100"] {
            let line = format!("HTTP/1.1 {bodiless} x");
            check(get(), &line, &[], Ok((Empty, true)));
            check(get(), &line, &[none], Ok((Empty, true)));
            check(get(), &line, &[chunked], Ok((Empty, false)));
            if bodiless != "304" {
                check(get(), &line, &[five], Ok((Empty, false)));
            }
        }
        check(get(), "HTTP/1.1 101 x", &[], Ok((Tunnel, false)));
        check(
            Method::Connect,
            "HTTP/1.1 200 x",
            &[five],
            Ok((Tunnel, false)),
        );
        check(
            Method::Connect,
            "HTTP/1.1 404 x",
            &[five],
            Ok((Known(5), true)),
        );
        check(
            get(),
            "HTTP/1.1 200 x",
            &[five, chunked],
            Err(Fault::LengthAndCoding),
        );
        check(
            Method::Head,
            "HTTP/1.1 200 x",
            &[five, chunked],
            Err(Fault::LengthAndCoding),
        );
        check(
            get(),
            "HTTP/1.1 304 x",
            &["Content-Length: x"],
            Err(Fault::Length),
        );
        check(
            get(),
            "HTTP/1.0 200 x",
            &[chunked],
            Err(Fault::CodingInHttp10),
        );
        check(
            get(),
            "HTTP/1.1 200 x",
            &["Transfer-Encoding: gzip, chunked"],
            Err(Fault::CodingUnknown),
        );
    }
}
