//! Heads that are written.

use super::*;

#[test]
fn written_responses() {
    let written = |status: u16, lines: &[(&str, &str)], length, is_head| {
        let mut head = ResponseHead::new(Status::new(status).unwrap());
        for (name, value) in lines {
            head.fields.append_line(name.as_bytes(), value.as_bytes());
        }
        let mut out = Vec::new();
        write_response(&mut Encoder::new(4096), &head, length, is_head, &mut out);
        pairs(&out)
    };
    let lines = [
        ("Server", "x"),
        ("Connection", "close"),
        ("Transfer-Encoding", "chunked"),
        ("X-Own", "A"),
        ("Content-Length", "9"),
        ("Upgrade", "h2c"),
        ("Keep-Alive", "1"),
    ];
    let expected = |status: &str, length: Option<&str>| {
        let lines = [Some(status), Some("server: x"), Some("x-own: A"), length];
        lines
            .into_iter()
            .flatten()
            .map(String::from)
            .collect::<Vec<_>>()
    };
    let nine = Some("content-length: 9");
    assert_eq!(
        written(200, &lines, BodyLength::Known(5), false),
        expected(":status: 200", Some("content-length: 5"))
    );
    assert_eq!(
        written(302, &lines, BodyLength::Unknown, false),
        expected(":status: 302", None)
    );
    assert_eq!(
        written(200, &lines, BodyLength::Unknown, true),
        expected(":status: 200", nine)
    );
    assert_eq!(
        written(304, &lines, BodyLength::Empty, false),
        expected(":status: 304", nine)
    );
    assert_eq!(
        written(204, &lines, BodyLength::Empty, false),
        expected(":status: 204", None)
    );
    assert_eq!(
        written(418, &lines, BodyLength::Empty, false),
        expected(":status: 418", Some("content-length: 0"))
    );
    assert_eq!(
        written(200, &lines[..2], BodyLength::Empty, false),
        [":status: 200", "server: x"]
    );
    assert_eq!(
        written(101, &lines, BodyLength::Tunnel, false),
        expected(":status: 200", None)
    );
}

#[test]
fn written_requests() {
    let mut head = RequestHead::with("GET", b"/old");
    for (name, value) in [
        ("Host", "a:81"),
        ("TE", "trailers"),
        ("Connection", "TE"),
        ("Content-Length", "3"),
        ("X-Own", "b"),
    ] {
        head.fields.append_line(name.as_bytes(), value.as_bytes());
    }
    let written = |length, protocol| {
        let mut out = Vec::new();
        let framing = RequestOut {
            scheme: Scheme::Http,
            length,
            protocol,
        };
        write_request(&mut Encoder::new(4096), &head, b"/new", framing, &mut out);
        pairs(&out)
    };
    assert_eq!(
        written(BodyLength::Known(3), None),
        [
            ":method: GET",
            ":scheme: http",
            ":authority: a:81",
            ":path: /new",
            "x-own: b",
            "content-length: 3",
            "te: trailers"
        ]
    );
    assert_eq!(
        written(BodyLength::Tunnel, Some(b"websocket")),
        [
            ":method: CONNECT",
            ":protocol: websocket",
            ":scheme: http",
            ":authority: a:81",
            ":path: /new",
            "x-own: b",
            "te: trailers"
        ]
    );
}

proptest! {
    /// Whatever comes, it is refused or a request that HTTP/1.1's law takes too.
    #[test]
    fn anything_goes_through_one_law(bytes in proptest::collection::vec(any::<u8>(), 0..200), ends: bool) {
        let mut decoder = Decoder::new(TABLE_BYTES_DEFAULT);
        let mut head = RequestHead::new();
        let whole = [block(&GET), bytes].concat();
        if read_request(&mut decoder, &whole, ends, &LIMITS, true, &mut head).is_ok() {
            let mut text = b"GET / HTTP/1.1\r\n".to_vec();
            head.fields.write_http1(&mut text);
            text.extend_from_slice(b"\r\n");
            let mut again = RequestHead::new();
            let limits = HeadLimits { head_bytes_max: 1 << 20, ..LIMITS };
            prop_assert_eq!(crate::h1::parse_request(&text, &limits, &mut again), Ok(Some(text.len())));
            prop_assert_eq!(
                http1_bytes(&again.fields).escape_ascii().to_string(),
                http1_bytes(&head.fields).escape_ascii().to_string()
            );
        }
    }
}
