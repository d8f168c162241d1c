//! How long clients may take.

use std::io::Write;
use std::time::{Duration, Instant};

use foregate_testkit::{
    Answer, Backend, Echo, Gateway, NeverReader, SlowBody, SlowLoris, Transport, eventually,
};
use foregate_tests::assert_outcome;

fn limited(backend: &Backend, client: &str) -> Gateway {
    Gateway::new(&format!(
        "[client]\n{client}\n[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"{}\"]\n",
        backend.address()
    ))
    .start()
}

#[test]
fn a_head_must_be_complete_in_time_however_it_trickles() {
    let backend = Backend::start(Echo);
    let gateway = limited(&backend, "head_timeout = \"400ms\"");
    let begun = Instant::now();
    let response = SlowLoris {
        pause: Duration::from_millis(50),
    }
    .attack(gateway.address());
    assert_eq!(response.map(|response| response.status), Ok(408));
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "took {:?}",
        begun.elapsed()
    );
    assert_outcome(&gateway, 408, "head-timeout");
    assert_eq!(backend.connections_accepted(), 0);
}

#[test]
fn bytes_of_a_record_that_never_ends_keep_no_connection() {
    let backend = Backend::start(Echo);
    for asks_before in [false, true] {
        let gateway = Gateway::new(&format!(
            "[client]\nhead_timeout = \"400ms\"\nidle_timeout = \"400ms\"\n[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"{}\"]\n",
            backend.address()
        ))
        .over(&Transport::tls())
        .start();
        let mut client = gateway.connect();
        if asks_before {
            let response = client.exchange("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
            assert_eq!(response.status, 200);
        }
        let mut socket = client.connection().stream();
        let begun = Instant::now();
        // The head of a record of 16 KiB, and then ever one more byte of it.
        let mut sent = socket.write_all(b"\x17\x03\x03\x40\x11");
        while sent.is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(5), "it is still open");
            std::thread::sleep(Duration::from_millis(30));
            sent = socket.write_all(b"x");
        }
    }
}

#[test]
fn the_next_head_has_a_time_of_its_own() {
    let backend = Backend::start(|visit: &mut foregate_testkit::Visit| {
        while let Some(request) = visit.next_request()? {
            std::thread::sleep(Duration::from_millis(700));
            visit.answer(&request, &Answer::ok("at last"))?;
        }
        Ok(())
    });
    let gateway = limited(&backend, "head_timeout = \"500ms\"");
    let mut client = gateway.connect();
    client.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-");
    client.assert_silent_for(Duration::from_millis(100));
    // The line break behind the body is an old client's; it could begin another head.
    client.send("Length: 4\r\n\r\nabcd\r\n");
    assert_eq!(client.response().status, 200);
    let response = client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(response.status, 200);
}

#[test]
fn a_connection_that_never_asks_is_closed_without_a_word() {
    let backend = Backend::start(Echo);
    let gateway = limited(&backend, "head_timeout = \"300ms\"");
    let mut client = gateway.connect();
    client.assert_closed();
    gateway.assert_no_leaks();
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let backend = Backend::start(Echo);
    let gateway = limited(&backend, "idle_timeout = \"300ms\"");
    let mut client = gateway.connect();
    assert_eq!(
        client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status,
        200
    );
    client.assert_closed();
    assert_outcome(&gateway, 200, "proxied");
}

#[test]
fn a_body_below_the_minimum_rate_is_given_up() {
    let backend = Backend::start(Echo);
    let gateway = limited(
        &backend,
        "body_rate_min = \"10KiB\"\nbody_rate_grace = \"500ms\"",
    );
    let response = SlowBody {
        pause: Duration::from_millis(20),
    }
    .attack(gateway.address());
    assert_eq!(response.map(|response| response.status), Ok(408));
    assert_outcome(&gateway, 408, "body-too-slow");
    assert_eq!(backend.requests_total(), 0);
    backend.wait_connections_open(0);
}

#[test]
fn a_slow_body_above_the_minimum_rate_passes() {
    let backend = Backend::start(Echo);
    let gateway = limited(
        &backend,
        "body_rate_min = \"100B\"\nbody_rate_grace = \"300ms\"",
    );
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    for _ in 0..10 {
        client.send([b'x'; 100]);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(client.response().json()["body_bytes"], 1000);
}

#[test]
fn a_slow_backend_is_not_held_against_the_clients_body() {
    // The backend takes its time to read; the client cannot send faster than it is read.
    let backend = Backend::start(|visit: &mut foregate_testkit::Visit| {
        if let Some(request) = visit.next_head()? {
            std::thread::sleep(Duration::from_millis(1500));
            foregate_testkit::strict::body(&mut visit.connection, request.framing)?;
            visit.answer(&request, &Answer::ok("at last"))?;
        }
        Ok(())
    });
    let gateway = limited(
        &backend,
        "body_rate_min = \"100MiB\"\nbody_rate_grace = \"500ms\"",
    );
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n\r\n");
    client.send(vec![b'x'; 30_000_000]);
    assert_eq!(client.response().text(), "at last");
}

#[test]
fn a_client_that_does_not_read_is_given_up() {
    let backend = Backend::answering(|_| Answer::ok(vec![b'x'; 20_000_000]));
    let gateway = limited(&backend, "write_timeout = \"500ms\"");
    let peer = NeverReader::start(gateway.address(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(gateway.only_log_line().reason(), "write-timeout");
    backend.wait_connections_open(0);
    gateway.assert_no_leaks();
    drop(peer);
}

#[test]
fn many_slow_clients_do_not_keep_others_from_being_served() {
    let backend = Backend::start(Echo);
    let gateway = limited(&backend, "head_timeout = \"1s\"");
    let mut slow: Vec<_> = (0..200).map(|_| gateway.connect()).collect();
    for client in &mut slow {
        client.send("GET / HTTP/1.1\r\nHost: ");
    }
    let begun = Instant::now();
    assert_eq!(gateway.get("a", "/").status, 200);
    assert!(
        begun.elapsed() < Duration::from_millis(900),
        "took {:?}",
        begun.elapsed()
    );
    for client in &mut slow {
        assert_eq!(client.response().status, 408);
    }
    eventually("all are gone", || {
        gateway.client_sockets().is_empty().then_some(())
    });
    drop(slow);
    gateway.assert_no_leaks();
}
