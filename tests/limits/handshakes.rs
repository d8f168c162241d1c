//! Floods of handshakes: bounded, refused by their name, and no reason for established connections to wait.

use std::time::{Duration, Instant};

use foregate_testkit::{Gateway, HandshakeFlood, RawClient, Signal, Transport, eventually};
use foregate_tests::metric;

const CONFIG: &str = r#"
[listeners.public]
address = "127.0.0.1:0"
tls = true
handshakes_max = {most}
[tls]
default_certificate = "transport"
[certificates.transport]
certificate = "{dir}/transport.pem"
key = "{dir}/transport.key"
[sites."*"]
routes = [{ respond = { status = 200, body = "hello" } }]
"#;

const HANDSHAKES: &str = "foregate_tls_handshakes_total";

fn gateway(transport: &Transport, most: usize) -> Gateway {
    Gateway::new(CONFIG)
        .over(transport)
        .fill("most", most)
        .start()
}

fn assert_served(client: &mut RawClient) -> Duration {
    let begin = Instant::now();
    let response = client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    begin.elapsed()
}

fn wait_count(what: &str, count: usize, look: impl Fn() -> usize) {
    eventually(what, || (look() == count).then_some(()));
}

#[test]
fn half_open_handshakes_over_the_limit_are_refused_and_nobody_else_suffers() {
    let gateway = gateway(&Transport::tls(), 8);
    let mut established = gateway.connect();
    assert_served(&mut established);
    let mut flood = HandshakeFlood::connect(&gateway.target(), 60);
    flood.begin();
    wait_count("those that are let in", 8, || flood.answered());
    wait_count("the others", 52, || flood.refused());
    let count = |result: &str, count: f64| {
        let labels = [("listener", "public"), ("result", result)];
        gateway.wait_metric(HANDSHAKES, &labels, count);
    };
    count("busy", 52.0);
    let refused = [("listener", "public"), ("reason", "handshake")];
    gateway.wait_metric(metric::CONNECTIONS_REFUSED, &refused, 52.0);
    for _ in 0..50 {
        assert_served(&mut established);
    }
    // As long as they are unfinished, nobody is let in.
    let mut late = HandshakeFlood::connect(&gateway.target(), 1);
    late.begin();
    wait_count("one that is late", 1, || late.refused());
    count("busy", 53.0);
    drop(flood);
    count("client-closed", 8.0);
    assert_served(&mut gateway.connect());
    count("done", 2.0);
    drop((established, late));
    gateway.wait_metric(metric::CONNECTIONS, &[], 0.0);
    gateway.assert_no_leaks();
}

/// Handshakes that come at once, each with a signature that takes its time.
const FLOOD: usize = 400;

/// How many requests an established connection had served within a flood, and how long the longest wait for one was beside the
/// whole.
fn requests_within_a_flood() -> (usize, f64) {
    // A signature takes a good part of a millisecond.
    let gateway = gateway(&Transport::tls_rsa(), 1_000);
    let mut established = gateway.connect();
    assert_served(&mut established);
    let mut flood = HandshakeFlood::connect(&gateway.target(), FLOOD);
    // All of them have come when it next looks.
    gateway.signal(Signal::Stop);
    flood.begin();
    gateway.signal(Signal::Cont);
    let begin = Instant::now();
    let mut waited = Vec::new();
    while flood.answered() < FLOOD {
        waited.push(assert_served(&mut established));
    }
    let whole = begin.elapsed();
    let longest = waited.iter().max().copied();
    let longest = longest.expect("there was time for a request");
    let labels = [("result", "busy")];
    assert_eq!(gateway.metric(HANDSHAKES, &labels), 0.0);
    drop(flood);
    let labels = [("result", "client-closed")];
    gateway.wait_metric(HANDSHAKES, &labels, FLOOD as f64);
    drop(established);
    gateway.assert_no_leaks();
    (waited.len(), longest.as_secs_f64() / whole.as_secs_f64())
}

/// If handshakes went first, a request would wait for all of them, every time. That this story's own thread has no turn for a
/// while, on a machine that has much to do, happens once.
#[test]
fn established_connections_have_their_turns_in_a_flood() {
    let mut floods = (0..3).map(|_| requests_within_a_flood());
    let has_turns = floods.any(|(requests, longest)| requests >= 20 && longest < 0.5);
    assert!(has_turns, "requests wait for handshakes");
}

#[test]
fn whole_handshakes_from_many_clients_cost_established_connections_no_request() {
    const CLIENTS: usize = 4;
    const EACH: usize = 25;
    let gateway = gateway(&Transport::tls(), CLIENTS);
    let mut established = gateway.connect();
    assert_served(&mut established);
    let longest = std::thread::scope(|scope| {
        let shake = || {
            for _ in 0..EACH {
                assert_served(&mut gateway.connect());
            }
        };
        let clients = [(); CLIENTS].map(|()| scope.spawn(shake));
        let mut longest = Duration::ZERO;
        while !clients.iter().all(|one| one.is_finished()) {
            longest = longest.max(assert_served(&mut established));
        }
        longest
    });
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    let done = [("result", "done")];
    let whole = CLIENTS * EACH + 1;
    gateway.wait_metric(HANDSHAKES, &done, whole as f64);
    assert_eq!(gateway.metric(metric::CONNECTIONS_REFUSED, &[]), 0.0);
    drop(established);
    gateway.assert_no_leaks();
}
