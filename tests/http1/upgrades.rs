//! Connections handed over to another protocol.

use std::time::Duration;

use foregate_testkit::{
    Answer, Backend, Echo, Gateway, Http2Client, Request, Trouble, UpgradeEcho, Visit,
};

const UPGRADE: &str = concat!(
    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
);

#[test]
fn a_tunnel_carries_bytes_both_ways_until_one_side_closes() {
    let backend = Backend::start(UpgradeEcho);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    // Bytes right behind the request must not get lost.
    client.send(format!("{UPGRADE}first"));
    let head = client.try_head(false).expect("an answer");
    assert_eq!(
        (head.status, head.field("upgrade")),
        (101, Some("websocket"))
    );
    assert_eq!(client.connection().take(5), Ok(b"first".to_vec()));
    for size in [1, 1000, 300_000] {
        let sent = foregate_testkit::Random::seeded(size).bytes(size as usize);
        let mut connection = client
            .connection()
            .stream()
            .try_clone()
            .expect("a socket can be cloned");
        let copy = sent.clone();
        let writer = std::thread::spawn(move || std::io::Write::write_all(&mut connection, &copy));
        assert_eq!(
            client.connection().take(sent.len()),
            Ok(sent),
            "{size} bytes come back"
        );
        assert!(writer.join().expect("no panic").is_ok());
    }
    client.connection().finish_sending();
    assert_eq!(client.connection().take_rest(), Ok(Vec::new()));
    backend.wait_connections_open(0);
    let line = gateway.only_log_line();
    assert_eq!((line.status(), line.reason().as_str()), (101, "upgraded"));
    gateway.assert_no_leaks();
}

#[test]
fn any_upgrade_token_passes() {
    let backend = Backend::start(UpgradeEcho);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: some-protocol/2\r\n\r\n",
    );
    let head = client.try_head(false).expect("an answer");
    assert_eq!(
        (head.status, head.field("upgrade")),
        (101, Some("some-protocol/2"))
    );
    let seen = backend.only_request();
    assert_eq!(seen.field("upgrade"), Some("some-protocol/2"));
    assert_eq!(
        seen.field("connection")
            .map(str::to_ascii_lowercase)
            .as_deref(),
        Some("upgrade")
    );
}

#[test]
fn a_declined_upgrade_is_an_ordinary_answer() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    assert_eq!(client.exchange(UPGRADE).status, 200);
    assert_eq!(
        client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status,
        200
    );
}

/// RFC 9110 section 15.5.22: a 426 must say to what. Versions of HTTP are the gateway's to choose.
#[test]
fn an_answer_that_requires_an_upgrade_says_which() {
    let backend = Backend::answering(|request: &Request| {
        let status = request.target[1..].parse().unwrap_or_default();
        Answer::status(status)
            .field("Connection", "Upgrade")
            .field("Upgrade", "h2c, websocket, HTTP/2.0")
    });
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    let get = |status, version| format!("GET /{status} HTTP/{version}\r\nHost: a\r\n\r\n");
    let response = client.exchange(get(426, "1.1"));
    assert_eq!(response.field("upgrade"), Some("websocket"));
    assert_eq!(response.fields.all("connection"), ["upgrade"]);
    // Whoever only offers one is not passed on, and neither is anything to those who do not know the field.
    let mut other = client.exchange(get(200, "1.1"));
    assert_eq!(
        (other.field("upgrade"), other.field("connection")),
        (None, None)
    );
    other = client.exchange(get(426, "1.0"));
    assert_eq!((other.status, other.field("upgrade")), (426, None));
    let answer = Http2Client::connect(gateway.address()).get("/426");
    assert_eq!((answer.status, answer.fields.has("upgrade")), (426, false));
}

#[test]
fn an_upgrade_that_connection_does_not_name_is_dropped() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    assert_eq!(
        gateway
            .exchange("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n")
            .status,
        200
    );
    assert_eq!(backend.only_request().field("upgrade"), None);
}

#[test]
fn a_switch_that_nobody_asked_for_is_a_bad_answer() {
    let backend = Backend::start(|visit: &mut Visit| {
        visit.next_request()?;
        visit.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: surprise\r\n\r\nboo")?;
        visit.drain();
        Ok(())
    });
    let gateway = Gateway::before(&[backend.address()]);
    assert_eq!(gateway.get("a", "/").status, 502);
    foregate_tests::assert_outcome(&gateway, 502, "upgrade-unasked");
}

const EXEC: &str = "POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n";

/// As programs attach to containers: what is to be run is in the body, its input and output in the tunnel.
#[test]
fn an_upgrade_may_have_a_body_which_the_tunnel_begins_behind() {
    for body in [
        "Content-Length: 2\r\n\r\n{}",
        "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "Content-Length: 0\r\n\r\n",
    ] {
        let backend = Backend::start(UpgradeEcho);
        let gateway = Gateway::before(&[backend.address()]);
        let mut client = gateway.connect();
        client.send(format!("{EXEC}{body}first"));
        let head = client.try_head(false).expect("an answer");
        assert_eq!((head.status, head.field("upgrade")), (101, Some("tcp")));
        assert_eq!(client.connection().take(5), Ok(b"first".to_vec()));
        client.connection().send("more").expect("a tunnel");
        assert_eq!(client.connection().take(4), Ok(b"more".to_vec()));
        client.connection().finish_sending();
        assert_eq!(client.connection().take_rest(), Ok(Vec::new()));
        let seen = backend.only_request();
        assert_eq!(
            (seen.method.as_str(), seen.field("upgrade")),
            ("POST", Some("tcp"))
        );
        let sent = if body.contains('{') { "{}" } else { "" };
        assert_eq!(seen.body, sent.as_bytes());
        foregate_tests::assert_outcome(&gateway, 101, "upgraded");
    }
}

#[test]
fn a_declined_upgrade_with_a_body_is_an_ordinary_request() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    // A body that looks like a request, and a request behind it.
    client.send(format!(
        "{EXEC}Content-Length: {}\r\n\r\n{get}{get}",
        get.len()
    ));
    assert_eq!(client.response().status, 200);
    assert_eq!(client.response().status, 200);
    assert_eq!(client.exchange(get).status, 200);
    let seen = backend.wait_requests(3);
    assert_eq!(seen[0].body, get.as_bytes());
    assert_eq!(backend.connections_accepted(), 1);
}

#[test]
fn a_tunnel_does_not_begin_before_the_request_is_whole() {
    let backend = Backend::start(|visit: &mut Visit| {
        visit.next_head()?;
        visit.send("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello")?;
        visit.drain();
        Ok(())
    });
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    client.send(format!("{EXEC}Content-Length: 10\r\n\r\nhalf"));
    assert_eq!(client.response().status, 502);
    foregate_tests::assert_outcome(&gateway, 502, "upgrade-unasked");
    backend.wait_connections_open(0);
}

#[test]
fn a_switch_to_something_else_is_a_bad_answer() {
    for (asked, answer) in [
        ("tcp", "Connection: Upgrade\r\nUpgrade: other\r\n"),
        ("websocket", "Connection: Upgrade\r\nUpgrade: tcp\r\n"),
        ("tcp", "Connection: Upgrade\r\nUpgrade: tcp, other\r\n"),
        ("tcp", "Upgrade: tcp\r\n"),
        ("tcp", "Connection: Upgrade\r\n"),
        ("tcp", ""),
    ] {
        let backend = Backend::start(move |visit: &mut Visit| {
            visit.next_request()?;
            visit.send(format!(
                "HTTP/1.1 101 Switching Protocols\r\n{answer}\r\nboo"
            ))?;
            visit.drain();
            Ok(())
        });
        let gateway = Gateway::before(&[backend.address()]);
        let request =
            format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: {asked}\r\n\r\n");
        assert_eq!(gateway.exchange(request).status, 502, "{answer:?}");
        foregate_tests::assert_outcome(&gateway, 502, "upgrade-unasked");
        backend.wait_connections_open(0);
    }
}

#[test]
fn of_several_protocols_the_backend_may_take_one() {
    let backend = Backend::start(|visit: &mut Visit| {
        visit.next_request()?;
        visit.send("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: TCP\r\n\r\nhello")
    });
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo/2, tcp\r\n\r\n");
    let head = client.try_head(false).expect("an answer");
    assert_eq!((head.status, head.field("upgrade")), (101, Some("TCP")));
    assert_eq!(client.connection().take_rest(), Ok(b"hello".to_vec()));
}

#[test]
fn an_idle_tunnel_is_closed() {
    let backend = Backend::start(UpgradeEcho);
    let gateway = Gateway::new(
        r#"
        [client]
        tunnel_idle_timeout = "300ms"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        "#,
    )
    .fill("backend", backend.address())
    .start();
    let mut client = gateway.connect();
    client.send(UPGRADE);
    assert_eq!(client.try_head(false).map(|head| head.status), Ok(101));
    client.connection().set_patience(Duration::from_secs(5));
    assert!(matches!(
        client.connection().take_rest(),
        Ok(_) | Err(Trouble::Reset)
    ));
    assert_eq!(gateway.only_log_line().reason(), "tunnel-idle");
    gateway.assert_no_leaks();
}
