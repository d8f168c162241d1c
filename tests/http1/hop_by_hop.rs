//! Fields that belong to one connection and go no further (RFC 9110 section 7.6.1).

use foregate_testkit::{Backend, Echo, Gateway, Raw};

#[test]
fn a_requests_hop_by_hop_fields_stay_behind() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let request = concat!(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Hop, x-other-hop\r\nKeep-Alive: timeout=5\r\n",
        "Proxy-Connection: keep-alive\r\nX-Hop: 1\r\nX-Other-Hop: 2\r\nX-End: 3\r\nTE: gzip, trailers;q=0.5\r\n",
        "Proxy-Authorization: Basic eDp5\r\n\r\n"
    );
    assert_eq!(gateway.exchange(request).status, 200);
    let seen = backend.only_request();
    for name in [
        "keep-alive",
        "proxy-connection",
        "x-hop",
        "x-other-hop",
        "upgrade",
    ] {
        assert_eq!(seen.field(name), None, "{name}");
    }
    assert_eq!(seen.field("x-end"), Some("3"));
    assert!(
        seen.fields
            .all("te")
            .iter()
            .all(|value| *value == "trailers"),
        "{:?}",
        seen.fields
    );
    for value in seen.fields.all("connection") {
        assert!(!value.to_ascii_lowercase().contains("hop"), "{value}");
    }
}

#[test]
fn connection_cannot_strip_what_must_arrive() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let request = concat!(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: Host, Content-Length, Authorization, Cookie, X-Forwarded-For\r\n",
        "Content-Length: 2\r\nAuthorization: Bearer x\r\nCookie: c=1\r\n\r\nhi"
    );
    let response = gateway.exchange(request);
    if response.status == 400 {
        assert_eq!(backend.requests_total(), 0);
        return;
    }
    let seen = backend.only_request();
    assert_eq!(
        (seen.field("host"), seen.body.as_slice()),
        (Some("a"), b"hi".as_slice())
    );
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
}

#[test]
fn an_answers_hop_by_hop_fields_stay_behind() {
    let backend = Backend::start(Raw::text(concat!(
        "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nX-End: 2\r\n",
        "Proxy-Connection: x\r\nContent-Length: 0\r\n\r\n"
    )));
    let gateway = Gateway::before(&[backend.address()]);
    let response = gateway
        .connect()
        .exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for name in ["keep-alive", "x-hop", "proxy-connection"] {
        assert_eq!(response.field(name), None, "{name}");
    }
    assert_eq!(response.field("x-end"), Some("2"));
}

#[test]
fn order_and_case_of_end_to_end_fields_survive() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-b: 1\r\nx-A: 2\r\nACCEPT: */*\r\nX-b: 3\r\nX-Empty:\r\n\r\n";
    assert_eq!(gateway.exchange(request).status, 200);
    let seen = backend.only_request();
    let own = ["X-b", "x-A", "ACCEPT", "X-Empty"];
    let kept: Vec<_> = seen
        .fields
        .iter()
        .filter(|(name, _)| own.contains(name))
        .collect();
    assert_eq!(
        kept,
        [
            ("X-b", "1"),
            ("x-A", "2"),
            ("ACCEPT", "*/*"),
            ("X-b", "3"),
            ("X-Empty", "")
        ]
    );
}
