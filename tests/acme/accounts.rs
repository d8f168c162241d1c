//! The account at the authority: bound to another one where the authority asks for that, and made anew when it is gone.

use foregate_testkit::{Gateway, Pebble, PebbleConfig, Scratch, Signal};

use crate::house::{Ports, certificate, certificate_in, certs, shop, visit};

const CONFIG: &str = r#"
state_dir = "{state}"

[listeners.public]
address = "127.0.0.1:{http}"

[listeners.secure]
address = "127.0.0.1:{tls}"
tls = true

[acme]
email = "ops@example.com"
directory = "{directory}"
ca_file = "ca.pem"
{unbound}

[sites."shop.example"]
routes = [{ respond = { status = 200, body = "the shop" } }]
"#;

const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

#[test]
fn an_authority_that_wants_a_binding_is_bound_to() {
    let (ports, state) = (Ports::new(), Scratch::new());
    let pebble = Pebble::start(PebbleConfig {
        external_accounts: vec![("kid-1".to_owned(), KEY.to_owned())],
        ..ports.pebble()
    });
    let mut gateway = Gateway::new(CONFIG)
        .fill("state", state.join("state").display())
        .fill("http", ports.http)
        .fill("tls", ports.tls)
        .fill("directory", pebble.directory())
        .file("ca.pem", pebble.ca_pem())
        .file("hmac.key", KEY)
        .fill("unbound", "")
        .start();
    let log = gateway.wait_stderr("account-refused");
    assert!(log.contains("externalAccountRequired"), "{log}");
    let refused = certificate_in(&gateway, "shop.example", "failed");
    assert_eq!(refused["last_error"]["reason"], "account-refused");

    let bound = "eab = { key_id = \"kid-1\", hmac_key = \"${FILE:{dir}/hmac.key}\" }";
    gateway.rewrite_config(&CONFIG.replace("{unbound}", bound), &[]);
    gateway.signal(Signal::Hup);
    gateway.wait_metric("foregate_certificates", &[("state", "active")], 1.0);
    let seen = visit(&ports, &pebble.root_pem());
    assert_eq!(seen.as_deref(), Some("the shop"));
    assert!(!gateway.stderr().contains(KEY), "{}", gateway.stderr());
    assert_eq!(pebble.issued(), 1);
}

#[test]
fn an_account_that_the_authority_has_forgotten_is_followed_by_a_new_one() {
    let (ports, state) = (Ports::new(), Scratch::new());
    let mut pebble = Pebble::start(ports.pebble());
    let gateway = shop(&ports, &pebble, "auto", &state).start();
    gateway.wait_metric("foregate_certificates", &[("state", "active")], 1.0);
    let first = certificate(&gateway, "shop.example");
    // What it knew is gone, and its certificates are other ones.
    pebble.restart(ports.pebble());
    let run = certs(&gateway, &["renew", "shop.example"]);
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(0), "shop.example was issued\n"),
        "{}",
        run.stderr
    );
    let log = gateway.wait_stderr("the ACME account is gone; a new one is made");
    assert_eq!(log.matches("an ACME account was made").count(), 2, "{log}");
    let seen = visit(&ports, &pebble.root_pem());
    assert_eq!(seen.as_deref(), Some("the shop"));
    let second = certificate(&gateway, "shop.example");
    assert_ne!(second["fingerprint"], first["fingerprint"]);
    assert_eq!(second["last_error"], serde_json::Value::Null);
    // Nothing failed for good.
    let failures = gateway.metric("foregate_certificate_failures_total", &[]);
    assert_eq!(failures, 0.0);
}

#[test]
fn a_renewal_that_fails_is_told_and_takes_nothing_out_of_service() {
    let (ports, state) = (Ports::new(), Scratch::new());
    let mut pebble = Pebble::start(ports.pebble());
    let gateway = shop(&ports, &pebble, "auto", &state).start();
    gateway.wait_metric("foregate_certificates", &[("state", "active")], 1.0);
    let (root, first) = (pebble.root_pem(), certificate(&gateway, "shop.example"));
    let number = |told: &serde_json::Value, key: &str| told[key].as_u64().expect("a number");
    let (next, ends) = (number(&first, "next_renewal"), number(&first, "not_after"));
    let begins = number(&first, "not_before");
    // At two thirds of its life, and a little of chance.
    assert!(
        next > begins + (ends - begins) / 2 && next < ends,
        "{first:#}"
    );

    pebble.stop();
    let run = certs(&gateway, &["renew", "shop.example"]);
    assert_eq!(run.code, Some(1), "{}", run.stdout);
    assert!(
        run.stderr.contains("directory-unreachable"),
        "{}",
        run.stderr
    );
    let failed = certificate_in(&gateway, "shop.example", "renewal-failed");
    assert_eq!(failed["fingerprint"], first["fingerprint"]);
    assert_eq!(failed["last_error"]["reason"], "directory-unreachable");
    let detail = failed["last_error"]["detail"].as_str().expect("a text");
    let server = pebble.directory();
    let server = server.trim_end_matches("/dir");
    assert!(detail.contains(server), "{detail}");
    // It is tried again soon, and not at two thirds of the life.
    assert!(number(&failed, "next_renewal") < next, "{failed:#}");
    let table = certs(&gateway, &[]).stdout;
    assert!(table.contains("shop.example  renewal-failed"), "{table}");
    assert!(table.contains("directory-unreachable"), "{table}");
    let labels = [("state", "renewal-failed")];
    gateway.wait_metric("foregate_certificates", &labels, 1.0);
    let labels = [("reason", "directory-unreachable")];
    gateway.wait_metric("foregate_certificate_failures_total", &labels, 1.0);
    assert_eq!(visit(&ports, &root).as_deref(), Some("the shop"));

    // The operator need not wait for that time.
    pebble.restart(ports.pebble());
    let run = certs(&gateway, &["renew", "shop.example"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let mended = certificate_in(&gateway, "shop.example", "active");
    assert_eq!(mended["last_error"], serde_json::Value::Null);
    assert_ne!(mended["fingerprint"], first["fingerprint"]);
}
