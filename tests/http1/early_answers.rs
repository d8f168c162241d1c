//! Backends that answer before they have read the request.

use foregate_testkit::{AnswersEarlyAndCloses, Backend, Gateway, Random, Trouble, Visit, strict};
use foregate_tests::assert_outcome;
use std::time::Duration;

/// More than the buffers of the connections on its way hold.
const LONG: usize = 8 << 20;

#[test]
fn an_early_answer_reaches_a_client_that_still_sends() {
    let backend = Backend::start(AnswersEarlyAndCloses);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n");
    client.send("the beginning");
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (403, "early"));
    client.assert_closed();
    assert_outcome(&gateway, 403, "proxied");
}

#[test]
fn a_backend_that_answers_early_and_reads_on_keeps_everyone_in_step() {
    let backend = Backend::start(|visit: &mut Visit| {
        while let Some(request) = visit.next_head()? {
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")?;
            strict::body(&mut visit.connection, request.framing)?;
        }
        Ok(())
    });
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    assert_eq!(client.response().text(), "early");
    // Whether the gateway keeps the connection for the rest of the body or closes it, no part of the body may be taken
    // for a request.
    client.send_if_taken("56789GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    match client.try_response(false) {
        Ok(response) => assert_eq!((response.status, response.text().as_str()), (200, "early")),
        Err(trouble) => assert_ne!(trouble, Trouble::Late),
    }
    drop(client);
    gateway.assert_no_leaks();
    let malformed = |trouble: &Trouble| matches!(trouble, Trouble::Malformed(_));
    let troubles = backend.troubles();
    assert!(
        !troubles.iter().any(malformed),
        "the backend read half a body as a request: {troubles:?}"
    );
}

#[test]
fn whoever_has_an_answer_may_take_time_with_the_rest_of_the_request() {
    let backend = Backend::start(|visit: &mut Visit| {
        let Some(request) = visit.next_head()? else {
            return Ok(());
        };
        visit.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")?;
        strict::body(&mut visit.connection, request.framing)?;
        visit.send("late")
    });
    let grace = Duration::from_millis(100);
    let gateway = Gateway::new(
        "[client]\nbody_rate_grace = \"{grace}\"\n[sites.\"*\"]\nupstream = \"app\"\n\
         [upstreams.app]\nservers = [\"{backend}\"]\n",
    )
    .fill("grace", format!("{}ms", grace.as_millis()))
    .fill("backend", backend.address())
    .start();
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    let head = client.try_head(false).expect("the head comes at once");
    client.assert_silent_for(5 * grace);
    client.send("56789");
    let body = strict::body(client.connection(), head.framing).expect("the answer goes on");
    assert_eq!(body.bytes, b"late");
    assert_outcome(&gateway, 200, "proxied");
}

/// What is echoed must not have to wait for a body that was taken from the client long ago: it is kept, for another try.
#[test]
fn a_kept_body_is_sent_on_while_the_answer_comes() {
    let bad = Backend::start(|visit: &mut Visit| visit.next_request().map(drop));
    let echo = Backend::start(|visit: &mut Visit| {
        visit.next_head()?;
        visit.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n"))?;
        let mut left = LONG;
        while left > 0 {
            let piece = visit.connection.take(left.min(10_000))?;
            left -= piece.len();
            visit.send(piece)?;
        }
        Ok(())
    });
    let gateway = Gateway::new(
        r#"
        workers = 1
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{bad}", "{echo}"]
        balance = "round-robin"
        retry = { body_bytes_max = "8MiB" }
        "#,
    )
    .fill("bad", bad.address())
    .fill("echo", echo.address())
    .start();
    let body = Random::seeded(7).bytes(LONG);
    let mut client = gateway.connect();
    client.send(format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {LONG}\r\n\r\n"
    ));
    client.send(&body);
    let response = client.response();
    assert_eq!(response.status, 200);
    assert!(response.body == body, "what was sent comes back");
    assert_eq!(gateway.only_log_line().number("tries"), 2.0);
}
