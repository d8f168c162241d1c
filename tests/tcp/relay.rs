//! Connections whose bytes go to a backend as they are.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use foregate_testkit::{Answer, Backend, Echo, Gateway, Random, Refuser, UpgradeEcho, Visit};

fn gateway(servers: &[String], more: &str) -> Gateway {
    Gateway::new(
        r#"
        [client]
        {client}
        [listeners.public]
        address = "127.0.0.1:0"
        [listeners.raw]
        address = "127.0.0.1:0"
        mode = "tcp"
        upstream = "raw"
        [sites."*"]
        upstream = "raw"
        [upstreams.raw]
        servers = [{servers}]
        {more}
        "#,
    )
    .fill("servers", servers.join(", "))
    .fill("more", more)
    .fill("client", "tunnel_idle_timeout = \"300ms\"")
    .start()
}

fn quoted(backend: &Backend) -> String {
    format!("\"{}\"", backend.address())
}

fn connect(gateway: &Gateway) -> foregate_testkit::Connection {
    let stream = TcpStream::connect(gateway.listener("raw")).expect("it listens");
    foregate_testkit::Connection::new(stream)
}

#[test]
fn bytes_pass_both_ways_whatever_they_are() {
    let backend = Backend::start(UpgradeEcho);
    let gateway = gateway(&[quoted(&backend)], "");
    let mut client = connect(&gateway);
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        .expect("it is open");
    while client.line().expect("a line of the head") != b"" {}
    for size in [1, 70_000, 2_000_000] {
        let sent = Random::seeded(size).bytes(size as usize);
        let mut writer: TcpStream = client.stream().try_clone().expect("it can be cloned");
        let copy = sent.clone();
        let writing = thread::spawn(move || writer.write_all(&copy));
        assert_eq!(client.take(sent.len()), Ok(sent), "{size} bytes");
        assert!(writing.join().expect("no panic").is_ok());
    }
    client
        .stream()
        .shutdown(Shutdown::Write)
        .expect("it is open");
    assert_eq!(client.take_rest(), Ok(Vec::new()));
    let line = gateway.only_log_line();
    assert_eq!(line.reason(), "relayed");
    assert_eq!(line.text("route"), "raw");
    assert_eq!(line.text("upstream"), "raw");
    assert!(line.number("bytes_in") > 2_000_000.0 && line.number("bytes_out") > 2_000_000.0);
    gateway.assert_no_leaks();
}

#[test]
fn a_server_that_refuses_is_passed_over() {
    let backend = Backend::start(Echo);
    let refuser = Refuser::start();
    let servers = [format!("\"{}\"", refuser.address()), quoted(&backend)];
    let gateway = gateway(&servers, "");
    for _ in 0..4 {
        let mut client = connect(&gateway);
        client
            .send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .expect("it is open");
        client.finish_sending();
        let answer = client.take_rest().expect("an answer");
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }
    assert_eq!(backend.requests().len(), 4);
    gateway.assert_no_leaks();
}

#[test]
fn nobody_there_ends_the_connection_with_a_reason() {
    let refuser = Refuser::start();
    let gateway = gateway(&[format!("\"{}\"", refuser.address())], "");
    let mut client = connect(&gateway);
    let _ = client.take_rest();
    let line = gateway.only_log_line();
    assert_eq!(line.reason(), "connect-failed");
}

#[test]
fn a_silent_connection_ends() {
    let backend = Backend::start(Echo);
    let gateway = gateway(&[quoted(&backend)], "");
    let mut client = connect(&gateway);
    let _ = client.take_rest();
    let line = gateway.only_log_line();
    assert_eq!(line.reason(), "tunnel-idle");
    assert!(line.number("duration_ms") >= Duration::from_millis(290).as_millis() as f64);
    backend.wait_connections_open(0);
}

#[test]
fn the_backend_may_be_told_whose_connection_it_is() {
    let headers: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let seen = Arc::clone(&headers);
    let backend = Backend::start(move |visit: &mut Visit| {
        let header = visit.connection.line()?;
        seen.lock().expect("no panics").push(header);
        visit.connection.send("hello")
    });
    let gateway = gateway(&[quoted(&backend)], "proxy_protocol = \"v1\"");
    let mut client = connect(&gateway);
    assert_eq!(client.take(5), Ok(b"hello".to_vec()));
    let (from, to) = (client.local_address(), gateway.listener("raw"));
    let header = headers.lock().expect("no panics")[0].clone();
    assert_eq!(
        String::from_utf8_lossy(&header),
        format!(
            "PROXY TCP4 127.0.0.1 127.0.0.1 {} {}",
            from.port(),
            to.port()
        )
    );
}

#[test]
fn requests_and_connections_share_an_upstream_and_no_connection() {
    let backend = Backend::answering(|_| Answer::ok("yes"));
    let gateway = gateway(&[quoted(&backend)], "");
    // Leaves a kept connection behind, which no tunnel may take.
    assert_eq!(gateway.get("a", "/").status, 200);
    let mut client = connect(&gateway);
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("it is open");
    client.finish_sending();
    assert!(client.take_rest().expect("an answer").ends_with(b"yes"));
    assert_eq!(backend.connections_accepted(), 2);
}
