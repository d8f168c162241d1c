//! TLS that is not decrypted goes where its name says.

use std::net::TcpStream;

use foregate_testkit::{Answer, Backend, Gateway};
use foregate_tests::secure::Certificates;

/// A backend that speaks TLS: a second gateway.
const INNER: &str = r#"
[listeners.secure]
address = "127.0.0.1:0"
tls = true
[certificates.inner]
certificate = "{certificates}/inner.pem"
key = "{certificates}/inner.key"
[sites."*"]
upstream = "app"
tls = "files"
[upstreams.app]
servers = ["{backend}"]
"#;

const OUTER: &str = r#"
[listeners.public]
address = "127.0.0.1:0"
[listeners.names]
address = "127.0.0.1:0"
mode = "tls-passthrough"
sni = { "a.example" = "one", "*.b.example" = "two" }
[tls]
handshake_timeout = "300ms"
[sites."*"]
upstream = "one"
[upstreams.one]
servers = ["{one}"]
[upstreams.two]
servers = ["{two}"]
"#;

struct Story {
    certificates: Certificates,
    _backends: [Backend; 2],
    _inner: [Gateway; 2],
    outer: Gateway,
}

impl Story {
    fn begin() -> Story {
        let certificates = Certificates::new();
        certificates.issue("inner", &["a.example", "*.b.example", "c.example"]);
        let backends = ["one", "two"].map(|name| Backend::answering(move |_| Answer::ok(name)));
        let inner = [0, 1].map(|index: usize| {
            Gateway::new(INNER)
                .fill("certificates", certificates.directory())
                .fill("backend", backends[index].address())
                .start()
        });
        let outer = Gateway::new(OUTER)
            .fill("one", inner[0].listener("secure"))
            .fill("two", inner[1].listener("secure"))
            .start();
        Story {
            certificates,
            _backends: backends,
            _inner: inner,
            outer,
        }
    }
}

#[test]
fn the_name_decides_and_the_certificate_is_the_backends() {
    let story = Story::begin();
    let names = story.outer.listener("names");
    for (host, expected) in [("a.example", "one"), ("x.b.example", "two")] {
        let seen = story.certificates.curl(names, host, "/", &[]);
        assert_eq!(seen.body(), expected, "{}", seen.complaint());
    }
    let lines = story.outer.log_lines(2);
    assert_eq!(lines[0].text("host"), "a.example");
    assert_eq!(lines[0].reason(), "relayed");
    assert_eq!(lines[1].text("upstream"), "two");
}

/// As the gateway itself takes it where it ends TLS.
#[test]
fn the_roots_dot_behind_a_name_is_passed_over() {
    let story = Story::begin();
    let names = story.outer.listener("names");
    let request = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
    let asked = ["-servername", "a.example."];
    let seen = story.certificates.s_client(names, request, &asked);
    assert!(seen.contains("HTTP/1.1 200"), "{seen}");
    // Who of the two closes first is none of its business.
    assert_eq!(story.outer.only_log_line().text("upstream"), "one");
}

#[test]
fn a_name_that_nobody_takes_is_refused() {
    let story = Story::begin();
    let seen = story
        .certificates
        .curl(story.outer.listener("names"), "c.example", "/", &[]);
    assert_eq!(seen.status(), 0);
    assert_eq!(story.outer.only_log_line().reason(), "unknown-server-name");
}

#[test]
fn who_speaks_no_tls_or_nothing_is_refused() {
    let story = Story::begin();
    let url = format!("http://{}/", story.outer.listener("names"));
    assert_eq!(foregate_tests::secure::curl(&[&url]).status(), 0);
    let silent = TcpStream::connect(story.outer.listener("names")).expect("it listens");
    let mut silent = foregate_testkit::Connection::new(silent);
    let _ = silent.take_rest();
    let reasons: Vec<String> = (story.outer.log_lines(2).iter())
        .map(foregate_testkit::LogLine::reason)
        .collect();
    assert_eq!(reasons, ["not-tls", "not-tls"]);
    story.outer.assert_no_leaks();
}
