//! Endpoints come and go ten times a second while clients send requests: none fails.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use foregate_testkit::{Answer, Backend, Gateway, RawClient, Signal};
use foregate_tests::metric;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";

/// Runs clients for as long as `work` does; every answer must be a 200. Half of them keep their connection.
fn under_load(gateway: &Gateway, work: impl FnOnce()) -> usize {
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let address = gateway.address();
    thread::scope(|scope| {
        for number in 0..4 {
            let (stop, answered) = (&stop, &answered);
            scope.spawn(move || {
                let keeps = number % 2 == 1;
                let mut client = RawClient::connect(address);
                for request in [GET, POST].into_iter().cycle() {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let answer = client.exchange(request);
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    answered.fetch_add(1, Ordering::Relaxed);
                    // A connection carries so many requests and no more, which a fast machine may come to.
                    let is_last = answer.fields.get("connection") == Some("close");
                    if is_last || (!keeps && request == POST) {
                        client = RawClient::connect(address);
                    }
                }
            });
        }
        work();
        stop.store(true, Ordering::Relaxed);
    });
    answered.load(Ordering::Relaxed)
}

/// Calls `act` with 0, 1, 2 … every tenth of a second for three seconds.
fn ten_a_second(mut act: impl FnMut(usize)) {
    let begun = Instant::now();
    for turn in 0..30 {
        act(turn);
        let next = Duration::from_millis(100) * (turn as u32 + 1);
        thread::sleep(next.saturating_sub(begun.elapsed()));
    }
}

fn backends(count: usize) -> Vec<Backend> {
    let one = |_| Backend::answering(|_| Answer::ok("here"));
    (0..count).map(one).collect()
}

#[test]
fn no_request_fails_while_endpoints_come_and_go() {
    let all = backends(4);
    let gateway = Gateway::before(&[all[0].address()]);
    let answered = under_load(&gateway, || {
        ten_a_second(|turn| {
            let address = all[1 + turn / 4 % 3].address();
            let one = format!("/upstreams/app/endpoints/{address}");
            let add = format!("{{\"address\":\"{address}\"}}");
            let (method, target, body, status) = match turn % 4 {
                0 => ("POST", "/upstreams/app/endpoints", add.as_str(), 201),
                1 => ("PATCH", one.as_str(), r#"{"weight":5}"#, 200),
                2 => ("PATCH", one.as_str(), r#"{"state":"draining"}"#, 200),
                _ => ("DELETE", one.as_str(), "", 204),
            };
            let answer = gateway.admin_send(method, target, body);
            assert_eq!(answer.status, status, "{}", answer.text());
        });
    });
    assert!(answered > 100, "{answered}");
    for one in &all[1..] {
        assert!(one.requests_total() > 0);
    }
    gateway.assert_no_leaks();
}

#[test]
fn no_request_fails_while_the_configuration_is_reloaded() {
    let all = backends(2);
    let gateway = Gateway::before(&[all[0].address(), all[1].address()]);
    let answered = under_load(&gateway, || ten_a_second(|_| gateway.signal(Signal::Hup)));
    assert!(answered > 100, "{answered}");
    // Signals that come while one is answered are one.
    let reloads = |result| gateway.metric(metric::CONFIG_RELOADS, &[("result", result)]);
    assert!(reloads("ok") >= 15.0, "{} of 30 took", reloads("ok"));
    assert_eq!(reloads("failed"), 0.0);
    gateway.assert_no_leaks();
}
