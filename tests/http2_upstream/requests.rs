//! What reaches the backend, and what comes back.

use crate::before;
use foregate_testkit::http2::{END_HEADERS, END_STREAM, block, kind};
use foregate_testkit::{Http2Backend, Http2Client, Http2Reply, Random};

#[test]
fn a_request_and_its_answer_pass_whole() {
    let backend = Http2Backend::answering(|_| Http2Reply::Whole {
        status: 201,
        hint: Some("</style.css>; rel=preload"),
        fields: vec![("x-one", "1".into()), ("set-cookie", "a=b".into())],
        body: b"made".to_vec(),
        trailers: vec![("x-sum", "4")],
    });
    let gateway = before(&backend, "");
    let mut client = gateway.connect();
    let response = client.exchange(
        "POST /a?b=c HTTP/1.1\r\nHost: shop.example\r\nCookie: x=y\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Check: 7\r\n\r\n",
    );
    assert_eq!(response.status, 201);
    assert_eq!(response.field("x-one"), Some("1"));
    assert_eq!(response.field("set-cookie"), Some("a=b"));
    assert_eq!(response.body, b"made");
    assert_eq!(response.trailers.get("x-sum"), Some("4"));
    let (status, hints) = &response.informational[0];
    assert_eq!(
        (*status, hints.get("link")),
        (103, Some("</style.css>; rel=preload"))
    );

    let seen = backend.requests().pop().expect("it came");
    assert_eq!(
        (seen.method.as_str(), seen.path.as_str()),
        ("POST", "/a?b=c")
    );
    assert_eq!(
        (seen.scheme.as_str(), seen.authority.as_str()),
        ("http", "shop.example")
    );
    assert_eq!(seen.field("cookie"), Some("x=y"));
    assert_eq!(seen.field("te"), Some("trailers"));
    for name in ["connection", "transfer-encoding", "host"] {
        assert_eq!(seen.field(name), None, "{name}");
    }
    assert_eq!(seen.body, b"abc");
    assert_eq!(seen.trailers, [("x-check".to_owned(), "7".to_owned())]);
    assert_eq!(gateway.only_log_line().reason(), "proxied");
    drop(client);
    gateway.assert_no_leaks();
}

#[test]
fn long_bodies_pass_both_ways_through_small_windows() {
    let setup = foregate_testkit::Http2Setup {
        window_bytes: 5_000,
        ..Default::default()
    };
    let backend = Http2Backend::start(setup, |_| Http2Reply::Echo);
    let gateway = before(&backend, "");
    for seed in 1..4 {
        let body = Random::seeded(seed).bytes(700_000);
        let mut request = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        let mut client = gateway.connect();
        request.extend_from_slice(&body);
        let mut socket = client.connection().stream().try_clone().expect("a clone");
        let writer = std::thread::spawn(move || std::io::Write::write_all(&mut socket, &request));
        let response = client.response();
        assert!(response.body == body, "{} bytes", response.body.len());
        assert!(writer.join().expect("no panic").is_ok());
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn answers_without_a_body_end_with_their_head() {
    let backend = Http2Backend::answering(|request| Http2Reply::Whole {
        status: if request.path == "/none" { 204 } else { 200 },
        hint: None,
        fields: match request.method.as_str() {
            "HEAD" => vec![("content-length", "5".into())],
            _ => Vec::new(),
        },
        body: Vec::new(),
        trailers: Vec::new(),
    });
    let gateway = before(&backend, "");
    let mut client = gateway.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = client.response_to_head();
    assert_eq!(response.field("content-length"), Some("5"));
    let response = client.exchange("GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((response.status, response.body.len()), (204, 0));
    let response = client.exchange("GET /empty HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((response.status, response.body.len()), (200, 0));
}

/// Servers that learn how long their answer is when it is over, and then still have trailers, send such ones. To lose those of
/// a call of gRPC is to lose its status.
#[test]
fn what_is_said_to_be_empty_keeps_its_trailers() {
    let backend = Http2Backend::answering(|_| Http2Reply::Whole {
        status: 200,
        hint: None,
        fields: vec![
            ("content-type", "application/grpc".into()),
            ("content-length", "0".into()),
        ],
        body: Vec::new(),
        trailers: vec![("grpc-status", "5")],
    });
    let gateway = before(&backend, "grpc_web = true");
    let mut client = Http2Client::connect(gateway.address());
    let head = [("content-length", "0"), ("te", "trailers")];
    let stream = client.request("POST", "/", &head, false);
    let trailers = block(&[("x-sum", "4")]);
    client.send_frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, &trailers);
    let answer = client.answer(stream);
    assert_eq!(answer.trailers.get("grpc-status"), Some("5"));
    let seen = backend.requests().pop().expect("it came");
    assert_eq!(seen.trailers, [("x-sum".to_owned(), "4".to_owned())]);

    let web = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web\r\nContent-Length: 0\r\n\r\n";
    let response = gateway.exchange(web);
    assert_eq!(response.body, b"\x80\0\0\0\x10grpc-status: 5\r\n");

    // HTTP/1.1 has no place for them behind a body of no bytes.
    let response = gateway.get("a", "/");
    assert_eq!((response.status, response.body.len()), (200, 0));
    assert_eq!(response.field("content-length"), Some("0"));
    drop(client);
    gateway.assert_no_leaks();
}
