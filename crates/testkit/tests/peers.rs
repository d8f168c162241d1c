//! The testkit's own peers, tried on each other without a gateway between them.

use foregate_testkit::{
    Answer, Backend, BadChunks, BothLengths, DiesMidBody, Echo, HttpOneZero, NeverAccepts,
    ObsFolder, Random, RawClient, Refuser, SendsTrailers, TalksGarbage, Trouble, UpgradeEcho,
    fingerprint,
};
use std::net::TcpStream;
use std::time::Duration;

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn echo_tells_what_it_read() {
    let backend = Backend::start(Echo);
    let mut client = RawClient::connect(backend.address());
    let body = Random::seeded(1).bytes(100_000);
    client.send(format!(
        "PUT /y?z HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    client.send(&body);
    let seen = client.response().json();
    assert_eq!(
        (&seen["method"], &seen["target"]),
        (&"PUT".into(), &"/y?z".into())
    );
    assert_eq!(seen["body_fingerprint"], fingerprint(&body));
    assert_eq!(client.exchange(GET).json()["connection"], 1);
    assert_eq!(backend.requests_total(), 2);
    drop(client);
    backend.wait_connections_open(0);
}

#[test]
fn chunks_and_trailers_are_read() {
    let backend = Backend::start(SendsTrailers);
    let response = RawClient::connect(backend.address()).exchange(GET);
    assert_eq!(
        (
            response.text().as_str(),
            response.trailers.get("x-checksum")
        ),
        ("with trailers", Some("abc123"))
    );
}

#[test]
fn leniency_is_nowhere() {
    fn check(script: impl foregate_testkit::Script) {
        let backend = Backend::start(script);
        let mut client = RawClient::connect(backend.address());
        client.send(GET);
        let outcome = client.try_response(false);
        assert!(matches!(outcome, Err(Trouble::Malformed(_))), "{outcome:?}");
    }
    check(BothLengths);
    check(BadChunks);
    check(ObsFolder);
    check(TalksGarbage);
}

#[test]
fn an_early_end_is_noticed() {
    let backend = Backend::start(DiesMidBody);
    let mut client = RawClient::connect(backend.address());
    client.send(GET);
    assert_eq!(client.try_response(false), Err(Trouble::Closed));
}

#[test]
fn the_close_ends_an_old_answer() {
    let backend = Backend::start(HttpOneZero);
    assert_eq!(
        RawClient::connect(backend.address()).exchange(GET).text(),
        "from the nineties"
    );
}

#[test]
fn an_upgrade_echoes() {
    let backend = Backend::start(UpgradeEcho);
    let mut client = RawClient::connect(backend.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nping");
    assert_eq!(client.try_head(false).map(|head| head.status), Ok(101));
    assert_eq!(client.connection().take(4), Ok(b"ping".to_vec()));
}

#[test]
fn refusers_refuse_until_they_are_revived_and_again_when_killed() {
    let refuser = Refuser::start();
    let address = refuser.address();
    assert!(TcpStream::connect(address).is_err());
    let backend = refuser.revive(Echo);
    assert_eq!(backend.address(), address);
    let mut client = RawClient::connect(address);
    assert_eq!(client.exchange(GET).status, 200);
    let _refuser = backend.kill();
    client.assert_closed();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn connecting_to_one_that_never_accepts_takes_forever() {
    let peer = NeverAccepts::start();
    assert!(TcpStream::connect_timeout(&peer.address(), Duration::from_millis(300)).is_err());
}

#[test]
fn head_answers_have_no_body() {
    let backend = Backend::answering(|_| Answer::ok("0123456789"));
    let mut client = RawClient::connect(backend.address());
    assert_eq!(
        client
            .exchange("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
            .field("content-length"),
        Some("10")
    );
    assert_eq!(client.exchange(GET).text(), "0123456789");
}
