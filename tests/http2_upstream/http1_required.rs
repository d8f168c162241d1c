//! Backends that agree on HTTP/2 in the handshake and then want a request by HTTP/1.1 (RFC 9113 §7).

use foregate_testkit::{Gateway, Http2Backend, Http2Reply};
use foregate_tests::secure::Certificates;

/// A backend that takes only some requests by HTTP/2, and a gateway before it.
fn pair(protocol: &str) -> (Certificates, Http2Backend, Gateway) {
    let certificates = Certificates::new();
    let issued = certificates.issue("backend", &["127.0.0.1"]);
    let backend = Http2Backend::secure(&issued, |request| match request.http1 {
        true => Http2Reply::ok(request.body.clone()),
        false if request.path == "/any" => Http2Reply::ok("by HTTP/2"),
        false => Http2Reply::RequireHttp1,
    });
    let gateway = Gateway::new(
        r#"
        workers = 1
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        protocol = "{protocol}"
        tls = { ca_file = "{certificates}/ca.pem" }
        "#,
    )
    .fill("backend", backend.address())
    .fill("protocol", protocol)
    .fill("certificates", certificates.directory())
    .start();
    (certificates, backend, gateway)
}

const POST: &str = "POST /picky HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";

#[test]
fn a_backend_that_wants_http1_gets_it_and_is_remembered() {
    let (_certificates, backend, gateway) = pair("auto");
    assert_eq!(gateway.get("a", "/any").text(), "by HTTP/2");
    // Nothing was done about it yet, so that it is sent again whatever its method.
    assert_eq!(gateway.exchange(POST).status, 200);
    assert_eq!(gateway.get("a", "/any").text(), "");
    let body = "POST /picky HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    assert_eq!(gateway.exchange(body).text(), "body");
    let seen: Vec<(String, bool)> = backend
        .requests()
        .into_iter()
        .map(|request| (request.path, request.http1))
        .collect();
    let expected = [
        ("/any", false),
        ("/picky", false),
        ("/picky", true),
        ("/any", true),
        ("/picky", true),
    ];
    assert_eq!(seen, expected.map(|(path, http1)| (path.to_owned(), http1)));
    // One connection of each kind: the first is closed, the second kept.
    assert_eq!(backend.connections(), 2);
    let lines = gateway.log_lines(4);
    assert!(lines.iter().all(|line| line.reason() == "proxied"));
    gateway.assert_no_leaks();
}

#[test]
fn an_operator_who_insists_on_http2_is_told() {
    let (_certificates, backend, gateway) = pair("h2");
    assert_eq!(gateway.exchange(POST).status, 502);
    // The same way once more would end in the same way.
    assert_eq!(backend.requests().len(), 1);
    foregate_tests::assert_outcome(&gateway, 502, "upstream-http1-required");
}

#[test]
fn what_has_left_in_part_is_not_sent_again() {
    let (_certificates, backend, gateway) = pair("auto");
    let mut client = gateway.connect();
    client.send("POST /picky HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    client.send([b'x'; 50_000]);
    let response = client.response();
    assert_eq!(response.status, 502);
    assert_eq!(backend.requests().len(), 1);
    assert_eq!(gateway.only_log_line().reason(), "upstream-http1-required");
    // The next one goes the right way at once.
    assert_eq!(gateway.exchange(POST).status, 200);
    assert!(
        backend
            .requests()
            .iter()
            .skip(1)
            .all(|request| request.http1)
    );
}
