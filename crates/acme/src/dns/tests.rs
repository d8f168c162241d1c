//! Questions to a real name server.

use foregate_testkit::NameServer;

use super::message::{Answer, Change, SharedKey};
use super::query;
use super::*;

const SECRET: &str = "c2VjcmV0";

#[tokio::test(flavor = "current_thread")]
#[expect(clippy::disallowed_methods, reason = "tests may block")]
async fn records_of_orders_that_are_cut_off_are_removed() {
    let scratch = foregate_testkit::Scratch::new();
    let log = scratch.join("log");
    let line = format!("echo $FOREGATE_ACTION $FOREGATE_NAME >>{}", log.display());
    let dns = DnsOptions {
        means: DnsMeans::Hook(["sh", "-c", &line].map(str::to_owned).into()),
        propagation_timeout: Duration::ZERO,
        resolvers: Vec::new(),
    };
    let leftovers = Leftovers::default();
    let record = DnsRecord::proving("a.example", "proof".into());
    let mut done = SetRecords::new(Some(&dns), &leftovers);
    done.present(record.clone()).await.unwrap();
    done.clean().await;
    drop(done);
    assert_eq!(leftovers.len(), 0);
    let cut_off = async {
        let mut records = SetRecords::new(Some(&dns), &leftovers);
        records.present(record).await.unwrap();
        std::future::pending::<()>().await;
    };
    let span = Duration::from_secs(1);
    assert!(tokio::time::timeout(span, cut_off).await.is_err());
    assert_eq!(leftovers.len(), 1);
    leftovers.clean().await;
    assert_eq!(leftovers.len(), 0);
    let turn = "present _acme-challenge.a.example\ncleanup _acme-challenge.a.example\n";
    assert_eq!(std::fs::read_to_string(log).unwrap(), turn.repeat(2));
}

/// A zone with an alias, a text longer than a UDP answer, and a name server with an address.
fn server() -> NameServer {
    let long: String = (0..8)
        .map(|_| format!("\"{}\" ", "x".repeat(200)))
        .collect();
    let records =
        format!("alias IN CNAME target.else\ntarget.else IN TXT \"here\"\nlong IN TXT {long}\n");
    let policy = "grant key.example name _acme-challenge.a.example. TXT;";
    NameServer::start("a.example", &records, ("key.example", SECRET), policy)
}

#[tokio::test(flavor = "current_thread")]
async fn aliases_lead_to_the_zone_and_its_servers() {
    let server = server();
    let at = server.address();
    let canonical = query::canonical(at, "alias.a.example").await.unwrap();
    assert_eq!(canonical, "target.else.a.example");
    let servers = query::authorities(at, &canonical, at.port()).await.unwrap();
    assert_eq!(servers, [at]);
    let texts = query::texts(servers[0], &canonical, false).await.unwrap();
    assert_eq!(texts, [b"here"]);
    assert_eq!(query::zone_at(at, &canonical).await.unwrap(), "a.example");
    let why = query::zone_at(at, "b.example").await.unwrap_err();
    assert!(why.contains("has no zone"), "{why}");
}

#[tokio::test(flavor = "current_thread")]
async fn a_server_that_refuses_does_not_say_that_there_is_nothing() {
    let server = server();
    let why = query::texts(server.address(), "b.example", false).await;
    assert!(why.unwrap_err().contains("code 5"));
}

#[tokio::test(flavor = "current_thread")]
async fn answers_too_long_for_a_datagram_come_over_tcp() {
    let server = server();
    let texts = query::texts(server.address(), "long.a.example", false).await;
    assert_eq!(texts.unwrap(), [vec![b'x'; 1_600]]);
}

#[tokio::test(flavor = "current_thread")]
async fn the_servers_own_signature_is_verified() {
    let server = server();
    let key = SharedKey::parse("key.example", "hmac-sha256", SECRET).unwrap();
    let change = Change::Add {
        value: "proof",
        ttl_seconds: 30,
    };
    let name = "_acme-challenge.a.example";
    let (request, mac) = query::sign("a.example", name, change, Some(&key)).unwrap();
    let answer = query::over_tcp(server.address(), &request).await.unwrap();
    assert_eq!(Answer::parse(&answer).unwrap().code, 0);
    let now = foregate_telemetry::clock::unix_now().seconds();
    assert!(key.verifies(&answer, &mac.unwrap(), now));
    assert!(!key.verifies(&answer, b"another", now));
    assert_eq!(server.texts(name), "\"proof\"\n");
}
