//! One story for each way in which a client can be wrong.

use std::time::Duration;

use foregate_testkit::{
    Answer, Answers, Backend, Echo, Gateway, HalfCloser, HugeHead, NeverReader, PipelinesAndLeaves,
    Request, Resetter, SlowBody, SlowLoris, Trouble, eventually,
};
use foregate_tests::assert_outcome;

use crate::road::{GET, Road};

on_roads!([cleartext, tls] [
    slow_loris,
    slow_body,
    never_reader,
    resetter,
    half_closer,
    half_closer_in_the_middle_of_its_request,
    pipelines_and_leaves,
    huge_head,
    all_of_them_at_once_while_others_are_served,
]);

/// A gateway that does not wait for long.
pub(crate) fn impatient(road: &Road, backend: &Backend) -> Gateway {
    road.gateway(
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
        servers = ["{backend}"]
        {tls}
        "#,
    )
    .fill("backend", backend.address())
    .start()
}

fn slow_loris(road: &Road) {
    let backend = road.backend(Echo);
    let gateway = impatient(road, &backend);
    let response = SlowLoris {
        pause: Duration::from_millis(20),
    }
    .attack(gateway.target());
    assert_eq!(response.map(|response| response.status), Ok(408));
    assert_outcome(&gateway, 408, "head-timeout");
}

fn slow_body(road: &Road) {
    let backend = road.backend(Echo);
    let gateway = impatient(road, &backend);
    if let Ok(response) = (SlowBody {
        pause: Duration::from_millis(20),
    })
    .attack(gateway.target())
    {
        assert_eq!(response.status, 408);
    }
    assert_outcome(&gateway, 408, "body-too-slow");
    backend.wait_connections_open(0);
}

fn never_reader(road: &Road) {
    let backend = road.backend(Answers(|_: &Request| Answer::ok(vec![b'x'; 20_000_000])));
    let gateway = impatient(road, &backend);
    let peer = NeverReader::start(gateway.target(), GET);
    assert_eq!(gateway.only_log_line().reason(), "write-timeout");
    backend.wait_connections_open(0);
    gateway.assert_no_leaks();
    drop(peer);
}

fn resetter(road: &Road) {
    let backend = road.backend(Echo);
    let gateway = impatient(road, &backend);
    for _ in 0..50 {
        Resetter.attack(gateway.target(), GET, || {});
        Resetter.attack(
            gateway.address(),
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
            || {},
        );
        Resetter.attack(gateway.target(), "GET / HT", || {});
        Resetter.attack(gateway.target(), "", || {});
    }
    gateway.assert_no_leaks();
    assert_eq!(gateway.get("a", "/").status, 200);
}

fn half_closer(road: &Road) {
    let backend = road.backend(Echo);
    let gateway = impatient(road, &backend);
    assert_eq!(
        HalfCloser.start(gateway.target(), GET).response().status,
        200
    );
    assert_outcome(&gateway, 200, "proxied");
}

fn half_closer_in_the_middle_of_its_request(road: &Road) {
    let backend = road.backend(Echo);
    for request in [
        "GET / HTTP/1.1\r\nHo",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
    ] {
        let gateway = impatient(road, &backend);
        let mut client = HalfCloser.start(gateway.target(), request);
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

fn pipelines_and_leaves(road: &Road) {
    let backend = road.backend(Answers(|_: &Request| Answer::ok(vec![b'x'; 100_000])));
    let gateway = impatient(road, &backend);
    for _ in 0..10 {
        PipelinesAndLeaves { requests: 100 }.attack(gateway.target(), GET);
    }
    gateway.assert_no_leaks();
    assert_eq!(gateway.get("a", "/").status, 200);
}

fn huge_head(road: &Road) {
    let backend = road.backend(Echo);
    let gateway = impatient(road, &backend);
    if let Ok(response) = HugeHead.attack(gateway.target()) {
        assert_eq!(response.status, 431);
    }
    assert_outcome(&gateway, 431, "request-head-too-large");
}

fn all_of_them_at_once_while_others_are_served(road: &Road) {
    let backend = road.backend(Answers(|request: &Request| match request.target.as_str() {
        "/big" => Answer::ok(vec![b'x'; 5_000_000]),
        _ => Answer::ok("fine"),
    }));
    let gateway = impatient(road, &backend);
    let warm = gateway.rss_kib();
    std::thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                SlowLoris {
                    pause: Duration::from_millis(10),
                }
                .attack(gateway.target())
                .ok()
            });
            scope.spawn(|| {
                SlowBody {
                    pause: Duration::from_millis(10),
                }
                .attack(gateway.target())
                .ok()
            });
            scope.spawn(|| HugeHead.attack(gateway.target()).ok());
            scope.spawn(|| PipelinesAndLeaves { requests: 50 }.attack(gateway.target(), GET));
            scope.spawn(|| Resetter.attack(gateway.target(), GET, || {}));
            scope.spawn(|| {
                drop(NeverReader::start(
                    gateway.target(),
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
