//! Certificates that cannot be had, contradictions, and what two lines imply.

use crate::render;
use crate::settings::Settings;
use crate::tests::{codes, load, settings};

const UPSTREAM: &str = "[upstreams.app]\nservers = ['127.0.0.1:1']\n";
const SECURE: &str = "[listeners.secure]\naddress = '0.0.0.0:443'\ntls = true\n";
const PLAIN: &str = "[listeners.plain]\naddress = '0.0.0.0:80'\n";

/// The codes for a site with some keys, on a TLS listener and one in cleartext.
#[track_caller]
fn check(host: &str, keys: &str, more: &str, expected: &[&str]) {
    let text =
        format!("{SECURE}{PLAIN}[sites.'{host}']\nupstream = 'app'\n{keys}\n{UPSTREAM}{more}");
    let outcome = load(&text);
    assert_eq!(codes(&outcome), expected, "{}", render(&outcome, false));
}

#[test]
fn the_admin_listener_demands_a_token_and_a_certificate_where_others_reach_it() {
    const TOKEN: &str = "token = '0123456789abcdef'";
    const CERTIFICATE: &str = "certificate = 'a'";
    const PAIR: &str = "[certificates.a]\ncertificate = 'a.pem'\nkey = 'a.key'";
    const FOLDER: &str = "[certificates.a]\nfolder = 'certs'";
    let check = |address: &str, keys: &[&str], more: &str, expected: &[&str]| {
        let keys = keys.join("\n");
        let admin = format!("[admin]\naddress = '{address}'\n{keys}\n{more}");
        check("example.com", "tls = 'internal'", &admin, expected);
    };
    check("0.0.0.0:9180", &[], "", &["missing-key"]);
    check("0.0.0.0:9180", &[TOKEN], "", &["missing-key"]);
    check("0.0.0.0:9180", &[CERTIFICATE], PAIR, &["missing-key"]);
    check("[::]:9180", &[TOKEN, CERTIFICATE], PAIR, &[]);
    check("127.0.0.1:9180", &[CERTIFICATE], PAIR, &[]);
    check("127.0.0.1:9180", &[CERTIFICATE], FOLDER, &["bad-value"]);
    check(
        "127.0.0.1:9180",
        &[CERTIFICATE],
        "",
        &["unknown-certificate"],
    );
}

#[test]
fn certificates_that_cannot_be_had() {
    const DNS: &str = "[acme]\ndns = { hook = ['x'] }";
    const FILES: &str = "[certificates.a]\nfolder = 'certs'";
    check("example.com", "", "", &[]);
    check("*.example.com", "", "", &["no-certificate"]);
    check("*.example.com", "", DNS, &[]);
    check("*.example.com", "", FILES, &[]);
    check("*.example.com", "tls = 'acme'", "", &["cannot-certify"]);
    check("*.example.com", "tls = 'acme'", FILES, &["cannot-certify"]);
    check("*.example.com", "tls = 'internal'", "", &[]);
    check("*.internal", "", "", &[]);
    check("*.internal", "tls = 'acme'", DNS, &["cannot-certify"]);
    check("localhost", "tls = 'acme'", "", &["cannot-certify"]);
    check("*", "", "", &["no-certificate"]);
    check("*", "", FILES, &[]);
    check("*", "tls = 'off'", "", &[]);
    check("*", "tls = 'internal'", "", &["cannot-certify"]);
    check("*", "tls = 'acme'", "", &["cannot-certify"]);
    check(
        "*",
        "tls = 'acme'",
        "[acme]\non_demand = { allow = ['*.shops.example'] }",
        &[],
    );
    check("example.com", "tls = 'files'", "", &["cannot-certify"]);
    check("example.com", "tls = 'files'", FILES, &[]);
    check(
        "example.com",
        "certificates = ['b']",
        FILES,
        &["unknown-certificate"],
    );
}

#[test]
fn challenges_that_nobody_could_answer() {
    let on = |listeners: &str, acme: &str, expected: &[&str]| {
        let text =
            format!("{listeners}[sites.'example.com']\nupstream = 'app'\n{UPSTREAM}[acme]\n{acme}");
        let outcome = load(&text);
        assert_eq!(codes(&outcome), expected, "{}", render(&outcome, false));
    };
    let both = format!("{SECURE}{PLAIN}");
    on(&both, "", &[]);
    on(&both, "challenge = 'http-01'", &[]);
    on(SECURE, "challenge = 'http-01'", &["unreachable-challenge"]);
    on(SECURE, "challenge = 'tls-alpn-01'", &[]);
    let high = "[listeners.high]\naddress = '0.0.0.0:8443'\ntls = true\n";
    on(high, "", &["unreachable-challenge"]);
    on(high, "dns = { hook = ['x'] }", &[]);
    on(high, "challenge = 'dns-01'", &["conflicting-keys"]);
}

#[test]
fn keys_that_contradict_each_other() {
    check(
        "a.example",
        "tls = 'off'\nhsts = {}",
        "",
        &["conflicting-keys"],
    );
    check("a.example", "tls = 'off'\nhttps_redirect = 'off'", "", &[]);
    check(
        "a.example",
        "https_redirect = 'off'\nhsts = {}",
        "",
        &["hsts-without-redirect"],
    );
    check(
        "a.example",
        "https_redirect = 'off'\nhsts = { max_age = '0s' }",
        "",
        &[],
    );
    check(
        "a.example",
        "client_certificate = { ca_file = 'x', subject_field = 'X-A', fingerprint_field = 'x-a' }",
        "",
        &["conflicting-keys"],
    );
    check(
        "a.example",
        "client_certificate = { ca_file = 'x', subject_field = 'Host' }",
        "",
        &["bad-header"],
    );
    check("a.example", "client_certificate = {}", "", &["missing-key"]);
    check(
        "a.example",
        "listeners = ['plain']\nclient_certificate = { ca_file = 'x' }",
        "",
        &["unused-listener", "conflicting-keys"],
    );
    for (tls, expected) in [
        (
            "profile = 'modern'\nsession_cache_max = 1",
            &["conflicting-keys"][..],
        ),
        ("profile = 'modern'", &[]),
        ("early_data = true", &[]),
        (
            "early_data = true\nticket_rotation = '1h'",
            &["conflicting-keys"],
        ),
        (
            "early_data = true\nsession_cache_max = 0",
            &["conflicting-keys"],
        ),
        ("early_data = true\nsession_tickets = false", &[]),
        (
            "ticket_keys_file = 'x'\nticket_rotation = '1h'",
            &["conflicting-keys"],
        ),
        ("ticket_rotation = '7d'", &[]),
        ("ticket_rotation = '8d'", &["long-ticket-rotation"]),
    ] {
        check("a.example", "", &format!("[tls]\n{tls}"), expected);
    }
}

#[test]
fn backends_that_are_spoken_to_in_secret() {
    let upstream = |keys: &str, expected: &[&str]| {
        let text = format!(
            "[sites.'a.example']\nupstream = 'app'\n[upstreams.app]\nservers = ['b:1']\n{keys}"
        );
        let outcome = load(&text);
        assert_eq!(codes(&outcome), expected, "{}", render(&outcome, false));
    };
    upstream("tls = true", &[]);
    upstream("tls = { verify = 'insecure' }", &["insecure-upstream"]);
    upstream("tls = { verify = false }", &["wrong-type"]);
    upstream("tls = { client_certificate = 'x' }", &["missing-key"]);
    upstream("tls = { server_name = 'a b' }", &["bad-host"]);
    upstream(
        "protocol = 'h2'\nproxy_protocol = 'v2'",
        &["conflicting-keys"],
    );
    upstream("streams_per_connection_max = 5", &["conflicting-keys"]);
}

#[test]
fn listeners_that_carry_no_requests() {
    let listener = |keys: &str, site: &str, expected: &[&str]| {
        let text = format!(
            "[listeners.web]\naddress = '0.0.0.0:81'\n[listeners.raw]\naddress = '0.0.0.0:82'\n{keys}\n\
             [sites.'a.example']\nupstream = 'app'\n{site}\n{UPSTREAM}"
        );
        let outcome = load(&text);
        assert_eq!(codes(&outcome), expected, "{}", render(&outcome, false));
    };
    listener("mode = 'tcp'\nupstream = 'app'", "", &[]);
    listener("mode = 'tcp'", "", &["missing-key"]);
    listener("mode = 'tcp'\nupstream = 'b'", "", &["unknown-upstream"]);
    listener(
        "mode = 'tcp'\nupstream = 'app'\ntls = true",
        "",
        &["conflicting-keys"],
    );
    listener(
        "mode = 'tcp'\nupstream = 'app'",
        "listeners = ['raw', 'web']",
        &["conflicting-keys"],
    );
    listener(
        "mode = 'tls-passthrough'\nsni = { 'a.example' = 'app' }",
        "",
        &[],
    );
    listener("mode = 'tls-passthrough'\nsni = {}", "", &["bad-value"]);
    listener(
        "mode = 'tls-passthrough'\nsni = { 'a.example' = 'app', 'A.example' = 'app' }",
        "",
        &["duplicate-host"],
    );
    listener("protocols = []", "", &["bad-value"]);
    listener("handshakes_max = 5", "", &["conflicting-keys"]);
}

fn implied(site: &str) -> Vec<String> {
    let settings: Settings = settings(&format!("[sites.'{site}']\nupstream = 'app'\n{UPSTREAM}"));
    settings
        .listeners
        .iter()
        .map(|listener| {
            format!(
                "{} {} {}",
                listener.name,
                listener.addresses[0],
                listener.is_tls()
            )
        })
        .collect()
}

#[test]
fn two_lines_imply_https() {
    let plain = "public 0.0.0.0:80 false".to_owned();
    let secure = "secure 0.0.0.0:443 true".to_owned();
    assert_eq!(implied("example.com"), [plain.clone(), secure.clone()]);
    assert_eq!(implied("localhost"), [plain.clone(), secure]);
    // Nobody could have a certificate, so nobody listens for handshakes.
    assert_eq!(implied("*"), [plain]);
}
