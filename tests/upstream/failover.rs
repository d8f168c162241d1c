//! A backend that cannot be reached fails nobody while another can.

use foregate_testkit::{
    Backend, BlackHole, Echo, Gateway, Http2Backend, Http2Reply, NeverAccepts, Refuser, Visit,
};
use foregate_tests::assert_outcome;

#[test]
fn a_refusing_backend_is_passed_over() {
    let refuser = Refuser::start();
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[refuser.address(), backend.address()]);
    for _ in 0..10 {
        assert_eq!(
            gateway
                .exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
                .status,
            200
        );
    }
    assert_eq!(backend.requests_total(), 10);
    assert!(
        gateway
            .log_lines(10)
            .iter()
            .all(|line| line.reason() == "proxied")
    );
    gateway.assert_no_leaks();
}

#[test]
fn a_backend_that_does_not_accept_is_passed_over() {
    let stuck = NeverAccepts::start();
    let backend = Backend::start(Echo);
    let gateway = Gateway::new(
        r#"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{stuck}", "{backend}"]
        timeouts = { connect = "200ms" }
        "#,
    )
    .fill("stuck", stuck.address())
    .fill("backend", backend.address())
    .start();
    for _ in 0..3 {
        assert_eq!(gateway.get("a", "/").status, 200);
    }
    gateway.assert_no_leaks();
}

#[test]
fn when_all_refuse_the_client_is_told() {
    let (first, second) = (Refuser::start(), Refuser::start());
    let gateway = Gateway::before(&[first.address(), second.address()]);
    assert_eq!(gateway.get("a", "/").status, 502);
    assert_outcome(&gateway, 502, "connect-failed");
}

#[test]
fn a_backend_that_comes_back_is_used_again() {
    let refuser = Refuser::start();
    let gateway = Gateway::before(&[refuser.address()]);
    assert_eq!(gateway.get("a", "/").status, 502);
    let backend = refuser.revive(Echo);
    assert_eq!(gateway.get("a", "/").status, 200);
    let refuser = backend.kill();
    assert_eq!(gateway.get("a", "/").status, 502);
    let _backend = refuser.revive(Echo);
    assert_eq!(gateway.get("a", "/").status, 200);
}

#[test]
fn a_name_that_does_not_resolve_degrades_one_endpoint_only() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::new(
        r#"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["no-such-host.invalid:80", "{backend}"]
        "#,
    )
    .fill("backend", backend.address())
    .start();
    for _ in 0..4 {
        assert_eq!(gateway.get("a", "/").status, 200);
    }
    assert!(
        gateway.stderr().contains("no-such-host.invalid"),
        "{}",
        gateway.stderr()
    );
}

#[test]
fn the_number_of_tries_is_bounded() {
    let refusers: Vec<_> = (0..5).map(|_| Refuser::start()).collect();
    let backend = Backend::start(Echo);
    let servers: Vec<_> = refusers
        .iter()
        .map(|refuser| format!("\"{}\"", refuser.address()))
        .collect();
    let gateway = Gateway::new(
        r#"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = [{servers}, "{backend}"]
        tries_max = 2
        ejection = { consecutive_failures = "off" }
        "#,
    )
    .fill("servers", servers.join(", "))
    .fill("backend", backend.address())
    .start();
    let outcomes: Vec<_> = (0..12).map(|_| gateway.get("a", "/").status).collect();
    let served = outcomes.iter().filter(|status| **status == 200).count();
    assert!(
        served > 0 && served < 12,
        "two tries of six endpoints reach the good one sometimes: {outcomes:?}"
    );
}

/// The one that is asked last is told its own address, and not that of the one before it; who the client asked for stays
/// what it was, in `X-Forwarded-Host`.
#[test]
fn the_host_is_that_of_the_backend_that_is_asked() {
    for (upstream, route) in [("upstream", ""), ("pass", "host = \"upstream\"")] {
        let (refuser, second) = (Refuser::start(), Backend::start(Echo));
        // Reads the request and leaves.
        let first = Backend::start(|visit: &mut Visit| visit.next_request().map(drop));
        // By a name, since the host is what is written and not what it comes to.
        let name = format!("localhost:{}", second.address().port());
        let gateway = Gateway::new(
            r#"
            [[sites."*".routes]]
            upstream = "app"
            {route}
            [upstreams.app]
            servers = ["{refuser}", "{first}", { address = "{name}", backup = true }]
            balance = "round-robin"
            host = "{upstream}"
            "#,
        )
        .fill("route", route)
        .fill("upstream", upstream)
        .fill("refuser", refuser.address())
        .fill("first", first.address())
        .fill("name", &name)
        .start();
        assert_eq!(gateway.get("a.example", "/").status, 200);
        for (request, host) in [
            (first.only_request(), first.address().to_string()),
            (second.only_request(), name.clone()),
        ] {
            assert_eq!(request.fields.all("host"), [&*host]);
            assert_eq!(request.field("x-forwarded-host"), Some("a.example"));
        }
        let line = gateway.only_log_line();
        assert_eq!(
            (line.text("endpoint"), line.text("host")),
            (name, "a.example".into())
        );
        let retries = format!(
            "{} connect-failed, {} upstream-closed",
            refuser.address(),
            first.address()
        );
        assert_eq!(line.text("retries"), retries);
    }
}

#[test]
fn the_authority_is_that_of_the_backend_that_is_asked() {
    let first = Http2Backend::answering(|_| Http2Reply::Refuse);
    let second = Http2Backend::answering(|_| Http2Reply::ok("told"));
    let name = format!("localhost:{}", second.address().port());
    let gateway = Gateway::new(
        r#"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{first}", { address = "{name}", backup = true }]
        protocol = "h2"
        host = "upstream"
        "#,
    )
    .fill("first", first.address())
    .fill("name", &name)
    .start();
    assert_eq!(gateway.get("a.example", "/").text(), "told");
    for (request, authority) in [
        (&first.requests()[0], first.address().to_string()),
        (&second.requests()[0], name),
    ] {
        assert_eq!(request.authority, authority);
        assert_eq!(request.field("host"), None);
        assert_eq!(request.field("x-forwarded-host"), Some("a.example"));
    }
    let retries = format!("{} upstream-refused", first.address());
    assert_eq!(gateway.only_log_line().text("retries"), retries);
}

/// Those that were to blame for a connection that did not come about in time.
fn blamed(gateway: &Gateway, endpoint: std::net::SocketAddr) -> f64 {
    let endpoint = endpoint.to_string();
    let labels = [("endpoint", &*endpoint), ("kind", "connect-timeout")];
    gateway.metric("foregate_endpoint_failures_total", &labels)
}

/// The first one has used up nearly all of the request's time. What is left is no time in which anybody could be dialled.
#[test]
fn a_backend_is_not_blamed_for_the_time_that_another_took() {
    let (silent, last) = (Backend::start(BlackHole), NeverAccepts::start());
    let gateway = Gateway::new(
        r#"
        workers = 1
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{silent}", { address = "{last}", backup = true }]
        timeouts = { request = "800ms", try = "700ms" }
        "#,
    )
    .fill("silent", silent.address())
    .fill("last", last.address())
    .start();
    assert_eq!(gateway.get("a", "/").status, 504);
    let line = gateway.only_log_line();
    assert_eq!(line.reason(), "request-timeout");
    assert_eq!(blamed(&gateway, last.address()), 0.0);
}

/// All of a request's time is a fair share, though it is less than `connect`.
#[test]
fn a_backend_that_takes_all_of_a_requests_time_is_to_blame() {
    let stuck = NeverAccepts::start();
    let gateway = Gateway::new(
        r#"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{stuck}"]
        timeouts = { request = "300ms" }
        "#,
    )
    .fill("stuck", stuck.address())
    .start();
    assert_eq!(gateway.get("a", "/").status, 504);
    assert_eq!(gateway.only_log_line().reason(), "request-timeout");
    assert_eq!(blamed(&gateway, stuck.address()), 1.0);
}
