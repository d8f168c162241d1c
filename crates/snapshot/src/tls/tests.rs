//! What TLS compiles to, what a reload changes of it, and how it is explained.

use crate::tests::{inquiry, settings, snapshot};
use crate::{
    CertificateFiles, HttpsRedirect, Issuer, ModePlan, Outcome, Protocol, compile_after, diff,
    explain,
};

const CONFIG: &str = r#"
[listeners.plain]
address = "127.0.0.1:80"
[listeners.high]
address = "127.0.0.1:8443"
tls = true
[listeners.secure]
address = "127.0.0.1:443"
tls = true
protocols = ["h1"]
[listeners.raw]
address = "127.0.0.1:5432"
mode = "tls-passthrough"
sni = { "a.example" = "app", "*.b.example" = "other", "*.x.b.example" = "app" }

[certificates.shop]
certificate = "/etc/shop.pem"
key = "/etc/shop.key"

[sites."example.com"]
hosts = ["*.example.com", "shop.internal"]
upstream = "app"
[sites."public.example"]
certificates = ["shop"]
upstream = "app"
https_redirect = 4443
[sites."inside.example"]
listeners = ["plain", "high"]
upstream = "app"
hsts = { max_age = "1h", include_subdomains = true }
[sites."inside.example".client_certificate]
ca_file = "/etc/ca.pem"
subject_field = "X-Client-Subject"
[sites."plain.example"]
tls = "off"
upstream = "app"

[upstreams.app]
servers = ["10.1.0.1:80"]
protocol = "auto"
[upstreams.other]
servers = ["10.1.0.2:80"]
protocol = "auto"
[upstreams.other.tls]
server_name = "b"
"#;

#[test]
fn sites_know_their_certificates_and_redirects() {
    let snapshot = snapshot(&CONFIG.replace("[upstreams.other.tls]\nserver_name = \"b\"\n", ""));
    let number = |name: &str| {
        let found = snapshot.listeners.iter().find(|one| &*one.name == name);
        found.unwrap().number
    };
    let [example, public, inside, plain] = &*snapshot.sites else {
        panic!("four sites");
    };
    assert_eq!(*example.tls.listeners, [number("high"), number("secure")]);
    let redirect = HttpsRedirect {
        listener: number("secure"),
        port: Some(443),
    };
    assert_eq!(example.tls.redirect, Some(redirect));
    // One of its names is local: browsers would not take the certificate for it.
    assert_eq!(example.tls.hsts, None);
    let issued: Vec<String> = example
        .tls
        .issued()
        .map(|(host, issuer)| format!("{host} {issuer:?}"))
        .collect();
    assert_eq!(issued, ["example.com Acme", "shop.internal Internal"]);
    assert_eq!(example.tls.hosts[1].1, Issuer::Nobody);
    // It is sent to a port that browsers would not find again.
    assert_eq!(public.tls.hsts, None);
    assert_eq!(public.tls.redirect.unwrap().port, Some(4443));
    assert_eq!(public.tls.certificates.len(), 1);
    assert_eq!(*inside.tls.listeners, [number("high")]);
    assert_eq!(
        inside.tls.hsts.as_ref().map(|hsts| &*hsts.value),
        Some("max-age=3600; includeSubDomains")
    );
    let client = inside.tls.client.as_ref().unwrap();
    assert!(client.required && client.fingerprint_field.is_none());
    assert_eq!(snapshot.certificate_fields.len(), 1);
    assert!(plain.tls.listeners.is_empty() && plain.tls.redirect.is_none());
    assert!(matches!(
        snapshot.certificates[0].source,
        CertificateFiles::Pair { ocsp: None, .. }
    ));
}

#[test]
fn browsers_remember_what_they_find_again() {
    let hsts_and_port = |addresses: &str, more: &str| {
        let text = format!(
            "[listeners.plain]\naddress = \"127.0.0.1:80\"\n[listeners.secure]\naddresses = {addresses}\ntls = true\n\
             [sites.\"public.example\"]\nupstream = \"app\"\n{more}\n[upstreams.app]\nservers = [\"10.1.0.1:80\"]\n"
        );
        let snapshot = snapshot(&text);
        let tls = &snapshot.sites[0].tls;
        let hsts = tls.hsts.as_ref().map(|hsts| hsts.value.to_string());
        (hsts, tls.redirect.unwrap().port)
    };
    let year = || Some("max-age=31536000".to_owned());
    let usual = r#"["127.0.0.1:443"]"#;
    assert_eq!(hsts_and_port(usual, ""), (year(), Some(443)));
    let other = r#"["127.0.0.1:8443"]"#;
    assert_eq!(hsts_and_port(other, ""), (None, None));
    // Whoever stands before it has the port that clients use.
    let mapped = "https_redirect = 443";
    assert_eq!(hsts_and_port(other, mapped), (year(), Some(443)));
    let elsewhere = "https_redirect = 4443";
    assert_eq!(hsts_and_port(usual, elsewhere), (None, Some(4443)));
    let both = r#"["127.0.0.1:8443", "0.0.0.0:443"]"#;
    assert_eq!(hsts_and_port(both, ""), (year(), Some(443)));
}

#[test]
fn names_that_pass_through_find_their_upstream() {
    let text = CONFIG.replace("[upstreams.other.tls]\nserver_name = \"b\"\n", "");
    let snapshot = snapshot(&text);
    let listener = snapshot.listeners.iter().find(|one| &*one.name == "raw");
    let ModePlan::TlsPassthrough(routes) = &listener.unwrap().mode else {
        panic!("passes through");
    };
    for (name, expected) in [
        (Some("a.example"), Some("app")),
        (Some("b.example"), None),
        (Some("y.b.example"), Some("other")),
        (Some("y.x.b.example"), Some("app")),
        (Some("nobody.example"), None),
        (Some("ab.example"), None),
        (None, None),
    ] {
        let found = routes.find(name).map(|upstream| &**upstream);
        assert_eq!(found, expected, "{name:?}");
    }
}

#[test]
fn backends_and_their_protocols() {
    let text = CONFIG.replace(
        "mode = \"tls-passthrough\"",
        "mode = \"tcp\"\nupstream = \"app\"",
    );
    let text: String = text
        .lines()
        .filter(|line| !line.starts_with("sni"))
        .fold(String::new(), |text, line| text + line + "\n");
    let text = text.replacen(
        "upstream = \"app\"\nhttps_redirect",
        "upstream = \"other\"\nhttps_redirect",
        1,
    );
    let snapshot = snapshot(&text);
    // Without a handshake nobody can choose.
    assert_eq!(snapshot.upstreams[0].protocol.protocol, Protocol::Http1);
    assert_eq!(snapshot.upstreams[1].protocol.protocol, Protocol::Auto);
    let tls = snapshot.upstreams[1].tls.as_ref().unwrap();
    assert!(tls.verify && tls.http1 && tls.http2);
    assert_eq!(tls.server_name.as_deref(), Some("b"));
}

#[test]
fn a_reload_names_what_changes_of_tls() {
    let text = CONFIG.replace("[upstreams.other.tls]\nserver_name = \"b\"\n", "");
    let old = snapshot(&text);
    let changed = text
        .replace("protocols = [\"h1\"]", "protocols = [\"h2\"]")
        .replace("/etc/ca.pem", "/etc/other.pem")
        .replace("/etc/shop.key", "/etc/new.key")
        + "[acme]\nemail = \"ops@example.com\"\n[tls]\nprofile = \"modern\"\n";
    let new = compile_after(&settings(&changed), &old).unwrap();
    let change = diff(&old, &new);
    assert!(change.listeners_changed.len() == 1 && change.listeners_changed[0].mode);
    assert_eq!(change.sites_changed, ["inside.example".into()]);
    assert_eq!(
        change.to_string(),
        "1 listener changed, 1 TLS site changed, TLS settings changed, certificates changed, ACME settings changed",
    );
}

#[track_caller]
fn explained(url: &str, expected: &[&str]) -> Outcome {
    let text = CONFIG.replace("[upstreams.other.tls]\nserver_name = \"b\"\n", "");
    let explained = explain(&snapshot(&text), &inquiry(url), &|_, _| None).unwrap();
    let shown = explained.to_string();
    let interesting: Vec<&str> = shown
        .lines()
        .filter(|line| {
            [
                "tls",
                "certificate",
                "client cert",
                "https",
                "hsts",
                "redirect",
                "refused",
            ]
            .iter()
            .any(|name| {
                line.split("  ").next() == Some(name) || line.starts_with(&format!("{name} "))
            })
        })
        .collect();
    assert_eq!(interesting, expected, "{shown}");
    explained.outcome
}

#[test]
fn tls_is_explained() {
    explained(
        "https://www.example.com/",
        &["certificate files that cover it"],
    );
    explained(
        "https://public.example/",
        &["certificate files of shop, else ACME"],
    );
    explained(
        "http://public.example/a?b",
        &[
            "certificate files of shop, else ACME",
            "https       308 to https://public.example:4443/a?b, once there is a certificate",
            "redirect    308 to https://public.example:4443/a?b",
        ],
    );
    explained(
        "https://inside.example:8443/",
        &[
            "certificate files that cover it, else ACME",
            "client cert required",
            "hsts        max-age=3600; includeSubDomains",
        ],
    );
    let outcome = explained("http://plain.example/", &[]);
    assert!(matches!(outcome, Outcome::Proxied(_)));
    explained("https://plain.example/", &["refused     404, no-site"]);
}
