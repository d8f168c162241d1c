//! `Expect: 100-continue` and informational answers.

use foregate_testkit::{
    AnswersEarlyAndCloses, Backend, Echo, Gateway, Hints103, Http2Backend, Http2Client, Http2Reply,
    Refuser, Visit,
};
use std::net::SocketAddr;

const EXPECTING: &str =
    "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";

#[test]
fn the_backends_consent_reaches_the_client_before_the_body() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    client.send(EXPECTING);
    assert_eq!(client.try_head(false).map(|head| head.status), Ok(100));
    let response = client.exchange("hello");
    assert_eq!(response.json()["body_bytes"], 5);
    assert_eq!(response.informational.len(), 0, "consent is given once");
    assert_eq!(
        client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status,
        200
    );
}

#[test]
fn a_refusal_comes_instead_of_consent() {
    let backend = Backend::start(AnswersEarlyAndCloses);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    let response = client.exchange(EXPECTING);
    assert_eq!((response.status, response.informational.len()), (403, 0));
    drop(client);
    gateway.assert_no_leaks();
}

/// A gateway that asks the second one only when the first has failed.
fn before(first: SocketAddr, second: &Backend) -> Gateway {
    Gateway::new(
        r#"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{first}", { address = "{second}", backup = true }]
        "#,
    )
    .fill("first", first)
    .fill("second", second.address())
    .start()
}

/// The client gets the one consent that it waits for, and sends its body once, by HTTP/1.1 and by HTTP/2; what of it the
/// first backend had makes no difference to the second.
fn is_served_by_the_second(first: SocketAddr, failure: &str) {
    let second = Backend::start(Echo);
    let gateway = before(first, &second);
    let mut client = gateway.connect();
    client.send(EXPECTING);
    assert_eq!(client.try_head(false).map(|head| head.status), Ok(100));
    let response = client.exchange("hello");
    assert_eq!(response.status, 200, "{failure}");
    assert_eq!(response.json()["body_bytes"], 5);
    assert_eq!(response.informational.len(), 0, "consent is given once");
    drop(client);
    let mut client = Http2Client::connect(gateway.address());
    let fields = [("content-length", "5"), ("expect", "100-continue")];
    let stream = client.request("PUT", "/", &fields, false);
    client.until(stream, |answer| answer.interims == [100]);
    client.data(stream, b"hello", true);
    let answer = client.answer(stream);
    assert_eq!((answer.status, &answer.interims[..]), (200, &[100][..]));
    drop(client);
    for request in second.wait_requests(2) {
        assert_eq!(request.field("expect"), Some("100-continue"), "{failure}");
        assert_eq!(request.body, b"hello", "{failure}");
    }
    for line in gateway.log_lines(2) {
        assert_eq!(line.reason(), "proxied");
        assert_eq!(line.text("retries"), format!("{first} {failure}"));
    }
    gateway.assert_no_leaks();
}

#[test]
fn who_refuses_the_connection_is_passed_over_for_one_that_consents() {
    is_served_by_the_second(Refuser::start().address(), "connect-failed");
}

#[test]
fn who_leaves_without_consent_is_passed_over_for_one_that_consents() {
    let first = Backend::start(|visit: &mut Visit| visit.next_head().map(drop));
    is_served_by_the_second(first.address(), "upstream-closed");
    // Nobody sent it what it had not asked for: a client that waits has its body still.
    assert_eq!(first.requests_total(), 2);
}

/// A backend that has not looked at the request may be followed by another whatever the method, as the body is still with
/// the client; one that never consents gets it after a second all the same.
#[test]
fn who_refuses_the_stream_is_passed_over_for_one_that_never_consents() {
    let first = Http2Backend::answering(|_| Http2Reply::Refuse);
    let second = Http2Backend::answering(|_| Http2Reply::ok("told"));
    let gateway = Gateway::new(
        r#"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{first}", { address = "{second}", backup = true }]
        protocol = "h2"
        "#,
    )
    .fill("first", first.address())
    .fill("second", second.address())
    .start();
    let mut client = gateway.connect();
    client.send(EXPECTING.replacen("PUT", "POST", 1));
    assert_eq!(client.try_head(false).map(|head| head.status), Ok(100));
    let response = client.exchange("hello");
    assert_eq!((response.status, response.text().as_str()), (200, "told"));
    assert_eq!(response.informational.len(), 0, "consent is given once");
    drop(client);
    let (refused, served) = (first.requests(), second.requests());
    // Only its connection may have been at an end, so it was asked once more first.
    assert_eq!((refused.len(), served.len()), (2, 1));
    assert_eq!(
        (&served[0].body[..], served[0].field("expect")),
        (&b"hello"[..], Some("100-continue"))
    );
    let line = gateway.only_log_line();
    assert_eq!(
        line.text("retries"),
        format!("{} upstream-refused", first.address())
    );
    foregate_tests::assert_outcome(&gateway, 200, "proxied");
}

/// A consent is a part of an answer: what has had one is not asked of anybody else, as the client has been told already.
#[test]
fn who_consents_and_leaves_has_begun_to_answer() {
    let first = Backend::start(|visit: &mut Visit| visit.next_request().map(drop));
    let second = Backend::start(Echo);
    let gateway = before(first.address(), &second);
    let mut client = gateway.connect();
    client.send(EXPECTING);
    assert_eq!(client.try_head(false).map(|head| head.status), Ok(100));
    let response = client.exchange("hello");
    assert_eq!((response.status, response.informational.len()), (502, 0));
    assert_eq!(first.only_request().body, b"hello");
    drop(client);
    assert_eq!(second.requests_total(), 0);
    foregate_tests::assert_outcome(&gateway, 502, "upstream-truncated");
}

/// What may have been done already is not done twice, body or no body.
#[test]
fn who_may_not_be_asked_twice_gets_no_consent_from_another() {
    let first = Backend::start(|visit: &mut Visit| visit.next_head().map(drop));
    let second = Backend::start(Echo);
    let gateway = before(first.address(), &second);
    let mut client = gateway.connect();
    let response = client.exchange(EXPECTING.replacen("PUT", "POST", 1));
    assert_eq!((response.status, response.informational.len()), (502, 0));
    // The body may come or not: nobody can tell where the next request begins.
    client.assert_closed();
    drop(client);
    assert_eq!(second.requests_total(), 0);
    foregate_tests::assert_outcome(&gateway, 502, "upstream-closed");
}

#[test]
fn a_client_that_does_not_wait_is_served_too() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    let response = client.exchange(format!("{EXPECTING}hello"));
    assert_eq!(response.json()["body_bytes"], 5);
}

#[test]
fn another_expectation_fails() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let response = gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\nExpect: the-unexpected\r\n\r\n");
    assert_eq!(response.status, 417);
    foregate_tests::assert_outcome(&gateway, 417, "request-bad-expectation");
    assert_eq!(backend.requests_total(), 0);
}

#[test]
fn early_hints_pass() {
    let backend = Backend::start(Hints103);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    for _ in 0..2 {
        let response = client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(response.text(), "hinted");
        let [(103, hints)] = response.informational.as_slice() else {
            panic!("informational answers: {:?}", response.informational)
        };
        assert_eq!(hints.get("link"), Some("</style.css>; rel=preload"));
    }
}

#[test]
fn an_old_client_gets_no_informational_answer() {
    // RFC 9110 section 15.2: a server MUST NOT send a 1xx response to an HTTP/1.0 client.
    let backend = Backend::start(Hints103);
    let gateway = Gateway::before(&[backend.address()]);
    let response = gateway.exchange("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(
        (response.text().as_str(), response.informational.len()),
        ("hinted", 0)
    );
}

#[test]
fn a_backends_unasked_consent_is_not_an_answer() {
    let backend = Backend::start(|visit: &mut Visit| {
        while visit.next_request()?.is_some() {
            visit.send(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            )?;
        }
        Ok(())
    });
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    for _ in 0..2 {
        assert_eq!(
            client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text(),
            "ok"
        );
    }
    assert_eq!(backend.connections_accepted(), 1);
}
