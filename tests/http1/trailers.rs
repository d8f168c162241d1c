//! What may pass behind a body. A backend that merges trailers into the head must not find there what was kept from it.

use foregate_testkit::{Answer, Backend, Echo, Gateway, Request, Visit};

/// Trailers that a client has no right to, and one of its own.
const TRAILERS: &str = concat!(
    "X_Forwarded_For: 6.6.6.6\r\nX-Forwarded-Prefix: /evil\r\nX-Request-Id: forged\r\nx-internal: 1\r\n",
    "X-Set: forged\r\nX-Added: own\r\nX-Sum: 5\r\n\r\n"
);

fn upload(method: &str, trailers: &str) -> String {
    format!(
        "{method} / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n{trailers}"
    )
}

fn gateway(servers: &[&Backend], more: &str) -> Gateway {
    let servers: Vec<String> = servers
        .iter()
        .map(|one| format!("\"{}\"", one.address()))
        .collect();
    Gateway::new(&format!(
        r#"
        {more}
        [sites."*"]
        [[sites."*".routes]]
        upstream = "app"
        request_headers = {{ remove = ["X-Internal"], set = {{ "X-Set" = "1" }}, add = {{ "X-Added" = "2" }} }}
        response_headers = {{ remove = ["X-Powered-By"], set = {{ "X-Set" = "1" }} }}
        [upstreams.app]
        servers = [{}]
        "#,
        servers.join(", ")
    ))
    .start()
}

#[track_caller]
fn check(seen: &Request, expected: &[(&str, &str)]) {
    let trailers: Vec<_> = seen.trailers.iter().collect();
    assert_eq!(
        (seen.body.as_slice(), trailers.as_slice()),
        (&b"hello"[..], expected)
    );
}

#[test]
fn trailers_of_a_request_claim_nothing_that_its_head_may_not() {
    let backend = Backend::start(Echo);
    let gateway = gateway(&[&backend], "");
    let mut client = gateway.connect();
    assert_eq!(client.exchange(upload("POST", TRAILERS)).status, 200);
    check(
        &backend.last_request(),
        &[("X-Added", "own"), ("X-Sum", "5")],
    );
    // None is left of these, and the body ends all the same.
    assert_eq!(
        client.exchange(upload("POST", "X-Set: 1\r\n\r\n")).status,
        200
    );
    check(&backend.last_request(), &[]);
}

#[test]
fn what_is_sent_again_claims_nothing_either() {
    let bad = Backend::start(|visit: &mut Visit| visit.next_request().map(drop));
    let good = Backend::start(Echo);
    let gateway = gateway(&[&bad, &good], "");
    assert_eq!(gateway.exchange(upload("PUT", TRAILERS)).status, 200);
    for backend in [&bad, &good] {
        check(
            &backend.only_request(),
            &[("X-Added", "own"), ("X-Sum", "5")],
        );
    }
}

#[test]
fn a_trusted_proxy_may_claim_in_trailers_what_it_may_in_heads() {
    let backend = Backend::start(Echo);
    let gateway = gateway(
        &[&backend],
        "[forwarding]\ntrusted_proxies = [\"127.0.0.1\"]",
    );
    let trailers = "X-Forwarded-Prefix: /app\r\nX-Request-Id: own\r\n\r\n";
    assert_eq!(gateway.exchange(upload("POST", trailers)).status, 200);
    check(&backend.only_request(), &[("X-Forwarded-Prefix", "/app")]);
}

#[test]
fn trailers_of_an_answer_tell_nothing_that_its_head_may_not() {
    let backend = Backend::answering(|_| {
        Answer::status(200)
            .chunks(["hello"])
            .trailer("Server", "secretd/1.2.3")
            .trailer("X-Powered-By", "secret")
            .trailer("x-set", "old")
            .trailer("X-Request-Id", "other")
            .trailer("X-Sum", "5")
    });
    for (more, expected) in [
        ("", &[("X-Sum", "5")][..]),
        (
            "[forwarding]\nserver_header = \"pass\"",
            &[("Server", "secretd/1.2.3"), ("X-Sum", "5")],
        ),
    ] {
        let gateway = gateway(&[&backend], more);
        let response = gateway.get("a", "/");
        assert_eq!(response.text(), "hello");
        let trailers: Vec<_> = response.trailers.iter().collect();
        assert_eq!(trailers, expected, "{more}");
    }
}

/// A client may take what they say for what the final head will say (RFC 8297 section 2).
#[test]
fn interim_heads_say_nothing_that_the_head_may_not() {
    let backend = Backend::start(|visit: &mut Visit| {
        while visit.next_request()?.is_some() {
            visit.send(concat!(
                "HTTP/1.1 103 Early Hints\r\nServer: secret/1.2\r\nX-Powered-By: x\r\nX-Set: forged\r\n",
                "X-Request-Id: mine\r\nLink: </a>; rel=preload\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            ))?;
        }
        Ok(())
    });
    let gateway = gateway(&[&backend], "");
    let response = gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(response.text(), "ok");
    let [(103, hints)] = response.informational.as_slice() else {
        panic!("informational answers: {:?}", response.informational)
    };
    for name in ["server", "x-powered-by", "x-set", "x-request-id"] {
        assert_eq!(hints.get(name), None, "{name}");
    }
    assert_eq!(hints.get("link"), Some("</a>; rel=preload"));
}
