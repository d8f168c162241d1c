//! Backends that keep failing are left alone for a while.

use foregate_testkit::{Answer, Backend, Gateway, Refuser, eventually};

fn ejecting(servers: &[std::net::SocketAddr], base_time: &str) -> Gateway {
    let servers: Vec<_> = servers
        .iter()
        .map(|server| format!("\"{server}\""))
        .collect();
    Gateway::new(&format!(
        r#"
        workers = 1
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = [{}]
        [upstreams.app.ejection]
        consecutive_failures = 3
        consecutive_gateway_errors = 3
        base_time = "{base_time}"
        "#,
        servers.join(", ")
    ))
    .start()
}

#[test]
fn a_failing_backend_is_ejected_and_comes_back() {
    let failing = Backend::answering(|_| Answer::status(503).body("failing"));
    let good = Backend::answering(|_| Answer::ok("good"));
    let gateway = ejecting(&[failing.address(), good.address()], "1s");
    let mut client = gateway.connect();
    let mut ask = || client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status;
    let outcomes: Vec<_> = (0..20).map(|_| ask()).collect();
    assert_eq!(
        outcomes.iter().filter(|status| **status == 503).count(),
        3,
        "{outcomes:?}"
    );
    eventually("it is tried again", || (ask() == 503).then_some(()));
}

#[test]
fn one_success_between_failures_forgives() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let flaky = Backend::answering(move |_| {
        match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % 3 {
            2 => Answer::ok("good again"),
            _ => Answer::status(503),
        }
    });
    let good = Backend::answering(|_| Answer::ok("good"));
    let gateway = ejecting(&[flaky.address(), good.address()], "60s");
    let mut client = gateway.connect();
    for _ in 0..30 {
        client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    assert_eq!(flaky.requests_total(), 15, "it kept its share");
}

#[test]
fn the_last_backend_is_never_ejected() {
    let refuser = Refuser::start();
    let gateway = ejecting(&[refuser.address()], "60s");
    for _ in 0..6 {
        assert_eq!(gateway.get("a", "/").status, 502);
    }
    let _backend = refuser.revive(foregate_testkit::Echo);
    assert_eq!(
        gateway.get("a", "/").status,
        200,
        "at most half may be ejected, so one of one never is"
    );
}
