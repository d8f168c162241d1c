//! Requests that a backend has refused unseen are sent again, whatever their method, with what has come of their bodies.

use crate::before_address;
use foregate_testkit::http2::code::{INTERNAL_ERROR, REFUSED_STREAM};
use foregate_testkit::http2::{END_STREAM, frame, greet, kind, take_frame};
use foregate_testkit::{Backend, Http2Client, Trouble, Visit};
use std::sync::{Arc, Mutex};

/// What a backend does with the first request that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// Refuses it once all of it has come.
    Refused,
    /// Says that it goes away and has not looked at it.
    GoneAway,
    /// Refuses it when nothing but its head has come.
    RefusedByItsHead,
    /// Resets it: it may have acted on it.
    Reset,
}

/// The bodies that were answered.
type Bodies = Arc<Mutex<Vec<Vec<u8>>>>;

/// Does `first` with the first request, and answers the others once their bodies are here.
fn picky(first: First) -> (Backend, Bodies) {
    let (bodies, count) = (Bodies::default(), Arc::new(Mutex::new(0)));
    let seen = Arc::clone(&bodies);
    let backend = Backend::start(move |visit: &mut Visit| {
        greet(&mut visit.connection)?;
        let mut body = Vec::new();
        loop {
            let came = take_frame(&mut visit.connection)?;
            match came.kind {
                kind::HEADERS => body.clear(),
                kind::DATA => body.extend_from_slice(&came.payload),
                _ => continue,
            }
            let has_ended = came.flags & END_STREAM != 0;
            let mut count = count.lock().expect("no panic");
            let is_enough = *count == 0 && first == First::RefusedByItsHead;
            if !has_ended && !is_enough {
                continue;
            }
            *count += 1;
            match *count {
                1 => turn_away(visit, came.stream, first)?,
                _ => {
                    seen.lock().expect("no panic").push(body.clone());
                    visit.send(frame(kind::HEADERS, 5, came.stream, &[0x88]))?;
                }
            }
        }
    });
    (backend, bodies)
}

fn turn_away(visit: &mut Visit, stream: u32, first: First) -> Result<(), Trouble> {
    let reset = |code: u32| frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes());
    let goaway = [0u8; 8];
    visit.send(match first {
        First::Refused | First::RefusedByItsHead => reset(REFUSED_STREAM),
        First::GoneAway => frame(kind::GOAWAY, 0, 0, &goaway),
        First::Reset => reset(INTERNAL_ERROR),
    })
}

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";

#[test]
fn a_body_goes_with_its_request_again() {
    for first in [First::Refused, First::GoneAway] {
        for more in ["", "tries_max = 1"] {
            let (backend, bodies) = picky(first);
            let gateway = before_address(backend.address(), more);
            assert_eq!(gateway.exchange(POST).status, 200, "{first:?} {more}");
            assert_eq!(*bodies.lock().expect("no panic"), [b"body"]);
            assert_eq!(gateway.only_log_line().reason(), "proxied");
        }
    }
}

/// gRPC, whose every call is a POST with a body of unknown length.
#[test]
fn a_call_of_grpc_goes_again() {
    let (backend, bodies) = picky(First::GoneAway);
    let gateway = before_address(backend.address(), "");
    let mut client = Http2Client::connect(gateway.address());
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    let call = client.request("POST", "/s/m", &fields, false);
    client.data(call, b"message", true);
    assert_eq!(client.answer(call).status, 200);
    assert_eq!(*bodies.lock().expect("no panic"), [b"message"]);
}

/// Nothing was taken of a body that has not come.
#[test]
fn a_request_whose_body_has_not_begun_goes_again_whatever_its_length() {
    let (backend, bodies) = picky(First::RefusedByItsHead);
    let gateway = before_address(backend.address(), "retry = { body_bytes_max = \"off\" }");
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
    // It is with the backend for the second time.
    gateway.wait_metric("foregate_endpoint_pool_hits_total", &[], 1.0);
    client.send("body");
    assert_eq!(client.response().status, 200);
    assert_eq!(*bodies.lock().expect("no panic"), [b"body"]);
}

#[test]
fn what_the_backend_may_have_acted_on_is_not_sent_again() {
    let (backend, bodies) = picky(First::Reset);
    let gateway = before_address(backend.address(), "");
    assert_eq!(gateway.exchange(POST).status, 502);
    assert!(bodies.lock().expect("no panic").is_empty());
    assert_eq!(gateway.only_log_line().reason(), "upstream-reset");
}

/// Then nothing is kept for it, either.
#[test]
fn an_operator_who_wants_no_such_retries_gets_none_of_bodies() {
    let (backend, bodies) = picky(First::Refused);
    let gateway = before_address(backend.address(), "retry = { on = [\"connect\"] }");
    assert_eq!(gateway.exchange(POST).status, 502);
    assert!(bodies.lock().expect("no panic").is_empty());
    assert_eq!(gateway.only_log_line().reason(), "upstream-refused");
}
