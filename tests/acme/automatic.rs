//! A public name gets a certificate by itself, keeps it alive, and redirects once it has one.

use foregate_testkit::{Pebble, PebbleConfig, Scratch, eventually};

use crate::house::{Ports, certificate, certs, shop, site, visit};

/// The shop's way from cleartext to HTTPS, proved by one kind of challenge.
fn becomes_https(challenge: &str) {
    let (ports, state) = (Ports::new(), Scratch::new());
    let mut pebble = Pebble::start(ports.pebble());
    pebble.stop();
    let gateway = shop(&ports, &pebble, challenge, &state).start();
    // Without a certificate the site stays what it was.
    let response = gateway.get("shop.example", "/");
    assert_eq!(
        (response.status, response.text().as_str()),
        (200, "the shop")
    );
    gateway.wait_stderr("directory-unreachable");

    pebble.restart(ports.pebble());
    let run = certs(&gateway, &["renew", "shop.example"]);
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(0), "shop.example was issued\n"),
        "{}",
        run.stderr
    );
    assert_eq!(
        visit(&ports, &pebble.root_pem()).as_deref(),
        Some("the shop")
    );
    let response = gateway.get("shop.example", "/a?b");
    let location = format!("https://shop.example:{}/a?b", ports.tls);
    assert_eq!(
        (response.status, response.fields.get("location")),
        (308, Some(location.as_str()))
    );

    let certificate = certificate(&gateway, "shop.example");
    assert_eq!(certificate["state"], "active");
    assert_eq!(certificate["source"], "acme");
    assert_eq!(certificate["listeners"], serde_json::json!(["secure"]));
    let labels = [("name", "shop.example"), ("source", "acme")];
    let not_after = gateway.metric("foregate_certificate_not_after_seconds", &labels);
    assert_eq!(certificate["not_after"].as_f64(), Some(not_after));
    gateway.wait_metric("foregate_certificates", &[("state", "active")], 1.0);
    gateway.wait_metric(
        "foregate_certificates_issued_total",
        &[("source", "acme")],
        1.0,
    );
    drop(gateway);

    // The next process has it from the folder; nobody is asked.
    let root = pebble.root_pem();
    pebble.stop();
    let _gateway = shop(&ports, &pebble, challenge, &state).start();
    assert_eq!(visit(&ports, &root).as_deref(), Some("the shop"));
}

#[test]
fn a_site_is_proved_over_http_and_becomes_https() {
    becomes_https("http-01");
}

#[test]
fn a_site_is_proved_over_tls_and_becomes_https() {
    becomes_https("tls-alpn-01");
}

#[test]
fn a_certificate_is_renewed_without_a_reload() {
    let (ports, state) = (Ports::new(), Scratch::new());
    let pebble = Pebble::start(PebbleConfig {
        life_seconds: Some(12),
        ..ports.pebble()
    });
    let gateway = shop(&ports, &pebble, "auto", &state).start();
    let fingerprint = || {
        certificate(&gateway, "shop.example")["fingerprint"]
            .as_str()
            .map(str::to_owned)
    };
    let first = eventually("the first certificate", fingerprint);
    let second = eventually("the next certificate", || {
        fingerprint().filter(|next| *next != first)
    });
    assert_ne!(first, second);
    assert_eq!(
        visit(&ports, &pebble.root_pem()).as_deref(),
        Some("the shop")
    );
    assert_eq!(certificate(&gateway, "shop.example")["state"], "active");
}

#[test]
fn one_process_of_two_that_share_a_folder_orders() {
    let (ports, state) = (Ports::new(), Scratch::new());
    let pebble = Pebble::start(ports.pebble());
    // The second one listens elsewhere: challenges reach the first one alone.
    let elsewhere = Ports::new();
    let one = shop(&ports, &pebble, "auto", &state).start();
    eventually("the first one's certificate", || {
        visit(&ports, &pebble.root_pem())
    });
    let two = shop(&elsewhere, &pebble, "auto", &state).start();
    assert_eq!(
        visit(&elsewhere, &pebble.root_pem()).as_deref(),
        Some("the shop")
    );
    assert_eq!(
        certificate(&one, "shop.example")["fingerprint"],
        certificate(&two, "shop.example")["fingerprint"]
    );
    assert_eq!(pebble.issued(), 1);
}

/// Behind one address, an authority's question may reach any of the processes that share a folder.
fn is_proved_by_a_neighbour(challenge: &str) {
    let (ports, state) = (Ports::new(), Scratch::new());
    let pebble = Pebble::start(ports.pebble());
    let neighbour = site("other.example", &ports, &pebble, challenge, &state).start();
    eventually("the neighbour's own certificate", || {
        (certificate(&neighbour, "other.example")["state"] == "active").then_some(())
    });
    // The one that orders listens where the authority never asks.
    let elsewhere = Ports::new();
    let one = shop(&elsewhere, &pebble, challenge, &state).start();
    let run = certs(&one, &["renew", "shop.example"]);
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    assert_eq!(
        visit(&elsewhere, &pebble.root_pem()).as_deref(),
        Some("the shop")
    );
    let left = std::fs::read_dir(state.join("state/challenges")).expect("it can be listed");
    assert_eq!(left.count(), 0, "nothing is left of it");
}

#[test]
fn a_neighbour_answers_for_whoever_orders_over_http() {
    is_proved_by_a_neighbour("http-01");
}

#[test]
fn a_neighbour_answers_for_whoever_orders_over_tls() {
    is_proved_by_a_neighbour("tls-alpn-01");
}
