//! gRPC-Web, as browsers send it, before a server that only knows gRPC.

use foregate_testkit::http2::{END_HEADERS, block, code, frame, greet, kind, take_frame};
use foregate_testkit::{Backend, Gateway, Http2Client, Response, Transport, Visit};
use foregate_tests::assert_outcome;
use foregate_tests::secure::Certificates;

use crate::{Server, configured};

fn gateway(server: &Server, certificates: &Certificates) -> Gateway {
    configured(certificates, &server.address, "grpc_web = true").start()
}

fn message(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("a message is short");
    [&[0], &length.to_be_bytes()[..], text].concat()
}

fn call(gateway: &Gateway, method: &str, kind: &str, body: &[u8]) -> Response {
    let head = format!(
        "POST /story.Echo/{method} HTTP/1.1\r\nHost: grpc.example\r\nContent-Type: application/{kind}\r\n\
         X-Grpc-Web: 1\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    gateway.exchange([head.as_bytes(), body].concat())
}

/// The messages of a body, and the text of the frame with the trailers.
fn frames(mut body: &[u8]) -> (Vec<Vec<u8>>, String) {
    let mut messages = Vec::new();
    while let Some((head, rest)) = body.split_first_chunk::<5>() {
        let [kind, length @ ..] = head;
        let length = u32::from_be_bytes(*length) as usize;
        let (frame, rest) = rest.split_at(length);
        if *kind & 0x80 != 0 {
            assert!(rest.is_empty(), "nothing stands behind the trailers");
            return (messages, String::from_utf8_lossy(frame).into_owned());
        }
        messages.push(frame.to_vec());
        body = rest;
    }
    panic!("no trailers: {messages:?}");
}

/// Base64 with paddings in the middle, as pieces that were flushed one by one have them.
fn from_base64(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        b'=' => 0,
        other => panic!("no base64: {other}"),
    };
    assert_eq!(text.len() % 4, 0, "groups are whole");
    let mut bytes = Vec::new();
    for four in text.chunks(4) {
        let bits = four
            .iter()
            .fold(0_u32, |bits, &byte| bits << 6 | u32::from(digit(byte)));
        let padding = four.iter().filter(|&&byte| byte == b'=').count();
        bytes.extend_from_slice(&bits.to_be_bytes()[1..4 - padding]);
    }
    bytes
}

#[test]
fn a_unary_call_in_binary_form() {
    let (server, certificates) = (Server::start(), Certificates::new());
    let gateway = gateway(&server, &certificates);
    let answer = call(&gateway, "Unary", "grpc-web+proto", &message(b"hello"));
    assert_eq!(
        (answer.status, answer.field("content-type")),
        (200, Some("application/grpc-web"))
    );
    let (messages, trailers) = frames(&answer.body);
    assert_eq!(messages, [b"hello"]);
    assert!(trailers.contains("grpc-status: 0\r\n"), "{trailers}");
    assert!(trailers.contains("after: all\r\n"), "{trailers}");
}

#[test]
fn a_unary_call_in_text_form() {
    let (server, certificates) = (Server::start(), Certificates::new());
    let gateway = gateway(&server, &certificates);
    // `message(b"hello")` in base64.
    let answer = call(&gateway, "Unary", "grpc-web-text", b"AAAAAAVoZWxsbw==");
    let kind = answer.field("content-type").unwrap_or_default();
    assert!(kind.starts_with("application/grpc-web-text"), "{kind}");
    let (messages, trailers) = frames(&from_base64(&answer.body));
    assert_eq!(messages, [b"hello"]);
    assert!(trailers.contains("grpc-status: 0\r\n"), "{trailers}");
}

#[test]
fn a_stream_that_ends_with_an_error() {
    let (server, certificates) = (Server::start(), Certificates::new());
    let gateway = gateway(&server, &certificates);
    let answer = call(&gateway, "CountAndFail", "grpc-web", &message(b"3"));
    let (messages, trailers) = frames(&answer.body);
    assert_eq!(messages, [b"0", b"1", b"2"]);
    // 15 is DATA_LOSS.
    assert!(trailers.contains("grpc-status: 15\r\n"), "{trailers}");
    assert!(
        trailers.contains("grpc-message: that was all\r\n"),
        "{trailers}"
    );
}

/// As browsers call: HTTP/2, agreed on in a handshake.
fn over_http2(server: &Server) -> (Gateway, Http2Client) {
    let gateway = Gateway::new(
        r#"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        protocol = "h2"
        grpc_web = true
        "#,
    )
    .fill("backend", &server.address)
    .over(&Transport::tls())
    .start();
    let client = Http2Client::connect(gateway.target());
    (gateway, client)
}

/// Begins a call.
fn begin(client: &mut Http2Client, method: &str, kind: &str) -> u32 {
    let kind = format!("application/{kind}");
    let fields = [("content-type", &*kind), ("x-grpc-web", "1")];
    client.request("POST", &format!("/story.Echo/{method}"), &fields, false)
}

#[test]
fn calls_by_http2_have_their_trailers_in_the_body_too() {
    let server = Server::start();
    let (gateway, mut client) = over_http2(&server);
    let unary = begin(&mut client, "Unary", "grpc-web+proto");
    let failing = begin(&mut client, "CountAndFail", "grpc-web-text");
    client.data(unary, &message(b"hello"), true);
    // `message(b"2")` in base64.
    client.data(failing, b"AAAAAAEy", true);
    let answer = client.answer(unary);
    assert_eq!((answer.status, answer.ended), (200, true));
    assert_eq!(
        answer.fields.get("content-type"),
        Some("application/grpc-web")
    );
    let (messages, trailers) = frames(&answer.body);
    assert_eq!(messages, [b"hello"]);
    assert!(trailers.contains("grpc-status: 0\r\n"), "{trailers}");
    assert!(trailers.contains("after: all\r\n"), "{trailers}");
    assert_eq!(answer.trailers.get("grpc-status"), None);
    let answer = client.answer(failing);
    let (messages, trailers) = frames(&from_base64(&answer.body));
    assert_eq!(messages, [b"0", b"1"]);
    assert!(trailers.contains("grpc-status: 15\r\n"), "{trailers}");
    assert_eq!(answer.trailers.get("grpc-status"), None);
    drop(client);
    for line in gateway.log_lines(2) {
        assert_eq!((line.status(), line.reason()), (200, "proxied".into()));
    }
    gateway.assert_no_leaks();
}

/// A server that has nothing to say but a status says it in its answer's head; so do answers to browsers, with no body.
#[test]
fn a_status_without_messages_stays_in_the_head() {
    let server = Server::start();
    let (gateway, mut client) = over_http2(&server);
    // `message(b"NOT_FOUND:none")`, and the same in base64.
    let binary = message(b"NOT_FOUND:none");
    for (kind, body) in [
        ("grpc-web", &binary[..]),
        ("grpc-web-text", b"AAAAAA5OT1RfRk9VTkQ6bm9uZQ=="),
    ] {
        let stream = begin(&mut client, "Fail", kind);
        client.data(stream, body, true);
        let answer = client.answer(stream);
        let (told, text) = (
            answer.fields.get("grpc-status"),
            answer.fields.get("grpc-message"),
        );
        assert_eq!((answer.status, told, text), (200, Some("5"), Some("none")));
        let expected = format!("application/{kind}");
        assert_eq!(answer.fields.get("content-type"), Some(&*expected));
        assert_eq!((answer.body.len(), answer.ended), (0, true), "{kind}");
        // By HTTP/1.1, too.
        let head = format!(
            "POST /story.Echo/Fail HTTP/1.1\r\nHost: a\r\nContent-Type: {expected}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let answer = gateway.exchange([head.as_bytes(), body].concat());
        assert_eq!(answer.field("grpc-status"), Some("5"));
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{kind}");
    }
}

/// Each reply is read before the rest of the group that the piece before it has begun is sent.
#[test]
fn text_may_be_cut_within_a_group_and_padded_where_a_message_ends() {
    let server = Server::start();
    let (gateway, mut client) = over_http2(&server);
    let stream = begin(&mut client, "Talk", "grpc-web-text");
    let mut replies: Vec<&[u8]> = Vec::new();
    for (piece, reply) in [
        // `message(b"a")` and two letters of the next group.
        ("AAAAAAFhAA", "re: a"),
        // The rest of `message(b"bc")`, padded, and a letter.
        ("AAAAJiYw==A", "re: bc"),
        // `message(b"def")`, of which the head and the text are padded each by itself.
        ("AAAAAM=ZGVm", "re: def"),
    ] {
        client.data(stream, piece.as_bytes(), false);
        replies.push(reply.as_bytes());
        let bytes: usize = replies.iter().map(|reply| 5 + reply.len()).sum();
        let answer = client.until(stream, |answer| from_base64(&answer.body).len() >= bytes);
        let expected: Vec<u8> = replies.iter().flat_map(|reply| message(reply)).collect();
        assert_eq!(from_base64(&answer.body), expected);
    }
    client.data(stream, b"", true);
    let (messages, trailers) = frames(&from_base64(&client.answer(stream).body));
    assert_eq!(messages, replies);
    assert!(trailers.contains("grpc-status: 0\r\n"), "{trailers}");
    drop(client);
    assert_outcome(&gateway, 200, "proxied");
}

/// Whether the server has heard of the end of a call that hung.
fn is_told_of_the_end(client: &mut Http2Client) -> bool {
    let asked = begin(client, "Hung", "grpc-web");
    client.data(asked, &message(b""), true);
    let (messages, trailers) = frames(&client.answer(asked).body);
    trailers.contains("grpc-status: 0\r\n") && messages == [b"yes"]
}

#[test]
fn a_browsers_deadline_and_its_leaving_reach_the_server() {
    let server = Server::start();
    let (gateway, mut client) = over_http2(&server);
    let fields = [
        ("content-type", "application/grpc-web"),
        ("grpc-timeout", "300m"),
    ];
    let hanging = client.request("POST", "/story.Echo/Hang", &fields, false);
    client.data(hanging, &message(b""), true);
    let answer = client.answer(hanging);
    assert_eq!(answer.fields.get("started"), Some("yes"));
    let (messages, trailers) = frames(&answer.body);
    // 4 is DEADLINE_EXCEEDED, whoever of the two says it first.
    assert!(
        messages.is_empty() && trailers.contains("grpc-status: 4\r\n"),
        "{trailers}"
    );
    assert!(is_told_of_the_end(&mut client));
    let hanging = begin(&mut client, "Hang", "grpc-web");
    client.data(hanging, &message(b""), true);
    client.until(hanging, |answer| answer.status == 200);
    client.reset(hanging, code::CANCEL);
    assert!(is_told_of_the_end(&mut client));
    let lines = gateway.log_lines(4);
    let gone: Vec<_> = lines
        .iter()
        .filter(|line| line.reason() == "client-gone")
        .collect();
    assert_eq!(gone.len(), 1, "{lines:?}");
    assert_eq!(gone[0].text("path"), "/story.Echo/Hang");
    drop(client);
    gateway.assert_no_leaks();
}

/// Who ends within a group has not said all that it meant to.
#[test]
fn text_that_ends_within_a_group_is_refused() {
    let server = Server::start();
    let (gateway, mut client) = over_http2(&server);
    let stream = begin(&mut client, "Unary", "grpc-web-text");
    client.data(stream, b"AAAAAAVoZWxsbw", true);
    let answer = client.answer(stream);
    assert_eq!(answer.fields.get("grpc-status"), Some("13"), "{answer:?}");
    assert_eq!(answer.body.len(), 0);
    drop(client);
    assert_outcome(&gateway, 200, "request-bad-encoding");
}

#[test]
fn text_that_is_not_base64_is_refused() {
    let (server, certificates) = (Server::start(), Certificates::new());
    let gateway = gateway(&server, &certificates);
    let answer = call(&gateway, "Unary", "grpc-web-text", b"AAAA*AVo");
    assert_eq!(answer.field("grpc-status"), Some("13"), "{}", answer.text());
    let kind = answer.field("content-type");
    assert_eq!(kind, Some("application/grpc-web-text"));
}

#[test]
fn a_failure_behind_the_head_is_in_the_last_frame() {
    let (server, certificates) = (Server::start(), Certificates::new());
    let limits = "grpc_web = true\ntimeouts = { request = \"500ms\" }";
    let gateway = configured(&certificates, &server.address, limits).start();
    let answer = call(&gateway, "Hang", "grpc-web", &message(b""));
    let (messages, trailers) = frames(&answer.body);
    assert!(messages.is_empty());
    // 4 is DEADLINE_EXCEEDED.
    assert!(trailers.contains("grpc-status: 4\r\n"), "{trailers}");
}

#[test]
fn a_message_that_breaks_off_is_not_made_whole_by_what_tells_of_the_failure() {
    let backend = Backend::start(|visit: &mut Visit| {
        let connection = &mut visit.connection;
        greet(connection)?;
        let stream = loop {
            let asked = take_frame(connection)?;
            if asked.kind == kind::HEADERS {
                break asked.stream;
            }
        };
        let head = block(&[(":status", "200"), ("content-type", "application/grpc")]);
        // Of thirty bytes, ten.
        let piece = [&[0, 0, 0, 0, 30][..], &[b'a'; 10]].concat();
        let internal_error = 2_u32.to_be_bytes();
        for bytes in [
            frame(kind::HEADERS, END_HEADERS, stream, &head),
            frame(kind::DATA, 0, stream, &piece),
            frame(kind::RST_STREAM, 0, stream, &internal_error),
        ] {
            connection.send(bytes)?;
        }
        visit.drain();
        Ok(())
    });
    let certificates = Certificates::new();
    let address = backend.address().to_string();
    let gateway = configured(&certificates, &address, "grpc_web = true").start();
    let mut client = gateway.connect();
    client.send(
        "POST /story.Echo/Unary HTTP/1.1\r\nHost: grpc.example\r\nContent-Type: application/grpc-web\r\n\
         Content-Length: 5\r\n\r\n\0\0\0\0\0",
    );
    assert!(client.try_response(false).is_err());
}
