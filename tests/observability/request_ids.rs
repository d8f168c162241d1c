//! One id names a request in the log, at the backend, and to the client.

use foregate_testkit::{Backend, Echo, Gateway};

fn identified(forwarding: &str) -> (Gateway, Backend) {
    let backend = Backend::start(Echo);
    let gateway = Gateway::new(&format!(
        "[forwarding]\n{forwarding}\n[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"{}\"]\n",
        backend.address()
    ))
    .start();
    (gateway, backend)
}

#[test]
fn client_backend_and_log_share_it() {
    let (gateway, backend) = identified("");
    let response = gateway.get("a", "/");
    let id = response
        .field("x-request-id")
        .expect("the client is told")
        .to_owned();
    assert!(id.len() >= 16, "{id}");
    assert_eq!(
        backend.only_request().fields.all("x-request-id"),
        [id.as_str()]
    );
    assert_eq!(gateway.only_log_line().text("request_id"), id);
}

#[test]
fn every_request_has_its_own() {
    let (gateway, _backend) = identified("");
    let mut client = gateway.connect();
    let ids: std::collections::HashSet<_> = (0..200)
        .map(|_| {
            client
                .exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                .field("x-request-id")
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(ids.len(), 200);
}

#[test]
fn only_a_trusted_proxy_may_choose_it() {
    let (gateway, backend) = identified("trusted_proxies = [\"127.0.0.2\"]");
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: chosen-by-the-client\r\n\r\n";
    assert_eq!(
        gateway
            .connect_from("127.0.0.2")
            .exchange(request)
            .field("x-request-id"),
        Some("chosen-by-the-client")
    );
    assert_eq!(
        backend.last_request().fields.all("x-request-id"),
        ["chosen-by-the-client"]
    );
    let response = gateway.connect_from("127.0.0.9").exchange(request);
    assert_ne!(response.field("x-request-id"), Some("chosen-by-the-client"));
    assert_eq!(
        backend.last_request().fields.all("x-request-id"),
        [response.field("x-request-id").unwrap_or_default()]
    );
}

#[test]
fn the_field_can_be_renamed_or_left_out() {
    let (gateway, backend) = identified("request_id_header = \"X-Trace\"");
    let response = gateway.get("a", "/");
    assert!(response.field("x-trace").is_some() && response.field("x-request-id").is_none());
    assert!(backend.only_request().field("x-trace").is_some());

    let (gateway, backend) = identified("request_id_header = \"off\"");
    assert_eq!(gateway.get("a", "/").field("x-request-id"), None);
    assert_eq!(backend.only_request().field("x-request-id"), None);
    assert!(
        !gateway.only_log_line().text("request_id").is_empty(),
        "the log has it all the same"
    );
}
