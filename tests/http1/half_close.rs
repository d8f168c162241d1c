//! Clients that shut their sending side while they wait.

use std::time::{Duration, Instant};

use foregate_testkit::{
    Answer, Backend, BlackHole, Gateway, HalfCloser, Transport, Trouble, Visit,
};
use foregate_tests::{assert_outcome, metric};

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

/// Answers with a stream of events that says one thing and then nothing.
fn quiet_stream(visit: &mut Visit) -> Result<(), Trouble> {
    visit.next_head()?;
    visit.send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    visit.send("7\r\ndata:1\n\r\n")?;
    visit.connection.wait_readable().map(drop)
}

const STREAMING: &str = r#"
    [client]
    half_close_timeout = "{half_close}"
    [sites."*"]
    upstream = "app"
    [upstreams.app]
    servers = ["{backend}"]
    timeouts = { between_bytes = "off" }
"#;

/// The client had closed, and as nothing was written nobody noticed: its socket and the backend's connection stayed for ever.
#[test]
fn a_client_that_leaves_a_quiet_stream_is_noticed() {
    for transport in [Transport::Cleartext, Transport::tls()] {
        let backend = Backend::start(quiet_stream);
        let gateway = Gateway::new(STREAMING)
            .fill("half_close", "300ms")
            .fill("backend", backend.address())
            .over(&transport)
            .start();
        let mut client = gateway.connect();
        client.send(GET);
        assert_eq!(client.try_head(false).map(|head| head.status), Ok(200));
        let begun = client.connection().take(12);
        assert_eq!(begun.as_deref(), Ok(&b"7\r\ndata:1\n\r\n"[..]));
        client.connection().finish_sending();
        backend.wait_connections_open(0);
        let line = gateway.only_log_line();
        let outcome = (line.status(), line.reason());
        assert_eq!(outcome, (200, "client-gone".to_owned()));
        assert_eq!(gateway.metric(metric::ENDPOINT_FAILURES, &[]), 0.0);
        drop(client);
        gateway.assert_no_leaks();
    }
}

/// The time begins anew with all that comes.
#[test]
fn a_half_closed_client_keeps_a_stream_that_goes_on() {
    let backend = Backend::start(|visit: &mut Visit| {
        visit.next_head()?;
        visit.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for _ in 0..6 {
            std::thread::sleep(Duration::from_millis(500));
            visit.send("1\r\nx\r\n")?;
        }
        visit.send("0\r\n\r\n")
    });
    let gateway = Gateway::new(STREAMING)
        .fill("half_close", "2s")
        .fill("backend", backend.address())
        .start();
    let mut client = HalfCloser.start(gateway.address(), GET);
    assert_eq!(client.response().text(), "xxxxxx");
    client.assert_closed();
    assert_outcome(&gateway, 200, "proxied");
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
