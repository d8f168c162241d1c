//! `Expect: 100-continue` and informational answers.

use foregate_testkit::{AnswersEarlyAndCloses, Backend, Echo, Gateway, Hints103, Visit};

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
