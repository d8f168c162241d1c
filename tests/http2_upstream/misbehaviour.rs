//! Backends that break their answers off, lie about them or never come to them: the answer does not look whole, and the
//! connection serves on where it can.

use crate::before_address;
use foregate_testkit::http2::code::INTERNAL_ERROR;
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

/// Nothing of it reaches the client, where it would be taken for the next answer.
#[test]
fn a_body_where_there_may_be_none() {
    for (method, status) in [("HEAD", "200"), ("GET", "204"), ("GET", "304")] {
        for flags in [0, END_STREAM] {
            let backend = once(move |visit, stream| {
                let head = block(&[(":status", status)]);
                let mut answer = frame(kind::HEADERS, END_HEADERS, stream, &head);
                let smuggled = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                answer.extend(frame(kind::DATA, flags, stream, smuggled));
                visit.send(answer)
            });
            let gateway = configured(&backend);
            let mut client = gateway.connect();
            client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
            let first = client.try_response(method == "HEAD");
            let line = gateway.only_log_line();
            assert_eq!(line.reason(), "response-bad-length", "{method} {status}");
            match first {
                Ok(response) => {
                    assert_eq!(response.status, line.status());
                    let next = client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                    assert_eq!(next.body, b"fine");
                }
                Err(trouble) => {
                    assert!(matches!(trouble, Trouble::Closed | Trouble::Reset));
                    assert_eq!(gateway.get("a", "/").body, b"fine");
                }
            }
            assert_eq!(backend.connections_accepted(), 1);
            drop(client);
            gateway.assert_no_leaks();
        }
    }
}

#[test]
fn a_reset_behind_an_interim_answer() {
    let backend = once(|visit, stream| {
        let hint = block(&[(":status", "103"), ("link", "</a>; rel=preload")]);
        visit.send(frame(kind::HEADERS, END_HEADERS, stream, &hint))?;
        visit.send(frame(
            kind::RST_STREAM,
            0,
            stream,
            &INTERNAL_ERROR.to_be_bytes(),
        ))
    });
    let gateway = configured(&backend);
    let mut client = gateway.connect();
    let response = client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(response.status, 502);
    assert_eq!(response.informational.len(), 1);
    assert_eq!(response.informational[0].0, 103);
    assert_eq!(gateway.only_log_line().reason(), "upstream-reset");
    // Both connections serve on.
    let response = client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(response.body, b"fine");
    assert_eq!(backend.connections_accepted(), 1);
    drop(client);
    gateway.assert_no_leaks();
}

/// Sends `bytes` of an answer and is gone.
fn dies_behind(bytes: Vec<u8>) -> Backend {
    Backend::start(move |visit: &mut Visit| {
        greet(&mut visit.connection)?;
        while take_frame(&mut visit.connection)?.kind != kind::HEADERS {}
        visit.send(&bytes)
    })
}

#[test]
fn a_connection_that_is_lost_within_a_head() {
    let whole = head(1, &[("content-length", "4"), ("x-more", "and more")]);
    let half = whole[..whole.len() / 2].to_vec();
    let not_ended = frame(kind::HEADERS, 0, 1, &[STATUS_200]);
    for bytes in [whole[..5].to_vec(), half, not_ended] {
        let backend = dies_behind(bytes);
        let gateway = configured(&backend);
        assert_eq!(gateway.get("a", "/").status, 502);
        assert_eq!(gateway.only_log_line().reason(), "upstream-closed");
        gateway.assert_no_leaks();
    }
}

#[test]
fn a_connection_that_is_lost_within_a_piece_of_body() {
    for length in [&[("content-length", "2000")][..], &[]] {
        let piece = frame(kind::DATA, END_STREAM, 1, &[b'x'; 2000]);
        let backend = dies_behind([&head(1, length)[..], &piece[..1000]].concat());
        let gateway = configured(&backend);
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        match client.try_response(false) {
            // Its head had not left yet.
            Ok(response) => assert_eq!(response.status, 502),
            Err(trouble) => assert!(matches!(trouble, Trouble::Closed | Trouble::Reset)),
        }
        assert_eq!(gateway.only_log_line().reason(), "upstream-truncated");
        drop(client);
        gateway.assert_no_leaks();
    }
}
