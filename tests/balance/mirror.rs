//! Copies of requests for another upstream, which nobody waits for.

use crate::{explained, named};
use foregate_testkit::{Backend, BlackHole, Gateway, Refuser, Visit};
use foregate_tests::metric;
use std::fmt::Display;

fn gateway(main: &Backend, shadow: impl Display, more: &str) -> Gateway {
    Gateway::new(
        r#"
        workers = 1
        [sites."*"]
        [[sites."*".routes]]
        name = "copied"
        upstream = "app"
        mirror = { upstream = "shadow", {more} }
        [upstreams.app]
        servers = ["{main}"]
        [upstreams.shadow]
        servers = ["{shadow}"]
        ejection = { consecutive_failures = "off" }
        "#,
    )
    .fill("main", main.address())
    .fill("shadow", shadow)
    .fill("more", more)
    .start()
}

fn post(body: &str) -> String {
    let length = body.len();
    format!("POST /in?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
}

#[test]
fn a_copy_has_the_same_head_and_body() {
    let (main, shadow) = (named("main"), named("shadow"));
    let gateway = gateway(&main, shadow.address(), "body_bytes_max = \"64KiB\"");
    assert_eq!(gateway.get("a", "/path").text(), "main");
    let body = "0123456789".repeat(5_000);
    assert_eq!(gateway.exchange(post(&body)).text(), "main");
    let chunked = "PUT /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    assert_eq!(gateway.exchange(chunked).text(), "main");
    let mut copies = shadow.wait_requests(3);
    copies.sort_by_key(|copy| copy.body.len());
    assert_eq!(
        (copies[0].method.as_str(), copies[0].target.as_str()),
        ("GET", "/path")
    );
    assert_eq!(copies[1].body, b"hello");
    assert_eq!(copies[2].target, "/in?x=1");
    assert_eq!(copies[2].body, body.as_bytes());
    let original = main
        .requests()
        .into_iter()
        .find(|one| one.method == "POST")
        .unwrap();
    for name in ["Host", "X-Request-Id", "X-Forwarded-For"] {
        assert_eq!(
            copies[2].fields.get(name),
            original.fields.get(name),
            "{name}"
        );
    }
    gateway.wait_metric("foregate_mirrored_total", &[("result", "answered")], 3.0);
    let lines = gateway.log_lines(3);
    assert!(
        lines.iter().all(|line| line.text("upstream") == "app"),
        "copies have no line"
    );
    let said = explained(&gateway, &["GET", "http://a/"]);
    assert!(said.contains("mirror      100 % of the requests"), "{said}");
    gateway.assert_no_leaks();
}

#[test]
fn what_is_too_large_is_not_copied() {
    let (main, shadow) = (named("main"), named("shadow"));
    let gateway = gateway(&main, shadow.address(), "body_bytes_max = \"10B\"");
    assert_eq!(gateway.exchange(post("01234567890")).text(), "main");
    let chunked = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n";
    assert_eq!(gateway.exchange(chunked).text(), "main");
    assert_eq!(main.last_request().body, b"hello world");
    gateway.wait_metric(
        "foregate_mirrored_total",
        &[("result", "body-too-large")],
        2.0,
    );
    assert_eq!(gateway.exchange(post("0123456789")).text(), "main");
    gateway.wait_metric("foregate_mirrored_total", &[("result", "answered")], 1.0);
    assert_eq!(shadow.requests_total(), 1);
    gateway.assert_no_leaks();
}

#[test]
fn a_shadow_that_hangs_or_refuses_is_not_felt() {
    let (main, hole) = (named("main"), Backend::start(BlackHole));
    let hanging = gateway(&main, hole.address(), "requests_max = 3");
    for _ in 0..10 {
        assert_eq!(hanging.get("a", "/").text(), "main");
    }
    hanging.wait_metric("foregate_mirrored_total", &[("result", "too-many")], 7.0);
    assert_eq!(hole.wait_requests(3).len(), 3);
    let refuser = Refuser::start();
    let refusing = gateway(&main, refuser.address(), "share = 100");
    for _ in 0..10 {
        assert_eq!(refusing.exchange(post("hello")).text(), "main");
    }
    refusing.wait_metric("foregate_mirrored_total", &[("result", "failed")], 10.0);
    assert!(
        refusing
            .log_lines(10)
            .iter()
            .all(|line| line.reason() == "proxied")
    );
    refusing.assert_no_leaks();
}

/// Copies for a backend that is full do not stand in its queue, before requests that are meant.
#[test]
fn copies_do_not_stand_in_the_queue() {
    let (main, hole) = (named("main"), Backend::start(BlackHole));
    let gateway = Gateway::new(
        r#"
        [sites."*"]
        [[sites."*".routes]]
        upstream = "app"
        mirror = { upstream = "shadow" }
        [[sites."*".routes]]
        path = "/meant"
        upstream = "shadow"
        [upstreams.app]
        servers = ["{main}"]
        [upstreams.shadow]
        servers = ["{hole}"]
        requests_max = 1
        upstream_circuit = {}
        "#,
    )
    .fill("main", main.address())
    .fill("hole", hole.address())
    .start();
    let mut meant = gateway.connect();
    meant.send("GET /meant HTTP/1.1\r\nHost: a\r\n\r\n");
    hole.wait_requests(1);
    for _ in 0..5 {
        assert_eq!(gateway.get("a", "/").text(), "main");
    }
    gateway.wait_metric("foregate_mirrored_total", &[("result", "failed")], 5.0);
    let shadow = [("upstream", "shadow")];
    assert_eq!(
        gateway.metric("foregate_upstream_queue_seconds_count", &shadow),
        0.0
    );
}

#[test]
fn a_share_is_copied() {
    let (main, shadow) = (named("main"), named("shadow"));
    let gateway = gateway(&main, shadow.address(), "share = 25");
    let mut client = gateway.connect();
    for _ in 0..400 {
        assert_eq!(client.exchange(crate::get("/")).text(), "main");
    }
    let copies = foregate_testkit::eventually("the copies are answered", || {
        let answered = gateway.metric("foregate_mirrored_total", &[("result", "answered")]);
        (answered == shadow.requests_total() as f64).then_some(answered)
    });
    // 100, give or take 8.7.
    assert!((48.0..=152.0).contains(&copies), "{copies}");
}

#[test]
fn a_copy_waits_for_the_try_that_gets_the_whole_body() {
    let (main, shadow) = (named("main"), named("shadow"));
    let full = Backend::start(|visit: &mut Visit| {
        if visit.next_head()?.is_some() {
            visit.send("HTTP/1.1 503 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
            visit.connection.finish_sending();
            visit.drain();
        }
        Ok(())
    });
    let gateway = Gateway::new(
        r#"
        workers = 1
        [sites."*"]
        [[sites."*".routes]]
        upstream = "app"
        mirror = { upstream = "shadow" }
        [upstreams.app]
        servers = ["{full}", { address = "{main}", backup = true }]
        retry = { statuses = [503] }
        ejection = { consecutive_failures = "off", consecutive_gateway_errors = "off" }
        [upstreams.shadow]
        servers = ["{shadow}"]
        "#,
    )
    .fill("full", full.address())
    .fill("main", main.address())
    .fill("shadow", shadow.address())
    .start();
    let mirrored =
        |result: &str| gateway.wait_metric("foregate_mirrored_total", &[("result", result)], 1.0);
    let begin = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe";
    let mut client = gateway.connect();
    client.send(begin);
    main.wait_connections_open(1);
    client.send("llo");
    assert_eq!(client.response().text(), "main");
    assert_eq!(shadow.wait_requests(1)[0].body, b"hello");
    mirrored("answered");
    // Who leaves within the body leaves nothing to copy.
    client.send(begin);
    gateway.wait_metric(metric::ENDPOINT_RETRIES, &[], 2.0);
    drop(client);
    mirrored("incomplete");
    gateway.assert_no_leaks();
}
