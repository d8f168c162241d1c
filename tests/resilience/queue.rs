//! The queue: who waits for whom, and who does not.

use crate::endpoint;
use foregate_testkit::{Answer, Backend, Gateway, Http2Client, RawClient, eventually};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

const APP: [(&str, &str); 1] = [("upstream", "app")];
/// The setting of a client that gives no stream any room (RFC 9113 §6.5.2).
const INITIAL_WINDOW_SIZE: u16 = 4;

/// A backend whose answers wait until they are let go of, one by one, and whose probes say what `well` says.
pub(crate) fn held(well: bool) -> (Backend, Sender<()>) {
    let (go, wait): (Sender<()>, Receiver<()>) = channel();
    let wait = Arc::new(Mutex::new(wait));
    let backend = Backend::answering(move |request| {
        if &*request.target == "/health" {
            return Answer::status(if well { 200 } else { 500 });
        }
        // Once the story is over nobody reads the answer.
        let _ = wait.lock().expect("nobody panics with it").recv();
        Answer::ok("held")
    });
    (backend, go)
}

fn gateway(servers: &str, more: &str) -> Gateway {
    Gateway::new(
        r#"
        # Of one worker: several look after the queue of their own accord, each once a second.
        workers = 1
        [client]
        half_close_timeout = "50ms"
        [access_log]
        to = "{log}"
        format = "{path} {reason} {queued_ms}"
        {subsets}
        [[sites."*".routes]]
        upstream = "app"
        [upstreams.app]
        servers = [{servers}]
        ejection = { consecutive_failures = "off", consecutive_gateway_errors = "off" }
        {more}
        "#,
    )
    .fill(
        "subsets",
        if servers.contains("labels") {
            SUBSETS
        } else {
            ""
        },
    )
    .fill("servers", servers)
    .fill("more", more)
    .start()
}

/// Routes to servers with labels.
const SUBSETS: &str = r#"
        [[sites."*".routes]]
        path = { prefix = "/one" }
        upstream = "app"
        subset = { version = "one" }
        [[sites."*".routes]]
        path = { prefix = "/other" }
        upstream = "app"
        subset = { version = "other" }
"#;

fn server(address: SocketAddr, version: &str) -> String {
    format!("{{ address = \"{address}\", labels = {{ version = \"{version}\" }} }}")
}

fn two(one: SocketAddr, other: SocketAddr) -> String {
    format!("{}, {}", server(one, "one"), server(other, "other"))
}

/// A request that is under way.
pub(crate) fn asking(gateway: &Gateway, path: &str) -> RawClient {
    let mut client = gateway.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    client
}

pub(crate) fn wait_queued(gateway: &Gateway, count: u32) {
    gateway.wait_metric("foregate_upstream_queue_length", &APP, f64::from(count));
}

/// An ill backend is asked when there is no other. When it is full besides, it is worth waiting for as any other.
#[test]
fn the_last_one_is_waited_for_though_it_is_ill() {
    let (ill, go) = held(false);
    let servers = format!("\"{}\"", ill.address());
    let probe = "probe = { path = \"/health\", interval = \"60ms\", failing_interval = \"20ms\" }";
    let gateway = gateway(&servers, &format!("requests_max = 1\n{probe}"));
    eventually("it is found to be ill", || {
        (endpoint(&gateway, ill.address())["health"] == "unhealthy").then_some(())
    });
    let mut first = asking(&gateway, "/");
    eventually("the ill one is asked", || {
        ill.requests()
            .iter()
            .any(|one| &*one.target == "/")
            .then_some(())
    });
    let mut second = asking(&gateway, "/");
    wait_queued(&gateway, 1);
    go.send(()).expect("the backend waits");
    go.send(()).expect("the backend waits");
    assert_eq!(
        (first.response().status, second.response().status),
        (200, 200)
    );
}

/// Whoever waits for some servers takes nothing from requests for others: neither their idle servers nor their places.
#[test]
fn those_who_wait_for_others_are_not_in_the_way() {
    let ((one, go_one), other) = (held(true), Backend::answering(|_| Answer::ok("other")));
    let servers = two(one.address(), other.address());
    let more = "requests_max = 1\nqueue = { length_max = 2, time_max = \"60s\" }";
    let gateway = gateway(&servers, more);
    let mut first = asking(&gateway, "/one");
    one.wait_requests(1);
    let waiting = [asking(&gateway, "/one"), asking(&gateway, "/one")];
    wait_queued(&gateway, 2);
    assert_eq!(gateway.get("a", "/one").status, 503, "the queue is full");
    assert_eq!(gateway.get("a", "/other").status, 200, "its server is idle");
    for _ in 0..3 {
        go_one.send(()).expect("the backend waits");
    }
    assert_eq!(first.response().status, 200);
    for mut client in waiting {
        assert_eq!(client.response().status, 200);
    }
}

/// A client that reads nothing, not even that its request has failed, keeps no circuit waiting for its verdict.
#[test]
fn who_does_not_read_that_it_failed_holds_nothing() {
    let is_silent = Arc::new(AtomicBool::new(false));
    let (_end, wait) = channel::<()>();
    let (silent, wait) = (Arc::clone(&is_silent), Mutex::new(wait));
    let backend = Backend::answering(move |_| {
        if silent.load(Ordering::SeqCst) {
            let _ = wait.lock().expect("nobody panics with it").recv();
        }
        Answer::status(503)
    });
    let more = "timeouts = { first_byte = \"300ms\" }\n\
                upstream_circuit = { requests_min = 5, open = \"50ms\", trials = 1 }";
    let gateway = gateway(&format!("\"{}\"", backend.address()), more);
    for _ in 0..5 {
        assert_eq!(gateway.get("a", "/").status, 503);
    }
    gateway.wait_stderr("circuit opened");
    is_silent.store(true, Ordering::SeqCst);
    let mut client = Http2Client::connect_with(gateway.target(), &[(INITIAL_WINDOW_SIZE, 0)]);
    eventually("a trial fails", || {
        let stream = client.request("GET", "/", &[], true);
        let answer = client.until(stream, |answer| answer.status != 0);
        (answer.status == 504).then_some(())
    });
    eventually("it opens again, whatever the client does", || {
        let opened = gateway.stderr().matches("circuit opened").count();
        (opened >= 2).then_some(())
    });
}
