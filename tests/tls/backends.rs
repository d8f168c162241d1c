//! TLS towards backends: verified, or it does not happen.

use foregate_testkit::{Answer, Authority, Backend, Gateway};
use foregate_tests::secure::Certificates;

/// A backend that speaks TLS: a second gateway.
const INNER: &str = r#"
[listeners.secure]
address = "127.0.0.1:0"
tls = true
protocols = ["{protocol}"]
[certificates.inner]
certificate = "{certificates}/inner.pem"
key = "{certificates}/inner.key"
[sites."inner.test"]
hosts = ["127.0.0.1"]
upstream = "app"
tls = "files"
{client}
[upstreams.app]
servers = ["{backend}"]
"#;

const OUTER: &str = r#"
[sites."*"]
upstream = "inner"
[upstreams.inner]
servers = [{inner}]
host = "upstream"
protocol = "{protocol}"
tls = { {tls} }
"#;

struct Story {
    certificates: Certificates,
    backend: Backend,
    inner: Gateway,
    protocol: &'static str,
}

impl Story {
    fn begin(client: &str) -> Story {
        Story::speaking("h1", client)
    }

    fn speaking(protocol: &'static str, client: &str) -> Story {
        let certificates = Certificates::new();
        certificates.issue("inner", &["inner.test", "127.0.0.1"]);
        certificates.issue_client("gateway");
        let backend = Backend::answering(|request| {
            Answer::ok(request.field("x-subject").unwrap_or("nobody").to_owned())
        });
        let inner = inner(protocol, client, &certificates, &backend);
        Story {
            certificates,
            backend,
            inner,
            protocol,
        }
    }

    fn outer(&self, tls: &str) -> Gateway {
        self.outer_of(&[&self.inner], tls)
    }

    fn outer_of(&self, inner: &[&Gateway], tls: &str) -> Gateway {
        let servers = inner
            .iter()
            .map(|one| format!("\"{}\"", one.listener("secure")));
        Gateway::new(OUTER)
            .fill("inner", servers.collect::<Vec<_>>().join(", "))
            .fill("protocol", self.protocol)
            .fill("tls", tls)
            .fill("certificates", self.certificates.directory())
            .start()
    }
}

fn inner(protocol: &str, client: &str, certificates: &Certificates, backend: &Backend) -> Gateway {
    Gateway::new(INNER)
        .fill("protocol", protocol)
        .fill("client", client)
        .fill("certificates", certificates.directory())
        .fill("backend", backend.address())
        .start()
}

const CA: &str = "ca_file = \"{certificates}/ca.pem\"";

fn with(more: &str) -> String {
    format!("{CA}, {more}")
}

#[test]
fn a_backend_that_is_who_it_should_be_is_asked() {
    let story = Story::begin("");
    // By its address, and by a name of the operator's.
    let outer = story.outer(CA);
    assert_eq!(outer.get("a", "/").status, 200);
    assert_eq!(outer.get("a", "/").status, 200);
    assert_eq!(story.backend.requests().len(), 2);
    // The connection was kept for the second request.
    assert_eq!(
        outer.metric("foregate_endpoint_connects_total", &[("upstream", "inner")]),
        1.0
    );
    outer.assert_no_leaks();
}

#[test]
fn a_backend_for_another_name_is_not_asked() {
    let story = Story::begin("");
    let outer = story.outer(&with("server_name = \"other.test\""));
    assert_eq!(outer.get("a", "/").status, 502);
    foregate_tests::assert_outcome(&outer, 502, "upstream-tls-failed");
    assert_eq!(story.backend.requests().len(), 0);
}

#[test]
fn a_certificate_for_another_name_is_told_by_its_reason() {
    let story = Story::begin("");
    // An address is not asked for by name, so the inner gateway shows the certificate for its own.
    let outer = story.outer(&with("server_name = \"127.0.0.2\""));
    assert_eq!(outer.get("a", "/").status, 502);
    foregate_tests::assert_outcome(&outer, 502, "upstream-wrong-name");
    assert_eq!(story.backend.requests().len(), 0);
}

#[test]
fn a_backend_of_a_stranger_is_not_asked() {
    let story = Story::begin("");
    let stranger = Authority::new("Stranger").pem();
    story.certificates.put("stranger.pem", &stranger);
    let outer = story.outer("ca_file = \"{certificates}/stranger.pem\"");
    assert_eq!(outer.get("a", "/").status, 502);
    foregate_tests::assert_outcome(&outer, 502, "upstream-untrusted");
    assert_eq!(story.backend.requests().len(), 0);
}

#[test]
fn whoever_spells_insecure_gets_it() {
    let story = Story::begin("");
    let outer = story.outer("verify = \"insecure\"");
    assert_eq!(outer.get("a", "/").status, 200);
}

/// What a backend is told that wants to know who asks.
const CLIENT: &str =
    "client_certificate = { ca_file = \"{certificates}/ca.pem\", subject_field = \"X-Subject\" }";

#[test]
fn a_backend_may_ask_who_we_are() {
    for protocol in ["h1", "h2"] {
        let story = Story::speaking(protocol, CLIENT);
        let outer = story.outer(CA);
        assert_eq!(outer.get("a", "/").status, 502);
        // With TLS 1.3 it says so only once the handshake is done.
        foregate_tests::assert_outcome(&outer, 502, "upstream-tls-failed");
        let shown = with(
            "client_certificate = \"{certificates}/gateway.pem\", client_key = \"{certificates}/gateway.key\"",
        );
        let outer = story.outer(&shown);
        let answer = outer.get("a", "/");
        assert_eq!((answer.status, answer.text().as_str()), (200, "CN=gateway"));
    }
}

#[test]
fn a_backend_that_refuses_us_is_passed_over_for_one_that_does_not() {
    for protocol in ["h1", "h2"] {
        let story = Story::speaking(protocol, CLIENT);
        let open = inner(protocol, "", &story.certificates, &story.backend);
        let outer = story.outer_of(&[&story.inner, &open], CA);
        for _ in 0..2 {
            assert_eq!(outer.get("a", "/").status, 200, "{protocol}");
        }
        let lines = outer.log_lines(2);
        let tries: Vec<_> = lines.iter().map(|line| line.number("tries")).collect();
        assert!(tries.contains(&2.0), "{protocol}: {tries:?}");
    }
}

#[test]
fn a_backend_that_speaks_no_tls_is_told_by_its_reason() {
    let certificates = Certificates::new();
    let backend = Backend::answering(|_| Answer::ok("never"));
    let outer = Gateway::new(OUTER)
        .fill("inner", format!("\"{}\"", backend.address()))
        .fill("protocol", "h1")
        .fill("tls", CA)
        .fill("certificates", certificates.directory())
        .start();
    assert_eq!(outer.get("a", "/").status, 502);
    foregate_tests::assert_outcome(&outer, 502, "upstream-tls-failed");
}
