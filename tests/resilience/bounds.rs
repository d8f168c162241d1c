//! Limits of backends, the queue before them, circuits, slow start and the panic threshold.

use crate::endpoint;
use foregate_testkit::{Answer, Backend, Gateway, RawClient, Visit, eventually};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const APP: [(&str, &str); 1] = [("upstream", "app")];

/// A backend whose answers wait until they are let go of, one by one.
fn held() -> (Backend, Sender<()>) {
    let (go, wait): (Sender<()>, Receiver<()>) = channel();
    let wait = Arc::new(Mutex::new(wait));
    let backend = Backend::answering(move |_| {
        // Once the story is over nobody reads the answer.
        let _ = wait.lock().expect("nobody panics with it").recv();
        Answer::ok("held")
    });
    (backend, go)
}

/// A backend that answers 503 while it is ill.
fn moody(ill: &Arc<AtomicBool>) -> Backend {
    let ill = Arc::clone(ill);
    Backend::answering(move |request| match ill.load(Ordering::SeqCst) {
        true => Answer::status(503).body("ill"),
        false => Answer::ok(request.target.clone()),
    })
}

fn before(servers: &[SocketAddr], more: &str) -> Gateway {
    let servers: Vec<String> = servers.iter().map(|one| format!("\"{one}\"")).collect();
    Gateway::new(
        r#"
        workers = 2
        [client]
        half_close_timeout = "50ms"
        [access_log]
        to = "{log}"
        format = "{tries} {reason} {queued_ms}"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = [{servers}]
        ejection = { consecutive_failures = "off", consecutive_gateway_errors = "off" }
        {more}
        "#,
    )
    .fill("servers", servers.join(", "))
    .fill("more", more)
    .start()
}

/// A request that is under way.
fn asking(gateway: &Gateway) -> RawClient {
    let mut client = gateway.connect();
    client.send(GET);
    client
}

#[test]
fn requests_wait_in_their_order_while_a_backend_is_full() {
    let (backend, go) = held();
    let gateway = before(
        &[backend.address()],
        "requests_max = 1\nqueue = { length_max = 2, time_max = \"60s\" }",
    );
    let length = |count| gateway.wait_metric("foregate_upstream_queue_length", &APP, count);
    let mut first = asking(&gateway);
    backend.wait_requests(1);
    let second = asking(&gateway);
    length(1.0);
    let mut third = asking(&gateway);
    length(2.0);
    // There is no room for more.
    let refused = gateway.exchange(GET);
    assert_eq!(refused.status, 503);
    assert_eq!(refused.field("retry-after"), Some("60"));
    assert_eq!(backend.requests_total(), 1, "it never has two");
    // Who leaves gives its place up.
    drop(second);
    length(1.0);
    go.send(()).expect("the backend waits");
    assert_eq!(first.response().status, 200);
    length(0.0);
    go.send(()).expect("the backend waits");
    assert_eq!(third.response().status, 200);
    assert_eq!(backend.requests_total(), 2);
    assert_eq!(
        gateway.metric("foregate_upstream_queue_seconds_count", &APP),
        2.0
    );
    let lines = gateway.raw_log_lines(4);
    let reasons = |reason: &str| lines.iter().filter(|line| line.contains(reason)).count();
    assert_eq!(
        (
            reasons(" queue-full 0"),
            reasons(" client-gone "),
            reasons("1 proxied ")
        ),
        (1, 1, 2),
        "{lines:?}"
    );
    drop((first, third));
    gateway.assert_no_leaks();
}

#[test]
fn an_upstream_as_a_whole_has_no_more_than_it_may() {
    let ((one, go_one), (other, go_other)) = (held(), held());
    let more = "upstream_requests_max = 2\nqueue = { length_max = 1, time_max = \"60s\" }";
    let gateway = before(&[one.address(), other.address()], more);
    let mut first = asking(&gateway);
    let mut second = asking(&gateway);
    one.wait_requests(1);
    other.wait_requests(1);
    assert_eq!(gateway.metric("foregate_upstream_requests", &APP), 2.0);
    assert_eq!(
        gateway.metric("foregate_upstream_requests_limit", &APP),
        2.0
    );
    // Any worker's: the count is the process'.
    let mut third = asking(&gateway);
    gateway.wait_metric("foregate_upstream_queue_length", &APP, 1.0);
    let shown = gateway.admin_send("GET", "/upstreams/app", "").json();
    for (what, count, most) in [
        ("requests", 2, "requests_max"),
        ("queued", 1, "queue_length_max"),
    ] {
        assert_eq!(shown[what], count, "{shown}");
        assert_eq!(shown[most], if what == "queued" { 1 } else { 2 }, "{shown}");
    }
    assert_eq!(
        (&shown["connections"], &shown["connections_max"]),
        (&2.into(), &Value::Null)
    );
    assert_eq!(shown["endpoints"][0]["connections"], 1, "{shown}");
    assert_eq!(
        (&shown["retries"], &shown["retries_max"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(gateway.exchange(GET).status, 503);
    assert_eq!(one.requests_total() + other.requests_total(), 2);
    go_one.send(()).expect("the backend waits");
    go_other.send(()).expect("the backend waits");
    assert_eq!(first.response().status, 200);
    assert_eq!(second.response().status, 200);
    eventually("the third to be sent", || {
        (one.requests_total() + other.requests_total() == 3).then_some(())
    });
    // Only the one that has it is waiting.
    go_one.send(()).expect("the backend is there");
    go_other.send(()).expect("the backend is there");
    assert_eq!(third.response().status, 200);
    gateway.wait_metric("foregate_upstream_requests", &APP, 0.0);
    let lines = gateway.raw_log_lines(4);
    let refused = lines.iter().filter(|line| line.contains(" queue-full 0"));
    assert_eq!(refused.count(), 1, "{lines:?}");
    drop((first, second, third));
    gateway.assert_no_leaks();
}

#[test]
fn a_request_that_is_tried_again_counts_once() {
    let bad = Backend::start(|visit: &mut Visit| visit.next_request().map(drop));
    let good = Backend::answering(|_| Answer::ok("good"));
    // A place comes back a moment after the client has its answer, so the next one may have to wait for it.
    let more = "upstream_requests_max = 1\nbalance = \"round-robin\"";
    let gateway = before(&[bad.address(), good.address()], more);
    for _ in 0..6 {
        assert_eq!(gateway.exchange(GET).status, 200);
    }
    assert!(bad.requests_total() > 0);
    gateway.wait_metric("foregate_upstream_requests", &APP, 0.0);
}

#[test]
fn no_more_are_tried_again_at_once_than_may_be() {
    let bad = Backend::start(|visit: &mut Visit| visit.next_request().map(drop));
    let (good, go) = held();
    let more = "balance = \"round-robin\"\nretry = { retries_max = 1 }";
    let servers = [bad.address(), good.address()];
    // Of one worker, so that turns are known.
    let gateway = Gateway::new(
        r#"
        workers = 1
        [access_log]
        to = "{log}"
        format = "{tries} {reason} {retry_refused}"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{bad}", "{good}"]
        ejection = { consecutive_failures = "off", consecutive_gateway_errors = "off" }
        {more}
        "#,
    )
    .fill("bad", servers[0])
    .fill("good", servers[1])
    .fill("more", more)
    .start();
    let mut first = asking(&gateway);
    good.wait_requests(1);
    assert_eq!(gateway.metric("foregate_upstream_retries", &APP), 1.0);
    let shown = || gateway.admin_send("GET", "/upstreams/app", "").json();
    assert_eq!(
        (&shown()["retries"], &shown()["retries_max"]),
        (&1.into(), &1.into())
    );
    // Of the ten that a second has free.
    let left = shown()["retry_budget"]["tries_left"].as_u64();
    assert!(left.is_some_and(|left| left <= 10), "{left:?}");
    let refused = gateway.exchange(GET);
    assert_eq!(refused.status, 502, "what there is");
    let count = gateway.metric("foregate_upstream_retries_refused_total", &APP);
    assert_eq!(count, 1.0);
    assert_eq!(shown()["retries_refused"]["retries-max"], 1);
    go.send(()).expect("the backend waits");
    assert_eq!(first.response().status, 200);
    gateway.wait_metric("foregate_upstream_retries", &APP, 0.0);
    let mut lines = gateway.raw_log_lines(2);
    lines.sort_unstable();
    assert!(
        lines[0].ends_with("1 upstream-closed retries-max"),
        "{lines:?}"
    );
    assert!(lines[1].ends_with("2 proxied -"), "{lines:?}");
    drop(first);
    gateway.assert_no_leaks();
}

/// An answer that stands since nobody can pay for another try takes no place from those who can.
#[test]
fn an_answer_that_is_not_tried_again_is_no_try_again() {
    let (go, wait): (Sender<()>, Receiver<()>) = channel();
    let wait = Arc::new(Mutex::new(wait));
    let unable = [(); 2].map(|()| {
        let wait = Arc::clone(&wait);
        Backend::start(move |visit: &mut Visit| {
            visit.next_request()?;
            visit.send("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\n")?;
            // Once the story is over nobody reads the rest.
            let _ = wait.lock().expect("nobody panics with it").recv();
            visit.send("busy")
        })
    });
    let more =
        "retry = { retries_max = 1, statuses = [503], budget_percent = 0, budget_per_second = 0 }";
    let gateway = before(&unable.each_ref().map(Backend::address), more);
    let mut client = asking(&gateway);
    gateway.wait_metric("foregate_endpoint_retries_refused_total", &[], 1.0);
    assert_eq!(gateway.metric("foregate_upstream_retries", &APP), 0.0);
    go.send(()).expect("the backend waits");
    let answer = client.response();
    assert_eq!((answer.status, answer.text().as_str()), (503, "busy"));
}

#[test]
fn who_waited_long_enough_is_told_so() {
    let (backend, go) = held();
    let gateway = before(
        &[backend.address()],
        "requests_max = 1\nqueue = { time_max = \"50ms\" }",
    );
    let mut first = asking(&gateway);
    backend.wait_requests(1);
    let late = gateway.exchange(GET);
    assert_eq!((late.status, late.field("retry-after")), (503, Some("1")));
    go.send(()).expect("the backend waits");
    assert_eq!(first.response().status, 200);
    let lines = gateway.raw_log_lines(2);
    let line = lines
        .iter()
        .find(|line| line.contains("queue-timeout"))
        .expect("a line of the late one");
    let waited: f64 = line
        .rsplit(' ')
        .next()
        .unwrap_or_default()
        .trim()
        .parse()
        .expect("a number");
    assert!(waited >= 50.0, "{line}");
}

#[test]
fn others_are_asked_before_anybody_waits() {
    let ((one, _go_one), (other, go)) = (held(), held());
    let gateway = before(&[one.address(), other.address()], "requests_max = 1");
    let first = asking(&gateway);
    let second = asking(&gateway);
    one.wait_requests(1);
    other.wait_requests(1);
    let mut third = asking(&gateway);
    gateway.wait_metric("foregate_upstream_queue_length", &APP, 1.0);
    go.send(()).expect("the backend waits");
    go.send(()).expect("the backend waits");
    assert_eq!(third.response().status, 200);
    assert_eq!((one.requests_total(), other.requests_total()), (1, 2));
    drop((first, second));
}

#[test]
fn a_limit_that_is_found_out_is_a_limit() {
    let (backend, go) = held();
    let gateway = before(
        &[backend.address()],
        "adaptive_concurrency = { initial = 1, min = 1, max = 8 }",
    );
    let first = asking(&gateway);
    backend.wait_requests(1);
    let mut second = asking(&gateway);
    gateway.wait_metric("foregate_upstream_queue_length", &APP, 1.0);
    assert_eq!(
        gateway.metric("foregate_endpoint_requests_limit", &APP),
        1.0
    );
    go.send(()).expect("the backend waits");
    go.send(()).expect("the backend waits");
    assert_eq!(second.response().status, 200);
    drop(first);
}

#[test]
fn an_open_circuit_sends_nothing_until_a_trial_goes_well() {
    let ill = Arc::new(AtomicBool::new(true));
    let backend = moody(&ill);
    for circuit in ["circuit", "upstream_circuit"] {
        ill.store(true, Ordering::SeqCst);
        let asked = backend.requests_total();
        let gateway = before(
            &[backend.address()],
            &format!("{circuit} = {{ requests_min = 5, open = \"300ms\", trials = 1 }}"),
        );
        for _ in 0..5 {
            let answer = gateway.exchange(GET);
            assert_eq!((answer.status, answer.text().as_str()), (503, "ill"));
        }
        // What a request came to is counted once its client has the answer.
        gateway.wait_stderr("circuit opened");
        let refused = gateway.exchange(GET);
        assert_eq!(
            (refused.status, refused.field("retry-after")),
            (503, Some("1"))
        );
        assert_eq!(backend.requests_total(), asked + 5);
        ill.store(false, Ordering::SeqCst);
        eventually("it closes", || {
            (gateway.exchange(GET).status == 200).then_some(())
        });
        gateway.wait_stderr("circuit closed");
        gateway.wait_metric("foregate_circuit_open", &APP, 0.0);
        let reasons = gateway.raw_log_lines(7).join("");
        assert!(reasons.contains("0 circuit-open"), "{reasons}");
    }
}

#[test]
fn when_too_few_are_healthy_all_are_used() {
    let ills: Vec<_> = [true, true, false]
        .map(AtomicBool::new)
        .into_iter()
        .map(Arc::new)
        .collect();
    let backends: Vec<Backend> = ills
        .iter()
        .map(|ill| {
            let ill = Arc::clone(ill);
            // Probes alone find it ill.
            Backend::answering(move |request| match &*request.target {
                "/health" if ill.load(Ordering::SeqCst) => Answer::status(500),
                _ => Answer::ok("served"),
            })
        })
        .collect();
    let addresses: Vec<_> = backends.iter().map(Backend::address).collect();
    let more = "balance = \"round-robin\"\npanic_threshold = 50\n\
                probe = { path = \"/health\", interval = \"60ms\", failing_interval = \"20ms\" }";
    let gateway = before(&addresses, more);
    gateway.wait_metric("foregate_upstream_panic", &APP, 1.0);
    let served = |backend: &Backend| {
        let requests = backend.requests();
        requests.iter().filter(|one| one.target == "/").count()
    };
    eventually("all are used", || {
        assert_eq!(gateway.exchange(GET).status, 200);
        backends.iter().all(|one| served(one) > 0).then_some(())
    });
    ills[0].store(false, Ordering::SeqCst);
    gateway.wait_metric("foregate_upstream_panic", &APP, 0.0);
    let status = endpoint(&gateway, addresses[1]);
    assert_eq!(status["health"], "unhealthy");
    // Looked at anew within 50 ms, and left alone from then on.
    eventually("the one that is ill is left alone", || {
        let before = served(&backends[1]);
        for _ in 0..12 {
            assert_eq!(gateway.exchange(GET).status, 200);
        }
        (served(&backends[1]) == before).then_some(())
    });
}

#[test]
fn who_joins_late_begins_with_little() {
    let backends: Vec<Backend> = (0..4)
        .map(|_| Backend::answering(|_| Answer::ok("x")))
        .collect();
    let addresses: Vec<_> = backends.iter().map(Backend::address).collect();
    let more = "balance = \"random\"\nslow_start = \"1h\"";
    let gateway = before(&addresses[..3], more);
    let body = format!("{{\"address\": \"{}\"}}", addresses[3]);
    let added = gateway.admin_send("POST", "/upstreams/app/endpoints", &body);
    assert_eq!(added.status, 201, "{}", added.text());
    let mut client = gateway.connect();
    for _ in 0..800 {
        assert_eq!(client.exchange(GET).status, 200);
    }
    // A tenth of a share among 3.1 is 26 of 800; a whole one would be 200.
    let late = backends[3].requests_total();
    assert!((3..=70).contains(&late), "{late}");
    let shown = gateway.admin_send("GET", "/upstreams/app", "").json();
    assert_eq!(shown["endpoints"][3]["slow_start_percent"], 10);
    assert_eq!(
        shown["endpoints"][0]["slow_start_percent"],
        serde_json::Value::Null
    );
}
