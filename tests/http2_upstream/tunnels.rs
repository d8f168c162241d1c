//! WebSockets of HTTP/1.1 clients, carried by extended CONNECT (RFC 8441).

use crate::before;
use foregate_testkit::{Http2Backend, Http2Reply, Http2Setup, Random};

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
