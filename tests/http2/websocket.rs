//! WebSocket over HTTP/2 (RFC 8441), bridged to an upgrade in HTTP/1.1.

use foregate_testkit::http2::code::INTERNAL_ERROR;
use foregate_testkit::{Answer, Backend, Gateway, Http2Client, UpgradeEcho, WebSocketEcho};
use foregate_tests::assert_outcome;

const CONNECT: [(&str, &str); 6] = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":path", "/chat"),
    (":authority", "a"),
    ("sec-websocket-version", "13"),
];

#[test]
fn a_tunnel_carries_bytes_both_ways() {
    let backend = Backend::start(WebSocketEcho);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    let stream = client.head(&CONNECT, false);
    let answer = client.until(stream, |answer| answer.status > 0);
    assert_eq!(answer.status, 200);
    assert!(!answer.fields.has("sec-websocket-accept") && !answer.fields.has("upgrade"));
    for size in [5, 1000, 30_000] {
        let sent = foregate_testkit::Random::seeded(size).bytes(size as usize);
        let before = client.until(stream, |_| true).body.len();
        client.data(stream, &sent, false);
        let answer = client.until(stream, |answer| answer.body.len() == before + sent.len());
        assert!(answer.body.ends_with(&sent));
    }
    client.data(stream, b"", true);
    assert!(client.answer(stream).ended);
    let request = backend.only_request();
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("GET", "/chat")
    );
    assert_eq!(request.field("upgrade"), Some("websocket"));
    assert_eq!(request.field("sec-websocket-key").map(str::len), Some(24));
    drop(client);
    assert_outcome(&gateway, 101, "upgraded");
}

#[test]
fn a_refusal_is_passed_on() {
    let backend = Backend::answering(|_| Answer::status(403).body("no"));
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    let stream = client.head(&CONNECT, false);
    let answer = client.until(stream, |answer| answer.ended);
    assert_eq!((answer.status, answer.text().as_str()), (403, "no"));
}

#[test]
fn a_backend_that_does_not_know_the_handshake() {
    let backend = Backend::start(UpgradeEcho);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    let stream = client.head(&CONNECT, false);
    assert_eq!(client.answer(stream).reset, Some(INTERNAL_ERROR));
    backend.wait_connections_open(0);
}
