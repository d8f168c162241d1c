//! Limits on request and response heads.

use foregate_testkit::{Answer, Backend, Echo, Gateway, HugeHead, HugeHeadBackend, Trouble};
use foregate_tests::assert_outcome;

fn limited(backend: &Backend, client: &str, response: &str) -> Gateway {
    Gateway::new(&format!(
        r#"
        [client]
        {client}
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{}"]
        [upstreams.app.response]
        {response}
        "#,
        backend.address()
    ))
    .start()
}

fn refuse(client: &str, request: &str, status: u16, reason: &str) {
    let backend = Backend::start(Echo);
    let gateway = limited(&backend, client, "");
    let mut connection = gateway.connect();
    assert_eq!(connection.exchange(request).status, status, "{client}");
    connection.assert_closed();
    assert_outcome(&gateway, status, reason);
    assert_eq!(backend.connections_accepted(), 0);
}

#[test]
fn a_head_over_its_bytes_is_refused() {
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n",
        "x".repeat(2000)
    );
    refuse(
        "head_bytes_max = \"1KiB\"",
        &request,
        431,
        "request-head-too-large",
    );
}

#[test]
fn heads_larger_than_a_buffer_pass_where_the_limits_allow_them() {
    let long = "x".repeat(100_000);
    let backend = Backend::answering({
        let long = long.clone();
        move |request| {
            let seen = request.field("x-long").map_or(0, str::len);
            Answer::ok(seen.to_string()).field("X-Longer", &long)
        }
    });
    let gateway = limited(
        &backend,
        "head_bytes_max = \"128KiB\"",
        "head_bytes_max = \"128KiB\"",
    );
    let mut client = gateway.connect();
    for _ in 0..2 {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {long}\r\n\r\n");
        let response = client.exchange(request);
        assert_eq!((response.status, response.text().as_str()), (200, "100000"));
        assert_eq!(response.field("x-longer").map(str::len), Some(100_000));
    }
}

#[test]
fn a_head_within_its_bytes_passes() {
    let backend = Backend::start(Echo);
    let gateway = limited(
        &backend,
        "head_bytes_max = \"64KiB\"\nfields_max = 1000",
        "",
    );
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n",
        "x".repeat(60_000)
    );
    assert_eq!(gateway.exchange(request).status, 200);
    assert_eq!(
        backend.only_request().field("x-long").map(str::len),
        Some(60_000)
    );
}

#[test]
fn too_many_fields_are_refused() {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(20));
    refuse("fields_max = 20", &request, 431, "request-too-many-fields");
}

#[test]
fn a_target_over_its_bytes_is_refused() {
    let request = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(300));
    refuse(
        "target_bytes_max = \"200B\"",
        &request,
        414,
        "request-target-too-long",
    );
}

#[test]
fn a_head_of_ten_megabytes_is_refused_without_being_kept() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let before = gateway.rss_kib();
    match HugeHead.attack(gateway.address()) {
        Ok(response) => assert_eq!(response.status, 431),
        Err(trouble) => assert!(
            matches!(trouble, Trouble::Reset | Trouble::Closed),
            "{trouble:?}"
        ),
    }
    assert_outcome(&gateway, 431, "request-head-too-large");
    assert!(
        gateway.rss_kib() < before + 4096,
        "{} KiB grew to {} KiB",
        before,
        gateway.rss_kib()
    );
    assert_eq!(backend.connections_accepted(), 0);
}

#[test]
fn a_response_head_over_its_bytes_is_a_bad_answer() {
    let backend = Backend::start(HugeHeadBackend);
    let gateway = Gateway::before(&[backend.address()]);
    let before = gateway.rss_kib();
    assert_eq!(gateway.get("a", "/").status, 502);
    assert_outcome(&gateway, 502, "response-head-too-large");
    assert!(
        gateway.rss_kib() < before + 4096,
        "{} KiB grew to {} KiB",
        before,
        gateway.rss_kib()
    );
    backend.wait_connections_open(0);
}

#[test]
fn too_many_response_fields_are_a_bad_answer() {
    let backend =
        Backend::answering(|_| (0..30).fold(Answer::ok("x"), |answer, _| answer.field("X", "y")));
    let gateway = limited(&backend, "", "fields_max = 20");
    assert_eq!(gateway.get("a", "/").status, 502);
    assert_outcome(&gateway, 502, "response-too-many-fields");
}
