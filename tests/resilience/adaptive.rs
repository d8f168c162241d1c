//! The limit that a backend's latency sets, as it moves over real sockets.

use foregate_testkit::{Answer, Backend, Gateway, eventually};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// More than the limit that is to be reached: one that is not made use of does not grow.
const CLIENTS: usize = 16;

/// Ends the load also when the story fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Requests one after the other.
fn load(gateway: &Gateway, stop: &AtomicBool) {
    let mut client = gateway.connect();
    while !stop.load(Ordering::SeqCst) {
        assert_eq!(client.exchange(GET).status, 200);
    }
}

/// The limit as metrics and the admin API say it.
fn limit(gateway: &Gateway) -> f64 {
    let view = gateway.admin_send("GET", "/upstreams/app", "").json();
    let told = view["endpoints"][0]["requests_max"].as_u64();
    assert!(told.is_some(), "{view}");
    gateway.metric("foregate_endpoint_requests_limit", &[("upstream", "app")])
}

#[test]
fn it_grows_while_answers_come_as_usual_and_shrinks_when_they_come_late() {
    let service_ms = Arc::new(AtomicU64::new(5));
    let shared = Arc::clone(&service_ms);
    let backend = Backend::answering(move |_| {
        // How long the work of a request takes.
        thread::sleep(Duration::from_millis(shared.load(Ordering::SeqCst)));
        Answer::ok("done")
    });
    let gateway = Gateway::new(
        r#"
        workers = 2
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        adaptive_concurrency = { initial = 4, min = 2, max = 100 }
        "#,
    )
    .fill("backend", backend.address())
    .start();
    assert_eq!(limit(&gateway), 4.0);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        for _ in 0..CLIENTS {
            scope.spawn(|| load(&gateway, &stop));
        }
        eventually("it grows", || (limit(&gateway) >= 12.0).then_some(()));
        service_ms.store(60, Ordering::SeqCst);
        eventually("it shrinks", || (limit(&gateway) <= 8.0).then_some(()));
        service_ms.store(5, Ordering::SeqCst);
        eventually("it grows again", || (limit(&gateway) >= 10.0).then_some(()));
    });
    // It never let more through than it said.
    assert!(limit(&gateway) <= 100.0);
    gateway.assert_no_leaks();
}
