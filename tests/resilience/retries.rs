//! What is tried again elsewhere, and what never is.

use foregate_testkit::{
    Answer, Backend, BlackHole, Gateway, Http2Backend, Http2Reply, Refuser, Request, Visit,
};
use std::net::SocketAddr;

/// Two backends that take turns, the first of them first; `more` stands in the upstream.
fn before(first: SocketAddr, second: SocketAddr, more: &str) -> Gateway {
    Gateway::new(
        r#"
        [sites."*"]
        [[sites."*".routes]]
        path = "/marked"
        upstream = "app"
        idempotent = true
        [[sites."*".routes]]
        upstream = "app"
        [upstreams.app]
        servers = ["{first}", "{second}"]
        balance = "round-robin"
        ejection = { consecutive_failures = "off", consecutive_gateway_errors = "off" }
        {more}
        "#,
    )
    .fill("first", first)
    .fill("second", second)
    .fill("more", more)
    .start()
}

/// Reads a request and resets without a word.
fn resets() -> Backend {
    Backend::start(|visit: &mut Visit| visit.next_request().map(drop))
}

fn good() -> Backend {
    Backend::answering(|request: &Request| {
        Answer::ok(String::from_utf8_lossy(&request.body).into_owned())
    })
}

fn put(path: &str, body: &str) -> String {
    let bytes = body.len();
    format!("PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n{body}")
}

fn post(path: &str, body: &str) -> String {
    put(path, body).replacen("PUT", "POST", 1)
}

#[test]
fn a_body_that_was_kept_is_sent_again_whole() {
    let (bad, good) = (resets(), good());
    let gateway = before(bad.address(), good.address(), "");
    let response = gateway.exchange(put("/", "precious"));
    assert_eq!(
        (response.status, response.text().as_str()),
        (200, "precious")
    );
    assert_eq!(bad.only_request().body, b"precious");
    let line = gateway.only_log_line();
    assert_eq!(
        (line.number("tries"), line.reason().as_str()),
        (2.0, "proxied")
    );
    assert_eq!(
        line.text("retries"),
        format!("{} upstream-closed", bad.address())
    );
    gateway.assert_no_leaks();
}

#[test]
fn chunks_and_trailers_are_sent_again_too() {
    let (bad, good) = (resets(), good());
    let gateway = before(bad.address(), good.address(), "");
    let response = gateway.exchange(
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n",
    );
    assert_eq!((response.status, response.text().as_str()), (200, "abcde"));
    assert_eq!(good.only_request().trailers.get("x-sum"), Some("5"));
}

#[test]
fn what_could_have_an_effect_twice_is_sent_once_unless_its_route_says_otherwise() {
    let (bad, good) = (resets(), good());
    let gateway = before(bad.address(), good.address(), "");
    assert_eq!(gateway.exchange(post("/", "order")).status, 502);
    assert_eq!(good.requests_total(), 0);
    // The other one's turn, and then the bad one's again.
    assert_eq!(gateway.exchange(post("/", "order")).status, 200);
    assert_eq!(gateway.exchange(post("/marked", "order")).status, 200);
    assert_eq!((bad.requests_total(), good.requests_total()), (2, 2));
}

#[test]
fn a_body_that_is_too_long_to_be_kept_is_sent_once() {
    let (bad, good) = (resets(), good());
    let gateway = before(
        bad.address(),
        good.address(),
        "retry = { body_bytes_max = \"7B\" }",
    );
    assert_eq!(gateway.exchange(put("/", "precious")).status, 502);
    assert_eq!(gateway.exchange(put("/", "precious")).status, 200);
    assert_eq!(gateway.exchange(put("/", "cheaper")).status, 200);
    assert_eq!((bad.requests_total(), good.requests_total()), (2, 2));
    // Whose length is not known is let go of when it turns out to be too long.
    let chunked =
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nprecious\r\n0\r\n\r\n";
    let statuses = [
        gateway.exchange(chunked).status,
        gateway.exchange(chunked).status,
    ];
    assert!(
        statuses.contains(&502) && statuses.contains(&200),
        "{statuses:?}"
    );
}

/// The client waits for consent: nothing of its body has left, and none of it has to be kept for another try.
#[test]
fn a_long_body_that_was_never_begun_is_sent_elsewhere() {
    let leaves = || Backend::start(|visit: &mut Visit| visit.next_head().map(drop));
    let refuses = || {
        Backend::start(|visit: &mut Visit| {
            visit.next_head()?;
            visit.send("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        })
    };
    let body = "x".repeat(1_000_000);
    for (bad, more, told) in [
        (leaves(), "", "upstream-closed"),
        (
            leaves(),
            "retry = { body_bytes_max = \"off\" }",
            "upstream-closed",
        ),
        (refuses(), "retry = { statuses = [503] }", "503"),
    ] {
        let good = good();
        let gateway = before(bad.address(), good.address(), more);
        let mut client = gateway.connect();
        let head = put("/", &body).replacen("Host: a", "Host: a\r\nExpect: 100-continue", 1);
        client.send(&head[..head.len() - body.len()]);
        assert_eq!(client.try_head(false).map(|head| head.status), Ok(100));
        assert_eq!(client.exchange(&body).body.len(), body.len());
        let line = gateway.only_log_line();
        assert_eq!(line.text("retries"), format!("{} {told}", bad.address()));
        drop(client);
        gateway.assert_no_leaks();
    }
}

#[test]
fn statuses_are_tried_again_and_the_last_answer_is_what_there_is() {
    let unable = Backend::answering(|_| Answer::status(503).body("busy"));
    let good = good();
    let more = "retry = { statuses = [503] }";
    let gateway = before(unable.address(), good.address(), more);
    let response = gateway.exchange(put("/", "precious"));
    assert_eq!(
        (response.status, response.text().as_str()),
        (200, "precious")
    );
    assert_eq!(
        gateway.only_log_line().text("retries"),
        format!("{} 503", unable.address())
    );
    assert_eq!(unable.requests_total(), 1);

    let other = Backend::answering(|_| Answer::status(503).body("busy, too"));
    let gateway = before(unable.address(), other.address(), more);
    let response = gateway.get("a", "/");
    assert_eq!(
        (response.status, response.text().as_str()),
        (503, "busy, too")
    );
    assert_eq!(gateway.only_log_line().reason(), "proxied");
    gateway.assert_no_leaks();
}

#[test]
fn a_try_that_takes_too_long_is_followed_by_another() {
    let (stuck, good) = (Backend::start(BlackHole), good());
    let more = "timeouts = { try = \"150ms\" }";
    let gateway = before(stuck.address(), good.address(), more);
    let response = gateway.exchange(put("/", "precious"));
    assert_eq!(
        (response.status, response.text().as_str()),
        (200, "precious")
    );
    assert_eq!(
        gateway.only_log_line().text("retries"),
        format!("{} try-timeout", stuck.address())
    );

    let other = Backend::start(BlackHole);
    let gateway = before(stuck.address(), other.address(), more);
    assert_eq!(gateway.get("a", "/").status, 504);
    let line = gateway.only_log_line();
    assert_eq!(
        (line.number("tries"), line.reason().as_str()),
        (2.0, "try-timeout")
    );
    // What may not be repeated ends with its first try.
    assert_eq!(gateway.exchange(post("/", "order")).status, 504);
    assert_eq!(gateway.log_lines(2)[1].number("tries"), 1.0);
}

#[test]
fn an_outage_is_not_made_worse() {
    let (bad, worse) = (resets(), resets());
    let more = "retry = { budget_percent = 10, budget_per_second = 0 }";
    let gateway = before(bad.address(), worse.address(), more);
    for _ in 0..50 {
        assert_eq!(gateway.get("a", "/").status, 502);
    }
    let sent = bad.requests_total() + worse.requests_total();
    assert_eq!(sent, 55, "one in ten was tried again");
    assert_eq!(gateway.metric("foregate_endpoint_retries_total", &[]), 5.0);
    assert_eq!(
        gateway.metric("foregate_endpoint_retries_refused_total", &[]),
        45.0
    );
}

/// Why a request was not tried again although it could have been is told with it, by the same names everywhere.
#[test]
fn the_log_tells_why_a_request_was_not_tried_again() {
    let (bad, worse) = (resets(), resets());
    for (more, expected) in [
        (
            "retry = { budget_percent = 0, budget_per_second = 0 }",
            "budget",
        ),
        ("tries_max = 1", "tries-max"),
        ("", "no-other-endpoint"),
        ("retry = { on = [] }", "-"),
    ] {
        let gateway = Gateway::new(
            r#"
            [access_log]
            to = "{log}"
            format = "{retry_refused}"
            [sites."*"]
            upstream = "app"
            [upstreams.app]
            servers = ["{bad}", "{worse}"]
            ejection = { consecutive_failures = "off", consecutive_gateway_errors = "off" }
            {more}
            "#,
        )
        .fill("bad", bad.address())
        .fill("worse", worse.address())
        .fill("more", more)
        .start();
        assert_eq!(gateway.get("a", "/").status, 502);
        assert_eq!(gateway.raw_log_lines(1), [expected], "{more}");
    }
}

#[test]
fn a_backend_that_was_never_reached_costs_no_budget() {
    let (refuser, good) = (Refuser::start(), good());
    let more = "retry = { budget_percent = 0, budget_per_second = 0 }";
    let gateway = before(refuser.address(), good.address(), more);
    for _ in 0..20 {
        assert_eq!(gateway.exchange(post("/", "order")).status, 200);
    }
}

#[test]
fn nothing_is_tried_again_where_nobody_wants_it() {
    let (refuser, good) = (Refuser::start(), good());
    let gateway = before(
        refuser.address(),
        good.address(),
        "retry = { on = [\"reset\"] }",
    );
    let statuses: Vec<u16> = (0..4).map(|_| gateway.get("a", "/").status).collect();
    assert_eq!(statuses, [502, 200, 502, 200]);
}

#[test]
fn a_refused_stream_is_tried_elsewhere_whatever_the_method() {
    let refusing = Http2Backend::answering(|_| Http2Reply::Refuse);
    let good = Http2Backend::answering(|_| Http2Reply::ok("taken"));
    let gateway = before(refusing.address(), good.address(), "protocol = \"h2\"");
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(gateway.exchange(request).status, 200);
    assert!(
        gateway
            .only_log_line()
            .text("retries")
            .contains("upstream-refused")
    );
}

#[test]
fn grpc_backends_are_told_how_long_is_waited() {
    let backend = Http2Backend::answering(|_| Http2Reply::ok(""));
    let gateway = Gateway::new(
        r#"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        protocol = "h2"
        timeouts = { request = "5s" }
        "#,
    )
    .fill("backend", backend.address())
    .start();
    for (asked, expected) in [
        (None, 5_000_000),
        (Some("9S"), 5_000_000),
        (Some("70m"), 70_000),
    ] {
        let asked = asked.map_or_else(String::new, |asked| format!("grpc-timeout: {asked}\r\n"));
        let request = format!(
            "POST /a.B/C HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\n{asked}Content-Length: 0\r\n\r\n"
        );
        gateway.exchange(request);
        let seen = backend.requests().pop().expect("it came");
        let left = seen.field("grpc-timeout").expect("a deadline");
        let (number, unit) = left.split_at(left.len() - 1);
        let micros = number.parse::<u64>().expect("a number") * if unit == "m" { 1_000 } else { 1 };
        assert!((1..=expected).contains(&micros), "{left} of {expected}");
        assert!(micros >= expected / 2, "{left} of {expected}");
    }
}
