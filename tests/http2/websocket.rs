//! WebSocket over HTTP/2 (RFC 8441), bridged to an upgrade in HTTP/1.1.

use foregate_testkit::http2::code::{CANCEL, NO_ERROR, PROTOCOL_ERROR};
use foregate_testkit::http2::{END_HEADERS, END_STREAM, kind};
use foregate_testkit::{
    Answer, Backend, Gateway, Http2Client, PATIENCE, UpgradeEcho, Visit, WebSocketEcho,
    websocket_accept,
};
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

/// Browsers do not end their side with END_STREAM once the other one has ended: they cancel what is left of the stream.
#[test]
fn a_client_may_cancel_a_tunnel_that_the_backend_has_ended() {
    for code in [NO_ERROR, CANCEL] {
        let backend = Backend::start(|visit: &mut Visit| {
            let Some(request) = visit.next_request()? else {
                return Ok(());
            };
            let key = request.field("sec-websocket-key").unwrap_or_default();
            visit.send(format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n\r\nbye",
                websocket_accept(key)
            ))?;
            visit.connection.finish_sending();
            visit.drain();
            Ok(())
        });
        let gateway = Gateway::before(&[backend.address()]);
        let mut client = Http2Client::connect(gateway.address());
        let stream = client.head(&CONNECT, false);
        assert_eq!(client.until(stream, |answer| answer.ended).text(), "bye");
        client.reset(stream, code);
        gateway.only_log_line();
        drop(client);
        assert_outcome(&gateway, 101, "upgraded");
    }
}

/// One side of a tunnel may end before the other.
#[test]
fn what_a_client_says_when_the_backend_has_ended_arrives() {
    let (told, heard) = std::sync::mpsc::channel();
    let backend = Backend::start(move |visit: &mut Visit| {
        let Some(request) = visit.next_request()? else {
            return Ok(());
        };
        let key = request.field("sec-websocket-key").unwrap_or_default();
        visit.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n\r\nbye",
            websocket_accept(key)
        ))?;
        visit.connection.finish_sending();
        let _ = told.send(visit.connection.take_rest()?);
        Ok(())
    });
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    let stream = client.head(&CONNECT, false);
    assert_eq!(client.until(stream, |answer| answer.ended).text(), "bye");
    client.data(stream, b"one thing", false);
    client.settle();
    client.data(stream, b", and another", true);
    let heard = heard.recv_timeout(PATIENCE).expect("it is told");
    assert_eq!(heard, b"one thing, and another");
    assert_eq!(client.answer(stream).reset, None);
    drop(client);
    assert_outcome(&gateway, 101, "upgraded");
}

/// Any 2xx would be the tunnel to the client, and a page its first bytes.
#[test]
fn a_page_is_not_taken_for_the_tunnel() {
    let page = || Answer::status(200).body("<html>welcome</html>");
    let backend = Backend::answering(move |_| page());
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    let stream = client.head(&CONNECT, false);
    let answer = client.until(stream, |answer| answer.ended);
    assert_eq!((answer.status, answer.text().as_str()), (502, ""));
    // Others of the connection are served.
    assert_eq!(client.get("/").text(), "<html>welcome</html>");
    drop(client);
    let lines = gateway.log_lines(2);
    assert_eq!(lines[0].reason(), "upgrade-ignored");
    assert_eq!((lines[0].status(), lines[1].status()), (502, 200));
    gateway.assert_no_leaks();
}

#[test]
fn an_answer_of_the_route_is_not_taken_for_the_tunnel() {
    for status in [200, 204] {
        let gateway = Gateway::new(&format!(
            "[sites.\"*\"]\n[[sites.\"*\".routes]]\nrespond = {{ status = {status} }}\n"
        ))
        .start();
        let mut client = Http2Client::connect(gateway.address());
        let stream = client.head(&CONNECT, false);
        let answer = client.until(stream, |answer| answer.ended);
        assert_eq!((answer.status, answer.text().as_str()), (502, ""));
        drop(client);
        assert_outcome(&gateway, 502, "upgrade-ignored");
    }
}

#[test]
fn a_tunnel_has_no_trailers() {
    let backend = Backend::start(WebSocketEcho);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    let stream = client.head(&CONNECT, false);
    client.until(stream, |answer| answer.status > 0);
    let trailers = foregate_testkit::http2::block(&[("a", "b")]);
    let ends = END_STREAM | END_HEADERS;
    client.send_frame(kind::HEADERS, ends, stream, &trailers);
    assert_eq!(client.answer(stream).reset, Some(PROTOCOL_ERROR));
    backend.wait_connections_open(0);
}

#[test]
fn a_backend_that_does_not_know_the_handshake() {
    let backend = Backend::start(UpgradeEcho);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    let stream = client.head(&CONNECT, false);
    let answer = client.until(stream, |answer| answer.ended);
    assert_eq!((answer.status, answer.text().as_str()), (502, ""));
    backend.wait_connections_open(0);
    drop(client);
    assert_outcome(&gateway, 502, "upgrade-ignored");
}

/// What is said in such a tunnel would pass by routes, limits and logs. In HTTP/1.1 the same `Upgrade` is passed over.
#[test]
fn another_version_of_http_is_no_tunnel() {
    let backend = Backend::start(UpgradeEcho);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    for protocol in ["h2c", "H2", "http"] {
        let mut head = CONNECT;
        head[1].1 = protocol;
        let stream = client.head(&head, false);
        let answer = client.until(stream, |answer| answer.ended);
        assert_eq!(answer.status, 501, "{protocol}");
    }
    for line in gateway.log_lines(3) {
        assert_eq!(line.reason(), "request-protocol-unsupported");
    }
    assert_eq!(backend.connections_accepted(), 0);
}
