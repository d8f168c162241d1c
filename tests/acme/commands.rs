//! `foregate certs`, with a gateway that runs and without one.

use foregate_testkit::{Gateway, Scratch, eventually, foregate};

use crate::house::{Ports, certs};

const LOCAL: &str = r#"
state_dir = "{state}"

[listeners.secure]
address = "127.0.0.1:0"
tls = true

[sites.localhost]
routes = [{ respond = { status = 200, body = "at home" } }]
"#;

#[test]
fn a_table_and_a_root_with_and_without_a_gateway() {
    let state = Scratch::new();
    let config = || Gateway::new(LOCAL).fill("state", state.join("state").display());
    let nothing = config().command(&["certs"]);
    assert_eq!(
        (nothing.code, nothing.stdout.as_str()),
        (Some(0), "no certificates\n")
    );
    let rootless = config().command(&["certs", "root"]);
    assert_eq!(rootless.code, Some(1));
    assert!(
        rootless.stderr.contains("no internal authority yet"),
        "{}",
        rootless.stderr
    );

    let gateway = config().start();
    let table = certs(&gateway, &[]);
    let line = table.stdout.lines().nth(1).unwrap().to_owned();
    let words: Vec<_> = line.split_ascii_whitespace().collect();
    assert_eq!(words[..3], ["localhost", "active", "internal"], "{line}");
    assert!(line.ends_with("secure"), "{line}");
    let root = certs(&gateway, &["root"]).stdout;
    drop(gateway);

    let stored = config().command(&["certs"]);
    assert!(
        stored.stdout.contains("localhost  stored"),
        "{}",
        stored.stdout
    );
    assert_eq!(config().command(&["certs", "root"]).stdout, root);
    let renewal = config().command(&["certs", "renew", "localhost"]);
    assert_eq!(renewal.code, Some(2), "{}", renewal.stderr);
}

#[test]
fn what_stands_in_the_way_is_told() {
    let (ports, state) = (Ports::new(), Scratch::new());
    let pebble = foregate_testkit::Pebble::start(foregate_testkit::PebbleConfig {
        // Nobody listens where it looks.
        http_port: foregate_testkit::free_port(),
        ..ports.pebble()
    });
    let gateway = crate::house::shop(&ports, &pebble, "http-01", &state).start();
    let table = eventually("the failure in the table", || {
        let table = certs(&gateway, &[]).stdout;
        table.contains("challenge-failed").then_some(table)
    });
    assert!(table.contains("shop.example by http-01"), "{table}");
    assert!(table.contains("failed"), "{table}");
    let renewal = certs(&gateway, &["renew", "shop.example"]);
    assert_eq!(renewal.code, Some(1));
    assert!(
        renewal.stderr.contains("challenge-failed"),
        "{}",
        renewal.stderr
    );
    let unknown = certs(&gateway, &["renew", "other.example"]);
    assert!(
        unknown.stderr.contains("other.example"),
        "{}",
        unknown.stderr
    );
    gateway.wait_metric(
        "foregate_certificate_failures_total",
        &[("reason", "challenge-failed")],
        2.0,
    );
}

#[test]
fn a_gateway_that_cannot_be_asked_is_named() {
    let port = foregate_testkit::free_port();
    let run = foregate(&["certs", "--admin", &format!("127.0.0.1:{port}")]);
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr.contains(&format!("127.0.0.1:{port}")),
        "{}",
        run.stderr
    );
}
