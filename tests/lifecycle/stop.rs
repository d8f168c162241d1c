//! TERM and QUIT: finish what is running, then end.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use foregate_testkit::{Answer, Backend, BlackHole, Echo, Gateway, Signal, eventually};
use foregate_tests::metric;
use foregate_tests::secure::Certificates;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn draining(backend: &Backend, drain_timeout: &str) -> Gateway {
    Gateway::new(&format!(
        "drain_timeout = \"{drain_timeout}\"\n[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"{}\"]\n",
        backend.address()
    ))
    .start()
}

#[test]
fn an_idle_gateway_ends_at_once() {
    let backend = Backend::start(Echo);
    for signal in [Signal::Term, Signal::Quit, Signal::Int] {
        let mut gateway = draining(&backend, "30s");
        let mut client = gateway.connect();
        assert_eq!(client.exchange(GET).status, 200);
        let begun = Instant::now();
        gateway.signal(signal);
        client.assert_closed();
        assert_eq!(gateway.wait_exit().code(), Some(0), "{signal:?}");
        assert!(
            begun.elapsed() < Duration::from_secs(3),
            "{signal:?} took {:?}",
            begun.elapsed()
        );
    }
}

#[test]
fn connections_that_never_asked_for_anything_do_not_hold_the_end_up() {
    let backend = Backend::start(Echo);
    for protocols in [r#"["h1", "h2"]"#, r#"["h1"]"#] {
        let mut gateway = Gateway::new(
            r#"
            drain_timeout = "30s"
            [client]
            head_timeout = "1h"
            [listeners.public]
            address = "127.0.0.1:0"
            protocols = {protocols}
            [sites."*"]
            upstream = "app"
            [upstreams.app]
            servers = ["{backend}"]
            "#,
        )
        .fill("backend", backend.address())
        .fill("protocols", protocols)
        .start();
        let silent = gateway.connect();
        gateway.wait_metric(metric::CONNECTIONS_ACCEPTED, &[], 1.0);
        let begun = Instant::now();
        gateway.signal(Signal::Term);
        assert_eq!(gateway.wait_exit().code(), Some(0), "{protocols}");
        let took = begun.elapsed();
        drop(silent);
        assert!(took < Duration::from_secs(3), "{protocols} took {took:?}");
    }
}

/// As load balancers make them to see whether anybody listens, and browsers in advance.
#[test]
fn connections_that_have_not_said_who_they_are_do_not_hold_the_end_up() {
    let certificates = Certificates::new();
    certificates.issue("one", &["one.example"]);
    let mut gateway = Gateway::new(
        r#"
        drain_timeout = "30s"
        [forwarding]
        trusted_proxies = ["127.0.0.1"]
        [client]
        head_timeout = "1h"
        [tls]
        handshake_timeout = "1h"
        [certificates.one]
        certificate = "{certificates}/one.pem"
        key = "{certificates}/one.key"
        [listeners.secure]
        address = "127.0.0.1:0"
        tls = true
        [listeners.proxied]
        address = "127.0.0.1:0"
        proxy_protocol = "accept"
        [sites."*"]
        tls = "files"
        [[sites."*".routes]]
        respond = { status = 204 }
        "#,
    )
    .fill("certificates", certificates.directory())
    .start();
    let said = [
        ("secure", &b""[..]),
        ("secure", b"\x16\x03\x01\x02\0\x01"),
        ("proxied", b""),
        ("proxied", b"PROXY TC"),
    ];
    let open: Vec<TcpStream> = (said.iter())
        .map(|(listener, bytes)| {
            let mut socket = TcpStream::connect(gateway.listener(listener)).expect("it listens");
            socket.write_all(bytes).expect("there is room");
            socket
        })
        .collect();
    gateway.wait_metric(metric::CONNECTIONS_ACCEPTED, &[], open.len() as f64);
    let begun = Instant::now();
    gateway.signal(Signal::Term);
    assert_eq!(gateway.wait_exit().code(), Some(0));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "took {took:?}");
}

#[test]
fn a_head_that_is_half_there_at_the_deadline_is_answered_and_logged() {
    let backend = Backend::start(Echo);
    let mut gateway = draining(&backend, "500ms");
    let mut client = gateway.connect();
    client.send("GET /half HTTP/1.1\r\nHos");
    gateway.wait_metric(metric::CONNECTIONS_ACCEPTED, &[], 1.0);
    gateway.signal(Signal::Term);
    assert_eq!(client.response().status, 503);
    assert_eq!(gateway.wait_exit().code(), Some(0));
    let line = gateway.only_log_line();
    assert_eq!(
        (line.reason(), line.text("path")),
        ("draining".to_owned(), "/half".to_owned())
    );
}

#[test]
fn a_worker_that_has_ended_is_not_taken_for_a_late_one() {
    let backend = Backend::answering(|_| {
        std::thread::sleep(Duration::from_millis(1_000));
        Answer::ok("finished")
    });
    let mut gateway = Gateway::new(
        r#"
        workers = 2
        drain_timeout = "30s"
        [overload]
        delay_max = "200ms"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        "#,
    )
    .fill("backend", backend.address())
    .start();
    let mut client = gateway.connect();
    client.send(GET);
    backend.wait_requests(1);
    // The other worker has nothing to do and ends at once.
    gateway.signal(Signal::Term);
    assert_eq!(client.response().text(), "finished");
    assert_eq!(gateway.wait_exit().code(), Some(0));
    let told = gateway.stderr();
    assert!(!told.contains("more is given up"), "{told}");
}

#[test]
fn a_request_in_flight_is_finished() {
    let backend = Backend::answering(|_| {
        std::thread::sleep(Duration::from_millis(800));
        Answer::ok("finished")
    });
    let mut gateway = draining(&backend, "30s");
    let address = gateway.address();
    let mut client = gateway.connect();
    client.send(GET);
    backend.wait_requests(1);
    gateway.signal(Signal::Term);
    eventually("nobody new is let in", || {
        std::net::TcpStream::connect(address).is_err().then_some(())
    });
    let response = client.response();
    assert_eq!(
        (response.text().as_str(), response.says_close()),
        ("finished", true)
    );
    client.assert_closed();
    assert_eq!(gateway.wait_exit().code(), Some(0));
    assert_eq!(
        gateway.only_log_line().reason(),
        "proxied",
        "the log is complete"
    );
}

/// Only the client has anything left to do.
#[test]
fn a_client_that_has_its_answer_and_does_not_close_holds_nothing_up() {
    let backend = Backend::start(BlackHole);
    let mut gateway = Gateway::new(
        r#"
        drain_timeout = "1h"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        "#,
    )
    .fill("backend", backend.address())
    .start();
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(client.response().status, 400);
    let begun = Instant::now();
    gateway.signal(Signal::Term);
    assert_eq!(gateway.wait_exit().code(), Some(0));
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(1_500), "took {took:?}");
}

#[test]
fn after_the_drain_deadline_it_ends_all_the_same() {
    let backend = Backend::start(BlackHole);
    let mut gateway = draining(&backend, "500ms");
    let mut client = gateway.connect();
    client.send(GET);
    backend.wait_requests(1);
    let begun = Instant::now();
    gateway.signal(Signal::Term);
    let status = gateway.wait_exit();
    assert!(
        begun.elapsed() >= Duration::from_millis(450),
        "the deadline was waited for"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "took {:?}",
        begun.elapsed()
    );
    assert_eq!(status.code(), Some(0));
    assert_eq!(gateway.only_log_line().reason(), "draining");
}

#[test]
fn a_second_signal_ends_it_now() {
    let backend = Backend::start(BlackHole);
    let mut gateway = draining(&backend, "60s");
    let address = gateway.address();
    let mut client = gateway.connect();
    client.send(GET);
    backend.wait_requests(1);
    gateway.signal(Signal::Term);
    eventually("nobody new is let in", || {
        std::net::TcpStream::connect(address).is_err().then_some(())
    });
    assert!(!gateway.has_ended());
    gateway.signal(Signal::Term);
    gateway.wait_exit();
}

#[test]
fn an_open_tunnel_does_not_hold_the_end_up_beyond_the_deadline() {
    let backend = Backend::start(foregate_testkit::UpgradeEcho);
    let mut gateway = draining(&backend, "500ms");
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.try_head(false).map(|head| head.status), Ok(101));
    gateway.signal(Signal::Term);
    assert_eq!(gateway.wait_exit().code(), Some(0));
}
