//! A request comes by HTTP/2 and goes on by HTTP/1.1, and so back.

use foregate_testkit::{
    Answer, Backend, Echo, Gateway, Hints103, Http2Client, SendsTrailers, eventually,
};
use foregate_tests::{assert_outcome, metric};

#[test]
fn a_request_and_its_answer() {
    let backend = Backend::answering(|_| {
        Answer::ok("hello")
            .field("X-Own", "Value")
            .field("Connection", "X-Hop")
            .field("X-Hop", "1")
            .field("Keep-Alive", "timeout=5")
    });
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    let stream = client.request(
        "GET",
        "/a?b",
        &[("x-asked", "Yes"), ("te", "trailers")],
        true,
    );
    let answer = client.answer(stream);
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!(answer.fields.get("x-own"), Some("Value"));
    assert_eq!(answer.fields.get("content-length"), Some("5"));
    for gone in ["connection", "x-hop", "keep-alive", "transfer-encoding"] {
        assert!(!answer.fields.has(gone), "{gone}");
    }
    let request = backend.only_request();
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("GET", "/a?b")
    );
    assert_eq!(request.version, "HTTP/1.1");
    assert_eq!(request.field("host"), Some("a"));
    assert_eq!(request.field("x-asked"), Some("Yes"));
    drop(client);
    assert_eq!(gateway.only_log_line().text("protocol"), "HTTP/2");
    let listener = [("listener", "public")];
    assert_eq!(gateway.metric(metric::CONNECTIONS_HTTP2, &listener), 1.0);
    assert_outcome(&gateway, 200, "proxied");
}

#[test]
fn many_requests_at_once_share_a_connection() {
    let backend = Backend::answering(|request| Answer::ok(format!("for {}", request.target)));
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    for round in 0..5 {
        let asked: Vec<(u32, String)> = (0..100)
            .map(|number| {
                let path = format!("/{round}/{number}");
                (client.request("GET", &path, &[], true), path)
            })
            .collect();
        for (stream, path) in asked {
            let answer = client.answer(stream);
            assert_eq!((answer.status, answer.text()), (200, format!("for {path}")));
        }
    }
    drop(client);
    assert_eq!(gateway.log_lines(500).len(), 500);
    let accepted = gateway.metric(metric::CONNECTIONS_ACCEPTED, &[("listener", "public")]);
    assert_eq!(accepted, 1.0);
    gateway.assert_no_leaks();
}

#[test]
fn bodies_go_up_with_and_without_a_length() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    for length in [None, Some("9")] {
        let lines: Vec<(&str, &str)> = length
            .map(|length| ("content-length", length))
            .into_iter()
            .collect();
        let stream = client.request("POST", "/", &lines, false);
        client.data(stream, b"in ", false);
        client.data(stream, b"pieces", true);
        assert_eq!(client.answer(stream).status, 200);
        let request = backend.last_request();
        assert_eq!(request.body, b"in pieces");
        assert_eq!(request.field("content-length"), length);
    }
    drop(client);
    gateway.assert_no_leaks();
}

#[test]
fn trailers_go_up() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    let stream = client.request("POST", "/", &[], false);
    client.data(stream, b"body", false);
    let trailers = foregate_testkit::http2::block(&[("x-sum", "4")]);
    client.send_frame(1, 5, stream, &trailers);
    assert_eq!(client.answer(stream).status, 200);
    assert_eq!(backend.only_request().trailers.get("x-sum"), Some("4"));
}

#[test]
fn trailers_behind_no_bytes_have_no_place_in_http1() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    let stream = client.request("POST", "/", &[("content-length", "0")], false);
    let trailers = foregate_testkit::http2::block(&[("x-sum", "4")]);
    client.send_frame(1, 5, stream, &trailers);
    assert_eq!(client.answer(stream).status, 200);
    let request = backend.only_request();
    assert_eq!(request.field("content-length"), Some("0"));
    assert_eq!(
        (request.body.len(), request.trailers.get("x-sum")),
        (0, None)
    );
    drop(client);
    assert_outcome(&gateway, 200, "proxied");
}

#[test]
fn trailers_come_down() {
    let backend = Backend::start(SendsTrailers);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    let stream = client.request("GET", "/", &[("te", "trailers")], true);
    let answer = client.answer(stream);
    assert_eq!(answer.text(), "with trailers");
    assert_eq!(answer.trailers.get("x-checksum"), Some("abc123"));
    drop(client);
    assert_outcome(&gateway, 200, "proxied");
}

#[test]
fn interim_answers_are_passed_on() {
    let backend = Backend::start(Hints103);
    let gateway = Gateway::before(&[backend.address()]);
    let answer = Http2Client::connect(gateway.address()).get("/");
    assert_eq!((answer.interims, answer.status), (vec![103], 200));
}

#[test]
fn a_client_that_waits_is_told_to_go_on() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    let stream = client.request("POST", "/", &[("expect", "100-continue")], false);
    client.until(stream, |answer| answer.interims == [100]);
    client.data(stream, b"now", true);
    assert_eq!(client.answer(stream).status, 200);
    assert_eq!(backend.only_request().body, b"now");
}

#[test]
fn answers_without_a_body() {
    let backend = Backend::answering(|request| match request.target.as_str() {
        "/204" => Answer::status(204),
        "/304" => Answer::status(304).field("ETag", "\"a\""),
        _ => Answer::ok("12345"),
    });
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    for (path, status) in [("/204", 204), ("/304", 304)] {
        let answer = client.get(path);
        assert_eq!(
            (answer.status, answer.body.len(), answer.ended),
            (status, 0, true)
        );
    }
    let stream = client.request("HEAD", "/", &[], true);
    let answer = client.answer(stream);
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.fields.get("content-length"), Some("5"));
    assert_eq!(client.get("/").text(), "12345");
}

#[test]
fn crumbs_of_cookies_are_one_line() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    let stream = client.request(
        "GET",
        "/",
        &[("cookie", "a=1"), ("x-own", "b"), ("cookie", "c=2")],
        true,
    );
    assert_eq!(client.answer(stream).status, 200);
    assert_eq!(backend.only_request().fields.all("cookie"), ["a=1; c=2"]);
}

#[test]
fn both_versions_on_one_port() {
    let backend = Backend::answering(|_| Answer::ok("both"));
    let gateway = Gateway::before(&[backend.address()]);
    assert_eq!(gateway.get("a", "/").text(), "both");
    assert_eq!(
        Http2Client::connect(gateway.address()).get("/").text(),
        "both"
    );
    assert_eq!(gateway.get("a", "/").text(), "both");
}

#[test]
fn a_listener_may_speak_one_version_only() {
    let backend = Backend::answering(|_| Answer::ok("one"));
    let gateway = Gateway::new(&format!(
        "[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"{}\"]\n\
         [listeners.old]\naddresses = [\"127.0.0.1:0\"]\nprotocols = [\"h1\"]\n\
         [listeners.new]\naddresses = [\"127.0.0.1:0\"]\nprotocols = [\"h2\"]\n",
        backend.address()
    ))
    .start();
    assert_eq!(
        Http2Client::connect(gateway.listener("new"))
            .get("/")
            .text(),
        "one"
    );
    let mut client = Http2Client::connect(gateway.listener("old"));
    let text = client.connection().take_rest();
    assert!(text.is_ok_and(|text| text.starts_with(b"HTTP/1.1 505 ")));
    let mut client = foregate_testkit::RawClient::connect(gateway.listener("new"));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.connection().take_rest().unwrap_or_default();
    assert!(!answer.starts_with(b"HTTP/1"), "{answer:?}");
}

#[test]
fn who_is_trusted_after_a_reload_is_so_on_open_connections_too() {
    let trusting = |proxies: &str| {
        format!(
            r#"
            [forwarding]
            trusted_proxies = ["{proxies}"]
            [sites."*"]
            upstream = "app"
            [upstreams.app]
            servers = ["{{backend}}"]
            "#
        )
    };
    let backend = Backend::start(Echo);
    let mut gateway = Gateway::new(&trusting("127.0.0.2/32"))
        .fill("backend", backend.address())
        .start();
    let mut client = Http2Client::connect(gateway.address());
    let mut told = || {
        let claim = [("x-forwarded-for", "203.0.113.9")];
        let stream = client.request("GET", "/", &claim, true);
        assert_eq!(client.answer(stream).status, 200);
        backend
            .last_request()
            .fields
            .all("x-forwarded-for")
            .join(", ")
    };
    assert_eq!(told(), "127.0.0.1");
    gateway.rewrite_config(&trusting("127.0.0.1/32"), &[]);
    assert_eq!(gateway.admin_send("POST", "/reload", "").status, 200);
    eventually("what the backend is told follows", || {
        (told() == "203.0.113.9, 127.0.0.1").then_some(())
    });
}
