//! Names that nobody wrote down get a certificate when a client first asks, if they are admitted.

use foregate_testkit::{Gateway, Pebble, Scratch, Signal, eventually};

use crate::house::{Ports, certs, visit_host};

const CONFIG: &str = r#"
state_dir = "{state}"

[listeners.public]
address = "127.0.0.1:{http}"

[listeners.secure]
address = "127.0.0.1:{tls}"
tls = true

[acme]
directory = "{directory}"
ca_file = "ca.pem"
on_demand = { allow = ["*.shops.example"], issues_per_hour_max = 2 }

[sites."*"]
tls = "{source}"
routes = [{ respond = { status = 200, body = "a shop" } }]
"#;

#[test]
fn a_handshake_for_an_admitted_name_has_its_certificate_ordered() {
    ordered_and_shown("auto");
}

#[test]
fn a_site_of_all_names_that_takes_acme_alone_shows_what_was_ordered() {
    ordered_and_shown("acme");
}

fn start(text: &str, source: &str, ports: &Ports, state: &Scratch, pebble: &Pebble) -> Gateway {
    Gateway::new(text)
        .fill("state", state.join("state").display())
        .fill("http", ports.http)
        .fill("tls", ports.tls)
        .fill("directory", pebble.directory())
        .fill("source", source)
        .file("ca.pem", pebble.ca_pem())
        .start()
}

fn ordered_and_shown(source: &str) {
    let (ports, state) = (Ports::new(), Scratch::new());
    let pebble = Pebble::start(ports.pebble());
    let gateway = start(CONFIG, source, &ports, &state, &pebble);
    let root = pebble.root_pem();
    let visit = |host: &str| visit_host(&ports, &root, host);
    // The first handshake finds nothing; who comes again is served.
    let answer = eventually("a certificate on demand", || visit("a.shops.example"));
    assert_eq!(answer, "a shop");
    assert_eq!(visit("stranger.example"), None);
    let table = certs(&gateway, &[]).stdout;
    assert!(table.contains("a.shops.example  active"), "{table}");
    assert_eq!(pebble.issued(), 1);
}

/// Nobody would renew it, and no list would show it.
#[test]
fn what_may_no_longer_be_asked_for_is_out_of_service_after_a_reload() {
    let (ports, state) = (Ports::new(), Scratch::new());
    let pebble = Pebble::start(ports.pebble());
    let site = "[sites.\"gone.example\"]\ntls = \"acme\"\nroutes = [{ respond = { status = 200, body = \"a site\" } }]\n";
    let before = format!("{CONFIG}{site}");
    let mut gateway = start(&before, "auto", &ports, &state, &pebble);
    let root = pebble.root_pem();
    let visit = |host: &str| visit_host(&ports, &root, host);
    eventually("the site has a certificate", || visit("gone.example"));
    for name in ["a.shops.example", "b.shops.example"] {
        eventually("a certificate on demand", || visit(name));
    }
    let text = std::fs::read_to_string(gateway.config_path()).expect("it is there");
    let narrowed = text
        .replace(site, "")
        .replace("*.shops.example", "a.shops.example");
    gateway.rewrite_config(&narrowed, &[]);
    gateway.signal(Signal::Hup);
    for name in ["gone.example", "b.shops.example"] {
        eventually("it is shown no longer", || {
            visit(name).is_none().then_some(())
        });
    }
    assert_eq!(visit("a.shops.example").as_deref(), Some("a shop"));
}

#[test]
fn an_hour_has_room_for_so_many_and_who_comes_then_is_told_of() {
    let (ports, state) = (Ports::new(), Scratch::new());
    let pebble = Pebble::start(ports.pebble());
    let gateway = start(CONFIG, "auto", &ports, &state, &pebble);
    let root = pebble.root_pem();
    let visit = |host: &str| visit_host(&ports, &root, host);
    for name in ["a.shops.example", "b.shops.example"] {
        eventually("a certificate on demand", || visit(name));
    }
    assert_eq!(visit("c.shops.example"), None);
    let log = gateway.wait_stderr("a certificate on demand was declined: the hour is full");
    assert!(log.contains("name=c.shops.example"), "{log}");
    assert!(log.contains("issues_per_hour_max=2"), "{log}");
    // What is there is shown as before.
    assert_eq!(visit("a.shops.example").as_deref(), Some("a shop"));
    let labels = [("source", "acme")];
    let issued = "foregate_certificates_issued_total";
    gateway.wait_metric(issued, &labels, 2.0);
    assert_eq!(pebble.issued(), 2);
}
