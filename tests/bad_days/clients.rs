//! One story for each way in which a client can be wrong.

use std::time::Duration;

use foregate_testkit::{
    Answer, Backend, Echo, Gateway, HalfCloser, HugeHead, NeverReader, PipelinesAndLeaves,
    Resetter, SlowBody, SlowLoris, Trouble, eventually,
};
use foregate_tests::assert_outcome;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A gateway that does not wait for long.
fn impatient(backend: &Backend) -> Gateway {
    Gateway::new(&format!(
        r#"
        [client]
        head_timeout = "400ms"
        idle_timeout = "400ms"
        body_rate_min = "10KiB"
        body_rate_grace = "400ms"
        write_timeout = "400ms"
        half_close_timeout = "400ms"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{}"]
        "#,
        backend.address()
    ))
    .start()
}

#[test]
fn slow_loris() {
    let backend = Backend::start(Echo);
    let gateway = impatient(&backend);
    let response = SlowLoris {
        pause: Duration::from_millis(20),
    }
    .attack(gateway.address());
    assert_eq!(response.map(|response| response.status), Ok(408));
    assert_outcome(&gateway, 408, "head-timeout");
}

#[test]
fn slow_body() {
    let backend = Backend::start(Echo);
    let gateway = impatient(&backend);
    if let Ok(response) = (SlowBody {
        pause: Duration::from_millis(20),
    })
    .attack(gateway.address())
    {
        assert_eq!(response.status, 408);
    }
    assert_outcome(&gateway, 408, "body-too-slow");
    backend.wait_connections_open(0);
}

#[test]
fn never_reader() {
    let backend = Backend::answering(|_| Answer::ok(vec![b'x'; 20_000_000]));
    let gateway = impatient(&backend);
    let peer = NeverReader::start(gateway.address(), GET);
    assert_eq!(gateway.only_log_line().reason(), "write-timeout");
    backend.wait_connections_open(0);
    gateway.assert_no_leaks();
    drop(peer);
}

#[test]
fn resetter() {
    let backend = Backend::start(Echo);
    let gateway = impatient(&backend);
    for _ in 0..50 {
        Resetter.attack(gateway.address(), GET, || {});
        Resetter.attack(
            gateway.address(),
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
            || {},
        );
        Resetter.attack(gateway.address(), "GET / HT", || {});
        Resetter.attack(gateway.address(), "", || {});
    }
    gateway.assert_no_leaks();
    assert_eq!(gateway.get("a", "/").status, 200);
}

#[test]
fn half_closer() {
    let backend = Backend::start(Echo);
    let gateway = impatient(&backend);
    assert_eq!(
        HalfCloser.start(gateway.address(), GET).response().status,
        200
    );
    assert_outcome(&gateway, 200, "proxied");
}

#[test]
fn half_closer_in_the_middle_of_its_request() {
    let backend = Backend::start(Echo);
    for request in [
        "GET / HTTP/1.1\r\nHo",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
    ] {
        let gateway = impatient(&backend);
        let mut client = HalfCloser.start(gateway.address(), request);
        match client.try_response(false) {
            Ok(response) => assert_eq!(response.status, 400),
            Err(trouble) => assert!(
                matches!(trouble, Trouble::Closed | Trouble::Reset),
                "{trouble:?}"
            ),
        }
        client.assert_closed();
        let reason = gateway.only_log_line().reason();
        assert!(
            ["client-gone", "request-truncated"].contains(&reason.as_str()),
            "{request:?}: {reason}"
        );
        gateway.assert_no_leaks();
    }
    assert_eq!(backend.requests_total(), 0);
    backend.wait_connections_open(0);
}

#[test]
fn pipelines_and_leaves() {
    let backend = Backend::answering(|_| Answer::ok(vec![b'x'; 100_000]));
    let gateway = impatient(&backend);
    for _ in 0..10 {
        PipelinesAndLeaves { requests: 100 }.attack(gateway.address(), GET);
    }
    gateway.assert_no_leaks();
    assert_eq!(gateway.get("a", "/").status, 200);
}

#[test]
fn huge_head() {
    let backend = Backend::start(Echo);
    let gateway = impatient(&backend);
    if let Ok(response) = HugeHead.attack(gateway.address()) {
        assert_eq!(response.status, 431);
    }
    assert_outcome(&gateway, 431, "request-head-too-large");
}

#[test]
fn all_of_them_at_once_while_others_are_served() {
    let backend = Backend::answering(|request| match request.target.as_str() {
        "/big" => Answer::ok(vec![b'x'; 5_000_000]),
        _ => Answer::ok("fine"),
    });
    let gateway = impatient(&backend);
    let address = gateway.address();
    let warm = gateway.rss_kib();
    std::thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(move || {
                SlowLoris {
                    pause: Duration::from_millis(10),
                }
                .attack(address)
                .ok()
            });
            scope.spawn(move || {
                SlowBody {
                    pause: Duration::from_millis(10),
                }
                .attack(address)
                .ok()
            });
            scope.spawn(move || HugeHead.attack(address).ok());
            scope.spawn(move || PipelinesAndLeaves { requests: 50 }.attack(address, GET));
            scope.spawn(move || Resetter.attack(address, GET, || {}));
            scope.spawn(move || {
                drop(NeverReader::start(
                    address,
                    "GET /big HTTP/1.1\r\nHost: a\r\n\r\n",
                ))
            });
        }
        for _ in 0..50 {
            assert_eq!(gateway.get("a", "/").text(), "fine");
        }
    });
    eventually("memory is given back, or was never taken", || {
        (gateway.rss_kib() < warm + 16_384).then_some(())
    });
    gateway.assert_no_leaks();
}
