//! Peers that speak HTTP/1.0.

use foregate_testkit::{Answer, Backend, Echo, Framing, Gateway, HttpOneZero, Visit};

#[test]
fn an_old_client_is_answered_and_closed() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    let response = client.exchange("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(response.status, 200);
    client.assert_closed();
    assert_eq!(
        backend.only_request().version,
        "HTTP/1.1",
        "a gateway speaks its own version (RFC 9110 section 2.5)"
    );
    gateway.assert_no_leaks();
}

#[test]
fn an_old_client_that_asks_to_stay_may() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    for _ in 0..2 {
        let response =
            client.exchange("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(
            response
                .field("connection")
                .map(str::to_ascii_lowercase)
                .as_deref(),
            Some("keep-alive")
        );
    }
}

#[test]
fn an_old_client_never_gets_chunks() {
    let backend = Backend::answering(|_| Answer::status(200).chunks(["in ", "pieces"]));
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    let response = client.exchange("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(
        (response.framing, response.text().as_str()),
        (Framing::UntilClose, "in pieces")
    );
    gateway.assert_no_leaks();
}

#[test]
fn an_old_client_may_name_the_host_in_its_target() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::new(
        r#"
        [sites."one.example"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        "#,
    )
    .fill("backend", backend.address())
    .start();
    let response = gateway.exchange("GET http://one.example/x HTTP/1.0\r\n\r\n");
    assert_eq!(response.status, 200);
    let seen = backend.only_request();
    assert_eq!(seen.field("host"), Some("one.example"));
    assert_eq!(seen.target, "/x");
}

#[test]
fn an_old_client_may_leave_the_host_away() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    assert_eq!(gateway.exchange("GET / HTTP/1.0\r\n\r\n").status, 200);
    let seen = backend.only_request();
    assert_eq!(
        seen.fields.all("host").len(),
        1,
        "the backend is spoken to in HTTP/1.1 and needs a Host"
    );
}

#[test]
fn an_old_backend_is_understood() {
    let backend = Backend::start(HttpOneZero);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    for _ in 0..2 {
        let response = client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(
            (response.version.as_str(), response.text().as_str()),
            ("HTTP/1.1", "from the nineties")
        );
    }
    drop(client);
    gateway.assert_no_leaks();
}

/// It names no host, so that each backend that is asked is named as it is known.
#[test]
fn an_old_client_without_a_host_names_the_backend_that_it_comes_to() {
    let failing = Backend::start(|visit: &mut Visit| visit.next_request().map(drop));
    let backend = Backend::start(Echo);
    let gateway = Gateway::new(
        r#"
        workers = 1
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{failing}", "{backend}"]
        balance = "round-robin"
        ejection = { consecutive_failures = "off" }
        "#,
    )
    .fill("failing", failing.address())
    .fill("backend", backend.address())
    .start();
    for _ in 0..4 {
        assert_eq!(gateway.exchange("GET / HTTP/1.0\r\n\r\n").status, 200);
    }
    assert!(failing.requests_total() > 0, "some came by way of another");
    for (peer, requests) in [
        (failing.address(), failing.requests()),
        (backend.address(), backend.requests()),
    ] {
        for request in requests {
            assert_eq!(request.field("host"), Some(peer.to_string().as_str()));
        }
    }
}
