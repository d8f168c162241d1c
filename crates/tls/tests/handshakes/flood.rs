//! Handshakes that don't end, and those that are too many.

use crate::handshakes::peers::{Manner, Server, openssl, plan, served, shared};
use crate::handshakes::resumption::client;
use foregate_testkit::Authority;
use foregate_tls::{HandshakeFault, HandshakeGate};
use rustls::ClientConnection;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_handshake_that_takes_too_long_is_given_up() {
    let authority = Authority::new("Root");
    let shared = shared(vec![served("a", &authority.issue(&["localhost"]))]);
    let timeout = Duration::from_millis(100);
    let server = Server::with_timeout(&plan(), shared.clone(), Manner::Echo, timeout);
    let mut slow = TcpStream::connect(server.address).unwrap();
    slow.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
    assert_eq!(server.fault(), HandshakeFault::Timeout);
    assert_eq!(slow.read(&mut [0; 10]).unwrap_or(0), 0);
    assert_eq!(shared.gate.unfinished(), 0);
}

#[test]
fn beyond_the_bound_handshakes_are_turned_away_until_others_end() {
    let authority = Authority::new("Root");
    let mut shared = shared(vec![served("a", &authority.issue(&["localhost"]))]);
    shared.gate = HandshakeGate::new(2);
    let server = Server::start(&plan(), shared.clone(), Manner::Echo);
    let config = client(&authority);
    let slow = || {
        let name = "localhost".try_into().unwrap();
        let mut hello = ClientConnection::new(Arc::clone(&config), name).unwrap();
        let mut stream = TcpStream::connect(server.address).unwrap();
        hello.write_tls(&mut stream).unwrap();
        stream
    };
    // Who says nothing, or not enough, takes no place.
    let silent: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address).unwrap();
            stream.write_all(&[22, 3, 1]).unwrap();
            stream
        })
        .collect();
    openssl(&server, &["-servername", "localhost"], "Q\n");
    let _ = server.ended();
    let waiting = [slow(), slow()];
    foregate_testkit::eventually("two unfinished handshakes", || {
        (shared.gate.unfinished() == 2).then_some(())
    });
    openssl(&server, &["-servername", "localhost"], "Q\n");
    assert_eq!(server.fault(), HandshakeFault::Busy);
    drop((waiting, silent));
    for _ in 0..6 {
        assert_eq!(server.fault(), HandshakeFault::ClientClosed);
    }
    openssl(&server, &["-servername", "localhost"], "Q\n");
    server.facts();
}

#[test]
fn what_is_no_tls_is_named() {
    let authority = Authority::new("Root");
    let server = Server::usual(&authority, Manner::Echo);
    let says = |bytes: &[u8], expected: HandshakeFault| {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(bytes).unwrap();
        assert_eq!(server.fault(), expected, "{bytes:?}");
    };
    says(&[0x80, 0x2e, 1, 3], HandshakeFault::NotTls);
    says(&[22, 3, 1, 0, 4, 2, 0, 0, 0], HandshakeFault::Malformed);
    says(&[22, 3, 1, 0, 0], HandshakeFault::Malformed);
    drop(TcpStream::connect(server.address).unwrap());
    assert_eq!(server.fault(), HandshakeFault::ClientClosed);
}
