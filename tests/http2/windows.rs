//! Flow control and its order: windows that become negative, padding that counts, answers that go before others.

use crate::{gateway_over, transports};
use foregate_testkit::http2::{END_HEADERS, END_STREAM, PADDED, block, kind, padded};
use foregate_testkit::{
    Answer, Backend, Echo, Gateway, Http2Client, Random, Transport, fingerprint,
};
use foregate_tests::assert_outcome;

const INITIAL_WINDOW_SIZE: u16 = 4;

fn body_bytes(client: &mut Http2Client, stream: u32) -> usize {
    client.until(stream, |_| true).body.len()
}

/// The client has got more than it now allows: it gets nothing until it has given back what is too much (RFC 9113 §6.9.2).
#[test]
fn a_window_that_becomes_negative_and_opens_again() {
    for transport in transports() {
        let body = Random::seeded(11).bytes(100_000);
        let sent = body.clone();
        let backend = Backend::answering(move |_| Answer::ok(sent.clone()));
        let gateway = gateway_over(&transport, &backend, "");
        let window = |bytes| [(INITIAL_WINDOW_SIZE, bytes)];
        let mut client = Http2Client::connect_with(gateway.target(), &window(10_000));
        client.gives_windows = false;
        client.open_window(0, 200_000);
        let streams = [(); 2].map(|()| client.request("GET", "/", &[], true));
        for stream in streams {
            client.until(stream, |answer| answer.body.len() == 10_000);
        }
        client.announce(&window(4_000));
        client.open_window(streams[0], 6_000);
        client.open_window(streams[1], 5_999);
        client.settle();
        for stream in streams {
            assert_eq!(body_bytes(&mut client, stream), 10_000);
        }
        client.open_window(streams[0], 1);
        client.open_window(streams[1], 1_001);
        client.until(streams[1], |answer| answer.body.len() == 11_000);
        client.settle();
        assert_eq!(body_bytes(&mut client, streams[0]), 10_001);
        assert_eq!(body_bytes(&mut client, streams[1]), 11_000);
        // And what it now allows holds for those streams, too.
        client.announce(&window(200_000));
        for stream in streams {
            let answer = client.answer(stream);
            assert!(answer.ended && answer.body == body);
        }
        drop(client);
        assert_eq!(gateway.log_lines(2)[1].reason(), "proxied");
        gateway.assert_no_leaks();
    }
}

/// So much padding that the body would not fit into the windows if it were not given back.
#[test]
fn padding_is_given_back_to_the_windows() {
    let backend = Backend::start(Echo);
    let gateway = gateway_over(&Transport::Cleartext, &backend, "");
    let mut client = Http2Client::connect(gateway.target());
    let stream = client.take_stream();
    let head = block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/padded"),
    ]);
    let flags = END_HEADERS | PADDED;
    client.send_frame(kind::HEADERS, flags, stream, &padded(&head, 200));
    let body = Random::seeded(12).bytes(200_000);
    // What both windows begin with.
    let mut room = [65_535; 2];
    for piece in body.chunks(100) {
        let payload = padded(piece, 255);
        while room.iter().any(|&bytes| bytes < payload.len()) {
            let came = client.read_frame().expect("windows are opened");
            room[usize::from(came.stream != 0)] += came.window_bytes().unwrap_or(0);
        }
        client.send_frame(kind::DATA, PADDED, stream, &payload);
        room = room.map(|bytes| bytes - payload.len());
    }
    // The end is nothing but padding.
    let end = padded(b"", 100);
    client.send_frame(kind::DATA, PADDED | END_STREAM, stream, &end);
    let answer = client.answer(stream);
    assert!(
        answer.text().contains(&fingerprint(&body)),
        "{}",
        answer.text()
    );
    assert_eq!(backend.only_request().target, "/padded");
    drop(client);
    assert_outcome(&gateway, 200, "proxied");
}

/// A client whose connection window has room for nothing more, and a gateway that has an answer to each of two requests.
fn two_answers_wait(first: &str, second: &str) -> (Backend, Gateway, Http2Client, [u32; 2]) {
    let backend = Backend::answering(|request| match request.target.as_str() {
        "/fill" => Answer::ok(vec![b'x'; 65_535]),
        _ => Answer::ok(vec![b'y'; 4_000]),
    });
    let gateway = Gateway::before(&[backend.address()]);
    let wide = [(INITIAL_WINDOW_SIZE, 1_000_000)];
    let mut client = Http2Client::connect_with(gateway.address(), &wide);
    client.gives_windows = false;
    assert_eq!(client.get("/fill").body.len(), 65_535);
    let streams = [first, second].map(|priority| {
        let stream = client.request("GET", "/", &[("priority", priority)], true);
        client.until(stream, |answer| answer.status == 200);
        stream
    });
    client.settle();
    (backend, gateway, client, streams)
}

/// The connection has room for one of them.
#[track_caller]
fn leaves_first(client: &mut Http2Client, stream: u32, other: u32) {
    client.open_window(0, 4_000);
    assert_eq!(client.answer(stream).body.len(), 4_000);
    client.settle();
    assert_eq!(client.until(other, |_| true).body.len(), 0);
    client.open_window(0, 4_000);
    assert_eq!(client.answer(other).body.len(), 4_000);
}

#[test]
fn the_urgent_answer_leaves_before_the_others() {
    let (_backend, _gateway, mut client, [low, high]) = two_answers_wait("u=7", "u=0");
    leaves_first(&mut client, high, low);
    // Of the same urgency, the one that waits for longer.
    let (_backend, _gateway, mut client, [first, second]) = two_answers_wait("u=3", "u=3");
    leaves_first(&mut client, first, second);
}

/// What a client says of a request that waits holds for it (RFC 9218 §7).
#[test]
fn priority_update_changes_what_waits() {
    let (_backend, _gateway, mut client, [first, second]) = two_answers_wait("u=1", "u=5");
    for (stream, urgency) in [(first, "u=6"), (second, "u=0")] {
        let update = [&stream.to_be_bytes()[..], urgency.as_bytes()].concat();
        client.send_frame(kind::PRIORITY_UPDATE, 0, 0, &update);
    }
    leaves_first(&mut client, second, first);
}

/// Also of one that is not there yet, whatever its field says.
#[test]
fn priority_update_may_come_before_its_request() {
    let (_backend, _gateway, mut client, [first, second]) = two_answers_wait("u=3", "u=4");
    let third = second + 2;
    let update = [&third.to_be_bytes()[..], b"u=0"].concat();
    client.send_frame(kind::PRIORITY_UPDATE, 0, 0, &update);
    assert_eq!(
        client.request("GET", "/", &[("priority", "u=7")], true),
        third
    );
    client.until(third, |answer| answer.status == 200);
    client.settle();
    leaves_first(&mut client, third, first);
    client.open_window(0, 4_000);
    assert_eq!(client.answer(second).body.len(), 4_000);
}
