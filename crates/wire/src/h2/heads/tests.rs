//! What heads become, and what is refused (RFC 9113 §8).

mod written;

use super::*;
use crate::h1::{HeadLimits, TrailersOf};
use crate::h2::hpack::{Decoder, Encoder, TABLE_BYTES_DEFAULT};
use foregate_message::{
    BodyLength, FieldId, Fields, Method, RequestHead, ResponseHead, Scheme, Status, Version,
};
use proptest::prelude::*;

const LIMITS: HeadLimits = HeadLimits {
    head_bytes_max: 4096,
    fields_max: 20,
    target_bytes_max: 1000,
};

/// A block that spells everything out, right or wrong: `name: value` a line, split at the last colon before a space.
fn block(lines: &[&str]) -> Vec<u8> {
    let mut block = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        block.push(0);
        for text in [name, value] {
            if text.len() < 127 {
                block.push(text.len() as u8);
            } else {
                let rest = text.len() - 127;
                block.extend([127, rest as u8 | 0x80, (rest >> 7) as u8]);
            }
            block.extend(text.as_bytes());
        }
    }
    block
}

fn read(lines: &[&str], ends: bool) -> Result<(RequestHead, RequestFacts), HeadFault> {
    let mut head = RequestHead::new();
    let mut decoder = Decoder::new(TABLE_BYTES_DEFAULT);
    let facts = read_request(&mut decoder, &block(lines), ends, &LIMITS, true, &mut head)?;
    Ok((head, facts))
}

fn http1_bytes(fields: &Fields) -> Vec<u8> {
    let mut out = Vec::new();
    fields.write_http1(&mut out);
    out
}

fn http1(fields: &Fields) -> String {
    String::from_utf8(http1_bytes(fields)).unwrap()
}

const GET: [&str; 4] = [
    ":method: GET",
    ":scheme: https",
    ":authority: a.example",
    ":path: /p?q",
];

fn get_with<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    [&GET[..], lines].concat()
}

#[test]
fn a_request_becomes_what_http1_would_have_brought() {
    let lines = get_with(&[
        "accept: */*",
        "cookie: a=1",
        "x-own: b",
        "cookie: c=2",
        "te: trailers",
    ]);
    let (head, facts) = read(&lines, true).unwrap();
    assert_eq!(head.method, Method::Get);
    assert_eq!(head.version, Version::Http2);
    assert_eq!(head.target(), b"/p?q");
    assert_eq!(
        http1(&head.fields),
        "host: a.example\r\naccept: */*\r\nCookie: a=1; c=2\r\nx-own: b\r\nte: trailers\r\n"
    );
    assert_eq!(
        facts,
        RequestFacts {
            length: BodyLength::Empty,
            expects_continue: false,
            upgrade: false,
            scheme: Scheme::Https,
        }
    );
}

#[test]
fn tables_serve_the_next_request() {
    let mut encoder = Encoder::new(TABLE_BYTES_DEFAULT);
    let mut decoder = Decoder::new(TABLE_BYTES_DEFAULT);
    let (sent, _) = read(
        &get_with(&["accept: */*", "user-agent: x", "cookie: a"]),
        true,
    )
    .unwrap();
    let framing = RequestOut {
        scheme: Scheme::Https,
        length: BodyLength::Empty,
        protocol: None,
    };
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let mut block = Vec::new();
        write_request(&mut encoder, &sent, sent.target(), framing, &mut block);
        sizes.push(block.len());
        let mut head = RequestHead::new();
        read_request(&mut decoder, &block, true, &LIMITS, false, &mut head).unwrap();
        assert_eq!(http1(&head.fields), http1(&sent.fields));
        assert_eq!(head.target(), sent.target());
        assert!(
            head.fields
                .iter()
                .any(|line| line.id == FieldId::Cookie && line.guarded)
        );
    }
    assert!(sizes[0] > sizes[1] && sizes[1] > sizes[2], "{sizes:?}");
}

#[track_caller]
fn malformed(lines: &[&str], fault: Fault) {
    let found = read(lines, false).map(|(head, facts)| (http1(&head.fields), facts));
    assert_eq!(found, Err(HeadFault::Malformed(fault)), "{lines:?}");
}

#[test]
fn pseudo_header_fields() {
    for left_out in [0, 1, 3] {
        let mut lines = GET.to_vec();
        lines.remove(left_out);
        malformed(&lines, Fault::PseudoHeader);
    }
    for repeated in GET {
        malformed(&get_with(&[repeated]), Fault::PseudoHeader);
        let late = get_with(&["a: b", repeated]);
        malformed(&late, Fault::PseudoHeader);
    }
    malformed(&get_with(&[":status: 200"]), Fault::PseudoHeader);
    malformed(&get_with(&[":foo: bar"]), Fault::PseudoHeader);
    malformed(&get_with(&[":protocol: websocket"]), Fault::PseudoHeader);
    malformed(
        &[":method: G T", ":scheme: http", ":authority: a", ":path: /"],
        Fault::Method,
    );
    malformed(
        &[":method: ", ":scheme: http", ":authority: a", ":path: /"],
        Fault::Method,
    );
    malformed(
        &[":method: GET", ":scheme: ftp", ":authority: a", ":path: /"],
        Fault::PseudoHeader,
    );
    for path in ["", "a", "*", "http://a/", "/a b", "/#", "//\u{e4}", "a:443"] {
        let path = format!(":path: {path}");
        malformed(
            &[":method: GET", ":scheme: http", ":authority: a", &path],
            Fault::Target,
        );
    }
    let asterisk = [
        ":method: OPTIONS",
        ":scheme: http",
        ":authority: a",
        ":path: *",
    ];
    assert_eq!(read(&asterisk, true).unwrap().0.target(), b"*");
    let extension = [
        ":method: PURGE",
        ":scheme: http",
        ":authority: a",
        ":path: /",
    ];
    assert_eq!(read(&extension, true).unwrap().0.method_name(), b"PURGE");
}

#[test]
fn hosts() {
    let no_authority = [GET[0], GET[1], GET[3]];
    malformed(&no_authority, Fault::HostMissing);
    let host_only = [&no_authority[..], &["a: b", "host: a.example"]].concat();
    assert_eq!(
        http1(&read(&host_only, true).unwrap().0.fields),
        "a: b\r\nhost: a.example\r\n"
    );
    for same in ["host: a.example", "host: A.example", "host: a.example:443"] {
        let (head, _) = read(&get_with(&["a: b", same]), true).unwrap();
        assert_eq!(http1(&head.fields), "Host: a.example\r\na: b\r\n");
    }
    malformed(&get_with(&["host: b.example"]), Fault::HostMismatch);
    malformed(&get_with(&["host: a.example:80"]), Fault::HostMismatch);
    malformed(&get_with(&["host: a/b"]), Fault::Host);
    malformed(
        &get_with(&["host: a.example", "host: a.example"]),
        Fault::HostSeveral,
    );
    for authority in ["", "u@a", "a b", "a:b", "a/b", "http://a"] {
        let authority = format!(":authority: {authority}");
        malformed(&[GET[0], GET[1], &authority, GET[3]], Fault::Host);
    }
}

#[test]
fn fields() {
    for line in [
        "connection: close",
        "keep-alive: 1",
        "proxy-connection: x",
        "transfer-encoding: chunked",
        "upgrade: websocket",
        "te: gzip",
        "te: trailers, gzip",
    ] {
        malformed(&get_with(&[line]), Fault::ConnectionField);
    }
    for line in ["Accept: a", "a b: c", "\u{e4}: a", "a\0: b", ": x"] {
        malformed(&get_with(&[line]), Fault::FieldName);
    }
    for line in [
        "a:  b",
        "a: b ",
        "a: \tb",
        "a: b\r\nc: d",
        "a: \0",
        "a: b\n",
        "a: \r",
        "a: \u{7f}",
    ] {
        malformed(&get_with(&[line]), Fault::FieldValue);
    }
    malformed(
        &get_with(&["content-length: 5", "content-length: 6"]),
        Fault::LengthsDiffer,
    );
    for length in ["+5", "-5", "5, 5", "", "0x5", "99999999999999999999"] {
        malformed(
            &get_with(&[&format!("content-length: {length}")]),
            Fault::Length,
        );
    }
}

#[test]
fn lengths() {
    let length =
        |lines: &[&str], ends: bool| read(&get_with(lines), ends).map(|(_, facts)| facts.length);
    assert_eq!(length(&[], true), Ok(BodyLength::Empty));
    assert_eq!(length(&[], false), Ok(BodyLength::Unknown));
    assert_eq!(
        length(&["content-length: 0"], true),
        Ok(BodyLength::Known(0))
    );
    // Trailers may follow.
    assert_eq!(length(&["content-length: 0"], false), Ok(BodyLength::Bare));
    assert_eq!(
        length(&["content-length: 7"], false),
        Ok(BodyLength::Known(7))
    );
    assert_eq!(
        length(&["content-length: 7"], true),
        Err(HeadFault::Malformed(Fault::Length))
    );
    let expects = |lines: &[&str], ends| {
        read(&get_with(lines), ends).map(|(_, facts)| facts.expects_continue)
    };
    assert_eq!(expects(&["expect: 100-continue"], false), Ok(true));
    assert_eq!(expects(&["expect: 100-continue"], true), Ok(false));
    assert_eq!(
        expects(&["expect: more"], false),
        Err(HeadFault::Answerable(Fault::Expectation))
    );
}

#[test]
fn connects() {
    let connect = [":method: CONNECT", ":authority: a:443"];
    let (head, facts) = read(&connect, false).unwrap();
    assert_eq!((head.method, facts.upgrade), (Method::Connect, false));
    malformed(&[connect[0], connect[1], ":path: /"], Fault::PseudoHeader);
    malformed(&[connect[0]], Fault::PseudoHeader);
    malformed(&[connect[0], ":authority: a"], Fault::Target);

    let socket = [
        ":method: CONNECT",
        ":protocol: websocket",
        ":scheme: https",
        ":path: /chat",
        ":authority: a",
        "sec-websocket-version: 13",
    ];
    for http in ["h2c", "H2", "http", "HTTP"] {
        let asked = format!(":protocol: {http}");
        let found = read(&[socket[0], &asked, socket[2], socket[3], socket[4]], false);
        let refused = HeadFault::Answerable(Fault::ProtocolUnsupported);
        assert_eq!(found.map(|_| ()), Err(refused), "{http}");
    }
    let (head, facts) = read(&socket, false).unwrap();
    assert_eq!(head.method, Method::Get);
    assert_eq!(head.target(), b"/chat");
    assert_eq!(
        http1(&head.fields),
        "host: a\r\nsec-websocket-version: 13\r\nUpgrade: websocket\r\n"
    );
    assert_eq!((facts.length, facts.upgrade), (BodyLength::Tunnel, true));
    malformed(
        &[&socket[..], &["content-length: 1"]].concat(),
        Fault::PseudoHeader,
    );
    malformed(
        &[&socket[..], &["upgrade: x"]].concat(),
        Fault::ConnectionField,
    );
    malformed(
        &[socket[0], ":protocol: a b", socket[2], socket[3], socket[4]],
        Fault::PseudoHeader,
    );
    malformed(&socket[..4], Fault::PseudoHeader);
    let mut decoder = Decoder::new(TABLE_BYTES_DEFAULT);
    let unasked = read_request(
        &mut decoder,
        &block(&socket),
        false,
        &LIMITS,
        false,
        &mut RequestHead::new(),
    );
    assert_eq!(unasked, Err(HeadFault::Malformed(Fault::PseudoHeader)));
}

/// As many others as there may be beside them and the host.
#[test]
fn crumbs_of_a_cookie_are_one_field() {
    let crumbs = ["cookie: c=1"; 40];
    let with = |others: usize| {
        let mut lines = get_with(&crumbs[..20]);
        lines.extend(vec!["a: b"; others]);
        lines.extend(&crumbs[20..]);
        read(&lines, true).map(|(head, _)| head.fields.len())
    };
    let most = LIMITS.fields_max;
    assert_eq!(with(most - 2), Ok(most));
    assert_eq!(
        with(most - 1),
        Err(HeadFault::Answerable(Fault::TooManyFields))
    );
}

#[test]
fn limits_can_be_answered() {
    let answerable = |lines: &[&str]| read(&get_with(lines), true).map(|_| ()).unwrap_err();
    let long = format!("a: {}", "x".repeat(4000));
    assert_eq!(
        answerable(&[&long]),
        HeadFault::Answerable(Fault::HeadTooLarge)
    );
    assert_eq!(
        answerable(&["a: b"; 20]),
        HeadFault::Answerable(Fault::TooManyFields)
    );
    let path = format!(":path: /{}", "x".repeat(1000));
    let found = read(&[GET[0], GET[1], GET[2], &path], true).map(|_| ());
    assert_eq!(found, Err(HeadFault::Answerable(Fault::TargetTooLong)));
}

/// HEAD must be answered without content even then (RFC 9110 §9.3.2), and the log shows what was asked.
#[test]
fn a_head_over_its_limit_tells_what_came_before() {
    let many = [&[":method: HEAD"][..], &GET[1..], &["a: b"; 20]].concat();
    let path = format!(":path: /{}", "x".repeat(1000));
    let long = [":method: HEAD", GET[1], GET[2], &path];
    let odd = [&[":method: a b"][..], &GET[1..], &["a: b"; 20]].concat();
    for (lines, method, target) in [
        (&many[..], Method::Head, &b"/p?q"[..]),
        (&long[..], Method::Head, b""),
        (&odd[..], Method::Extension(0..0), b"/p?q"),
    ] {
        let mut head = RequestHead::new();
        let mut decoder = Decoder::new(TABLE_BYTES_DEFAULT);
        let found = read_request(&mut decoder, &block(lines), true, &LIMITS, true, &mut head);
        assert!(found.is_err());
        assert_eq!((&head.method, head.target()), (&method, target));
    }
}

/// A small block that names one large line again and again would become 16 MB: it is read to its end, as the tables must
/// stay the same, but costs no more than its own bytes.
#[test]
fn a_bomb_does_not_go_off() {
    let mut bomb = block(&GET);
    let value = "x".repeat(4000);
    bomb.extend([0x40, 1, b'a', 0x7f, 0xa1, 0x1e]);
    bomb.extend(value.as_bytes());
    bomb.extend([0xbe; 60_000]);
    let limits = HeadLimits {
        head_bytes_max: 64 * 1024,
        ..LIMITS
    };
    let mut decoder = Decoder::new(TABLE_BYTES_DEFAULT);
    let mut head = RequestHead::new();
    let found = read_request(&mut decoder, &bomb, true, &limits, true, &mut head);
    assert_eq!(found, Err(HeadFault::Answerable(Fault::HeadTooLarge)));
    assert!(head.fields.buffer().capacity() <= 256 * 1024);
    // The table is what the other side thinks it is.
    let mut next = block(&GET);
    next.push(0xbe);
    read_request(&mut decoder, &next, true, &limits, true, &mut head).unwrap();
    assert!(http1(&head.fields).ends_with(&format!("a: {value}\r\n")));
}

#[test]
fn a_fault_leaves_the_tables_in_step() {
    let mut decoder = Decoder::new(TABLE_BYTES_DEFAULT);
    let mut head = RequestHead::new();
    let mut bad = block(&["Bad: name"]);
    bad.extend([0x40, 1, b'b', 1, b'c']);
    let found = read_request(&mut decoder, &bad, true, &LIMITS, true, &mut head);
    assert_eq!(found, Err(HeadFault::Malformed(Fault::FieldName)));
    skip(&mut decoder, &[0x40, 1, b'd', 1, b'e', 0xbf]).unwrap();
    assert_eq!(skip(&mut decoder, &[0xc0]), Err(HeadFault::Compression));
    let mut next = block(&GET);
    next.extend([0xbe, 0xbf]);
    read_request(&mut decoder, &next, true, &LIMITS, true, &mut head).unwrap();
    assert!(http1(&head.fields).ends_with("d: e\r\nb: c\r\n"));
}

fn response(lines: &[&str], ends: bool, asked: Asked) -> Result<(u16, ResponseFacts), HeadFault> {
    let mut head = ResponseHead::default();
    let mut decoder = Decoder::new(TABLE_BYTES_DEFAULT);
    let facts = read_response(&mut decoder, &block(lines), ends, &LIMITS, asked, &mut head)?;
    Ok((head.status.code(), facts))
}

#[test]
fn responses() {
    use BodyLength::{Empty, Known, Tunnel, Unknown};
    let length =
        |lines: &[&str], ends, asked| response(lines, ends, asked).map(|(_, facts)| facts.length);
    let counted = [":status: 200", "content-length: 5"];
    assert_eq!(length(&[":status: 200"], false, Asked::Usual), Ok(Unknown));
    assert_eq!(length(&[":status: 200"], true, Asked::Usual), Ok(Empty));
    assert_eq!(length(&counted, false, Asked::Usual), Ok(Known(5)));
    assert_eq!(length(&counted, true, Asked::Head), Ok(Empty));
    assert_eq!(
        length(&counted, true, Asked::Usual),
        Err(HeadFault::Malformed(Fault::Length))
    );
    assert_eq!(
        length(&[":status: 304", "content-length: 5"], true, Asked::Usual),
        Ok(Empty)
    );
    assert_eq!(length(&[":status: 200"], false, Asked::Tunnel), Ok(Tunnel));
    assert_eq!(length(&[":status: 404"], false, Asked::Tunnel), Ok(Unknown));
    assert!(
        response(&[":status: 103", "link: x"], false, Asked::Usual)
            .unwrap()
            .1
            .interim
    );
    for lines in [
        &[":status: 101"][..],
        &[":status: 20"],
        &[":status: 2000"],
        &[":status: 099"],
        &[":status: x00"],
    ] {
        assert_eq!(
            length(lines, false, Asked::Usual),
            Err(HeadFault::Malformed(Fault::StatusCode)),
            "{lines:?}"
        );
    }
    assert_eq!(
        length(&[":status: 103"], true, Asked::Usual),
        Err(HeadFault::Malformed(Fault::StatusCode))
    );
    for lines in [
        &["a: b"][..],
        &[":status: 200", ":status: 200"],
        &["a: b", ":status: 200"],
        &[":status: 200", ":path: /"],
        &[":status: 200", ":authority: a"],
    ] {
        assert_eq!(
            length(lines, false, Asked::Usual),
            Err(HeadFault::Malformed(Fault::PseudoHeader)),
            "{lines:?}"
        );
    }
    let connection = [":status: 200", "connection: close"];
    assert_eq!(
        length(&connection, false, Asked::Usual),
        Err(HeadFault::Malformed(Fault::ConnectionField))
    );
}

#[test]
fn trailers() {
    let read_of = |of, lines: &[&str]| {
        let mut fields = Fields::new();
        let mut decoder = Decoder::new(TABLE_BYTES_DEFAULT);
        let read = read_trailers(&mut decoder, &block(lines), &LIMITS, of, &mut fields);
        read.map(|()| http1(&fields))
    };
    let read = |lines: &[&str]| read_of(TrailersOf::Request, lines);
    let answered = |lines: &[&str]| read_of(TrailersOf::Answer, lines);
    let with_others = [
        "content-type: application/grpc",
        "grpc-status: 0",
        "via: a",
        "x: y",
    ];
    assert_eq!(
        answered(&with_others).as_deref(),
        Ok("grpc-status: 0\r\nx: y\r\n")
    );
    assert_eq!(answered(&["cache-control: no-store"]).as_deref(), Ok(""));
    assert_eq!(
        answered(&["grpc-status: 0", "connection: a"]),
        Err(HeadFault::Malformed(Fault::ConnectionField))
    );
    assert_eq!(
        answered(&[":status: 200"]),
        Err(HeadFault::Malformed(Fault::PseudoHeader))
    );
    assert_eq!(
        read(&["grpc-status: 0", "x: y"]).as_deref(),
        Ok("grpc-status: 0\r\nx: y\r\n")
    );
    assert_eq!(
        read(&[":status: 200"]),
        Err(HeadFault::Malformed(Fault::PseudoHeader))
    );
    assert_eq!(
        read(&["host: a"]),
        Err(HeadFault::Malformed(Fault::Trailer))
    );
    assert_eq!(
        read(&["connection: a"]),
        Err(HeadFault::Malformed(Fault::ConnectionField))
    );
    assert_eq!(
        read(&["a: b"; 21]),
        Err(HeadFault::Answerable(Fault::TrailersTooLarge))
    );
}

fn pairs(block: &[u8]) -> Vec<String> {
    let lines = fluke_hpack::Decoder::new().decode(block).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    lines
        .into_iter()
        .map(|(name, value)| format!("{}: {}", text(name), text(value)))
        .collect()
}
