//! Clients that must show a certificate, and backends that can trust what they are told of it.

use foregate_testkit::{Answer, Authority, Backend, Gateway, RawClient};
use foregate_tests::secure::{Certificates, curl};

const CONFIG: &str = r#"
[listeners.plain]
address = "127.0.0.1:0"
[listeners.secure]
address = "127.0.0.1:0"
tls = true
protocols = ["h1"]
[certificates.all]
folder = "{certificates}/served"
[sites."open.example"]
upstream = "app"
https_redirect = "off"
[sites."closed.example"]
upstream = "app"
https_redirect = "off"
[sites."closed.example".client_certificate]
ca_file = "{certificates}/ca.pem"
crl_files = ["{certificates}/revoked.crl"]
subject_field = "X-Client-Subject"
fingerprint_field = "X-Client-Fingerprint"
[sites."ajar.example"]
upstream = "app"
[sites."ajar.example".client_certificate]
mode = "optional"
ca_file = "{certificates}/ca.pem"
subject_field = "X-Client-Subject"
[upstreams.app]
servers = ["{backend}"]
"#;

struct Story {
    certificates: Certificates,
    gateway: Gateway,
}

impl Story {
    fn begin() -> (Story, Backend) {
        Story::with(CONFIG)
    }

    fn with(config: &str) -> (Story, Backend) {
        let certificates = Certificates::new();
        let names = ["open.example", "closed.example", "ajar.example"];
        certificates.issue("served/all", &names);
        certificates.issue_client("alice");
        let gone = certificates.issue_client("gone");
        let list = certificates.authority.revocations(&[&gone]);
        certificates.put("revoked.crl", &list);
        let backend = Backend::answering(|request| {
            let all = |name: &str| request.fields.all(name).join("+");
            Answer::ok(format!(
                "subject={} fingerprint={} other={}",
                all("x-client-subject"),
                all("x-client-fingerprint"),
                all("x_client_subject"),
            ))
        });
        let gateway = Gateway::new(config)
            .fill("certificates", certificates.directory())
            .fill("backend", backend.address())
            .start();
        let story = Story {
            certificates,
            gateway,
        };
        (story, backend)
    }

    fn curl(
        &self,
        host: &str,
        client: Option<&str>,
        more: &[&str],
    ) -> foregate_tests::secure::Curl {
        let secure = self.gateway.listener("secure");
        let files = client.map(|stem| {
            let path = |ending: &str| self.certificates.path(&format!("{stem}.{ending}"));
            (path("pem"), path("key"))
        });
        let mut arguments: Vec<&str> = more.to_vec();
        if let Some((certificate, key)) = &files {
            arguments.extend(["--cert", certificate.as_str(), "--key", key.as_str()]);
        }
        self.certificates.curl(secure, host, "/", &arguments)
    }
}

#[test]
fn who_shows_none_is_refused_where_one_is_required() {
    let (story, backend) = Story::begin();
    let without = story.curl("closed.example", None, &[]);
    assert_eq!(without.status(), 0, "{}", without.text());
    assert!(
        without.complaint().contains("certificate required"),
        "{}",
        without.complaint()
    );
    let revoked = story.curl("closed.example", Some("gone"), &[]);
    assert_eq!(revoked.status(), 0, "{}", revoked.text());
    let stranger = foregate_testkit::Authority::new("Stranger").issue_client("mallory");
    story.certificates.put_pair("mallory", &stranger);
    let unknown = story.curl("ajar.example", Some("mallory"), &[]);
    assert_eq!(unknown.status(), 0, "{}", unknown.text());
    assert_eq!(backend.requests().len(), 0);
}

#[test]
fn a_client_that_sends_at_once_learns_why_it_is_refused() {
    let (story, _backend) = Story::with(&CONFIG.replace("[\"h1\"]", "[\"h1\", \"h2\"]"));
    for _ in 0..8 {
        // Its preface and settings are on their way before it can know.
        let seen = story.curl("closed.example", None, &["--http2"]);
        assert_eq!(seen.code(), 56, "{}", seen.complaint());
        let complaint = seen.complaint();
        assert!(complaint.contains("certificate required"), "{complaint}");
    }
}

#[test]
fn trailers_tell_of_no_certificate() {
    let (story, backend) = Story::begin();
    let mut client = RawClient::connect(story.gateway.listener("plain"));
    let response = client.exchange(concat!(
        "POST / HTTP/1.1\r\nHost: open.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "X-Client-Subject: CN=admin\r\nx_client_fingerprint: 00\r\nX-Sum: 5\r\n\r\n"
    ));
    assert_eq!(response.status, 200);
    let seen = backend.only_request();
    let trailers: Vec<_> = seen.trailers.iter().collect();
    assert_eq!(trailers, [("X-Sum", "5")]);
}

#[test]
fn backends_are_told_who_came() {
    let (story, _backend) = Story::begin();
    let seen = story.curl("closed.example", Some("alice"), &[]);
    assert_eq!(seen.status(), 200, "{}", seen.complaint());
    let body = seen.body();
    assert!(body.starts_with("subject=CN=alice fingerprint="), "{body}");
    let fingerprint = body.split("fingerprint=").nth(1).unwrap_or_default();
    assert_eq!(
        fingerprint.split(' ').next().map(str::len),
        Some(64),
        "{body}"
    );
    let nobody = story.curl("ajar.example", None, &[]);
    assert_eq!(nobody.body(), "subject= fingerprint= other=");
}

#[test]
fn a_revocation_list_that_is_over_is_told_before_it_turns_clients_away() {
    let certificates = Certificates::new();
    let names = ["open.example", "closed.example", "ajar.example"];
    certificates.issue("served/all", &names);
    let list = certificates.authority.revocations_until(&[], 2021);
    certificates.put("revoked.crl", &list);
    let run = Gateway::new(CONFIG)
        .fill("certificates", certificates.directory())
        .fill("backend", "127.0.0.1:9")
        .command(&["check"]);
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    let told = format!("{}{}", run.stdout, run.stderr);
    assert!(
        told.contains("the revocation list is over since 2021-01-01"),
        "{told}"
    );
}

#[test]
fn an_authority_without_a_list_beside_one_with_a_list_is_told() {
    let certificates = Certificates::new();
    let names = ["open.example", "closed.example", "ajar.example"];
    certificates.issue("served/all", &names);
    let stranger = Authority::new("Stranger");
    let told = |authorities: &[&Authority], list: &Authority| {
        let both: String = authorities.iter().map(|one| one.pem()).collect();
        certificates.put("both.pem", &both);
        certificates.put("revoked.crl", &list.revocations(&[]));
        let of_closed = "ca_file = \"{certificates}/ca.pem\"\ncrl_files";
        let of_both = "ca_file = \"{certificates}/both.pem\"\ncrl_files";
        let run = Gateway::new(&CONFIG.replace(of_closed, of_both))
            .fill("certificates", certificates.directory())
            .fill("backend", "127.0.0.1:9")
            .command(&["check"]);
        assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
        format!("{}{}", run.stdout, run.stderr)
    };
    let own = &certificates.authority;
    let bare = "no revocation list is of the authority `CN=Stranger`";
    let strange = "the revocation list is of `CN=Stranger`, which is not in `ca_file`";
    assert!(told(&[own, &stranger], own).contains(bare));
    assert!(told(&[own], &stranger).contains(strange));
    let good = told(&[own], own);
    assert!(!good.contains("revocation list"), "{good}");
}

#[test]
fn nobody_can_forge_what_backends_are_told() {
    let (story, _backend) = Story::begin();
    let forged = [
        "-H",
        "X-Client-Subject: CN=root",
        "-H",
        "x-client-fingerprint: 00",
        "-H",
        "X_Client_Subject: CN=root",
    ];
    for host in ["open.example", "ajar.example"] {
        let seen = story.curl(host, None, &forged);
        assert_eq!(seen.body(), "subject= fingerprint= other=", "{host}");
    }
    let seen = story.curl("closed.example", Some("alice"), &forged);
    assert!(
        seen.body().starts_with("subject=CN=alice "),
        "{}",
        seen.body()
    );
    assert!(seen.body().ends_with("other="), "{}", seen.body());
    // Nor where TLS has no part in it.
    let url = format!("http://{}/", story.gateway.listener("plain"));
    let mut arguments = vec!["-H", "Host: open.example", &url];
    arguments.extend(forged);
    assert_eq!(curl(&arguments).body(), "subject= fingerprint= other=");
}

#[test]
fn a_request_for_another_host_than_the_handshakes_is_misdirected() {
    let (story, backend) = Story::begin();
    for host in ["closed.example", "ajar.example"] {
        let seen = story.curl("open.example", None, &["-H", &format!("Host: {host}")]);
        assert_eq!(seen.status(), 421, "{host}: {}", seen.text());
    }
    let seen = story.curl(
        "closed.example",
        Some("alice"),
        &["-H", "Host: ajar.example"],
    );
    assert_eq!(seen.status(), 421);
    let same = story.curl(
        "closed.example",
        Some("alice"),
        &["-H", "Host: CLOSED.example:1"],
    );
    assert_eq!(same.status(), 200);
    assert_eq!(backend.requests().len(), 1);
    let lines = story.gateway.log_lines(4);
    assert_eq!(lines[0].reason(), "misdirected-request");
}

#[test]
fn cleartext_is_no_way_around_a_required_certificate() {
    let (story, backend) = Story::begin();
    let url = format!("http://{}/", story.gateway.listener("plain"));
    assert_eq!(curl(&["-H", "Host: closed.example", &url]).status(), 421);
    assert_eq!(backend.requests().len(), 0);
}
