//! The gateway's own failures reach gRPC clients as statuses of gRPC.

use foregate_testkit::{Backend, Echo, Gateway, LogLine, Refuser};
use foregate_tests::secure::Certificates;

use crate::{Server, configured, play};

#[test]
fn a_backend_that_is_not_there_is_unavailable() {
    let (refuser, certificates) = (Refuser::start(), Certificates::new());
    let gateway = configured(&certificates, &refuser.address().to_string(), "").start();
    let seen = play(&gateway, "expect:UNAVAILABLE");
    assert!(seen.contains("request"), "the request's id is told: {seen}");
    assert!(!seen.contains("127.0.0.1"), "nothing internal is: {seen}");
    assert_eq!(gateway.only_log_line().reason(), "connect-failed");
}

#[test]
fn a_service_without_a_route_is_unimplemented() {
    let gateway = Gateway::new(
        r#"
        [[sites."*".routes]]
        path = { exact = "/only/this" }
        respond = { status = 200 }
        "#,
    )
    .start();
    play(&gateway, "expect:UNIMPLEMENTED");
}

/// A status of gRPC with 200 would be the end of the call: by 421 its client knows to ask on another connection.
#[test]
fn a_misdirected_call_is_told_by_the_status_of_http() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    for kind in ["grpc", "grpc-web+proto"] {
        let response = gateway.exchange(format!(
            "POST https://a.example/s/M HTTP/1.1\r\nHost: a.example\r\nContent-Type: application/{kind}\r\nContent-Length: 0\r\n\r\n"
        ));
        assert_eq!(response.status, 421, "{kind}");
        assert_eq!(response.field("grpc-status"), None);
    }
    let lines = gateway.log_lines(2);
    let is_told =
        |line: &LogLine| (line.status(), line.reason()) == (421, "misdirected-request".into());
    assert!(lines.iter().all(is_told));
}

#[test]
fn a_server_that_is_too_slow_for_the_gateway_is_a_deadline() {
    let (server, certificates) = (Server::start(), Certificates::new());
    let limit = "timeouts = { request = \"500ms\" }";
    let gateway = configured(&certificates, &server.address, limit).start();
    // Its answer has begun by then: the status stands in the trailers.
    play(&gateway, "expect_of_hanging:DEADLINE_EXCEEDED");
    let line = gateway.only_log_line();
    assert_eq!(line.status(), 200);
    // The server was told how much of the time is left, so either of the two may be the first to say it.
    let reason = line.reason();
    assert!(
        ["request-timeout", "proxied"].contains(&reason.as_str()),
        "{reason}"
    );
}
