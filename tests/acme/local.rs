//! Local names have HTTPS from the first request on, by a CA of the gateway's own.

use foregate_testkit::{Gateway, Scratch};

use crate::house::{certs, curl};

const CONFIG: &str = r#"
state_dir = "{state}"

[listeners.secure]
address = "127.0.0.1:0"
tls = true

[sites.localhost]
routes = [{ respond = { status = 200, body = "at home" } }]

[sites."*.home.test"]
routes = [{ respond = { status = 200, body = "in a room" } }]
"#;

fn start(state: &Scratch) -> Gateway {
    Gateway::new(CONFIG)
        .fill("state", state.join("state").display())
        .start()
}

#[test]
fn the_first_request_is_answered_over_https() {
    let state = Scratch::new();
    let gateway = start(&state);
    let root = certs(&gateway, &["root"]);
    assert_eq!(root.code, Some(0), "{}", root.stderr);
    assert!(
        root.stdout.starts_with("-----BEGIN CERTIFICATE-----"),
        "{}",
        root.stdout
    );
    let visit = |gateway: &Gateway, host: &str| {
        let port = gateway.listener("secure").port();
        let resolve = format!("{host}:{port}:127.0.0.1");
        curl(&format!("https://{host}:{port}/"), &resolve, &root.stdout)
    };
    assert_eq!(visit(&gateway, "localhost").as_deref(), Some("at home"));
    assert_eq!(
        visit(&gateway, "kitchen.home.test").as_deref(),
        Some("in a room")
    );
    // A browser that trusts the root trusts it also tomorrow.
    drop(gateway);
    let gateway = start(&state);
    assert_eq!(visit(&gateway, "localhost").as_deref(), Some("at home"));
}
