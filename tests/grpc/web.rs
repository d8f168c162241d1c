//! gRPC-Web, as browsers send it, before a server that only knows gRPC.

use foregate_testkit::http2::{END_HEADERS, block, frame, greet, kind, take_frame};
use foregate_testkit::{Backend, Gateway, Response, Visit};
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
