//! Which site answers for which host.

use foregate_testkit::{Gateway, RawClient};
use foregate_tests::assert_outcome;

const SITES: &str = r#"
[sites."a.example"]
hosts = ["also-a.example"]
[[sites."a.example".routes]]
respond = { status = 200, body = "exact" }

[sites."*.example"]
[[sites."*.example".routes]]
respond = { status = 200, body = "wildcard" }

[sites."*.deep.example"]
[[sites."*.deep.example".routes]]
respond = { status = 200, body = "deeper wildcard" }

[sites."*"]
[[sites."*".routes]]
respond = { status = 200, body = "default" }
"#;

#[test]
fn the_most_specific_host_wins() {
    let gateway = Gateway::new(SITES).start();
    for (host, expected) in [
        ("a.example", "exact"),
        ("A.Example", "exact"),
        ("a.example:8080", "exact"),
        ("also-a.example", "exact"),
        ("b.example", "wildcard"),
        ("c.b.example", "wildcard"),
        ("x.deep.example", "deeper wildcard"),
        ("x.y.deep.example", "deeper wildcard"),
        ("example", "default"),
        ("a.example.org", "default"),
        ("127.0.0.1", "default"),
        ("[::1]:80", "default"),
    ] {
        let response = gateway.get(host, "/");
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, expected),
            "host {host}"
        );
    }
    gateway.assert_no_leaks();
}

#[test]
fn a_host_of_no_site_is_not_found() {
    let gateway = Gateway::new(
        r#"
        [sites."a.example"]
        [[sites."a.example".routes]]
        respond = { status = 200, body = "a" }
        "#,
    )
    .start();
    let response = gateway.get("b.example", "/");
    assert_eq!(response.status, 404);
    assert_outcome(&gateway, 404, "no-site");
}

#[test]
fn a_site_of_one_listener_is_not_seen_on_another() {
    let gateway = Gateway::new(
        r#"
        [listeners.public]
        address = "127.0.0.1:0"
        [listeners.private]
        address = "127.0.0.1:0"

        [sites."*"]
        [[sites."*".routes]]
        respond = { status = 200, body = "everyone" }

        [sites."staff.example"]
        listeners = ["private"]
        [[sites."staff.example".routes]]
        respond = { status = 200, body = "staff" }
        "#,
    )
    .start();
    let ask = |listener: &str| {
        let mut client = RawClient::connect(gateway.listener(listener));
        client
            .exchange("GET / HTTP/1.1\r\nHost: staff.example\r\n\r\n")
            .text()
    };
    assert_eq!(ask("private"), "staff");
    assert_eq!(ask("public"), "everyone");
    gateway.assert_no_leaks();
}
