//! The gateway's own failures reach gRPC clients as statuses of gRPC.

use foregate_testkit::{Backend, Echo, Gateway, LogLine, Refuser};
use foregate_tests::foreign::run_python;
use foregate_tests::metric;
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

/// Each reason in the order in which `client.py` calls, with the status of the answer: what the gateway decides by itself
/// is told in gRPC's terms behind 200, a fixed answer by the status that is written for it.
const REFUSALS: [(u16, &str); 8] = [
    (200, "path-refused"),
    (200, "request-too-many-fields"),
    (200, "request-body-too-large"),
    (200, "no-route"),
    (403, "responded"),
    (401, "responded"),
    (429, "responded"),
    (200, "proxied"),
];

#[test]
fn what_is_refused_has_the_code_that_grpc_has_for_it() {
    let (server, certificates) = (Server::start(), Certificates::new());
    certificates.issue("grpc", &["grpc.example"]);
    let gateway = Gateway::new(REFUSING)
        .fill("certificates", certificates.directory())
        .fill("backend", &server.address)
        .start();
    let ca = certificates.path("ca.pem");
    play(&gateway, "refusals");
    let secure = gateway.listener("secure").to_string();
    run_python("grpc/client.py", &["refusals", &secure, &ca]);
    let lines = gateway.log_lines(2 * REFUSALS.len());
    let told: Vec<_> = (lines.iter())
        .map(|line| (line.status(), line.reason()))
        .collect();
    let expected = REFUSALS.map(|(status, reason)| (status, reason.to_owned()));
    assert_eq!(told, [expected.clone(), expected].concat());
    gateway.assert_no_leaks();
}

/// `too-many-fields` and not `head-too-large`, since grpcio itself sends no head that is larger than it was told.
const REFUSING: &str = r#"
[listeners.public]
address = "127.0.0.1:0"
[listeners.secure]
address = "127.0.0.1:0"
tls = true
[certificates.grpc]
certificate = "{certificates}/grpc.pem"
key = "{certificates}/grpc.key"
[sites."*"]
hosts = ["grpc.example"]
https_redirect = "off"
[[sites."*".routes]]
path = "/story.Echo"
body_bytes_max = "1KiB"
upstream = "app"
[[sites."*".routes]]
path = "/story.Inner"
clients = ["192.0.2.0/24"]
upstream = "app"
[[sites."*".routes]]
path = "/story.Inner"
respond = { status = 403 }
[[sites."*".routes]]
path = "/story.Secret"
respond = { status = 401 }
[[sites."*".routes]]
path = "/story.Slow"
respond = { status = 429 }
[upstreams.app]
servers = ["{backend}"]
protocol = "h2"
"#;

#[test]
fn who_comes_when_there_is_too_much_to_do_is_told_that_it_is_unavailable() {
    for (limit, upstream, reason) in [
        ("[overload]\nrequests_max = 1", "", "requests-full"),
        (
            "",
            "requests_max = 1\nqueue = { length_max = 0 }",
            "queue-full",
        ),
    ] {
        let (server, certificates) = (Server::start(), Certificates::new());
        let gateway = configured(
            &certificates,
            &server.address,
            &format!("{upstream}\n{limit}"),
        )
        .start();
        play(&gateway, "crowd");
        let refused = [("reason", reason)];
        assert!(
            gateway.metric(metric::OUTCOMES, &refused) >= 1.0,
            "{reason}"
        );
        gateway.assert_no_leaks();
    }
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
