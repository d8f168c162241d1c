//! A client that leaves cancels the work done for it.

use foregate_testkit::{Backend, BlackHole, Echo, Gateway, PipelinesAndLeaves, Resetter, Trickler};
use foregate_tests::assert_outcome;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn leaving_while_the_backend_thinks() {
    let backend = Backend::start(BlackHole);
    let gateway = Gateway::before(&[backend.address()]);
    Resetter.attack(gateway.address(), GET, || {
        backend.wait_requests(1);
    });
    backend.wait_connections_open(0);
    assert_outcome(&gateway, 499, "client-gone");
}

#[test]
fn leaving_while_the_answer_trickles() {
    let backend = Backend::start(Trickler {
        pause: std::time::Duration::from_millis(50),
    });
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    client.send(GET);
    assert_eq!(client.try_head(false).map(|head| head.status), Ok(200));
    client.into_connection().reset();
    backend.wait_connections_open(0);
    assert_eq!(gateway.only_log_line().reason(), "client-gone");
    gateway.assert_no_leaks();
}

#[test]
fn leaving_in_the_middle_of_an_upload() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nbegun");
    foregate_testkit::eventually("the backend has the beginning", || {
        (backend.bytes_received() > 0).then_some(())
    });
    drop(client);
    backend.wait_connections_open(0);
    assert_eq!(backend.requests_total(), 0, "half a request is none");
    let reason = gateway.only_log_line().reason();
    assert!(
        ["client-gone", "request-truncated"].contains(&reason.as_str()),
        "{reason}"
    );
    gateway.assert_no_leaks();
}

#[test]
fn a_cancelled_request_is_no_failure_of_the_backend() {
    let backend = Backend::start(BlackHole);
    let other = Backend::start(BlackHole);
    let gateway = Gateway::before(&[backend.address(), other.address()]);
    for count in 1..=20 {
        Resetter.attack(gateway.address(), GET, || {
            foregate_testkit::eventually("a backend has it", || {
                (backend.requests_total() + other.requests_total() >= count).then_some(())
            });
        });
    }
    assert_eq!(
        (backend.requests_total(), other.requests_total()),
        (10, 10),
        "neither was ejected"
    );
    gateway.assert_no_leaks();
}

#[test]
fn a_pipeline_whose_client_leaves_goes_no_further() {
    let backend = Backend::start(BlackHole);
    let gateway = Gateway::before(&[backend.address()]);
    PipelinesAndLeaves { requests: 50 }.attack(gateway.address(), GET);
    gateway.raw_log_lines(1);
    gateway.assert_no_leaks();
    backend.wait_connections_open(0);
    assert!(
        backend.requests_total() <= 1,
        "{} requests of a client long gone",
        backend.requests_total()
    );
}
