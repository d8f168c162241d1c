//! HTTP/2 as curl, nghttp and h2load speak it, over TLS and, by prior knowledge, without.

use std::process::Command;

use foregate_testkit::{Answer, Backend, Echo, Gateway, Random, SendsTrailers, fingerprint};
use foregate_tests::foreign::Program;
use foregate_tests::secure::{Certificates, curl};

use crate::both_listeners;

fn run(program: &str, arguments: &[&str]) -> String {
    Program::start(Command::new(program).args(arguments)).finish()
}

/// The addresses of both listeners as URLs.
fn urls(gateway: &Gateway, target: &str) -> [String; 2] {
    let (plain, secure) = (gateway.address(), gateway.listener("secure"));
    [
        format!("http://{plain}{target}"),
        format!("https://{secure}{target}"),
    ]
}

#[test]
fn curl_is_offered_http2_and_takes_it() {
    let certificates = Certificates::new();
    let backend = Backend::answering(|request| Answer::ok(format!("[{}]", request.target)));
    let gateway = both_listeners(&certificates, &backend);
    let secure = gateway.listener("secure");
    let seen = certificates.curl(secure, "client.example", "/a?b=c", &["--http2"]);
    assert!(
        seen.text().starts_with("HTTP/2 200"),
        "{} {}",
        seen.text(),
        seen.complaint()
    );
    assert_eq!(seen.body(), "[/a?b=c]");
    let seen = backend.only_request();
    assert_eq!(
        seen.field("host"),
        Some(&format!("client.example:{}", secure.port())[..])
    );
    let plain = format!("http://{}/plain", gateway.address());
    let seen = curl(&["--http2-prior-knowledge", &plain]);
    assert_eq!((seen.status(), seen.body()), (200, "[/plain]".to_owned()));
    gateway.assert_no_leaks();
}

#[test]
fn curl_sends_and_gets_large_bodies() {
    let certificates = Certificates::new();
    let backend = Backend::start(Echo);
    let gateway = both_listeners(&certificates, &backend);
    let body = Random::seeded(21).bytes(5_000_000);
    let name = certificates.path("upload");
    std::fs::write(&name, &body).expect("the file can be written");
    let secure = gateway.listener("secure");
    let seen = certificates.curl(
        secure,
        "client.example",
        "/up",
        &["--http2", "--upload-file", &name],
    );
    assert!(
        seen.text().contains(&fingerprint(&body)),
        "{} {}",
        seen.text(),
        seen.complaint()
    );
    gateway.assert_no_leaks();
}

#[test]
fn nghttp_asks_for_many_things_at_a_time() {
    let certificates = Certificates::new();
    let body = Random::seeded(22).bytes(300_000);
    let backend = Backend::answering(move |_| Answer::ok(body.clone()));
    let gateway = both_listeners(&certificates, &backend);
    for url in urls(&gateway, "/many") {
        let seen = run(
            "nghttp",
            &[
                "--null-out",
                "--verbose",
                "--no-verify-peer",
                "--multiply=40",
                &url,
            ],
        );
        let answered = seen.matches(":status: 200").count();
        assert_eq!(answered, 40, "{url}: {seen}");
        assert!(!seen.contains("RST_STREAM"), "{url}: {seen}");
    }
    gateway.assert_no_leaks();
}

#[test]
fn nghttp_sees_trailers() {
    let certificates = Certificates::new();
    let backend = Backend::start(SendsTrailers);
    let gateway = both_listeners(&certificates, &backend);
    for url in urls(&gateway, "/") {
        let seen = run(
            "nghttp",
            &[
                "--verbose",
                "--no-verify-peer",
                "--header=te: trailers",
                &url,
            ],
        );
        // Two blocks: the head and the trailers.
        assert_eq!(
            seen.matches("recv HEADERS frame").count(),
            2,
            "{url}: {seen}"
        );
    }
    gateway.assert_no_leaks();
}

#[test]
fn h2load_finds_every_answer_good() {
    let certificates = Certificates::new();
    let backend = Backend::answering(|_| Answer::ok(vec![b'x'; 1024]));
    let gateway = both_listeners(&certificates, &backend);
    for url in urls(&gateway, "/1k") {
        for more in ["--max-concurrent-streams=32", "--h1"] {
            let seen = run("h2load", &["-n", "3000", "-c", "8", more, &url]);
            let expected = "3000 done, 3000 succeeded, 0 failed, 0 errored, 0 timeout";
            assert!(seen.contains(expected), "{url} {more}: {seen}");
            assert!(seen.contains("3000 2xx"), "{url} {more}: {seen}");
        }
    }
    gateway.assert_no_leaks();
}
