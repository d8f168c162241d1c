//! Limits on request bodies.

use foregate_testkit::{Backend, Echo, Gateway, RawClient};
use foregate_tests::assert_outcome;

fn limited(backend: &Backend, client: &str, route: &str) -> Gateway {
    Gateway::new(&format!(
        r#"
        [client]
        {client}
        [sites."*"]
        [[sites."*".routes]]
        upstream = "app"
        {route}
        [upstreams.app]
        servers = ["{}"]
        "#,
        backend.address()
    ))
    .start()
}

/// A client that is still sending learns why it is cut off (RFC 9112 section 9.6).
fn assert_cut_off(client: &mut RawClient, status: u16) {
    assert_eq!(client.response().status, status);
    client.assert_closed();
}

#[test]
fn an_announced_body_over_the_limit_is_refused_before_a_backend_hears_of_it() {
    let backend = Backend::start(Echo);
    let gateway = limited(&backend, "body_bytes_max = \"1KiB\"", "");
    let mut client = gateway.connect();
    let response = client.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n");
    assert_eq!(response.status, 413);
    client.assert_closed();
    assert_outcome(&gateway, 413, "request-body-too-large");
    assert_eq!(backend.connections_accepted(), 0);
}

#[test]
fn a_client_that_asks_first_is_told_instead_of_sending() {
    let backend = Backend::start(Echo);
    let gateway = limited(&backend, "body_bytes_max = \"1KiB\"", "");
    let request =
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\nExpect: 100-continue\r\n\r\n";
    let response = gateway.exchange(request);
    assert_eq!((response.status, response.informational.len()), (413, 0));
}

#[test]
fn a_body_at_the_limit_passes() {
    let backend = Backend::start(Echo);
    let gateway = limited(&backend, "body_bytes_max = \"1KiB\"", "");
    let body = "x".repeat(1024);
    let response = gateway.exchange(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1024\r\n\r\n{body}"
    ));
    assert_eq!(response.json()["body_bytes"], 1024);
    let chunked = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n{body}\r\n0\r\n\r\n"
    );
    assert_eq!(gateway.exchange(chunked).json()["body_bytes"], 1024);
}

#[test]
fn a_chunked_body_over_the_limit_never_arrives_whole() {
    let backend = Backend::start(Echo);
    let gateway = limited(&backend, "body_bytes_max = \"1KiB\"", "");
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..5 {
        client.send_if_taken(format!("100\r\n{}\r\n", "x".repeat(256)));
    }
    // More than the kernel would take of what nobody reads.
    for _ in 0..200 {
        client.send_if_taken(format!("10000\r\n{}\r\n", "x".repeat(0x10000)));
    }
    client.send_if_taken("0\r\n\r\n");
    assert_cut_off(&mut client, 413);
    assert_outcome(&gateway, 413, "request-body-too-large");
    assert_eq!(
        backend.requests_total(),
        0,
        "the backend never saw a whole request"
    );
    backend.wait_connections_open(0);
}

#[test]
fn a_route_has_a_limit_of_its_own() {
    let backend = Backend::start(Echo);
    let gateway = limited(
        &backend,
        "body_bytes_max = \"1KiB\"",
        "body_bytes_max = \"2KiB\"",
    );
    let post = |length: usize| {
        let body = "x".repeat(length);
        gateway
            .exchange(format!(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
            ))
            .status
    };
    assert_eq!(post(2048), 200);
    assert_eq!(post(2049), 413);
}

#[test]
fn chunk_extensions_over_their_bytes_are_cut_off() {
    let backend = Backend::start(Echo);
    let gateway = limited(&backend, "chunk_extension_bytes_max = \"100B\"", "");
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..20 {
        client.send_if_taken("1;extension=long\r\nx\r\n");
    }
    client.send_if_taken("0\r\n\r\n");
    assert_cut_off(&mut client, 400);
    assert_outcome(&gateway, 400, "request-chunk-extensions-too-large");
    assert_eq!(backend.requests_total(), 0);
}

#[test]
fn trailers_over_their_bytes_are_cut_off() {
    let backend = Backend::start(Echo);
    let gateway = limited(&backend, "trailer_bytes_max = \"1KiB\"", "");
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n");
    client.send_if_taken(format!("X-Trailer: {}\r\n\r\n", "t".repeat(2000)));
    assert_cut_off(&mut client, 431);
    assert_outcome(&gateway, 431, "request-trailers-too-large");
    assert_eq!(backend.requests_total(), 0);
}
