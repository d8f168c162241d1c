//! What path and host the backend sees.

use foregate_testkit::{Backend, Echo, Gateway};

/// A proxying route with further lines in it.
fn proxying(backend: &Backend, lines: &str) -> Gateway {
    Gateway::new(&format!(
        r#"
        [sites."*"]
        [[sites."*".routes]]
        upstream = "app"
        {lines}
        [upstreams.app]
        servers = ["{{backend}}"]
        "#
    ))
    .fill("backend", backend.address())
    .start()
}

fn check(lines: &str, target: &str, expected: &str) {
    let backend = Backend::start(Echo);
    let gateway = proxying(&backend, lines);
    assert_eq!(
        gateway.get("a.example", target).status,
        200,
        "{lines} {target}"
    );
    assert_eq!(backend.only_request().target, expected, "{lines} {target}");
    gateway.assert_no_leaks();
}

#[test]
fn strip_prefix_takes_whole_segments_away() {
    let lines = "path = \"/api\"\nstrip_prefix = \"/api\"";
    check(lines, "/api/users?x=%20&y", "/users?x=%20&y");
    check(lines, "/api", "/");
    check(lines, "/api/", "/");
    check(lines, "/api?x", "/?x");
}

#[test]
fn replace_path_by_a_fixed_one_keeps_the_query() {
    check(r#"replace_path = "/fixed""#, "/any/thing?q=1", "/fixed?q=1");
}

#[test]
fn replace_path_by_pattern() {
    let lines = r#"replace_path = { regex = "^/v1/(.*)$", with = "/$1" }"#;
    check(lines, "/v1/users/7", "/users/7");
    check(lines, "/v2/users/7", "/v2/users/7");
}

#[test]
fn an_ordinary_target_goes_out_byte_for_byte() {
    let target = "/a%2Fb/%C3%A4;v=1,2/~x?q=%zz&[]&%2e%2e/";
    check("", target, target);
}

#[test]
fn the_host_is_the_clients_the_endpoints_or_a_fixed_one() {
    for (lines, expected) in [
        ("", Some("a.example")),
        ("host = \"pass\"", Some("a.example")),
        ("host = \"upstream\"", None),
        ("host = \"inner.example\"", Some("inner.example")),
    ] {
        let backend = Backend::start(Echo);
        let gateway = proxying(&backend, lines);
        assert_eq!(gateway.get("a.example", "/").status, 200);
        let request = backend.only_request();
        let address = backend.address().to_string();
        assert_eq!(
            request.fields.all("host"),
            [expected.unwrap_or(&address)],
            "{lines}"
        );
    }
}

#[test]
fn what_asks_about_the_server_has_no_path_to_rewrite() {
    for lines in [
        "replace_path = \"/fix\"",
        "replace_path = { regex = \"^/?(.*)$\", with = \"/n/$1\" }",
    ] {
        for target in ["*", "http://a.example"] {
            let backend = Backend::start(Echo);
            let gateway = proxying(&backend, lines);
            let request = format!("OPTIONS {target} HTTP/1.1\r\nHost: a.example\r\n\r\n");
            assert_eq!(gateway.exchange(request).status, 200, "{lines} {target}");
            assert_eq!(backend.only_request().target, "*", "{lines} {target}");
        }
    }
}
