//! Peers that connect and then say nothing, or half a sentence, where a TLS handshake should be.

use std::io::{Read, Write};
use std::net::TcpStream;

use foregate_testkit::{Backend, Echo, Gateway, PATIENCE, Visit};
use foregate_tests::{assert_outcome, metric};

use crate::backends::impatient;
use crate::road;

/// The beginning of a ClientHello: a record of 512 bytes is announced, and few of them follow.
const HALF_A_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on";

fn hasty(road: &road::Road, backend: &Backend) -> Gateway {
    road.gateway(
        r#"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        {tls}
        [listeners.public]
        address = "127.0.0.1:0"
        tls = true
        handshakes_max = 8
        [tls]
        handshake_timeout = "400ms"
        default_certificate = "transport"
        [certificates.transport]
        certificate = "{dir}/transport.pem"
        key = "{dir}/transport.key"
        "#,
    )
    .fill("backend", backend.address())
    .start()
}

#[test]
fn clients_that_are_silent_in_the_handshake_are_closed_on() {
    let road = road::tls();
    let backend = road.backend(Echo);
    let gateway = hasty(&road, &backend);
    let said: [&[u8]; 3] = [b"", b"\x16", HALF_A_HELLO];
    let mut silent: Vec<TcpStream> = Vec::new();
    for words in said {
        let mut stream = TcpStream::connect(gateway.address()).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("it is set");
        stream.write_all(words).expect("it takes them");
        silent.push(stream);
    }
    assert_eq!(
        road.get(&gateway).status,
        200,
        "others are served meanwhile"
    );
    for stream in &mut silent {
        let mut answer = Vec::new();
        // An alert may come before the end.
        let ended = stream.read_to_end(&mut answer);
        assert!(
            ended.is_ok_and(|bytes| bytes <= 7),
            "not closed on in order: {answer:?}"
        );
    }
    gateway.wait_metric(metric::CONNECTIONS_REFUSED, &[("reason", "handshake")], 3.0);
    drop(silent);
    assert_outcome(&gateway, 200, "proxied");
}

#[test]
fn silent_clients_do_not_keep_others_out_for_longer_than_a_handshake_may_take() {
    let road = road::tls();
    let backend = road.backend(Echo);
    let gateway = hasty(&road, &backend);
    let mut established = road.connect(&gateway);
    assert_eq!(established.get("/").status, 200);
    let silent: Vec<TcpStream> = (0..30)
        .map(|_| TcpStream::connect(gateway.address()).expect("it listens"))
        .collect();
    assert_eq!(established.get("/").status, 200);
    // Some at once, as too many, and the rest when their time is over.
    gateway.wait_metric(metric::CONNECTIONS_REFUSED, &[], 30.0);
    assert_eq!(road.get(&gateway).status, 200);
    drop((silent, established));
    gateway.assert_no_leaks();
}

#[test]
fn backends_that_are_silent_in_the_handshake_are_given_up() {
    let road = road::tls();
    let words: [&[u8]; 2] = [b"", b"\x16\x03\x03\x00\x7a\x02"];
    for said in words {
        let backend = Backend::start(move |visit: &mut Visit| {
            visit.send(said)?;
            visit.drain();
            Ok(())
        });
        let gateway = impatient(&road, backend.address());
        let mut client = road.connect(&gateway);
        assert_eq!(client.get("/").status, 504);
        drop(client);
        assert_outcome(&gateway, 504, "connect-timeout");
        backend.wait_connections_open(0);
    }
}

#[test]
fn backends_that_leave_in_the_handshake_are_told_apart() {
    let road = road::tls();
    let backend = Backend::start(|visit: &mut Visit| visit.connection.wait_readable().map(drop));
    let gateway = impatient(&road, backend.address());
    assert_eq!(road.get(&gateway).status, 502);
    assert_outcome(&gateway, 502, "upstream-tls-failed");
    backend.wait_connections_open(0);
}
