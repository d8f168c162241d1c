//! How long backends may take.

use std::time::{Duration, Instant};

use foregate_testkit::{
    Answer, Backend, BlackHole, Gateway, LiesAboutLengthShort, NeverAccepts, NeverReads, SlowHead,
    Trickler, Trouble, Visit,
};
use foregate_tests::assert_outcome;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn limited(server: impl std::fmt::Display, timeouts: &str) -> Gateway {
    Gateway::new(&format!(
        r#"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{server}"]
        [upstreams.app.timeouts]
        {timeouts}
        "#
    ))
    .start()
}

#[test]
fn connecting() {
    let peer = NeverAccepts::start();
    let gateway = limited(peer.address(), "connect = \"300ms\"");
    let begun = Instant::now();
    assert_eq!(gateway.get("a", "/").status, 504);
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "took {:?}",
        begun.elapsed()
    );
    assert_outcome(&gateway, 504, "connect-timeout");
}

#[test]
fn the_first_byte() {
    let backend = Backend::start(BlackHole);
    let gateway = limited(backend.address(), "first_byte = \"300ms\"");
    assert_eq!(gateway.get("a", "/").status, 504);
    assert_outcome(&gateway, 504, "first-byte-timeout");
    backend.wait_connections_open(0);
    assert_eq!(
        backend.requests_total(),
        1,
        "a request that may have been acted on is not sent again"
    );
}

#[test]
fn the_first_byte_on_a_connection_that_has_served() {
    // Silence is no sign of a stale connection: the backend has the request and may be at work on it.
    let backend = Backend::start(|visit: &mut Visit| {
        if let Some(request) = visit.next_request()? {
            visit.answer(&request, &Answer::ok("first"))?;
        }
        while visit.next_request()?.is_some() {}
        Ok(())
    });
    let gateway = limited(backend.address(), "first_byte = \"300ms\"");
    let mut client = gateway.connect();
    assert_eq!(client.exchange(GET).text(), "first");
    assert_eq!(client.exchange(GET).status, 504);
    assert_eq!(gateway.log_lines(2)[1].reason(), "first-byte-timeout");
    assert_eq!(backend.requests_total(), 2);
    backend.wait_connections_open(0);
    drop(client);
    gateway.assert_no_leaks();
}

#[test]
fn the_rest_of_the_head() {
    let backend = Backend::start(SlowHead);
    let gateway = limited(
        backend.address(),
        "first_byte = \"300ms\"\nbetween_bytes = \"300ms\"",
    );
    assert_eq!(gateway.get("a", "/").status, 504);
    let reason = gateway.only_log_line().reason();
    assert!(
        ["first-byte-timeout", "between-bytes-timeout"].contains(&reason.as_str()),
        "{reason}"
    );
    assert_outcome(&gateway, 504, &reason);
    backend.wait_connections_open(0);
}

#[test]
fn between_bytes_of_a_body() {
    let backend = Backend::start(LiesAboutLengthShort);
    let gateway = limited(backend.address(), "between_bytes = \"300ms\"");
    let mut client = gateway.connect();
    client.send(GET);
    assert!(matches!(
        client.try_response(false),
        Err(Trouble::Closed | Trouble::Reset)
    ));
    assert_eq!(gateway.only_log_line().reason(), "between-bytes-timeout");
    backend.wait_connections_open(0);
    drop(client);
    gateway.assert_no_leaks();
}

#[test]
fn a_trickle_that_never_pauses_passes() {
    let backend = Backend::start(Trickler {
        pause: Duration::from_millis(5),
    });
    let gateway = limited(
        backend.address(),
        "first_byte = \"2s\"\nbetween_bytes = \"1s\"",
    );
    assert_eq!(gateway.get("a", "/").text(), "drop by drop");
    assert_outcome(&gateway, 200, "proxied");
}

#[test]
fn the_whole_exchange() {
    let backend = Backend::start(Trickler {
        pause: Duration::from_millis(50),
    });
    let gateway = limited(backend.address(), "request = \"500ms\"");
    let mut client = gateway.connect();
    client.send(GET);
    match client.try_response(false) {
        Ok(response) => assert_eq!(response.status, 504),
        Err(trouble) => assert!(
            matches!(trouble, Trouble::Closed | Trouble::Reset),
            "{trouble:?}"
        ),
    }
    assert_eq!(gateway.only_log_line().reason(), "request-timeout");
    backend.wait_connections_open(0);
    drop(client);
    gateway.assert_no_leaks();
}

#[test]
fn a_backend_that_does_not_read() {
    for first_byte in ["off", "100ms"] {
        let timeouts = format!("between_bytes = \"600ms\"\nfirst_byte = \"{first_byte}\"");
        never_reads(&timeouts, 600.0);
    }
}

/// Its time runs from the last byte that it took, whatever it has for an answer.
fn never_reads(timeouts: &str, least_ms: f64) {
    let backend = Backend::start(NeverReads);
    let gateway = limited(backend.address(), timeouts);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    client
        .connection()
        .send_some(&vec![b'x'; 50_000_000], Duration::from_millis(400));
    match client.try_response(false) {
        Ok(response) => assert_eq!(response.status, 504),
        Err(trouble) => assert!(
            matches!(trouble, Trouble::Closed | Trouble::Reset),
            "{trouble:?}"
        ),
    }
    let line = gateway.only_log_line();
    assert_eq!(line.reason(), "upstream-write-timeout", "{timeouts}");
    assert!(line.number("duration_ms") >= least_ms, "{}", line.value());
    drop(client);
    gateway.assert_no_leaks();
}

#[test]
fn a_route_has_timeouts_of_its_own() {
    let backend = Backend::answering(|_| {
        std::thread::sleep(Duration::from_millis(600));
        Answer::ok("slow")
    });
    let gateway = Gateway::new(
        r#"
        [sites."*"]
        [[sites."*".routes]]
        path = "/patient"
        upstream = "app"
        [sites."*".routes.timeouts]
        first_byte = "5s"
        [[sites."*".routes]]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        [upstreams.app.timeouts]
        first_byte = "200ms"
        "#,
    )
    .fill("backend", backend.address())
    .start();
    assert_eq!(gateway.get("a", "/").status, 504);
    assert_eq!(gateway.get("a", "/patient").text(), "slow");
}
