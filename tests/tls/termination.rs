//! TLS ends at a listener; who is asked for decides which certificate is shown.

use foregate_testkit::{Answer, Backend, Gateway};
use foregate_tests::secure::Certificates;

const CONFIG: &str = r#"
[listeners.secure]
address = "127.0.0.1:0"
tls = true
protocols = ["h1"]
[certificates.one]
certificate = "{certificates}/one.pem"
key = "{certificates}/one.key"
[certificates.rest]
folder = "{certificates}/rest"
[sites."one.example"]
upstream = "app"
[sites."*.two.example"]
upstream = "app"
[sites."three.internal"]
tls = "files"
upstream = "app"
[upstreams.app]
servers = ["{backend}"]
"#;

fn gateway(certificates: &Certificates, backend: &Backend) -> Gateway {
    certificates.issue("one", &["one.example"]);
    certificates.issue("rest/two", &["*.two.example"]);
    certificates.issue("rest/three", &["three.internal"]);
    Gateway::new(CONFIG)
        .fill("certificates", certificates.directory())
        .fill("backend", backend.address())
        .start()
}

fn telling_scheme() -> Backend {
    Backend::answering(|request| {
        let told = |name| request.field(name).unwrap_or("-").to_owned();
        Answer::ok(format!(
            "{} {}",
            told("x-forwarded-proto"),
            told("forwarded")
        ))
    })
}

#[test]
fn a_request_comes_in_by_tls_and_the_backend_is_told() {
    let certificates = Certificates::new();
    let backend = telling_scheme();
    let gateway = gateway(&certificates, &backend);
    let secure = gateway.listener("secure");
    for version in ["1.2", "1.3"] {
        let seen = certificates.curl(secure, "one.example", "/a?b", &["--tls-max", version]);
        assert_eq!(seen.status(), 200, "{version}: {}", seen.complaint());
        assert!(seen.body().starts_with("https "), "{}", seen.body());
        assert!(seen.body().contains("proto=https"), "{}", seen.body());
    }
}

#[test]
fn each_name_has_its_certificate() {
    let certificates = Certificates::new();
    let backend = telling_scheme();
    let gateway = gateway(&certificates, &backend);
    let secure = gateway.listener("secure");
    // curl looks whether the certificate is for the name.
    for host in ["one.example", "a.two.example", "three.internal"] {
        let seen = certificates.curl(secure, host, "/", &[]);
        assert_eq!(seen.status(), 200, "{host}: {}", seen.complaint());
    }
}

#[test]
fn a_name_without_a_certificate_is_refused_in_the_handshake() {
    let certificates = Certificates::new();
    let backend = telling_scheme();
    let gateway = gateway(&certificates, &backend);
    let secure = gateway.listener("secure");
    for host in ["four.example", "a.b.two.example"] {
        let seen = certificates.curl(secure, host, "/", &[]);
        assert_eq!(seen.code(), 35, "{host}: {}", seen.complaint());
        assert!(
            seen.complaint().contains("unrecognized name"),
            "{}",
            seen.complaint()
        );
    }
    gateway.wait_metric(
        "foregate_connections_refused_total",
        &[("reason", "handshake")],
        2.0,
    );
    assert_eq!(backend.requests().len(), 0);
    gateway.assert_no_leaks();
}

#[test]
fn cleartext_on_a_tls_port_is_told_so() {
    let certificates = Certificates::new();
    let backend = telling_scheme();
    let gateway = gateway(&certificates, &backend);
    let url = format!("http://{}/", gateway.listener("secure"));
    let seen = foregate_tests::secure::curl(&[&url]);
    assert_eq!(seen.status(), 400);
    assert!(seen.body().contains("HTTPS"), "{}", seen.body());
}

#[test]
fn a_connection_carries_many_requests() {
    let certificates = Certificates::new();
    let backend = telling_scheme();
    let gateway = gateway(&certificates, &backend);
    let mut client = certificates.connect(gateway.listener("secure"), "one.example", &[]);
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: one.example\r\n\r\n");
        let answer = client.read_until("proto=https");
        assert!(answer.contains("HTTP/1.1 200 "), "{answer}");
    }
}
