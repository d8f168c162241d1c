//! Which protocol is agreed on in the TLS handshake with a backend, which is a second gateway here.

use foregate_testkit::{Answer, Backend, Gateway, UpgradeEcho};
use foregate_tests::secure::Certificates;

const INNER: &str = r#"
workers = 1
[listeners.secure]
address = "127.0.0.1:0"
tls = true
protocols = {offered}
[certificates.inner]
certificate = "{certificates}/inner.pem"
key = "{certificates}/inner.key"
[sites."inner.test"]
hosts = ["127.0.0.1"]
upstream = "app"
tls = "files"
[upstreams.app]
servers = ["{backend}"]
"#;

const OUTER: &str = r#"
workers = 1
[sites."*"]
upstream = "inner"
[upstreams.inner]
servers = ["{inner}"]
host = "upstream"
protocol = "{protocol}"
tls = { ca_file = "{certificates}/ca.pem" }
"#;

/// The two gateways, and the certificates that both have been given.
fn pair(backend: &Backend, offered: &str, protocol: &str) -> (Certificates, Gateway, Gateway) {
    let certificates = Certificates::new();
    certificates.issue("inner", &["inner.test", "127.0.0.1"]);
    let inner = Gateway::new(INNER)
        .fill("offered", offered)
        .fill("certificates", certificates.directory())
        .fill("backend", backend.address())
        .start();
    let outer = Gateway::new(OUTER)
        .fill("inner", inner.listener("secure"))
        .fill("protocol", protocol)
        .fill("certificates", certificates.directory())
        .start();
    (certificates, inner, outer)
}

#[test]
fn the_backend_chooses_among_what_is_offered() {
    for (offered, protocol, spoken) in [
        ("[\"h1\", \"h2\"]", "auto", "HTTP/2"),
        ("[\"h1\"]", "auto", "HTTP/1.1"),
        ("[\"h1\", \"h2\"]", "h2", "HTTP/2"),
        ("[\"h1\", \"h2\"]", "h1", "HTTP/1.1"),
    ] {
        let backend = Backend::answering(|_| Answer::ok("fine"));
        let (_certificates, inner, outer) = pair(&backend, offered, protocol);
        for _ in 0..3 {
            assert_eq!(outer.get("a", "/").text(), "fine");
        }
        let lines = inner.log_lines(3);
        assert!(
            lines.iter().all(|line| line.text("protocol") == spoken),
            "{offered} {protocol}"
        );
    }
}

#[test]
fn a_backend_without_http2_is_named() {
    let backend = Backend::answering(|_| Answer::ok("fine"));
    let (_certificates, _inner, outer) = pair(&backend, "[\"h1\"]", "h2");
    assert_eq!(outer.get("a", "/").status, 502);
}

#[test]
fn upgrades_take_http1_where_the_backend_may_choose() {
    let backend = Backend::start(UpgradeEcho);
    let (_certificates, inner, outer) = pair(&backend, "[\"h1\", \"h2\"]", "auto");
    let mut client = outer.connect();
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: some-protocol/2\r\n\r\nfirst",
    );
    let head = client.try_head(false).expect("an answer");
    assert_eq!(
        (head.status, head.field("upgrade")),
        (101, Some("some-protocol/2"))
    );
    assert_eq!(client.connection().take(5), Ok(b"first".to_vec()));
    client.connection().finish_sending();
    assert_eq!(client.connection().take_rest(), Ok(Vec::new()));
    assert_eq!(inner.only_log_line().text("protocol"), "HTTP/1.1");
}
