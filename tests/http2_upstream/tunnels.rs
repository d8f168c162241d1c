//! WebSockets of HTTP/1.1 clients, carried by extended CONNECT (RFC 8441).

use crate::{before, before_address};
use foregate_testkit::http2::{END_HEADERS, END_STREAM, frame, greet_with, kind, take_frame};
use foregate_testkit::{
    Backend, Http2Backend, Http2Client, Http2Reply, Http2Setup, PATIENCE, Random, Visit,
};
use std::sync::mpsc::{Receiver, channel};

const UPGRADE: &str = concat!(
    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
);

#[test]
fn a_websocket_passes_to_a_backend_that_knows_extended_connect() {
    let setup = Http2Setup {
        extended_connect: true,
        ..Default::default()
    };
    let backend = Http2Backend::start(setup, |_| Http2Reply::Echo);
    let gateway = before(&backend, "");
    let mut client = gateway.connect();
    client.send(format!("{UPGRADE}first"));
    let head = client.try_head(false).expect("an answer");
    assert_eq!(
        (head.status, head.field("upgrade")),
        (101, Some("websocket"))
    );
    assert_eq!(
        head.field("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert_eq!(client.connection().take(5), Ok(b"first".to_vec()));
    for seed in 1..4 {
        let sent = Random::seeded(seed).bytes(100_000);
        let mut socket = client.connection().stream().try_clone().expect("a clone");
        let copy = sent.clone();
        let writer = std::thread::spawn(move || std::io::Write::write_all(&mut socket, &copy));
        assert!(client.connection().take(sent.len()) == Ok(sent));
        assert!(writer.join().expect("no panic").is_ok());
    }
    client.connection().finish_sending();
    assert_eq!(client.connection().take_rest(), Ok(Vec::new()));
    let seen = backend.requests().pop().expect("it came");
    assert_eq!(
        (seen.method.as_str(), seen.path.as_str()),
        ("CONNECT", "/chat")
    );
    assert_eq!(seen.protocol.as_deref(), Some("websocket"));
    assert_eq!(seen.field("sec-websocket-version"), Some("13"));
    assert_eq!(seen.field("sec-websocket-key"), None);
    assert_eq!(gateway.only_log_line().reason(), "upgraded");
    gateway.assert_no_leaks();
}

#[test]
fn a_backend_that_refuses_the_tunnel_is_heard() {
    let setup = Http2Setup {
        extended_connect: true,
        ..Default::default()
    };
    let backend = Http2Backend::start(setup, |_| Http2Reply::Whole {
        status: 403,
        hint: None,
        fields: Vec::new(),
        body: b"no".to_vec(),
        trailers: Vec::new(),
    });
    let gateway = before(&backend, "");
    let response = gateway.exchange(UPGRADE);
    assert_eq!((response.status, response.text().as_str()), (403, "no"));
}

#[test]
fn without_extended_connect_the_reason_is_named() {
    let backend = Http2Backend::answering(|_| Http2Reply::ok("fine"));
    let gateway = before(&backend, "");
    assert_eq!(gateway.exchange(UPGRADE).status, 502);
    assert_eq!(gateway.only_log_line().reason(), "upgrade-unsupported");
    assert_eq!(gateway.get("a", "/").status, 200);
    assert!(backend.requests().iter().all(|it| it.protocol.is_none()));
}

#[test]
fn what_extended_connect_has_no_room_for_is_an_ordinary_request() {
    let setup = Http2Setup {
        extended_connect: true,
        ..Default::default()
    };
    let backend = Http2Backend::start(setup, |_| Http2Reply::ok("fine"));
    let gateway = before(&backend, "");
    let mut client = gateway.connect();
    client.send(concat!(
        "POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n",
        "Content-Length: 2\r\n\r\n{}"
    ));
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (200, "fine"));
    let seen = backend.requests().pop().expect("it came");
    assert_eq!(
        (seen.method.as_str(), seen.body.as_slice()),
        ("POST", &b"{}"[..])
    );
    assert_eq!(seen.field("upgrade"), None);
}

/// Ends its side of each tunnel at once, and tells what came on the other.
fn says_goodbye_at_once() -> (Backend, Receiver<String>) {
    let (told, heard) = channel();
    let backend = Backend::start(move |visit: &mut Visit| {
        let enable_connect_protocol = (8, 1);
        greet_with(&mut visit.connection, &[enable_connect_protocol])?;
        let mut body = Vec::new();
        loop {
            let came = take_frame(&mut visit.connection)?;
            match came.kind {
                kind::HEADERS => {
                    body.clear();
                    visit.send(frame(kind::HEADERS, END_HEADERS, came.stream, &[0x88]))?;
                    visit.send(frame(kind::DATA, END_STREAM, came.stream, b"bye"))?;
                }
                kind::DATA => {
                    body.extend_from_slice(&came.payload);
                    if came.flags & END_STREAM != 0 {
                        let _ = told.send(String::from_utf8_lossy(&body).into_owned());
                    }
                }
                kind::RST_STREAM => drop(told.send("a reset".to_owned())),
                _ => {}
            }
        }
    });
    (backend, heard)
}

/// One side of a tunnel may end before the other.
#[test]
fn what_a_client_says_when_the_backend_has_ended_arrives() {
    let (backend, heard) = says_goodbye_at_once();
    let gateway = before_address(backend.address(), "");
    let mut http1 = gateway.connect();
    http1.send(UPGRADE);
    assert_eq!(http1.try_head(false).map(|head| head.status), Ok(101));
    assert_eq!(http1.connection().take_rest(), Ok(b"bye".to_vec()));
    http1.send("one thing, ");
    http1.send("and another");
    http1.connection().finish_sending();
    let told = heard.recv_timeout(PATIENCE);
    assert_eq!(told.as_deref(), Ok("one thing, and another"));

    let mut http2 = Http2Client::connect(gateway.address());
    let lines = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/chat"),
        (":authority", "a"),
        ("sec-websocket-version", "13"),
    ];
    let stream = http2.head(&lines, false);
    assert_eq!(http2.until(stream, |answer| answer.ended).text(), "bye");
    http2.data(stream, b"one thing, ", false);
    http2.settle();
    http2.data(stream, b"and another", true);
    let told = heard.recv_timeout(PATIENCE);
    assert_eq!(told.as_deref(), Ok("one thing, and another"));
    assert_eq!(http2.answer(stream).reset, None);
    drop((http1, http2));
    for line in gateway.log_lines(2) {
        assert_eq!(line.reason(), "upgraded");
    }
    gateway.assert_no_leaks();
}
