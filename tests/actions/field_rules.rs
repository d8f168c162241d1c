//! Rules that change header fields on the way.

use foregate_testkit::{Answer, Backend, Echo, Gateway};

#[test]
fn request_rules_remove_set_and_add_in_that_order() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::new(
        r#"
        [sites."*"]
        [[sites."*".routes]]
        upstream = "app"
        request_headers = { set = { "X-Set" = "new" }, add = { "X-Added" = "2", "X-Gone" = "back" }, remove = ["Cookie", "X-Gone"] }
        [upstreams.app]
        servers = ["{backend}"]
        "#,
    )
    .fill("backend", backend.address())
    .start();
    let request = concat!(
        "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\ncookie: b=2\r\nX-Set: old\r\nX-Set: older\r\n",
        "X-Added: 1\r\nX-Gone: away\r\nX-Kept: yes\r\n\r\n"
    );
    assert_eq!(gateway.exchange(request).status, 200);
    let seen = backend.only_request();
    assert_eq!(seen.fields.all("cookie"), Vec::<&str>::new());
    assert_eq!(seen.fields.all("x-set"), ["new"]);
    assert_eq!(seen.fields.all("x-added"), ["1", "2"]);
    assert_eq!(seen.fields.all("x-gone"), ["back"]);
    assert_eq!(seen.fields.all("x-kept"), ["yes"]);
}

/// Many backends read `X_User` as `X-User`.
#[test]
fn no_other_spelling_gets_past_a_request_rule() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::new(
        r#"
        [sites."*"]
        [[sites."*".routes]]
        upstream = "app"
        request_headers = { set = { "X-User" = "nobody", "X_Own" = "1" }, remove = ["X-Secret"] }
        [upstreams.app]
        servers = ["{backend}"]
        "#,
    )
    .fill("backend", backend.address())
    .start();
    let request = concat!(
        "GET / HTTP/1.1\r\nHost: a\r\nX_User: root\r\nx-secret: 1\r\nx_secret: 1\r\nX_Request_Id: 1\r\n",
        "Content_Length: 3\r\nTransfer_Encoding: chunked\r\nX_Own: 0\r\nX_Kept: yes\r\n\r\n"
    );
    assert_eq!(gateway.exchange(request).status, 200);
    let seen = backend.only_request();
    assert_eq!(seen.fields.all("x-user"), ["nobody"]);
    assert_eq!(seen.fields.all("x_own"), ["1"]);
    assert_eq!(seen.fields.all("x_kept"), ["yes"]);
    for gone in [
        "x_user",
        "x-secret",
        "x_secret",
        "x_request_id",
        "content_length",
        "transfer_encoding",
    ] {
        assert_eq!(seen.fields.all(gone), Vec::<&str>::new(), "{gone}");
    }
}

#[test]
fn values_may_name_what_is_known_of_the_request() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::new(
        r#"
        [sites."*"]
        [[sites."*".routes]]
        upstream = "app"
        request_headers = { set = { "X-Who" = "{client} asks {scheme}://{host}{path} as {request_id}" } }
        [upstreams.app]
        servers = ["{backend}"]
        "#,
    )
    .fill("backend", backend.address())
    .start();
    let response = gateway
        .connect_from("127.0.0.7")
        .exchange("GET /p?q HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(response.status, 200);
    let seen = backend.only_request();
    let id = seen
        .field("x-request-id")
        .expect("requests have ids")
        .to_owned();
    assert_eq!(
        seen.field("x-who"),
        Some(format!("127.0.0.7 asks http://a.example/p as {id}").as_str())
    );
}

#[test]
fn response_rules_change_what_the_client_sees() {
    let backend = Backend::answering(|_| {
        Answer::ok("x")
            .field("X-Powered-By", "secret")
            .field("X-Set", "old")
            .field("Set-Cookie", "a=1")
    });
    let gateway = Gateway::new(
        r#"
        [sites."*"]
        [[sites."*".routes]]
        upstream = "app"
        response_headers = { set = { "X-Set" = "new" }, add = { "Set-Cookie" = "b=2" }, remove = ["X-Powered-By"] }
        [upstreams.app]
        servers = ["{backend}"]
        "#,
    )
    .fill("backend", backend.address())
    .start();
    let response = gateway.get("a.example", "/");
    assert_eq!(response.fields.all("x-powered-by"), Vec::<&str>::new());
    assert_eq!(response.fields.all("x-set"), ["new"]);
    assert_eq!(response.fields.all("set-cookie"), ["a=1", "b=2"]);
}

#[test]
fn the_backends_server_field_is_removed_passed_or_replaced() {
    let backend = Backend::answering(|_| Answer::ok("x").field("Server", "secretd/1.2.3"));
    for (setting, expected) in [
        ("", None),
        (
            "[forwarding]\nserver_header = \"pass\"",
            Some("secretd/1.2.3"),
        ),
        ("[forwarding]\nserver_header = \"mine\"", Some("mine")),
    ] {
        let gateway = Gateway::new(&format!(
            "{setting}\n[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"{}\"]\n",
            backend.address()
        ))
        .start();
        assert_eq!(
            gateway.get("a.example", "/").field("server"),
            expected,
            "{setting}"
        );
    }
}
