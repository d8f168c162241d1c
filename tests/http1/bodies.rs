//! Where bodies end, both ways.

use foregate_testkit::{
    Answer, Backend, Echo, Framing, Gateway, Random, Raw, SendsTrailers, Visit, fingerprint,
};

#[test]
fn head_answers_have_a_length_and_no_body() {
    let backend = Backend::answering(|_| Answer::ok("0123456789"));
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    let response = client.exchange("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        (response.status, response.field("content-length")),
        (200, Some("10"))
    );
    assert_eq!(
        client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text(),
        "0123456789"
    );
    assert_eq!(backend.connections_accepted(), 1);
}

#[test]
fn a_head_answer_may_say_chunked() {
    let backend = Backend::answering(|_| Answer::status(200).chunks(["never sent"]));
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    for _ in 0..2 {
        assert_eq!(
            client.exchange("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").status,
            200
        );
    }
    assert_eq!(backend.connections_accepted(), 1);
}

#[test]
fn answers_without_content_end_with_their_head() {
    let backend = Backend::answering(|request| match request.target.as_str() {
        "/204" => Answer::status(204),
        "/304" => Answer::status(304)
            .field("ETag", "\"x\"")
            .field("Content-Length", "12345"),
        _ => Answer::ok("after"),
    });
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    for status in [204, 304] {
        let response = client.exchange(format!("GET /{status} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(
            (response.status, response.framing),
            (status, Framing::Empty)
        );
    }
    assert_eq!(
        client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text(),
        "after"
    );
    assert_eq!(backend.connections_accepted(), 1);
}

#[test]
fn an_upload_arrives_whole_in_either_framing() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let body = Random::seeded(1).bytes(3_000_000);
    let mut client = gateway.connect();

    client.send(format!(
        "POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    client.send(&body);
    let seen = client.response().json();
    assert_eq!(seen["body_fingerprint"], fingerprint(&body));
    assert_eq!(backend.last_request().framing, Framing::Length(body.len()));

    client.send("POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in body.chunks(70_001) {
        client.send(format!("{:X}\r\n", piece.len()));
        client.send(piece);
        client.send("\r\n");
    }
    client.send("0\r\n\r\n");
    let seen = client.response().json();
    assert_eq!(seen["body_fingerprint"], fingerprint(&body));
    assert_eq!(backend.last_request().framing, Framing::Chunked);
    drop(client);
    gateway.assert_no_leaks();
}

#[test]
fn a_download_arrives_whole_in_any_framing() {
    let body = Random::seeded(2).bytes(3_000_000);
    let sent = body.clone();
    let backend = Backend::answering(move |request| match request.target.as_str() {
        "/length" => Answer::ok(sent.clone()),
        _ => Answer::status(200).chunks(sent.chunks(65_537)),
    });
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    for (target, framing) in [
        ("/length", Framing::Length(body.len())),
        ("/chunked", Framing::Chunked),
    ] {
        let response = client.exchange(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(response.framing, framing);
        assert_eq!(fingerprint(&response.body), fingerprint(&body), "{target}");
    }
}

#[test]
fn an_answer_that_ends_with_the_connection_becomes_one_that_does_not() {
    let backend = Backend::start(foregate_testkit::RawThenCloses::text(
        "HTTP/1.1 200 OK\r\n\r\nuntil the end",
    ));
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    for _ in 0..2 {
        let response = client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(
            (response.framing, response.text().as_str()),
            (Framing::Chunked, "until the end")
        );
    }
    drop(client);
    gateway.assert_no_leaks();
}

#[test]
fn response_trailers_reach_a_client_that_wants_them() {
    let backend = Backend::start(SendsTrailers);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    let response =
        client.exchange("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
    assert_eq!(response.text(), "with trailers");
    assert_eq!(response.trailers.get("x-checksum"), Some("abc123"));
    assert_eq!(
        client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text(),
        "with trailers"
    );
}

/// A body that is whole is not spoilt by what stands behind it.
#[test]
fn response_trailers_that_may_not_be_ones_are_left_out() {
    let backend = Backend::start(|visit: &mut Visit| {
        let answer = Answer::status(200)
            .chunks(["whole"])
            .trailer("Cache-Control", "no-store")
            .trailer("X-Checksum", "abc123");
        while let Some(request) = visit.next_request()? {
            visit.answer(&request, &answer)?;
        }
        Ok(())
    });
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    let response =
        client.exchange("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
    assert_eq!(response.text(), "whole");
    assert_eq!(response.trailers.get("x-checksum"), Some("abc123"));
    assert_eq!(response.trailers.get("cache-control"), None);
}

#[test]
fn request_trailers_reach_the_backend() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    let request = concat!(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n",
        "5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n"
    );
    assert_eq!(client.exchange(request).status, 200);
    let seen = backend.only_request();
    assert_eq!(
        (seen.body.as_slice(), seen.trailers.get("x-sum")),
        (b"hello".as_slice(), Some("42"))
    );
}

#[test]
fn chunk_extensions_are_read_and_go_no_further() {
    // RFC 9112 section 7.1.1: a recipient MUST ignore unrecognized chunk extensions.
    let backend = Backend::start(Raw::text(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=1;b=\"q;\\\"\"\r\nhello\r\n0;last\r\n\r\n",
    ));
    let gateway = Gateway::before(&[backend.address()]);
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x;y=z\r\nabc\r\n0\r\n\r\n";
    let response = gateway.exchange(request);
    assert_eq!(
        (response.text().as_str(), response.chunk_extensions.len()),
        ("hello", 0)
    );
    let seen = backend.only_request();
    assert_eq!(
        (seen.body.as_slice(), seen.chunk_extensions.len()),
        (b"abc".as_slice(), 0)
    );
}

#[test]
fn repeated_equal_lengths_are_one() {
    // RFC 9110 section 8.6 lets a recipient either reject these or replace them by one; the backend must see one.
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let response = gateway
        .exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
    match response.status {
        200 => assert_eq!(backend.only_request().fields.all("content-length"), ["3"]),
        status => assert_eq!((status, backend.requests_total()), (400, 0)),
    }
}
