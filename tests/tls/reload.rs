//! Reloads change what new handshakes see, and leave connections alone.

use foregate_testkit::{Answer, Backend, Gateway, Signal};
use foregate_tests::secure::Certificates;

const CONFIG: &str = r#"
[listeners.secure]
address = "127.0.0.1:0"
tls = true
protocols = ["h1"]
[certificates.one]
certificate = "{certificates}/{stem}.pem"
key = "{certificates}/{stem}.key"
[sites."one.example"]
upstream = "app"
tls = "files"
{more}
[upstreams.app]
servers = ["{backend}"]
"#;

fn start(certificates: &Certificates, backend: &Backend) -> Gateway {
    certificates.issue("first", &["one.example"]);
    Gateway::new(CONFIG)
        .fill("certificates", certificates.directory())
        .fill("backend", backend.address())
        .fill("stem", "first")
        .fill("more", "")
        .start()
}

/// The configuration with another certificate and more keys of the site.
fn changed(stem: &str, more: &str) -> String {
    CONFIG.replace("{stem}", stem).replace("{more}", more)
}

fn ask(client: &mut foregate_tests::secure::TlsClient) -> String {
    client.send("GET / HTTP/1.1\r\nHost: one.example\r\n\r\n");
    client.read_until("\r\n\r\n")
}

#[test]
fn a_connection_survives_a_new_certificate() {
    let certificates = Certificates::new();
    let backend = Backend::answering(|_| Answer::ok(""));
    let mut gateway = start(&certificates, &backend);
    let secure = gateway.listener("secure");
    let mut client = certificates.connect(secure, "one.example", &[]);
    assert!(ask(&mut client).starts_with("HTTP/1.1 200"));
    let other = foregate_testkit::Authority::new("Other Root");
    certificates.put_pair("second", &other.issue(&["one.example"]));
    gateway.rewrite_config(&changed("second", ""), &[]);
    gateway.signal(Signal::Hup);
    gateway.wait_stderr("configuration reloaded");
    // New handshakes see the new certificate, which this client does not trust.
    assert_eq!(
        certificates.curl(secure, "one.example", "/", &[]).code(),
        60
    );
    assert!(ask(&mut client).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_certificate_that_does_not_fit_refuses_the_reload() {
    let certificates = Certificates::new();
    let backend = Backend::answering(|_| Answer::ok(""));
    let mut gateway = start(&certificates, &backend);
    let issued = certificates.issue("second", &["one.example"]);
    let other = certificates.issue("third", &["one.example"]);
    certificates.put("second.key", &other.key_pem);
    assert_ne!(issued.key_pem, other.key_pem);
    gateway.rewrite_config(&changed("second", ""), &[]);
    gateway.signal(Signal::Hup);
    gateway.wait_stderr("belongs to another certificate");
    let seen = certificates.curl(gateway.listener("secure"), "one.example", "/", &[]);
    assert_eq!(seen.status(), 200, "{}", seen.complaint());
}

#[test]
fn a_certificate_that_is_left_out_is_gone_also_when_ticket_keys_have_changed() {
    let certificates = Certificates::new();
    let backend = Backend::answering(|_| Answer::ok(""));
    certificates.issue("old", &["old.example"]);
    certificates.put("tickets", &"00".repeat(32));
    let with_old = CONFIG.replace(
        "[certificates.one]",
        "[certificates.old]
certificate = \"{certificates}/old.pem\"
key = \"{certificates}/old.key\"
[certificates.one]",
    );
    let tickets = "\n[tls]\nticket_keys_file = \"{certificates}/tickets\"\n";
    certificates.issue("first", &["one.example"]);
    let mut gateway = Gateway::new(&format!("{with_old}{tickets}"))
        .fill("certificates", certificates.directory())
        .fill("backend", backend.address())
        .fill("stem", "first")
        .fill("more", "")
        .start();
    let shown = |gateway: &Gateway| {
        let told = gateway.admin_send("GET", "/certificates", "").json();
        let all = told["certificates"].as_array().cloned().unwrap_or_default();
        all.iter()
            .filter_map(|one| one["certificate"].as_str().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(&gateway), ["old", "one"]);
    certificates.put("tickets", &"11".repeat(32));
    gateway.rewrite_config(&format!("{}{tickets}", changed("first", "")), &[]);
    gateway.signal(Signal::Hup);
    gateway.wait_stderr("configuration reloaded");
    assert_eq!(shown(&gateway), ["one"]);
}

#[test]
fn a_connection_without_certificate_gets_no_further_once_one_is_required() {
    let certificates = Certificates::new();
    let backend = Backend::answering(|_| Answer::ok(""));
    let mut gateway = start(&certificates, &backend);
    let mut client = certificates.connect(gateway.listener("secure"), "one.example", &[]);
    assert!(ask(&mut client).starts_with("HTTP/1.1 200"));
    let asked = "client_certificate = { ca_file = \"{certificates}/ca.pem\" }";
    gateway.rewrite_config(&changed("first", asked), &[]);
    gateway.signal(Signal::Hup);
    gateway.wait_stderr("configuration reloaded");
    assert!(ask(&mut client).starts_with("HTTP/1.1 421"));
}
