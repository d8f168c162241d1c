//! Requests that break the law of RFC 9113 §8: their stream is reset, the backend never hears of them, and the other
//! streams go on.

use foregate_testkit::http2::code::PROTOCOL_ERROR;
use foregate_testkit::http2::{END_HEADERS, END_STREAM, block, kind};
use foregate_testkit::{Answer, Backend, Echo, Gateway, HpackBomb, Http2Client, Transport};
use foregate_tests::metric;

use crate::{gateway_over, transports};

const HEAD: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "a"),
    (":path", "/"),
];

#[track_caller]
fn refused(lines: &[(&str, &str)], reason: &str) {
    let backend = Backend::answering(|_| Answer::ok("fine"));
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    let stream = client.head(lines, true);
    assert_eq!(
        client.answer(stream).reset,
        Some(PROTOCOL_ERROR),
        "{lines:?}"
    );
    assert_eq!(client.get("/").text(), "fine");
    assert_eq!(backend.requests_total(), 1);
    drop(client);
    let reasons: Vec<String> = gateway
        .log_lines(2)
        .iter()
        .map(|line| line.reason())
        .collect();
    assert!(reasons.contains(&reason.to_owned()), "{reasons:?}");
    gateway.assert_no_leaks();
}

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&HEAD[..], more].concat()
}

#[test]
fn hosts_that_differ() {
    refused(&with(&[("host", "b")]), "request-host-mismatch");
}

/// What looks like a host to people is a name and a password (RFC 9113 §8.3.1).
#[test]
fn userinfo_before_the_host() {
    for authority in ["user@a", "user:secret@a", "@a"] {
        let lines = [HEAD[0], HEAD[1], (":authority", authority), HEAD[3]];
        refused(&lines, "request-bad-host");
    }
}

#[test]
fn no_host_at_all() {
    refused(&[HEAD[0], HEAD[1], HEAD[3]], "request-host-missing");
}

#[test]
fn what_belongs_to_an_http1_connection() {
    refused(
        &with(&[("transfer-encoding", "chunked")]),
        "request-connection-field",
    );
}

#[test]
fn a_line_smuggled_in_a_value() {
    refused(&with(&[("a", "b\r\nhost: c")]), "request-bad-field-value");
}

#[test]
fn names_in_upper_case() {
    refused(&with(&[("X-Own", "b")]), "request-bad-field-name");
}

#[test]
fn pseudo_header_fields_behind_others() {
    refused(
        &[HEAD[0], HEAD[1], ("a", "b"), HEAD[2], HEAD[3]],
        "request-bad-pseudo-header",
    );
}

#[test]
fn a_path_that_is_none() {
    refused(
        &[HEAD[0], HEAD[1], HEAD[2], (":path", "http://b/")],
        "request-bad-target",
    );
}

#[test]
fn more_body_than_announced() {
    let backend = Backend::answering(|_| Answer::ok("fine"));
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    let stream = client.request("POST", "/", &[("content-length", "3")], false);
    client.data(stream, b"four", true);
    assert_eq!(client.answer(stream).reset, Some(PROTOCOL_ERROR));
    assert_eq!(client.get("/").text(), "fine");
}

#[test]
fn a_bomb_is_answered_and_does_not_go_off() {
    for transport in transports() {
        a_bomb_over(&transport);
    }
}

fn a_bomb_over(transport: &Transport) {
    let backend = Backend::answering(|_| Answer::ok("fine"));
    let gateway = gateway_over(transport, &backend, "");
    let mut client = Http2Client::connect(gateway.target());
    let mut bomb = || {
        let stream = HpackBomb.send(&mut client);
        assert_eq!(client.answer(stream).status, 431);
        gateway.rss_kib()
    };
    // With the first one the worker gets memory that it keeps.
    let before = bomb();
    let after = (0..20).map(|_| bomb()).last().unwrap_or(before);
    assert!(after < before + 2048, "{before} KiB became {after}");
    assert_eq!(client.get("/").text(), "fine");
    assert_eq!(backend.requests_total(), 1);
    drop(client);
    gateway.wait_metric(
        metric::OUTCOMES,
        &[("reason", "request-head-too-large")],
        21.0,
    );
    gateway.assert_no_leaks();
}

#[test]
fn a_long_target_is_answered() {
    let backend = Backend::answering(|_| Answer::ok("fine"));
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    let path = format!("/{}", "x".repeat(10_000));
    assert_eq!(client.get(&path).status, 414);
    assert_eq!(client.get("/").text(), "fine");
}

#[test]
fn more_fields_than_may_be_are_answered() {
    let backend = Backend::start(Echo);
    let gateway = gateway_over(&Transport::Cleartext, &backend, "fields_max = 20");
    let mut client = Http2Client::connect(gateway.address());
    let under_way = client.request("POST", "/", &[], false);
    client.data(under_way, b"begun", false);
    let many = [("a", "b"); 30];
    let stream = client.request("GET", "/", &many, true);
    assert_eq!(client.answer(stream).status, 431);
    let enough = client.request("GET", "/", &many[..15], true);
    assert_eq!(client.answer(enough).status, 200);
    client.data(under_way, b", and ended", true);
    assert_eq!(client.answer(under_way).status, 200);
    // Trailers have a number, too.
    let long = client.request("POST", "/", &[], false);
    let ends = END_HEADERS | END_STREAM;
    client.send_frame(kind::HEADERS, ends, long, &block(&many));
    assert_eq!(client.answer(long).status, 431);
    assert_eq!(client.get("/").status, 200);
    drop(client);
    let lines = gateway.log_lines(5);
    let refused: Vec<String> = lines
        .iter()
        .map(|line| line.reason())
        .filter(|reason| reason != "proxied")
        .collect();
    let trailers = "request-trailers-too-large";
    assert_eq!(refused, ["request-too-many-fields", trailers]);
    gateway.assert_no_leaks();
}

#[test]
fn connect_is_nobodys_to_serve() {
    let backend = Backend::answering(|_| Answer::ok("fine"));
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    let stream = client.head(&[(":method", "CONNECT"), (":authority", "a:443")], false);
    assert_eq!(client.until(stream, |answer| answer.status > 0).status, 405);
    assert_eq!(client.get("/").text(), "fine");
}
