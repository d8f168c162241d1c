//! What TLS compiles to, what a reload changes of it, and how it is explained.

use crate::tests::{inquiry, settings, snapshot};
use crate::{
    CertificateFiles, HttpsRedirect, Issuer, Known, ModePlan, Outcome, Protocol, compile_after,
    diff, explain,
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

/// `covered` are the hosts that certificates from files are valid for.
#[track_caller]
fn explained_of(text: &str, covered: &[&str], url: &str, expected: &[&str]) -> Outcome {
    let known = Known {
        certificates: &|_, host| covered.contains(&host),
        ..Known::NOTHING
    };
    let explained = explain(&snapshot(text), &inquiry(url), known).unwrap();
    let shown = explained.to_string();
    let names = "tls|certificate|client cert|https|hsts|redirect|refused|forwards";
    let interesting: Vec<&str> = shown
        .lines()
        .filter(|line| {
            names.split('|').any(|name| {
                line.split("  ").next() == Some(name) || line.starts_with(&format!("{name} "))
            })
        })
        .collect();
    assert_eq!(interesting, expected, "{shown}");
    explained.outcome
}

#[test]
fn tls_is_explained() {
    let text = CONFIG.replace("[upstreams.other.tls]\nserver_name = \"b\"\n", "");
    let covered = ["www.example.com", "inside.example"];
    let explained = |url, expected| explained_of(&text, &covered, url, expected);
    explained(
        "https://www.example.com/",
        &["certificate files that cover it", "forwards    /"],
    );
    let refused = explained(
        "https://deep.www.example.com/",
        &[
            "certificate none",
            "refused     the handshake, unknown-name (there is no certificate for deep.www.example.com)",
        ],
    );
    assert!(matches!(refused, Outcome::HandshakeFailed { .. }));
    explained(
        "https://public.example/",
        &[
            "certificate ACME (until it is issued, handshakes are refused)",
            "forwards    /",
        ],
    );
    let awaited = explained(
        "http://public.example/a?b",
        &[
            "certificate ACME",
            "https       308 to https://public.example:4443/a?b, once there is a certificate; served in cleartext until then",
            "redirect    308 to https://public.example:4443/a?b, once there is a certificate",
        ],
    );
    let awaits = |outcome: &Outcome| match outcome {
        Outcome::Redirected {
            awaits_certificate, ..
        } => *awaits_certificate,
        other => panic!("{other:?}"),
    };
    assert!(awaits(&awaited));
    let there = explained(
        "http://www.example.com/a",
        &[
            "certificate files that cover it",
            "https       308 to https://www.example.com/a",
            "redirect    308 to https://www.example.com/a",
        ],
    );
    assert!(!awaits(&there));
    explained(
        "https://inside.example:8443/",
        &[
            "certificate files that cover it",
            "client cert required",
            "hsts        max-age=3600; includeSubDomains",
            "forwards    /",
        ],
    );
    explained("http://plain.example/", &["forwards    /"]);
    let unknown = "refused     the handshake, unknown-name (there is no certificate for";
    for host in ["plain.example", "none.example"] {
        let (url, refused) = (format!("https://{host}/"), format!("{unknown} {host})"));
        explained_of(&text, &covered, &url, &[&refused]);
    }
}

#[test]
fn what_is_no_request_is_explained() {
    let sites = "[listeners.plain]\naddress = \"127.0.0.1:80\"\n\
        [sites.\"*.b.example\"]\nupstream = \"app\"\n[sites.\"*\"]\nupstream = \"app\"\n\
        [upstreams.app]\nservers = [\"10.1.0.1:80\"]\n";
    let secure = "[listeners.secure]\naddress = \"127.0.0.1:443\"\ntls = true\n";
    let both = format!("{secure}{sites}");
    // Nobody issues a wildcard without a way to prove it, and none for every host that there is.
    for host in ["q.b.example", "c.example"] {
        let forwards = ["forwards    /x"];
        explained_of(&both, &[], &format!("http://{host}/x"), &forwards);
        let detail = format!("(there is no certificate for {host})");
        let refused = format!("refused     the handshake, unknown-name {detail}");
        let refused = ["certificate none", &refused];
        explained_of(&both, &[], &format!("https://{host}/x"), &refused);
    }
    let certificate = "[certificates.usual]\ncertificate = \"/a.pem\"\nkey = \"/a.key\"\n";
    let usual = format!("{certificate}[tls]\ndefault_certificate = \"usual\"\n{both}");
    let shown = "certificate none (clients are shown `usual`)";
    explained_of(
        &usual,
        &[],
        "https://c.example/x",
        &[shown, "hsts        max-age=31536000", "forwards    /x"],
    );
    let demand = "[acme.on_demand]\nallow = [\"*.b.example\"]\n";
    let once = "once there is a certificate";
    explained_of(
        &format!("{demand}{both}"),
        &[],
        "http://q.b.example/x",
        &[
            "certificate ACME",
            &format!(
                "https       308 to https://q.b.example/x, {once}; served in cleartext until then"
            ),
            &format!("redirect    308 to https://q.b.example/x, {once}"),
        ],
    );
    // Whoever is asked is not asked about local names.
    let ask = "[acme.on_demand]\nask = \"http://127.0.0.1:1/\"\n";
    explained_of(
        &format!("{ask}{both}"),
        &[],
        "http://db.internal/x",
        &["forwards    /x"],
    );
    let spoken = "refused     400, cleartext-http (this listener speaks HTTPS)";
    explained_of(&both, &[], "http://c.example:443/x", &[spoken]);
    let not_tls = "refused     the handshake, not-tls (this listener does not speak TLS)";
    let tls = "tls         this listener does not speak TLS";
    explained_of(sites, &[], "https://c.example/x", &[tls, not_tls]);
    // No listener is on the port: the one that speaks TLS is meant.
    let explained = explain(
        &snapshot(&both),
        &inquiry("https://c.example:9/"),
        Known::NOTHING,
    );
    assert_eq!(explained.unwrap().listener, "secure");
}
