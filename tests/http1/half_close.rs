//! Clients that shut their sending side while they wait.

use std::time::{Duration, Instant};

use foregate_testkit::{Answer, Backend, BlackHole, Gateway, HalfCloser};
use foregate_tests::assert_outcome;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_half_closed_client_still_gets_its_answer() {
    let backend = Backend::answering(|_| Answer::ok("x".repeat(500_000)));
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = HalfCloser.start(gateway.address(), GET);
    let response = client.response();
    assert_eq!((response.status, response.body.len()), (200, 500_000));
    client.assert_closed();
    assert_outcome(&gateway, 200, "proxied");
}

#[test]
fn pipelined_requests_before_the_half_close_are_all_answered() {
    let backend = Backend::answering(|request| Answer::ok(request.target.clone()));
    let gateway = Gateway::before(&[backend.address()]);
    let three = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = HalfCloser.start(gateway.address(), three);
    for expected in ["/1", "/2", "/3"] {
        assert_eq!(client.response().text(), expected);
    }
    client.assert_closed();
    gateway.assert_no_leaks();
}

#[test]
fn a_half_closed_client_does_not_hold_the_backend_for_long() {
    let backend = Backend::start(BlackHole);
    let gateway = Gateway::new(
        r#"
        [client]
        half_close_timeout = "300ms"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        "#,
    )
    .fill("backend", backend.address())
    .start();
    let begun = Instant::now();
    let mut client = HalfCloser.start(gateway.address(), GET);
    let _ = client.try_response(false);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "took {:?}",
        begun.elapsed()
    );
    backend.wait_connections_open(0);
    assert_eq!(gateway.only_log_line().reason(), "client-gone");
    gateway.assert_no_leaks();
}

#[test]
fn a_close_before_any_request_is_no_request() {
    let backend = Backend::start(BlackHole);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = HalfCloser.start(gateway.address(), "");
    client.assert_closed();
    gateway.assert_no_leaks();
    assert_eq!(
        std::fs::read_to_string(gateway.log_path()).unwrap_or_default(),
        ""
    );
}
