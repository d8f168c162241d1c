//! The Prometheus metrics on the admin listener.

use foregate_testkit::{Backend, Echo, Gateway, Raw, RawClient, Refuser};
use foregate_tests::metric;

fn proxying(servers: &str) -> Gateway {
    Gateway::new(&format!(
        r#"
        workers = 2
        [sites."a.example"]
        [[sites."a.example".routes]]
        name = "page"
        upstream = "app"
        [upstreams.app]
        servers = [{servers}]
        "#
    ))
    .start()
}

#[test]
fn requests_are_counted_by_route_class_and_reason() {
    let backend = Backend::start(Echo);
    let gateway = proxying(&format!("\"{}\"", backend.address()));
    let mut bytes_out = 0;
    for _ in 0..5 {
        let post = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 7\r\n\r\n1234567";
        bytes_out += gateway.exchange(post).body.len();
    }
    assert_eq!(gateway.get("b.example", "/").status, 404);
    let page = [("site", "a.example"), ("route", "page")];
    gateway.wait_metric(metric::OUTCOMES, &[("reason", "proxied")], 5.0);
    gateway.wait_metric(metric::OUTCOMES, &[("reason", "no-site")], 1.0);
    gateway.wait_metric(metric::OUTCOMES, &[], 6.0);
    gateway.wait_metric(metric::REQUESTS, &[page[0], page[1], ("class", "2xx")], 5.0);
    gateway.wait_metric(metric::REQUESTS, &[("class", "4xx")], 1.0);
    gateway.wait_metric(metric::REQUEST_SECONDS_COUNT, &page, 5.0);
    gateway.wait_metric(metric::REQUEST_BODY_BYTES, &page, 35.0);
    gateway.wait_metric(metric::RESPONSE_BODY_BYTES, &page, bytes_out as f64);
}

/// A status that no class has was counted as if nothing had been answered.
#[test]
fn a_status_beyond_599_is_passed_on_and_counted_as_5xx() {
    let odd = "HTTP/1.1 799 Odd\r\nContent-Length: 2\r\n\r\nhm";
    let backend = Backend::start(Raw::text(odd));
    let gateway = proxying(&format!("\"{}\"", backend.address()));
    assert_eq!(gateway.get("a.example", "/").status, 799);
    gateway.wait_metric(metric::REQUESTS, &[("class", "5xx")], 1.0);
    assert_eq!(gateway.metric(metric::REQUESTS, &[("class", "none")]), 0.0);
}

#[test]
fn connections_are_counted_while_open_and_in_all() {
    let backend = Backend::start(Echo);
    let gateway = proxying(&format!("\"{}\"", backend.address()));
    let public = [("listener", "public")];
    let mut clients: Vec<_> = (0..5).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        assert_eq!(
            client
                .exchange("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
                .status,
            200
        );
    }
    gateway.wait_metric(metric::CONNECTIONS, &public, 5.0);
    drop(clients);
    gateway.wait_metric(metric::CONNECTIONS, &public, 0.0);
    gateway.wait_metric(metric::CONNECTIONS_ACCEPTED, &public, 5.0);
}

#[test]
fn the_way_to_the_backends_is_counted() {
    let refuser = Refuser::start();
    let backend = Backend::start(Echo);
    let gateway = Gateway::new(
        r#"
        workers = 1
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{refuser}", "{backend}"]
        ejection = { consecutive_failures = "off", consecutive_gateway_errors = "off" }
        "#,
    )
    .fill("refuser", refuser.address())
    .fill("backend", backend.address())
    .start();
    let mut client = gateway.connect();
    for _ in 0..10 {
        assert_eq!(
            client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status,
            200
        );
    }
    let (refused, served) = (refuser.address().to_string(), backend.address().to_string());
    let (refused, served) = (
        [("endpoint", refused.as_str())],
        [("endpoint", served.as_str())],
    );
    gateway.wait_metric(metric::ENDPOINT_CONNECTS, &served, 1.0);
    gateway.wait_metric(metric::ENDPOINT_POOL_HITS, &served, 9.0);
    gateway.wait_metric(metric::ENDPOINT_REQUESTS, &served, 10.0);
    assert!(
        gateway.metric(
            metric::ENDPOINT_FAILURES,
            &[refused[0], ("kind", "connect")]
        ) >= 5.0
    );
    assert!(gateway.metric(metric::ENDPOINT_RETRIES, &served) >= 5.0);
}

#[test]
fn what_clients_invent_does_not_become_labels() {
    let gateway =
        Gateway::new("[sites.\"*\"]\n[[sites.\"*\".routes]]\nrespond = { status = 200 }\n").start();
    let ask = |n: usize| {
        gateway.exchange(format!(
            "M{n} /{n}?{n} HTTP/1.1\r\nHost: h{n}.example\r\nConnection: close\r\n\r\n"
        ));
    };
    ask(0);
    gateway.wait_metric(metric::OUTCOMES, &[], 1.0);
    let before = gateway.scrape().series();
    (1..100).for_each(ask);
    gateway.wait_metric(metric::OUTCOMES, &[], 100.0);
    assert_eq!(gateway.scrape().series(), before);
}

#[test]
fn reloads_are_counted_by_result() {
    use foregate_testkit::Signal;
    let text = "[sites.\"*\"]\n[[sites.\"*\".routes]]\nrespond = { status = 200 }\n";
    let mut gateway = Gateway::new(text).start();
    gateway.signal(Signal::Hup);
    gateway.wait_metric(metric::CONFIG_RELOADS, &[("result", "ok")], 1.0);
    gateway.rewrite_config("nonsense =", &[]);
    gateway.signal(Signal::Hup);
    gateway.wait_metric(metric::CONFIG_RELOADS, &[("result", "failed")], 1.0);
}

#[test]
fn the_admin_listener_does_not_serve_sites_nor_sites_the_metrics() {
    let gateway =
        Gateway::new("[sites.\"*\"]\n[[sites.\"*\".routes]]\nrespond = { status = 418 }\n").start();
    assert_eq!(gateway.get("a", "/metrics").status, 418);
    let mut client = RawClient::connect(gateway.listener("admin"));
    assert_eq!(
        client
            .exchange("GET /elsewhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .status,
        404
    );
}
