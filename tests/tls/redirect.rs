//! Clients in cleartext are sent to HTTPS, once there is a certificate, and browsers remember it.

use foregate_testkit::{Answer, Backend, Echo, Gateway};
use foregate_tests::secure::{Certificates, curl};

const CONFIG: &str = r#"
state_dir = "{dir}/state"
[forwarding]
trusted_proxies = ["127.0.0.2/32"]
[listeners.plain]
address = "127.0.0.1:0"
[listeners.secure]
address = "127.0.0.1:0"
tls = true
protocols = ["h1"]
[certificates.one]
certificate = "{certificates}/one.pem"
key = "{certificates}/one.key"
[sites."one.example"]
upstream = "app"
[sites."usual.example"]
upstream = "app"
https_redirect = 443
[sites."strict.example"]
upstream = "app"
hsts = { max_age = "1h", include_subdomains = true, preload = true }
https_redirect = 4443
[sites."open.example"]
upstream = "app"
https_redirect = "off"
[sites."quiet.example"]
upstream = "app"
https_redirect = 443
hsts = "off"
[sites."*.bare.example"]
upstream = "app"
[sites."app.internal"]
upstream = "app"
[sites."*.localhost"]
upstream = "app"
[upstreams.app]
servers = ["{backend}"]
"#;

struct Story {
    certificates: Certificates,
    backend: Backend,
    gateway: Gateway,
}

impl Story {
    fn begin() -> Story {
        Story::with(Story::issue)
    }

    fn issue(certificates: &Certificates) {
        let names = [
            "one.example",
            "usual.example",
            "strict.example",
            "open.example",
            "quiet.example",
        ];
        certificates.issue("one", &names);
    }

    fn with(issue: impl FnOnce(&Certificates)) -> Story {
        Story::before(Backend::start(Echo), issue)
    }

    fn before(backend: Backend, issue: impl FnOnce(&Certificates)) -> Story {
        let certificates = Certificates::new();
        issue(&certificates);
        let gateway = Gateway::new(CONFIG)
            .fill("certificates", certificates.directory())
            .fill("backend", backend.address())
            .start();
        Story {
            certificates,
            backend,
            gateway,
        }
    }

    /// The status and Location of an answer in cleartext.
    fn plain(&self, host: &str, target: &str, more: &[&str]) -> (u16, Option<String>) {
        let url = format!("http://{}{target}", self.gateway.listener("plain"));
        let host = format!("Host: {host}");
        let mut arguments = vec!["--path-as-is", "-H", &host];
        arguments.extend(more);
        arguments.push(&url);
        let seen = curl(&arguments);
        (seen.status(), seen.field("location"))
    }
}

#[test]
fn a_redirect_keeps_host_path_and_query_and_finds_the_port() {
    let story = Story::begin();
    let port = story.gateway.listener("secure").port();
    let expected = format!("https://one.example:{port}/a%2Fb/?x=1&y=%20");
    let seen = story.plain("one.example:8080", "/a%2Fb/?x=1&y=%20", &[]);
    assert_eq!(seen, (308, Some(expected)));
    let posted = story.plain("ONE.example", "/", &["--data", "x"]);
    assert_eq!(posted, (308, Some(format!("https://ONE.example:{port}/"))));
    let strict = story.plain("strict.example", "/", &[]);
    assert_eq!(strict, (308, Some("https://strict.example:4443/".into())));
    assert_eq!(story.backend.requests().len(), 0);
    let lines = story.gateway.log_lines(3);
    assert_eq!(lines[0].reason(), "redirected-to-https");
}

#[test]
fn a_site_without_certificate_or_wish_stays_in_cleartext() {
    let story = Story::begin();
    assert_eq!(story.plain("open.example", "/", &[]), (200, None));
    // Nobody has a certificate for it, so HTTPS would lead nowhere.
    assert_eq!(story.plain("a.bare.example", "/", &[]), (200, None));
}

#[test]
fn a_certificate_that_has_ended_opens_no_way_in_cleartext() {
    let put = |certificates: &Certificates, from, to| {
        let issued = (certificates.authority.request(&["one.example"]))
            .valid(from, to)
            .issue();
        certificates.put_pair("one", &issued);
    };
    let ended = Story::with(|certificates| put(certificates, 2001, 2002));
    let (status, location) = ended.plain("one.example", "/", &[]);
    assert_eq!(status, 308, "{location:?}");
    let early = Story::with(|certificates| put(certificates, 2090, 2100));
    assert_eq!(early.plain("one.example", "/", &[]), (200, None));
}

#[test]
fn a_local_name_gets_a_certificate_of_the_internal_authority() {
    let story = Story::begin();
    let (status, location) = story.plain("app.internal", "/", &[]);
    assert_eq!(status, 308, "{location:?}");
    let root = format!("{}/state", story.gateway.scratch().path().display());
    assert!(std::path::Path::new(&root).is_dir());
    let port = story.gateway.listener("secure").port();
    let resolve = format!("app.internal:{port}:127.0.0.1");
    let url = format!("https://app.internal:{port}/");
    // Nobody here knows its root.
    assert_eq!(curl(&["--resolve", &resolve, &url]).code(), 60);
    let seen = curl(&["--insecure", "--resolve", &resolve, &url]);
    assert_eq!(seen.status(), 200, "{}", seen.complaint());
    assert_eq!(seen.field("strict-transport-security"), None);
}

#[test]
fn each_name_under_a_whole_domain_gets_a_certificate_that_clients_take() {
    let story = Story::begin();
    let told = story.gateway.admin_send("GET", "/certificates", "").json();
    let root = told["internal_root"].as_str().expect("there is one");
    let root = story.certificates.put("root.pem", root);
    let port = story.gateway.listener("secure").port();
    for host in ["one.localhost", "two.localhost", "one.localhost"] {
        assert_eq!(story.plain(host, "/", &[]).0, 308, "{host}");
        let resolve = format!("{host}:{port}:127.0.0.1");
        let url = format!("https://{host}:{port}/");
        let seen = curl(&["--cacert", &root, "--resolve", &resolve, &url]);
        assert_eq!(seen.status(), 200, "{host}: {}", seen.complaint());
    }
}

#[test]
fn a_trusted_proxy_that_ended_tls_is_not_sent_in_circles() {
    let story = Story::begin();
    for told in [
        "X-Forwarded-Proto: https",
        "Forwarded: for=192.0.2.1;proto=https",
    ] {
        let told = ["-H", told];
        let from_proxy = ["--interface", "127.0.0.2", told[0], told[1]];
        assert_eq!(story.plain("one.example", "/", &from_proxy).0, 200);
        assert_eq!(story.plain("one.example", "/", &told).0, 308);
    }
}

#[test]
fn challenges_stay_where_they_are_asked_for() {
    let story = Story::begin();
    let path = "/.well-known/acme-challenge/some-token";
    // The backend may have a client of its own that answers.
    assert_eq!(story.plain("one.example", path, &[]), (200, None));
    assert_eq!(story.backend.last_request().target, path);
}

#[test]
fn browsers_are_told_to_stay() {
    let story = Story::begin();
    let secure = story.gateway.listener("secure");
    let told = |host: &str| {
        let seen = story.certificates.curl(secure, host, "/", &[]);
        assert_eq!(seen.status(), 200, "{host}: {}", seen.complaint());
        seen.field("strict-transport-security")
    };
    assert_eq!(told("usual.example").as_deref(), Some("max-age=31536000"));
    // Not where they would look for HTTPS on a port that nobody listens on.
    assert_eq!(told("one.example"), None);
    assert_eq!(
        told("strict.example").as_deref(),
        Some("max-age=3600; includeSubDomains; preload")
    );
    assert_eq!(told("open.example"), None);
    assert_eq!(told("quiet.example"), None);
    assert_eq!(story.plain("quiet.example", "/", &[]).0, 308);
}

#[test]
fn what_a_backend_tells_browsers_stands_unless_something_else_is_written() {
    let own = "max-age=60";
    let backend =
        Backend::answering(move |_| Answer::ok("told").field("Strict-Transport-Security", own));
    let story = Story::before(backend, Story::issue);
    let secure = story.gateway.listener("secure");
    for (host, told) in [
        ("usual.example", own),
        ("quiet.example", own),
        ("open.example", own),
        ("strict.example", "max-age=3600; includeSubDomains; preload"),
    ] {
        let seen = story.certificates.curl(secure, host, "/", &[]);
        assert_eq!(seen.body(), "told", "{host}");
        let fields = seen.text().to_ascii_lowercase();
        assert_eq!(fields.matches("strict-transport-security:").count(), 1);
        let field = seen.field("strict-transport-security");
        assert_eq!(field.as_deref(), Some(told), "{host}");
    }
}

/// Another certificate may have the very name, and the handshake shows the wildcard all the same.
#[test]
fn a_site_that_is_shown_a_wildcard_is_redirected_whatever_else_there_is() {
    let certificates = Certificates::new();
    certificates.issue("wild", &["*.corp.example"]);
    certificates.issue("other", &["a.corp.example", "b.corp.example"]);
    let gateway = Gateway::new(
        r#"
        [listeners.plain]
        address = "127.0.0.1:0"
        [listeners.secure]
        address = "127.0.0.1:0"
        tls = true
        [certificates.wild]
        certificate = "{certificates}/wild.pem"
        key = "{certificates}/wild.key"
        [certificates.other]
        certificate = "{certificates}/other.pem"
        key = "{certificates}/other.key"
        [sites."a.corp.example"]
        tls = "files"
        certificates = ["wild"]
        routes = [{ respond = { status = 200 } }]
        [sites."b.corp.example"]
        routes = [{ respond = { status = 200 } }]
        "#,
    )
    .fill("certificates", certificates.directory())
    .start();
    let url = format!("http://{}/", gateway.listener("plain"));
    for host in ["a.corp.example", "b.corp.example", "A.Corp.Example."] {
        let seen = curl(&["-H", &format!("Host: {host}"), &url]);
        assert_eq!(seen.status(), 308, "{host}");
    }
}
