//! The forms of a request target (RFC 9112 section 3.2), and methods that are refused.

use foregate_testkit::{Backend, Echo, Gateway};
use foregate_tests::assert_outcome;

#[test]
fn absolute_form_becomes_origin_form() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let response = gateway.exchange("GET http://a.example/p?q HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(response.status, 200);
    let seen = backend.only_request();
    assert_eq!(
        (seen.target.as_str(), seen.field("host")),
        ("/p?q", Some("a.example"))
    );
}

#[test]
fn absolute_form_without_a_path_asks_for_the_root() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    assert_eq!(
        gateway
            .exchange("GET http://a.example?q HTTP/1.1\r\nHost: a.example\r\n\r\n")
            .status,
        200
    );
    assert_eq!(backend.only_request().target, "/?q");
}

#[test]
fn the_authority_must_agree_with_the_host() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let response = gateway.exchange("GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n");
    assert_eq!(response.status, 400);
    assert_outcome(&gateway, 400, "request-host-mismatch");
    assert_eq!(backend.requests_total(), 0);
}

/// RFC 9110 section 7.4: it would be had by whoever is on the way.
#[test]
fn what_is_asked_of_https_is_not_had_in_cleartext() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let response = gateway.exchange("GET HTTPS://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(response.status, 421);
    assert_outcome(&gateway, 421, "misdirected-request");
    assert_eq!(backend.requests_total(), 0);
}

#[test]
fn options_of_the_whole_server() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    assert_eq!(
        gateway
            .exchange("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
            .status,
        200
    );
    assert_eq!(backend.only_request().target, "*");
}

#[test]
fn options_of_the_whole_server_in_absolute_form() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    for (target, seen) in [
        ("http://a", "*"),
        ("http://a/", "/"),
        ("http://a?q", "/?q"),
        // These name a path, though one that comes to the root.
        ("http://a/x/..", "/"),
        ("http://a/%2e", "/"),
    ] {
        let response = gateway.exchange(format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(response.status, 200, "{target}");
        assert_eq!(backend.last_request().target, seen, "{target}");
    }
}

#[test]
fn options_go_as_far_as_they_may() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let ask = |left: u32| {
        gateway.exchange(format!(
            "OPTIONS /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: {left}\r\n\r\n"
        ))
    };
    let response = ask(0);
    assert_eq!(response.status, 204);
    assert!(
        response
            .field("allow")
            .is_some_and(|list| list.contains("OPTIONS"))
    );
    assert_eq!(backend.requests_total(), 0);
    assert_eq!(ask(3).status, 200);
    assert_eq!(backend.only_request().field("max-forwards"), Some("2"));
}

#[test]
fn the_asterisk_is_for_options_alone() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    assert_eq!(
        gateway.exchange("GET * HTTP/1.1\r\nHost: a\r\n\r\n").status,
        400
    );
    assert_outcome(&gateway, 400, "request-bad-target");
}

#[test]
fn connect_is_refused() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    assert_eq!(
        client
            .exchange("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n")
            .status,
        405
    );
    client.assert_closed();
    assert_outcome(&gateway, 405, "connect-refused");
    assert_eq!(backend.requests_total(), 0);
}

#[test]
fn trace_is_refused() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let response = gateway
        .connect()
        .exchange("TRACE / HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n\r\n");
    assert_eq!(response.status, 405);
    assert!(
        response.field("allow").is_some(),
        "405 comes with Allow (RFC 9110 section 15.5.6)"
    );
    assert!(!response.text().contains("secret"));
    assert_outcome(&gateway, 405, "trace-refused");
    assert_eq!(backend.requests_total(), 0);
}

#[test]
fn unknown_methods_pass() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    assert_eq!(
        gateway
            .exchange("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n")
            .status,
        200
    );
    assert_eq!(backend.only_request().method, "BREW");
}
