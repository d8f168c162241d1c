//! Heads: from fields to bytes.
//!
//! Callers strip hop-by-hop fields; the fields that frame a message are written here, from the one length that the
//! body is then encoded with, so that a head and its body can't disagree.

use super::encode::{BodyEncoder, write_decimal};
use super::framing::decimal;
use foregate_message::{
    BodyLength, FieldId, FieldSet, Fields, Method, RequestHead, ResponseHead, Status, Version,
};

/// How a request goes out.
#[derive(Clone, Copy, Debug)]
pub struct RequestOut<'a> {
    /// How long the body is.
    pub length: BodyLength,
    /// The protocols to ask for, as the `Upgrade` field names them.
    pub upgrade: Option<&'a [u8]>,
    /// Whether the connection is to stay open afterwards.
    pub keep_alive: bool,
}

/// How a response goes out.
#[derive(Clone, Copy, Debug)]
pub struct ResponseOut<'a> {
    /// The client's version.
    pub version: Version,
    /// Whether HEAD was asked, so that no body follows.
    pub request_method_is_head: bool,
    /// Whether the client wants the connection kept and the gateway is willing. For HTTP/1.0 that includes that the
    /// client asked for it.
    pub keep_alive: bool,
    /// What a 101 switches to or a 426 asks for, as the `Upgrade` field names it. An HTTP/1.0 client is told of none.
    pub upgrade: Option<&'a [u8]>,
}

/// Fields that are never copied: they are this connection's, and written here or not at all.
pub(crate) const OWN: FieldSet = FieldSet::of(&[
    FieldId::Connection,
    FieldId::TransferEncoding,
    FieldId::KeepAlive,
    FieldId::ProxyConnection,
    FieldId::Upgrade,
]);

/// What is done about Content-Length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    /// Exactly this one is sent.
    Exactly(u64),
    /// None is sent.
    Omitted,
    /// The received one is sent, if there is a proper one: it describes a body that isn't sent.
    AsReceived,
}

/// Writes a request's head; the encoder is its body's. `Unknown` goes out chunked. What came without Host, as HTTP/1.0
/// allows, must have been given one: it goes out as HTTP/1.1.
#[inline]
pub fn write_request(
    head: &RequestHead,
    target: &[u8],
    framing: RequestOut<'_>,
    out: &mut Vec<u8>,
) -> BodyEncoder {
    out.reserve(target.len() + 128);
    out.extend_from_slice(head.method_name());
    out.push(b' ');
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let (count, encoder) = match framing.length {
        BodyLength::Known(length) => (Count::Exactly(length), BodyEncoder::known(length)),
        BodyLength::Bare => (Count::Exactly(0), BodyEncoder::empty()),
        BodyLength::Unknown => (Count::Omitted, BodyEncoder::chunked()),
        BodyLength::Empty | BodyLength::Tunnel => (Count::Omitted, BodyEncoder::empty()),
    };
    write_fields(&head.fields, count, out);
    match framing.length {
        BodyLength::Unknown => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        // Methods that stand for a body say that there is none (RFC 9110 §8.6).
        BodyLength::Empty if matches!(head.method, Method::Post | Method::Put | Method::Patch) => {
            out.extend_from_slice(b"Content-Length: 0\r\n");
        }
        _ => {}
    }
    let te = head.fields.has(FieldId::Te);
    if te || !framing.keep_alive || framing.upgrade.is_some() {
        let options = [
            (!framing.keep_alive, &b"close"[..]),
            (framing.upgrade.is_some(), b"upgrade"),
            (te, b"TE"),
        ];
        write_connection(&options, framing.upgrade, out);
    }
    out.extend_from_slice(b"\r\n");
    encoder
}

/// Writes a final response's head, or a 101. The encoder is its body's; the flag says whether the connection can be
/// kept once the body is complete.
///
/// `Unknown` goes out chunked, or until close to HTTP/1.0 (RFC 9112 §6.1). A length that is known is always sent, so
/// that the client need not wait for the end; a response to HEAD and a 304 keep a Content-Length that came with them
/// and get none otherwise (RFC 9110 §8.6).
#[inline]
pub fn write_response(
    head: &ResponseHead,
    length: BodyLength,
    client: ResponseOut<'_>,
    out: &mut Vec<u8>,
) -> (BodyEncoder, bool) {
    out.reserve(128);
    write_status_line(head, out);
    let old = client.version == Version::Http10;
    let (count, encoder) = match length {
        BodyLength::Tunnel => (Count::Omitted, BodyEncoder::tunnel()),
        _ if head.status.code() == 304 => (Count::AsReceived, BodyEncoder::empty()),
        _ if head.status.is_bodiless() => (Count::Omitted, BodyEncoder::empty()),
        BodyLength::Bare => (Count::Exactly(0), BodyEncoder::empty()),
        BodyLength::Known(length) if client.request_method_is_head => {
            (Count::Exactly(length), BodyEncoder::empty())
        }
        _ if client.request_method_is_head => (Count::AsReceived, BodyEncoder::empty()),
        BodyLength::Empty => (Count::Exactly(0), BodyEncoder::empty()),
        BodyLength::Known(length) => (Count::Exactly(length), BodyEncoder::known(length)),
        BodyLength::Unknown if old => (Count::Omitted, BodyEncoder::until_close()),
        BodyLength::Unknown => (Count::Omitted, BodyEncoder::chunked()),
    };
    write_fields(&head.fields, count, out);
    if !encoder.is_plain() {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    let keep = client.keep_alive && !encoder.ends_by_closing();
    match (length, client.upgrade) {
        (BodyLength::Tunnel, Some(protocol)) => {
            write_connection(&[(true, b"upgrade")], Some(protocol), out);
        }
        (BodyLength::Tunnel, None) => {}
        (_, Some(protocols)) if !old => {
            write_connection(
                &[(!keep, b"close"), (true, b"upgrade")],
                Some(protocols),
                out,
            );
        }
        _ if !keep => out.extend_from_slice(b"Connection: close\r\n"),
        _ if old => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        _ => {}
    }
    out.extend_from_slice(b"\r\n");
    (encoder, keep)
}

/// Writes an interim response's head: 1xx except 101. It never has a body.
pub fn write_interim(head: &ResponseHead, out: &mut Vec<u8>) {
    write_status_line(head, out);
    write_fields(&head.fields, Count::Omitted, out);
    out.extend_from_slice(b"\r\n");
}

/// The gateway speaks HTTP/1.1 on this side, whatever the backend spoke (RFC 9112 §2.3).
#[inline]
fn write_status_line(head: &ResponseHead, out: &mut Vec<u8>) {
    if head.status == Status::OK && head.phrase() == b"OK" {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    write_decimal(u64::from(head.status.code()), out);
    out.push(b' ');
    out.extend_from_slice(head.phrase());
    out.extend_from_slice(b"\r\n");
}

/// Copies the fields as they are, which is one or two moves, unless one of them must not be sent so.
#[inline]
fn write_fields(fields: &Fields, count: Count, out: &mut Vec<u8>) {
    let counted = fields.has(FieldId::ContentLength);
    let agrees = match count {
        Count::Exactly(length) => counted && counts(fields) == Some(length),
        Count::Omitted => !counted,
        Count::AsReceived => !counted || counts(fields).is_some(),
    };
    if agrees && !fields.has_any(OWN) {
        return fields.write_http1(out);
    }
    write_some_fields(fields, agrees, out);
    if let Count::Exactly(length) = count
        && !agrees
    {
        out.extend_from_slice(b"Content-Length: ");
        write_decimal(length, out);
        out.extend_from_slice(b"\r\n");
    }
}

/// The number that the one Content-Length line says.
pub(crate) fn counts(fields: &Fields) -> Option<u64> {
    let mut lines = fields.all(FieldId::ContentLength);
    let length = lines.next().and_then(decimal)?;
    lines.next().is_none().then_some(length)
}

#[cold]
fn write_some_fields(fields: &Fields, with_length: bool, out: &mut Vec<u8>) {
    for line in fields.iter() {
        if OWN.holds(line.id) || (line.id == FieldId::ContentLength && !with_length) {
            continue;
        }
        out.extend_from_slice(line.name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(line.value);
        out.extend_from_slice(b"\r\n");
    }
}

/// `Connection` with those options that apply, and `Upgrade` behind it.
fn write_connection(options: &[(bool, &[u8])], upgrade: Option<&[u8]>, out: &mut Vec<u8>) {
    let mut before = &b"Connection: "[..];
    for (_, option) in options.iter().filter(|(applies, _)| *applies) {
        out.extend_from_slice(before);
        out.extend_from_slice(option);
        before = b", ";
    }
    out.extend_from_slice(b"\r\n");
    if let Some(protocols) = upgrade {
        out.extend_from_slice(b"Upgrade: ");
        out.extend_from_slice(protocols);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &mut Fields, lines: &[&str]) {
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            fields.append_line(name.as_bytes(), value.as_bytes());
        }
    }

    #[track_caller]
    fn check_request(lines: &[&str], out: RequestOut<'_>, expected: &[&str]) {
        check_request_by("GET", lines, out, expected);
    }

    #[track_caller]
    fn check_request_by(method: &str, lines: &[&str], out: RequestOut<'_>, expected: &[&str]) {
        let mut head = RequestHead::with(method, b"/seen");
        fields(&mut head.fields, lines);
        let mut bytes = Vec::new();
        write_request(&head, b"/sent?q", out, &mut bytes);
        let mut text = format!("{method} /sent?q HTTP/1.1\r\n");
        for line in expected {
            text = text + line + "\r\n";
        }
        assert_eq!(String::from_utf8(bytes).unwrap(), text + "\r\n");
    }

    const OUT: RequestOut<'_> = RequestOut {
        length: BodyLength::Empty,
        upgrade: None,
        keep_alive: true,
    };

    #[test]
    fn requests_are_framed_by_their_length() {
        let known = |length| RequestOut {
            length: BodyLength::Known(length),
            ..OUT
        };
        let chunked = RequestOut {
            length: BodyLength::Unknown,
            ..OUT
        };
        check_request(&["Host: a"], OUT, &["Host: a"]);
        for method in ["POST", "PUT", "PATCH"] {
            let said = ["Host: a", "Content-Length: 0"];
            check_request_by(method, &["Host: a"], OUT, &said);
        }
        check_request_by("DELETE", &["Host: a"], OUT, &["Host: a"]);
        check_request(&["Host: a", "Content-Length: 5"], OUT, &["Host: a"]);
        check_request(
            &["Content-Length: 5", "A: b"],
            known(5),
            &["Content-Length: 5", "A: b"],
        );
        check_request(&["A: b"], known(5), &["A: b", "Content-Length: 5"]);
        check_request(
            &["Content-Length: 4", "A: b"],
            known(5),
            &["A: b", "Content-Length: 5"],
        );
        let twice = ["Content-Length: 5", "Content-Length: 5"];
        check_request(&twice, known(5), &["Content-Length: 5"]);
        check_request(
            &["Content-Length: 5", "A: b"],
            chunked,
            &["A: b", "Transfer-Encoding: chunked"],
        );
        check_request(
            &["Transfer-Encoding: gzip"],
            known(5),
            &["Content-Length: 5"],
        );
    }

    #[test]
    fn requests_say_what_their_connection_carries() {
        check_request(&["TE: trailers"], OUT, &["TE: trailers", "Connection: TE"]);
        let close = RequestOut {
            keep_alive: false,
            ..OUT
        };
        check_request(&[], close, &["Connection: close"]);
        check_request(
            &["TE: trailers"],
            close,
            &["TE: trailers", "Connection: close, TE"],
        );
        let upgrade = RequestOut {
            upgrade: Some(b"websocket"),
            ..OUT
        };
        check_request(
            &["A: b"],
            upgrade,
            &["A: b", "Connection: upgrade", "Upgrade: websocket"],
        );
        let stale = ["Connection: close", "Keep-Alive: 5", "Upgrade: h2c", "A: b"];
        check_request(&stale, OUT, &["A: b"]);
    }

    const CLIENT: ResponseOut<'_> = ResponseOut {
        version: Version::Http11,
        request_method_is_head: false,
        keep_alive: true,
        upgrade: None,
    };

    /// `lines` are sent as `expected`; `body` is the encoder and whether the connection stays.
    #[track_caller]
    fn check(
        code: u16,
        lines: &[&str],
        length: BodyLength,
        client: ResponseOut<'_>,
        expected: &[&str],
        body: (&str, bool),
    ) {
        let mut head = ResponseHead::new(Status::new(code).unwrap());
        fields(&mut head.fields, lines);
        let mut bytes = Vec::new();
        let (encoder, keep) = write_response(&head, length, client, &mut bytes);
        let mut text = format!("HTTP/1.1 {code} {}\r\n", head.status.phrase());
        for line in expected {
            text = text + line + "\r\n";
        }
        assert_eq!(String::from_utf8(bytes).unwrap(), text + "\r\n");
        let form = format!("{encoder:?}");
        assert!(form.contains(body.0), "{form} is not {}", body.0);
        assert_eq!(keep, body.1);
    }

    #[test]
    fn a_required_upgrade_is_told_to_those_who_know_upgrades() {
        use BodyLength::Known;
        let five = "Content-Length: 5";
        let upgrade = ResponseOut {
            upgrade: Some(b"websocket"),
            ..CLIENT
        };
        let required = [five, "Connection: upgrade", "Upgrade: websocket"];
        let lines = [five, "Upgrade: websocket"];
        check(426, &lines, Known(5), upgrade, &required, ("Known", true));
        let closing = ResponseOut {
            keep_alive: false,
            ..upgrade
        };
        let required = [five, "Connection: close, upgrade", "Upgrade: websocket"];
        check(426, &lines, Known(5), closing, &required, ("Known", false));
        let older = ResponseOut {
            version: Version::Http10,
            ..upgrade
        };
        let kept = [five, "Connection: keep-alive"];
        check(426, &lines, Known(5), older, &kept, ("Known", true));
    }

    #[test]
    fn responses_are_framed_for_their_client() {
        use BodyLength::{Empty, Known, Tunnel, Unknown};
        let old = ResponseOut {
            version: Version::Http10,
            ..CLIENT
        };
        let head = ResponseOut {
            request_method_is_head: true,
            ..CLIENT
        };
        let five = "Content-Length: 5";
        let none = "Content-Length: 0";
        let chunked = "Transfer-Encoding: chunked";
        let close = "Connection: close";
        check(
            200,
            &["A: b", five],
            Known(5),
            CLIENT,
            &["A: b", five],
            ("Known", true),
        );
        check(
            200,
            &["A: b"],
            Known(5),
            CLIENT,
            &["A: b", five],
            ("Known", true),
        );
        check(404, &[], Empty, CLIENT, &[none], ("Done", true));
        check(200, &[five], Empty, CLIENT, &[none], ("Done", true));
        check(200, &[five], Unknown, CLIENT, &[chunked], ("Chunked", true));
        check(200, &[], Unknown, old, &[close], ("UntilClose", false));
        check(
            200,
            &[five],
            Known(5),
            old,
            &[five, "Connection: keep-alive"],
            ("Known", true),
        );
        let leaving = ResponseOut {
            keep_alive: false,
            ..CLIENT
        };
        check(
            200,
            &[five],
            Known(5),
            leaving,
            &[five, close],
            ("Known", false),
        );
        check(200, &[five], Empty, head, &[five], ("Done", true));
        check(200, &[], Empty, head, &[], ("Done", true));
        check(200, &[], Known(5), head, &[five], ("Done", true));
        check(200, &[], Unknown, head, &[], ("Done", true));
        check(304, &[five], Empty, CLIENT, &[five], ("Done", true));
        check(304, &["A: b"], Known(0), CLIENT, &["A: b"], ("Done", true));
        check(
            204,
            &[five, "A: b"],
            Empty,
            CLIENT,
            &["A: b"],
            ("Done", true),
        );
        let upgrade = ResponseOut {
            upgrade: Some(b"websocket"),
            ..CLIENT
        };
        let switched = ["A: b", "Connection: upgrade", "Upgrade: websocket"];
        check(
            101,
            &["A: b"],
            Tunnel,
            upgrade,
            &switched,
            ("Tunnel", false),
        );
        check(200, &[five], Tunnel, CLIENT, &[], ("Tunnel", false));
    }

    #[test]
    fn interim_responses_have_no_framing() {
        let mut head = ResponseHead::new(Status::new(103).unwrap());
        fields(&mut head.fields, &["Link: </a>", "Content-Length: 3"]);
        let mut out = Vec::new();
        write_interim(&head, &mut out);
        assert_eq!(out, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    }
}
