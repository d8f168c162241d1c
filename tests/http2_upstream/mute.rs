//! Connections on which the backend is not heard any more, though nothing closes them.

use crate::before_address;
use foregate_testkit::http2::{END_HEADERS, END_STREAM, frame, greet, kind, take_frame};
use foregate_testkit::{Backend, Gateway, Trouble, Visit, eventually, holds_for};
use std::time::Duration;

const STATUS_200: [u8; 1] = [0x88];

fn configured(backend: &Backend) -> Gateway {
    before_address(
        backend.address(),
        "timeouts = { first_byte = \"500ms\", between_bytes = \"off\" }\nejection = { consecutive_failures = \"off\" }",
    )
}

/// Answers whatever is asked.
fn answers(visit: &mut Visit) -> Result<(), Trouble> {
    greet(&mut visit.connection)?;
    loop {
        let came = take_frame(&mut visit.connection)?;
        if came.kind == kind::HEADERS {
            let flags = END_HEADERS | END_STREAM;
            visit.send(frame(kind::HEADERS, flags, came.stream, &STATUS_200))?;
        }
    }
}

/// Begins one answer on its first connection, and then says nothing on it until a request was given up; then it ends that
/// answer. It is as a host behind a path that loses what comes back.
fn falls_mute() -> Backend {
    Backend::start(|visit: &mut Visit| {
        if visit.number > 1 {
            return answers(visit);
        }
        greet(&mut visit.connection)?;
        let mut first = None;
        loop {
            let came = take_frame(&mut visit.connection)?;
            match (came.kind, first) {
                (kind::HEADERS, None) => {
                    first = Some(came.stream);
                    let head = frame(kind::HEADERS, END_HEADERS, came.stream, &STATUS_200);
                    visit.send(head)?;
                }
                (kind::RST_STREAM, Some(first)) => {
                    visit.send(frame(kind::DATA, END_STREAM, first, b"late"))?;
                }
                _ => {}
            }
        }
    })
}

/// It kept every request that came, since nobody closed it.
#[test]
fn a_connection_that_falls_mute_costs_one_request_and_keeps_those_under_way() {
    let backend = falls_mute();
    let gateway = configured(&backend);
    let mut watching = gateway.connect();
    watching.send("GET /watch HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(watching.try_head(false).map(|head| head.status), Ok(200));
    assert_eq!(gateway.get("a", "/").status, 504);
    for _ in 0..3 {
        assert_eq!(gateway.get("a", "/").status, 200);
    }
    assert_eq!(watching.connection().line().as_deref(), Ok(&b"4"[..]));
    eventually("the mute one is closed after its last stream", || {
        (backend.connections_open() == 1).then_some(())
    });
    assert_eq!(backend.connections_accepted(), 2);
    drop(watching);
    gateway.assert_no_leaks();
}

/// Reads on its first connection, and says nothing.
fn begins_mute() -> Backend {
    Backend::start(|visit: &mut Visit| match visit.number {
        1 => loop {
            visit.connection.take(1)?;
        },
        _ => answers(visit),
    })
}

/// It had waited for its answer in vain for a while, and those who came later waited for the same connection.
#[test]
fn a_client_that_gives_up_a_mute_connection_is_the_only_one_who_waits_for_it() {
    let backend = begins_mute();
    let gateway = before_address(backend.address(), "");
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    backend.wait_connections_open(1);
    holds_for(Duration::from_millis(1100), "it waits", || {
        backend.connections_open() == 1
    });
    client.into_connection().reset();
    assert_eq!(gateway.only_log_line().reason(), "client-gone");
    assert_eq!(gateway.get("a", "/").status, 200);
    assert_eq!(backend.connections_accepted(), 2);
    gateway.assert_no_leaks();
}

/// Nobody knew how many streams it takes, and all waited for that.
#[test]
fn a_connection_that_is_accepted_and_no_more_costs_one_request() {
    let backend = begins_mute();
    let gateway = configured(&backend);
    assert_eq!(gateway.get("a", "/").status, 504);
    for _ in 0..3 {
        assert_eq!(gateway.get("a", "/").status, 200);
    }
    assert_eq!(backend.connections_accepted(), 2);
    gateway.assert_no_leaks();
}

/// It may be slow, but it is there: what comes on other streams shows that.
#[test]
fn a_backend_that_is_heard_on_another_stream_keeps_its_connection() {
    let backend = Backend::start(|visit: &mut Visit| {
        greet(&mut visit.connection)?;
        let mut heads = 0;
        loop {
            let came = take_frame(&mut visit.connection)?;
            if came.kind != kind::HEADERS {
                continue;
            }
            heads += 1;
            // The first request gets none.
            if heads > 1 {
                let flags = END_HEADERS | END_STREAM;
                visit.send(frame(kind::HEADERS, flags, came.stream, &STATUS_200))?;
            }
        }
    });
    let gateway = configured(&backend);
    let mut slow = gateway.connect();
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("it is there", || {
        (gateway.metric("foregate_endpoint_requests_total", &[]) >= 1.0).then_some(())
    });
    assert_eq!(gateway.get("a", "/").status, 200);
    assert_eq!(slow.response().status, 504);
    assert_eq!(gateway.get("a", "/").status, 200);
    assert_eq!(backend.connections_accepted(), 1);
}
