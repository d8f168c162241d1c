//! Who fails more often, or answers later, than its peers is left out.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foregate_testkit::{Answer, Backend, Gateway, eventually};

use crate::endpoint;

fn good() -> Backend {
    Backend::answering(|_| Answer::ok("served"))
}

/// Asks until the first of three is left out, and checks why; the others never are.
fn left_out_for(cause: &str, odd: &Backend, ejection: &str) {
    let peers = [good(), good()];
    let servers: Vec<SocketAddr> = vec![odd.address(), peers[0].address(), peers[1].address()];
    let servers: Vec<String> = servers.iter().map(|at| format!("\"{at}\"")).collect();
    let gateway = Gateway::new(
        r#"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = [{servers}]
        balance = "round-robin"
        retry = { statuses = [503] }
        [upstreams.app.ejection]
        consecutive_failures = "off"
        consecutive_gateway_errors = "off"
        interval = "500ms"
        requests_min = 5
        {ejection}
        "#,
    )
    .fill("servers", servers.join(", "))
    .fill("ejection", ejection)
    .start();
    let mut client = gateway.connect();
    eventually("the odd one is left out", || {
        for _ in 0..6 {
            assert_eq!(
                client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status,
                200
            );
        }
        (endpoint(&gateway, odd.address())["ejection_cause"] == cause).then_some(())
    });
    for peer in &peers {
        assert!(endpoint(&gateway, peer.address())["ejection_cause"].is_null());
    }
}

#[test]
fn who_fails_more_often_than_its_peers() {
    let turn = AtomicUsize::new(0);
    let odd = Backend::answering(move |_| match turn.fetch_add(1, Ordering::SeqCst) % 2 {
        0 => Answer::status(503).body("busy"),
        _ => Answer::ok("served"),
    });
    left_out_for("failure-rate", &odd, "failures_above = 30");
}

#[test]
fn who_answers_later_than_its_peers() {
    let odd = Backend::answering(|_| {
        std::thread::sleep(Duration::from_millis(40));
        Answer::ok("served")
    });
    let ejection = "latency_above = 300\nlatency_floor = \"20ms\"";
    left_out_for("latency", &odd, ejection);
}
