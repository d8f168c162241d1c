//! What becomes of requests when the connection that they share is lost.

use crate::before_address;
use foregate_testkit::http2::{END_HEADERS, END_STREAM, frame, greet, kind, take_frame};
use foregate_testkit::{Backend, Gateway, RawClient, Trouble, Visit};

const MANY: usize = 20;

/// Answers so many requests on its first connection, reads [`MANY`] more and closes it, as when it is started anew. What
/// comes on others it answers.
fn restarts_after(answered: usize) -> Backend {
    Backend::start(move |visit: &mut Visit| {
        greet(&mut visit.connection)?;
        let mut heads = 0;
        while visit.number > 1 || heads < answered + MANY {
            let came = take_frame(&mut visit.connection)?;
            if came.kind != kind::HEADERS {
                continue;
            }
            heads += 1;
            if visit.number > 1 || heads <= answered {
                answer(visit, came.stream)?;
            }
        }
        Ok(())
    })
}

/// 200 without a body.
fn answer(visit: &mut Visit, stream: u32) -> Result<(), Trouble> {
    let status_200 = [0x88];
    visit.send(frame(
        kind::HEADERS,
        END_HEADERS | END_STREAM,
        stream,
        &status_200,
    ))
}

fn configured(backend: &Backend) -> Gateway {
    before_address(
        backend.address(),
        "ejection = { consecutive_failures = \"off\" }",
    )
}

fn ask_at_once(gateway: &Gateway) -> Vec<RawClient> {
    let mut clients: Vec<RawClient> = (0..MANY).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    clients
}

/// It may have been closed before they came. All of them go on together: the backend has just come up, and a crowd of
/// connections would be the first that it sees.
#[test]
fn requests_that_were_just_opened_on_an_idle_connection_share_the_next_one() {
    let backend = restarts_after(1);
    let gateway = configured(&backend);
    assert_eq!(gateway.get("a", "/").status, 200);
    for mut client in ask_at_once(&gateway) {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(backend.connections_accepted(), 2);
    assert_eq!(failures(&gateway), 0.0, "nobody is to blame");
    gateway.assert_no_leaks();
}

/// The backend had spoken meanwhile: it has them, and what it does with them nobody knows. Each is a failure of it, and is
/// tried again as any other request is: elsewhere.
#[test]
fn requests_that_were_under_way_are_failures_of_the_backend() {
    let backend = restarts_after(0);
    let gateway = configured(&backend);
    for mut client in ask_at_once(&gateway) {
        assert_eq!(client.response().status, 502);
    }
    assert_eq!(backend.connections_accepted(), 1);
    assert_eq!(failures(&gateway), MANY as f64);
    gateway.assert_no_leaks();
}

fn failures(gateway: &Gateway) -> f64 {
    gateway.metric("foregate_endpoint_failures_total", &[])
}
