//! Names proved by DNS: through a hook of the operator's, and by signed updates of a real name server.

use std::fmt::Display;

use foregate_testkit::{Gateway, GatewayConfig, NameServer, Pebble, PebbleConfig, Scratch};

use crate::house::{Ports, certificate_in, certs, visit_host};

const CONFIG: &str = r#"
state_dir = "{state}"

[listeners.secure]
address = "127.0.0.1:{tls}"
tls = true

[acme]
directory = "{directory}"
ca_file = "ca.pem"
challenge = "dns-01"

[acme.dns]
{dns}

[sites."*.shop.example"]
routes = [{ respond = { status = 200, body = "a shop" } }]
"#;

fn shops(ports: &Ports, pebble: &Pebble, state: &Scratch, dns: impl Display) -> GatewayConfig {
    Gateway::new(CONFIG)
        .fill("state", state.join("state").display())
        .fill("tls", ports.tls)
        .fill("directory", pebble.directory())
        .fill("dns", dns)
        .file("ca.pem", pebble.ca_pem())
}

/// Any shop is served by a certificate for all of them.
fn assert_served(ports: &Ports, pebble: &Pebble, gateway: &Gateway) {
    let root = pebble.root_pem();
    for host in ["a.shop.example", "b.shop.example"] {
        let seen = visit_host(ports, &root, host);
        assert_eq!(seen.as_deref(), Some("a shop"), "{host}");
    }
    certificate_in(gateway, "*.shop.example", "active");
    assert_eq!(pebble.issued(), 1);
}

#[test]
fn a_wildcard_is_proved_through_a_hook() {
    let (ports, state) = (Ports::new(), Scratch::new());
    let pebble = Pebble::start(ports.pebble());
    // Its name server is found by no resolver.
    let hook = pebble.dns_hook(&state);
    let dns = format!("hook = {hook:?}\npropagation_timeout = \"off\"");
    let gateway = shops(&ports, &pebble, &state, dns).start();
    let run = certs(&gateway, &["renew", "*.shop.example"]);
    let told = (run.code, run.stdout.as_str());
    assert_eq!(
        told,
        (Some(0), "*.shop.example was issued\n"),
        "{}",
        run.stderr
    );
    assert_served(&ports, &pebble, &gateway);
    let log = std::fs::read_to_string(state.join("hook.sh.log")).expect("it was run");
    let record = "_acme-challenge.shop.example";
    assert_eq!(log, format!("present {record}\ncleanup {record}\n"));
}

#[test]
fn a_hook_that_fails_is_told_with_its_own_words() {
    let (ports, state) = (Ports::new(), Scratch::new());
    let pebble = Pebble::start(ports.pebble());
    let hook = ["sh", "-c", "echo no such zone >&2; exit 7"];
    let gateway = shops(&ports, &pebble, &state, format!("hook = {hook:?}")).start();
    let log = gateway.wait_stderr("dns-hook-failed");
    assert!(log.contains("no such zone"), "{log}");
    let labels = [("reason", "dns-hook-failed")];
    gateway.wait_metric("foregate_certificate_failures_total", &labels, 1.0);
    let failed = certificate_in(&gateway, "*.shop.example", "failed");
    assert_eq!(failed["last_error"]["reason"], "dns-hook-failed");
    let detail = failed["last_error"]["detail"].as_str().expect("a text");
    assert!(
        detail.contains("no such zone") && detail.contains('7'),
        "{detail}"
    );
    assert_eq!(pebble.issued(), 0);
}

const SECRET: &str = "c2VjcmV0IHRoYXQgaXMgdGhpcnR5LXR3byBieXRlcw==";

fn update(server: &NameServer, secret: &str) -> String {
    let address = server.address();
    format!(
        "[acme.dns.rfc2136]\nserver = \"{address}\"\nkey_name = \"update.key\"\nkey_secret = \"{secret}\""
    )
}

#[test]
fn a_wildcard_is_proved_by_signed_updates_of_the_zone() {
    let (ports, state) = (Ports::new(), Scratch::new());
    let grant = "grant update.key name _acme-challenge.shop.example. TXT;";
    let server = NameServer::start("shop.example", "", ("update.key", SECRET), grant);
    let names = server.address().to_string();
    let pebble = Pebble::start_with_names(PebbleConfig::default(), &names);
    // A key that the zone does not know changes nothing, and is told.
    let wrong = update(&server, "d3Jvbmc=");
    let mut gateway = shops(&ports, &pebble, &state, wrong).start();
    let log = gateway.wait_stderr("dns-update-failed");
    assert!(log.contains("does not accept the key"), "{log}");
    assert_eq!(server.texts("_acme-challenge.shop.example"), "");

    let text = CONFIG.replace("{dns}", &update(&server, SECRET));
    gateway.rewrite_config(&text, &[]);
    // Once it is mended, it is tried at once and not after the back-off.
    gateway.signal(foregate_testkit::Signal::Hup);
    gateway.wait_metric("foregate_certificates", &[("state", "active")], 1.0);
    assert_served(&ports, &pebble, &gateway);
    let left = server.texts("_acme-challenge.shop.example");
    assert_eq!(left, "", "a record stayed behind");
    let labels = [("reason", "dns-update-failed")];
    let failures = gateway.metric("foregate_certificate_failures_total", &labels);
    assert_eq!(failures, 1.0);
}
