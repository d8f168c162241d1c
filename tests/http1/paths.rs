//! Odd paths, under each policy. What is matched is what the backend gets, or it is refused.

use foregate_testkit::{Backend, Echo, Gateway};

/// Sends `target` through a gateway with these `[paths]` lines, whose route wants `/guarded` and answers 451.
fn outcome(policy: &str, target: &str) -> String {
    let backend = Backend::start(Echo);
    let gateway = Gateway::new(&format!(
        r#"
        [paths]
        {policy}
        [sites."*"]
        [[sites."*".routes]]
        upstream = "app"
        [[sites."*".routes]]
        path = "/guarded"
        respond = {{ status = 451 }}
        [upstreams.app]
        servers = ["{}"]
        "#,
        backend.address()
    ))
    .start();
    let response = gateway.get("a", target);
    match response.status {
        200 => backend.only_request().target,
        status => {
            assert_eq!(backend.requests_total(), 0);
            format!("{status} {}", gateway.only_log_line().reason())
        }
    }
}

fn check(policy: &str, target: &str, expected: &str) {
    assert_eq!(outcome(policy, target), expected, "{policy} {target}");
}

#[test]
fn dot_segments() {
    check("", "/a/../b/./c?q=../x", "/b/c?q=../x");
    check("", "/a/%2e%2E/b", "/b");
    check("", "/open/../guarded/x", "451 responded");
    check("", "/open/%2e%2e/guarded", "451 responded");
    check("", "/../guarded", "400 path-refused");
    check("", "/a/..;/b", "400 path-refused");
    check("dot_segments = \"reject\"", "/a/../b", "400 path-refused");
}

#[test]
fn encodings() {
    check("", "/%67uarded", "451 responded");
    check("", "/%61%62?%61", "/ab?%61");
    check("", "/caf%c3%a9", "/caf%c3%a9");
    check("", "/a%", "400 path-refused");
    check("", "/a%4", "400 path-refused");
    check("", "/a%zz", "400 path-refused");
    check("", "/a%00b", "400 path-refused");
    check("", "/a%0d%0aX:%20b", "400 path-refused");
}

#[test]
fn encoded_slashes() {
    check("", "/a%2Fb", "/a%2Fb");
    let keep = "encoded_slash = \"keep\"";
    check(keep, "/x%2fguarded", "/x%2fguarded");
    // Whoever decodes it would read `/guarded`.
    check(keep, "/x%2f..%2fguarded", "400 path-refused");
    check(keep, "/x/%2e%2e%2fguarded", "400 path-refused");
    check(
        "encoded_slash = \"decode\"",
        "/guarded%2fx",
        "451 responded",
    );
    check("encoded_slash = \"decode\"", "/a%2fb", "/a/b");
    check("encoded_slash = \"reject\"", "/a%2fb", "400 path-refused");
}

#[test]
fn backslashes() {
    check("", "/a%5Cb", "400 path-refused");
    check("backslash = \"normalize\"", "/a%5cb", "/a/b");
    check(
        "backslash = \"normalize\"",
        "/x%5c..%5cguarded",
        "451 responded",
    );
    check("backslash = \"keep\"", "/a%5Cb", "/a%5Cb");
}

#[test]
fn duplicate_slashes() {
    check("", "/a//b", "/a//b");
    check(
        "duplicate_slashes = \"merge\"",
        "//guarded",
        "451 responded",
    );
    check("duplicate_slashes = \"merge\"", "/a///b//", "/a/b/");
    check(
        "duplicate_slashes = \"reject\"",
        "/a//b",
        "400 path-refused",
    );
}

#[test]
fn parameters_hide_no_dot_segments() {
    for policy in [
        "",
        "dot_segments = \"reject\"",
        "encoded_slash = \"decode\"",
        "duplicate_slashes = \"merge\"",
    ] {
        check(policy, "/a;x=1/..;/guarded", "400 path-refused");
    }
}

/// Backends that read parameters take `/guarded;x/y` for `/guarded/y`.
#[test]
fn parameters() {
    check("", "/guarded;x/y", "/guarded;x/y");
    check("parameters = \"keep\"", "/a;x=1/b%3By", "/a;x=1/b%3By");
    for (target, expected) in [
        ("/guarded;x/y", "451 responded"),
        ("/a;x=1/b;y?q;z", "/a/b?q;z"),
        ("/a/..;/guarded", "400 path-refused"),
        ("/guarded%3bx", "400 path-refused"),
    ] {
        check("parameters = \"strip\"", target, expected);
    }
    for target in ["/guarded;x/y", "/a;", "/a%3Bx"] {
        check("parameters = \"reject\"", target, "400 path-refused");
    }
    check("parameters = \"reject\"", "/a?q;z", "/a?q;z");
}

#[test]
fn nothing_is_served_behind_a_path_that_is_refused() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    for path in ["/%zz", "/a%00b", "/.."] {
        let mut client = gateway.connect();
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        client.send(get(path) + &get("/next"));
        let response = client.response();
        assert_eq!(response.status, 400);
        assert!(response.says_close());
        client.assert_closed();
    }
    assert_eq!(backend.requests_total(), 0);
    assert_eq!(gateway.log_lines(3).len(), 3);
    gateway.assert_no_leaks();
}
