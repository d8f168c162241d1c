//! Backends that break their answers off, lie about them or never come to them: the answer does not look whole, and the
//! connection serves on where it can.

use crate::before_address;
use foregate_testkit::http2::{END_HEADERS, END_STREAM, block, frame, greet, kind, take_frame};
use foregate_testkit::{Backend, Gateway, Trouble, Visit};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

/// `:status: 200` of the static table.
const STATUS_200: u8 = 0x88;

fn head(stream: u32, lines: &[(&str, &str)]) -> Vec<u8> {
    let head = [&[STATUS_200], &block(lines)[..]].concat();
    frame(kind::HEADERS, END_HEADERS, stream, &head)
}

/// Answers the first request of a connection with `first`, and each later one in order.
fn once(first: impl Fn(&mut Visit, u32) -> Result<(), Trouble> + Send + Sync + 'static) -> Backend {
    Backend::start(move |visit: &mut Visit| {
        greet(&mut visit.connection)?;
        let mut is_first = true;
        loop {
            let came = take_frame(&mut visit.connection)?;
            if came.kind != kind::HEADERS {
                continue;
            }
            if std::mem::take(&mut is_first) {
                first(visit, came.stream)?;
            } else {
                visit.send(head(came.stream, &[("content-length", "4")]))?;
                visit.send(frame(kind::DATA, END_STREAM, came.stream, b"fine"))?;
            }
        }
    })
}

fn configured(backend: &Backend) -> Gateway {
    before_address(
        backend.address(),
        "ejection = { consecutive_failures = \"off\" }",
    )
}

/// The first answer is no whole 200, and the next request is served.
#[track_caller]
fn spoils_one(backend: &Backend, reason: &str, connections: usize) {
    let gateway = configured(backend);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    if let Ok(response) = client.try_response(false) {
        assert_eq!(response.status, 502);
    }
    assert_eq!(gateway.only_log_line().reason(), reason);
    assert_eq!(gateway.get("a", "/").body, b"fine");
    assert_eq!(backend.connections_accepted(), connections);
    drop(client);
    gateway.assert_no_leaks();
}

#[test]
fn a_backend_that_dies_in_the_middle_of_a_body() {
    for length in [&[("content-length", "100")][..], &[]] {
        let told = Arc::new(Barrier::new(2));
        let dies = Arc::clone(&told);
        let backend = Backend::start(move |visit: &mut Visit| {
            greet(&mut visit.connection)?;
            while take_frame(&mut visit.connection)?.kind != kind::HEADERS {}
            visit.send(head(1, length))?;
            visit.send(frame(kind::DATA, 0, 1, b"the first"))?;
            dies.wait();
            Ok(())
        });
        let gateway = configured(&backend);
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.try_head(false).map(|head| head.status), Ok(200));
        told.wait();
        let rest = client.connection().take_rest().unwrap_or_default();
        assert!(!rest.ends_with(b"0\r\n\r\n"), "it does not look whole");
        let line = gateway.only_log_line();
        assert_eq!(
            (line.status(), line.reason()),
            (200, "upstream-truncated".into())
        );
        drop(client);
        gateway.assert_no_leaks();
    }
}

#[test]
fn a_body_that_is_shorter_than_was_said() {
    let backend = once(|visit, stream| {
        visit.send(head(stream, &[("content-length", "10")]))?;
        visit.send(frame(kind::DATA, END_STREAM, stream, b"short"))
    });
    spoils_one(&backend, "response-bad-length", 1);
}

#[test]
fn a_body_that_is_longer_than_was_said() {
    let backend = once(|visit, stream| {
        visit.send(head(stream, &[("content-length", "3")]))?;
        visit.send(frame(kind::DATA, END_STREAM, stream, b"longer"))
    });
    spoils_one(&backend, "response-bad-length", 1);
}

#[test]
fn interim_answers_without_end() {
    let backend = once(|visit, stream| {
        let hint = block(&[(":status", "103"), ("link", "</a>; rel=preload")]);
        for _ in 0..1000 {
            visit.send(frame(kind::HEADERS, END_HEADERS, stream, &hint))?;
        }
        Ok(())
    });
    spoils_one(&backend, "upstream-protocol-error", 1);
}

/// All in all it takes longer than `between_bytes`, of which each byte has as much.
#[test]
fn a_body_that_trickles_comes_whole() {
    let backend = once(|visit, stream| {
        visit.send(head(stream, &[("content-length", "101")]))?;
        for _ in 0..100 {
            visit.send(frame(kind::DATA, 0, stream, b"x"))?;
            thread::sleep(Duration::from_millis(5));
        }
        visit.send(frame(kind::DATA, END_STREAM, stream, b"x"))
    });
    let gateway = before_address(
        backend.address(),
        "timeouts = { between_bytes = \"400ms\" }",
    );
    assert_eq!(gateway.get("a", "/").body, [b'x'; 101]);
    assert_eq!(gateway.get("a", "/").body, b"fine");
    assert_eq!(backend.connections_accepted(), 1);
    gateway.assert_no_leaks();
}
