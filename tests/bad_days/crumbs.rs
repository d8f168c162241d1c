//! Clients of HTTP/1 that have the gateway work for crumbs: what costs them little is counted, over all of a connection.

use std::time::Duration;

use foregate_testkit::{Backend, Echo, Gateway, RawClient, SlowLoris, TinyChunks};
use foregate_tests::{assert_outcome, metric};

use crate::road::Road;

on_roads!([cleartext, tls] [
    tiny_chunks_without_end_are_refused,
    a_head_in_crumbs_is_refused,
    a_body_in_tiny_chunks_is_taken,
    crumbs_of_many_requests_count_together,
]);

/// A gateway whose clients may spend so much.
fn gateway(road: &Road, backend: &Backend, points: u32) -> Gateway {
    road.gateway(
        r#"
        [client]
        abuse_points_per_minute_max = {points}
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        {tls}
        "#,
    )
    .fill("points", points)
    .fill("backend", backend.address())
    .start()
}

fn tiny_chunks_without_end_are_refused(road: &Road) {
    let backend = road.backend(Echo);
    let gateway = gateway(road, &backend, 1_000);
    let answer = TinyChunks.attack(gateway.target());
    assert_eq!(answer.map(|answer| answer.status), Ok(429));
    assert_outcome(&gateway, 429, "tiny-data-flood");
    backend.wait_connections_open(0);
    assert_eq!(gateway.get("a", "/").status, 200);
}

fn a_head_in_crumbs_is_refused(road: &Road) {
    let backend = road.backend(Echo);
    let gateway = gateway(road, &backend, 100);
    let loris = SlowLoris {
        pause: Duration::from_millis(1),
    };
    let answer = loris.attack(gateway.target());
    assert_eq!(answer.map(|answer| answer.status), Ok(429));
    assert_outcome(&gateway, 429, "tiny-data-flood");
    assert_eq!(backend.requests_total(), 0);
}

/// As of a library that writes each byte by itself.
fn a_body_in_tiny_chunks_is_taken(road: &Road) {
    let backend = road.backend(Echo);
    let gateway = gateway(road, &backend, 1_000);
    let mut client = RawClient::connect(gateway.target());
    for _ in 0..3 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send("1\r\na\r\n".repeat(15_000));
        client.send("0\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
    assert!((backend.requests().iter()).all(|request| request.body == [b'a'; 15_000]));
}

/// Each of them alone would be borne.
fn crumbs_of_many_requests_count_together(road: &Road) {
    let backend = road.backend(Echo);
    let gateway = gateway(road, &backend, 100);
    let mut client = RawClient::connect(gateway.target());
    let chunks = "1\r\na\r\n".repeat(2_000);
    let mut statuses = (0..20).map(|_| {
        client.send_if_taken(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
        ));
        client.response().status
    });
    let served = statuses
        .by_ref()
        .take_while(|&status| status == 200)
        .count();
    assert!((1..19).contains(&served), "{served}");
    gateway.wait_metric(metric::OUTCOMES, &[("reason", "tiny-data-flood")], 1.0);
}
