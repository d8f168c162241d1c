//! `foregate explain`: what would happen to a request, from the code that serves.

use foregate_testkit::{Gateway, Run};

const SITES: &str = r#"
[sites."a.example"]
[[sites."a.example".routes]]
name = "beta"
path = "/api"
headers = { "X-Beta" = "1" }
upstream = "next"
[[sites."a.example".routes]]
name = "api"
path = "/api"
upstream = "app"
strip_prefix = "/api"
[[sites."a.example".routes]]
name = "office"
path = "/office"
clients = ["10.0.0.0/8"]
upstream = "app"

[upstreams.app]
servers = ["127.0.0.1:1111", "127.0.0.1:2222"]
[upstreams.next]
servers = ["127.0.0.1:3333"]
"#;

fn explain(arguments: &[&str]) -> Run {
    let mut all = vec!["explain"];
    all.extend(arguments);
    Gateway::new(SITES).command(&all)
}

#[test]
fn it_names_the_route_the_rewrite_and_the_candidates() {
    let run = explain(&["GET", "http://a.example/api/users"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    for expected in [
        "a.example",
        "api",
        "/users",
        "app",
        "127.0.0.1:1111",
        "127.0.0.1:2222",
    ] {
        assert!(
            run.stdout.contains(expected),
            "{expected} is missing:\n{}",
            run.stdout
        );
    }
}

#[test]
fn it_says_why_a_better_looking_route_did_not_match() {
    let run = explain(&["GET", "http://a.example/api"]);
    assert!(
        run.stdout.contains("beta") && run.stdout.to_lowercase().contains("x-beta"),
        "{}",
        run.stdout
    );
}

#[test]
fn fields_and_client_address_count() {
    let run = explain(&["GET", "http://a.example/api", "-H", "X-Beta: 1"]);
    assert!(run.stdout.contains("127.0.0.1:3333"), "{}", run.stdout);
    let run = explain(&["GET", "http://a.example/office", "--from", "10.1.2.3"]);
    assert!(run.stdout.contains("127.0.0.1:1111"), "{}", run.stdout);
    let run = explain(&["GET", "http://a.example/office", "--from", "192.0.2.1"]);
    assert!(
        !run.stdout.contains("127.0.0.1:1111") && run.stdout.contains("404"),
        "{}",
        run.stdout
    );
}

#[test]
fn an_unknown_host_is_explained_too() {
    let run = explain(&["GET", "http://b.example/"]);
    assert!(
        run.stdout.contains("404") && run.stdout.contains("no-site"),
        "{}",
        run.stdout
    );
}

/// Two lines imply HTTPS; a connection that carries no requests is nobody's to explain.
const SECURE: &str = r#"
[listeners.raw]
address = "127.0.0.1:80"
mode = "tcp"
upstream = "app"
[listeners.plain]
address = "127.0.0.2:80"
[listeners.secure]
address = "127.0.0.1:443"
tls = true
[sites."a.example"]
upstream = "app"
[upstreams.app]
servers = ["127.0.0.1:1111"]
"#;

#[test]
fn certificate_redirect_and_hsts_are_explained() {
    let explain = |url: &str| {
        Gateway::new(SECURE)
            .command(&["explain", "GET", url])
            .stdout
    };
    let secure = explain("https://a.example/x");
    for expected in [
        "listener    secure",
        "certificate ACME",
        "hsts        max-age=31536000",
        "127.0.0.1:1111",
    ] {
        assert!(
            secure.contains(expected),
            "{expected} is missing:\n{secure}"
        );
    }
    let plain = explain("http://a.example/x?y");
    for expected in [
        "listener    plain",
        "308 to https://a.example/x?y, once there is a certificate",
    ] {
        assert!(plain.contains(expected), "{expected} is missing:\n{plain}");
    }
}
