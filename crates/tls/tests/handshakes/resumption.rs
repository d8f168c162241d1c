//! Sessions that are taken up again.

use crate::handshakes::peers::{Manner, Server, converse, openssl, plan, served, shared};
use foregate_testkit::{Authority, PATIENCE, Scratch};
use foregate_tls::{AcceptorPlan, ClientAuthPlan, NamePlan, Shared, Tickets};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

const KEYS: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n\
    ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100\n";

/// Begins a session with one server and takes it up with another; whether it was.
#[track_caller]
fn resumed(first: &Server, second: &Server, version: &str) -> bool {
    let scratch = Scratch::new();
    let session = scratch.join("session");
    let session = session.to_str().unwrap();
    let common = [
        "-servername",
        "localhost",
        "-alpn",
        "http/1.1",
        "-quiet",
        "-no_ign_eof",
        version,
    ];
    let arguments = [&common[..], &["-sess_out", session]].concat();
    converse(
        first,
        &arguments,
        &[(
            "hello
", "hello",
        )],
    );
    assert!(!first.facts().resumed);
    first.ended().1.unwrap();
    let arguments = [&common[..], &["-sess_in", session]].concat();
    converse(
        second,
        &arguments,
        &[(
            "hello
", "hello",
        )],
    );
    let facts = second.facts();
    second.ended().1.unwrap();
    facts.resumed
}

fn usual() -> Shared {
    let authority = Authority::new("Root");
    shared(vec![served("a", &authority.issue(&["localhost"]))])
}

#[test]
fn a_ticket_takes_a_session_up() {
    let server = Server::start(&plan(), usual(), Manner::Echo);
    assert!(resumed(&server, &server, "-tls1_3"));
    assert!(resumed(&server, &server, "-tls1_2"));
}

#[test]
fn without_tickets_sessions_are_kept_here() {
    let mut shared = usual();
    shared.tickets = None;
    let server = Server::start(&plan(), shared, Manner::Echo);
    assert!(resumed(&server, &server, "-tls1_3"));
    assert!(resumed(&server, &server, "-tls1_2"));
}

#[test]
fn machines_that_share_their_keys_take_up_each_others_sessions() {
    let server = |keys: &str| {
        let mut shared = usual();
        let tickets = Tickets::from_keys(keys.as_bytes(), Duration::from_secs(3600));
        shared.tickets = Some(tickets.unwrap());
        Server::start(&plan(), shared, Manner::Echo)
    };
    let (here, there) = (server(KEYS), server(KEYS));
    assert!(resumed(&here, &there, "-tls1_3"));
    assert!(resumed(&here, &there, "-tls1_2"));
    let (_, other) = KEYS.split_once('\n').unwrap();
    let stranger = server(other);
    assert!(!resumed(&here, &stranger, "-tls1_3"));
}

#[test]
fn resumption_can_be_off() {
    let off = AcceptorPlan {
        resumption: false,
        ..plan()
    };
    let server = Server::start(&off, usual(), Manner::Echo);
    let seen = openssl(&server, &["-servername", "localhost", "-tls1_2"], "Q\n");
    assert!(!seen.contains("TLS session ticket:"), "{seen}");
    assert!(!server.facts().resumed);
}

#[test]
fn who_is_asked_for_a_certificate_shows_it_at_every_handshake() {
    let clients = Authority::new("Clients");
    let alice = clients.issue_client("alice");
    let door = |name: &str, required: bool| NamePlan {
        name: name.to_owned(),
        certificates: None,
        client: Some(ClientAuthPlan {
            required,
            ca_pem: clients.pem().into_bytes(),
            crls: Vec::new(),
        }),
    };
    let asks = AcceptorPlan {
        names: vec![door("inner.test", true), door("maybe.test", false)],
        ..plan()
    };
    let names = ["open.test", "inner.test", "maybe.test"];
    let issued = Authority::new("Root").issue(&names);
    let tickets = shared(vec![served("all", &issued)]);
    let cache = Shared {
        tickets: None,
        ..tickets.clone()
    };
    let scratch = Scratch::new();
    let (certificate, key) = (
        scratch.write("alice.pem", &alice.certificate_pem),
        scratch.write("alice.key", &alice.key_pem),
    );
    for (number, shared) in [tickets, cache].into_iter().enumerate() {
        let server = Server::start(&asks, shared, Manner::Echo);
        for (name, version, is_kept) in [
            ("open.test", "-tls1_3", true),
            ("open.test", "-tls1_2", true),
            ("inner.test", "-tls1_3", false),
            ("inner.test", "-tls1_2", false),
            ("maybe.test", "-tls1_3", false),
            ("maybe.test", "-tls1_2", false),
        ] {
            let session = scratch.join(&format!("{number}{name}{version}"));
            let arguments = [
                "-servername",
                name,
                "-alpn",
                "http/1.1",
                "-quiet",
                "-no_ign_eof",
                version,
                "-cert",
                certificate.to_str().unwrap(),
                "-key",
                key.to_str().unwrap(),
                "-sess_out",
                session.to_str().unwrap(),
            ];
            // The tickets of TLS 1.3 come with the first data.
            converse(&server, &arguments, &[("hello\n", "hello")]);
            let facts = server.facts();
            assert_eq!(facts.client.is_some(), name != "open.test", "{name}");
            server.ended().1.unwrap();
            assert_eq!(session.exists(), is_kept, "{number} {name} {version}");
        }
    }
}

#[test]
fn early_data_is_told_from_other_data_and_taken_once() {
    let early = AcceptorPlan {
        early_data: true,
        ..plan()
    };
    let server = Server::start(&early, usual(), Manner::Early);
    let scratch = Scratch::new();
    let file = |name: &str| scratch.join(name).to_str().unwrap().to_owned();
    let (session, data) = (file("session"), file("data"));
    scratch.write("data", "said before anything was settled\n");
    let common = [
        "-servername",
        "localhost",
        "-tls1_3",
        "-no_ign_eof",
        "-alpn",
        "http/1.1",
    ];
    let arguments = [&common[..], &["-sess_out", &session]].concat();
    converse(&server, &arguments, &[("hello\n", "came late")]);
    server.ended().1.unwrap();
    let arguments = [&common[..], &["-sess_in", &session, "-early_data", &data]].concat();
    let seen = converse(
        &server,
        &arguments,
        &[("", "came early"), ("and more\n", "came late")],
    );
    assert!(seen.contains("Early data was accepted"), "{seen}");
    assert!(server.facts().resumed);
    server.ended().1.unwrap();
    // Who repeats what was said finds no session.
    let seen = converse(&server, &arguments, &[("again\n", "came late")]);
    assert!(seen.contains("Early data was rejected"), "{seen}");
    assert!(!server.facts().resumed);
    server.ended().1.unwrap();
}

/// A client that knows the server, and early data.
pub(crate) fn client(authority: &Authority) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.pem().as_bytes());
    roots.add(root.unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.enable_early_data = true;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Reads until the server has said that nothing more comes.
fn read_to_close(client: &mut ClientConnection, tcp: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    loop {
        let bytes = client.read_tls(tcp).unwrap();
        let state = client.process_new_packets().unwrap();
        let mut part = vec![0; state.plaintext_bytes_to_read()];
        client.reader().read_exact(&mut part).unwrap();
        answer.extend(part);
        if state.peer_has_closed() {
            return answer;
        }
        assert!(bytes > 0, "it ended without a word after {answer:?}");
    }
}

#[test]
fn an_answer_to_early_data_is_whole_before_the_handshake_is_done() {
    let early = AcceptorPlan {
        early_data: true,
        ..plan()
    };
    let authority = Authority::new("Root");
    let shared = shared(vec![served("a", &authority.issue(&["localhost"]))]);
    let answer = Arc::new(b"all of it".to_vec());
    let server = Server::start(&early, shared, Manner::AnswerAndClose(Arc::clone(&answer)));
    let config = client(&authority);
    let connect = || {
        let tcp = TcpStream::connect(server.address).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = "localhost".try_into().unwrap();
        (
            ClientConnection::new(Arc::clone(&config), name).unwrap(),
            tcp,
        )
    };
    let (mut client, mut tcp) = connect();
    rustls::Stream::new(&mut client, &mut tcp)
        .write_all(b"hello")
        .unwrap();
    assert_eq!(read_to_close(&mut client, &mut tcp), *answer);
    drop(tcp);
    let _ = server.ended();
    let (mut client, mut tcp) = connect();
    let mut data = client.early_data().expect("a session to take up");
    data.write_all(b"said early").unwrap();
    while client.wants_write() {
        client.write_tls(&mut tcp).unwrap();
    }
    // Its part of the handshake has not been sent yet.
    assert_eq!(read_to_close(&mut client, &mut tcp), *answer);
    assert!(client.is_early_data_accepted());
    client.send_close_notify();
    while client.wants_write() {
        client.write_tls(&mut tcp).unwrap();
    }
    // The server has read on, and ends in order.
    server.ended().1.unwrap();
}

#[test]
fn tickets_come_to_a_client_that_asks_for_nothing() {
    let authority = Authority::new("Root");
    let server = Server::usual(&authority, Manner::Echo);
    let mut tcp = TcpStream::connect(server.address).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let name = "localhost".try_into().unwrap();
    let mut client = ClientConnection::new(client(&authority), name).unwrap();
    while client.tls13_tickets_received() == 0 {
        client.complete_io(&mut tcp).unwrap();
    }
    assert!(!client.is_handshaking());
}

/// A request in a small packet of its own waits for word of the handshake's last one, where `TCP_NODELAY` is not set.
#[test]
fn a_client_is_told_at_once_that_its_part_of_the_handshake_came() {
    let authority = Authority::new("Root");
    let config = client(&authority);
    for resumption in [true, false] {
        let plan = AcceptorPlan {
            resumption,
            ..plan()
        };
        let shared = shared(vec![served("a", &authority.issue(&["localhost"]))]);
        let server = Server::start(&plan, shared, Manner::Echo);
        let took = (0..8).map(|_| {
            let name = "localhost".try_into().unwrap();
            let mut client = ClientConnection::new(Arc::clone(&config), name).unwrap();
            let mut tcp = TcpStream::connect(server.address).unwrap();
            tcp.set_read_timeout(Some(PATIENCE)).unwrap();
            while client.is_handshaking() {
                client.complete_io(&mut tcp).unwrap();
            }
            let began = Instant::now();
            let mut stream = rustls::Stream::new(&mut client, &mut tcp);
            stream.write_all(b"hello").unwrap();
            stream.read_exact(&mut [0; 5]).unwrap();
            began.elapsed()
        });
        // The kernel waits for 40 ms at least, each time.
        let least = took.min().unwrap();
        assert!(least < Duration::from_millis(30), "{least:?}");
    }
}
