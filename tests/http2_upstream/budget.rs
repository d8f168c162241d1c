//! What a backend may do in vain: its connection is that of many clients.

use super::before_address;
use foregate_testkit::http2::{END_HEADERS, END_STREAM, frame, greet, kind, take_frame};
use foregate_testkit::{Backend, Visit};

/// Sends many PINGs before each answer.
fn talkative() -> Backend {
    Backend::start(|visit: &mut Visit| {
        greet(&mut visit.connection)?;
        loop {
            let came = take_frame(&mut visit.connection)?;
            if came.kind == kind::HEADERS {
                visit.send(frame(kind::PING, 0, 0, &[0; 8]).repeat(1_000))?;
                let ends = END_HEADERS | END_STREAM;
                visit.send(frame(kind::HEADERS, ends, came.stream, &[0x88]))?;
            }
        }
    })
}

#[test]
fn backends_have_a_budget_of_their_own() {
    let backend = talkative();
    let gateway = before_address(backend.address(), "");
    assert_eq!(gateway.get("a", "/").status, 200);
    let less = "response = { abuse_points_per_minute_max = 1000 }";
    let gateway = before_address(backend.address(), less);
    assert_eq!(gateway.get("a", "/").status, 502);
    assert_eq!(gateway.only_log_line().reason(), "upstream-protocol-error");
}
