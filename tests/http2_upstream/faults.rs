//! An answer that is not taken ends its own request, and not those that share its connection; and what is not taken of
//! an answer does not end it.

use super::{before, before_address};
use foregate_testkit::http2::{
    END_HEADERS, END_STREAM, Http2Frame, block, frame, greet, kind, take_frame,
};
use foregate_testkit::{Backend, Http2Backend, Http2Client, Http2Reply, Trouble, Visit};

const END: u8 = END_HEADERS | END_STREAM;

/// The next request.
fn asked(visit: &mut Visit) -> Result<Http2Frame, Trouble> {
    loop {
        let came = take_frame(&mut visit.connection)?;
        if came.kind == kind::HEADERS {
            return Ok(came);
        }
    }
}

/// A whole answer whose head takes 30 fields of 4 kB.
fn huge(stream: u32) -> Vec<u8> {
    let value = "v".repeat(4_000);
    let mut head = vec![0x88];
    (0..30).for_each(|_| head.extend(block(&[("filler", &value)])));
    let pieces: Vec<&[u8]> = head.chunks(16_000).collect();
    let mut bytes = frame(kind::HEADERS, END_STREAM, stream, pieces[0]);
    for (at, piece) in pieces.iter().enumerate().skip(1) {
        let flags = match at + 1 == pieces.len() {
            true => END_HEADERS,
            false => 0,
        };
        bytes.extend(frame(kind::CONTINUATION, flags, stream, piece));
    }
    bytes
}

/// Keeps the first request waiting until it has answered 200 others, by turns with a head that is too large and a malformed
/// one.
fn careless() -> Backend {
    Backend::start(|visit: &mut Visit| {
        greet(&mut visit.connection)?;
        let first = asked(visit)?.stream;
        for round in 0..200 {
            let stream = asked(visit)?.stream;
            let malformed = [&[0x88], &block(&[("connection", "close")])[..]].concat();
            visit.send(match round % 2 {
                0 => huge(stream),
                _ => frame(kind::HEADERS, END, stream, &malformed),
            })?;
        }
        visit.send(frame(kind::HEADERS, END, first, &[0x88]))?;
        while take_frame(&mut visit.connection).is_ok() {}
        Ok(())
    })
}

#[test]
fn one_clients_bad_answers_leave_the_others_alone() {
    let backend = careless();
    let gateway = before_address(
        backend.address(),
        "ejection = { consecutive_failures = \"off\" }",
    );
    let mut patient = Http2Client::connect(gateway.address());
    let waiting = patient.request("GET", "/", &[], true);
    backend.wait_connections_open(1);
    for _ in 0..200 {
        assert_eq!(gateway.get("a", "/").status, 502);
    }
    assert_eq!(patient.answer(waiting).status, 200);
    assert_eq!(backend.connections_accepted(), 1);
    let lines = gateway.log_lines(201);
    assert_eq!(lines[0].reason(), "response-head-too-large");
    assert_eq!(lines[1].reason(), "response-connection-field");
    drop(patient);
    gateway.assert_no_leaks();
}

/// As gateways of gRPC do that send the fields of their head once more.
#[test]
fn trailers_that_may_not_be_ones_are_left_out() {
    let backend = Http2Backend::answering(|_| Http2Reply::Whole {
        status: 200,
        hint: None,
        fields: vec![("content-type", "application/grpc".into())],
        body: b"\0\0\0\0\x01a".to_vec(),
        trailers: vec![
            ("content-type", "application/grpc"),
            ("grpc-status", "0"),
            ("cache-control", "no-store"),
            ("sum", "5"),
        ],
    });
    let gateway = before(&backend, "");
    let mut client = Http2Client::connect(gateway.address());
    let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
    let stream = client.request("POST", "/", &grpc, true);
    let answer = client.answer(stream);
    let trailers: Vec<(&str, &str)> = answer.trailers.iter().collect();
    assert_eq!(trailers, [("grpc-status", "0"), ("sum", "5")]);
    assert_eq!(gateway.only_log_line().reason(), "proxied");
}
