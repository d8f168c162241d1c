//! What a backend changes while requests are under way: windows, the number of streams, whether it goes on at all.

use crate::before_address;
use foregate_testkit::http2::{
    END_HEADERS, END_STREAM, Http2Frame, PADDED, frame, greet, greet_with, kind, padded, settings,
    take_frame,
};
use foregate_testkit::{Backend, Gateway, Http2Client, Random, RawClient, Trouble, Visit};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
/// `:status: 200` of the static table.
const STATUS_200: [u8; 1] = [0x88];

/// Reads until a frame that is `wanted`.
fn until(visit: &mut Visit, wanted: impl Fn(&Http2Frame) -> bool) -> Result<Http2Frame, Trouble> {
    loop {
        let came = take_frame(&mut visit.connection)?;
        if wanted(&came) {
            return Ok(came);
        }
    }
}

fn next_request(visit: &mut Visit) -> Result<u32, Trouble> {
    until(visit, |frame| frame.kind == kind::HEADERS).map(|frame| frame.stream)
}

/// 200 with a body.
fn answer(visit: &mut Visit, stream: u32, body: &str) -> Result<(), Trouble> {
    visit.send(frame(kind::HEADERS, END_HEADERS, stream, &STATUS_200))?;
    visit.send(frame(kind::DATA, END_STREAM, stream, body.as_bytes()))
}

fn announce(visit: &mut Visit, lines: &[(u16, u32)]) -> Result<(), Trouble> {
    visit.send(frame(kind::SETTINGS, 0, 0, &settings(lines)))
}

fn open_window(visit: &mut Visit, stream: u32, bytes: u32) -> Result<(), Trouble> {
    visit.send(frame(kind::WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes()))
}

/// What the gateway sends until it has acted on all that was sent to it: the second PING was sent when it had answered the
/// first.
fn settled(visit: &mut Visit) -> Result<Vec<Http2Frame>, Trouble> {
    let mut came = Vec::new();
    for payload in [*b"settle 1", *b"settle 2"] {
        visit.send(frame(kind::PING, 0, 0, &payload))?;
        loop {
            let frame = take_frame(&mut visit.connection)?;
            if frame.kind == kind::PING && frame.payload == payload {
                break;
            }
            came.push(frame);
        }
    }
    Ok(came)
}

/// Reads DATA until so much of a body has come, and what more comes with it.
fn take_body(visit: &mut Visit, body: &mut Vec<u8>, bytes: usize) -> Result<(), Trouble> {
    while body.len() < bytes {
        let came = until(visit, |frame| frame.kind == kind::DATA)?;
        body.extend_from_slice(&came.payload);
    }
    let more = settled(visit)?;
    let more = more.iter().filter(|frame| frame.kind == kind::DATA);
    more.for_each(|frame| body.extend_from_slice(&frame.payload));
    Ok(())
}

/// A backend that gets more of a body than it then allows, and tells what it had got at each step.
fn shrinks_its_windows(told: Sender<Vec<u8>>) -> Backend {
    Backend::start(move |visit: &mut Visit| {
        greet_with(&mut visit.connection, &[(INITIAL_WINDOW_SIZE, 10_000)])?;
        open_window(visit, 0, 1_000_000)?;
        // Before the settings have come, a request's body has as much as windows begin with.
        let first = next_request(visit)?;
        answer(visit, first, "settled")?;
        let stream = next_request(visit)?;
        let mut body = Vec::new();
        take_body(visit, &mut body, 10_000)?;
        let _ = told.send(body.clone());
        announce(visit, &[(INITIAL_WINDOW_SIZE, 4_000)])?;
        open_window(visit, stream, 6_000)?;
        take_body(visit, &mut body, 10_000)?;
        let _ = told.send(body.clone());
        open_window(visit, stream, 1)?;
        take_body(visit, &mut body, 10_001)?;
        let _ = told.send(body.clone());
        announce(visit, &[(INITIAL_WINDOW_SIZE, 500_000)])?;
        take_body(visit, &mut body, 100_000)?;
        let _ = told.send(body);
        answer(visit, stream, "whole")?;
        visit.drain();
        Ok(())
    })
}

#[test]
fn a_window_that_becomes_negative_and_opens_again() {
    let (told, seen) = channel();
    let backend = shrinks_its_windows(told);
    let gateway = before_address(backend.address(), "");
    let body = Random::seeded(21).bytes(100_000);
    assert_eq!(gateway.get("a", "/").text(), "settled");
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    client.send(&body);
    assert_eq!(client.response().text(), "whole");
    let seen: Vec<Vec<u8>> = seen.try_iter().collect();
    let lengths: Vec<usize> = seen.iter().map(Vec::len).collect();
    assert_eq!(lengths, [10_000, 10_000, 10_001, 100_000]);
    assert!(seen[3] == body);
    assert_eq!(gateway.log_lines(2)[1].reason(), "proxied");
    drop(client);
    gateway.assert_no_leaks();
}

/// Has three requests under way when it allows one. What it answers is which of its connections they came on.
fn allows_fewer(shrunk: Sender<()>, go_on: Receiver<()>) -> Backend {
    let go_on = Mutex::new(go_on);
    Backend::start(move |visit: &mut Visit| {
        greet(&mut visit.connection)?;
        let name = visit.number.to_string();
        let mut streams = Vec::new();
        while visit.number == 1 && streams.len() < 3 {
            streams.push(next_request(visit)?);
        }
        if visit.number == 1 {
            announce(visit, &[(MAX_CONCURRENT_STREAMS, 1)])?;
            settled(visit)?;
            let _ = shrunk.send(());
            let _ = go_on.lock().expect("no panic").recv();
        }
        for stream in streams {
            // As long as one of them is under way, those are as many as may be.
            let too_many = |frame: &Http2Frame| frame.kind == kind::HEADERS;
            if settled(visit)?.iter().any(too_many) {
                return Err(Trouble::Malformed("a stream too many".to_owned()));
            }
            answer(visit, stream, &name)?;
        }
        loop {
            let stream = next_request(visit)?;
            answer(visit, stream, &name)?;
        }
    })
}

fn ask(gateway: &Gateway) -> RawClient {
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client
}

#[test]
fn fewer_streams_are_allowed_while_more_are_under_way() {
    // Whether another connection may be opened for the fourth request, or it has to wait.
    for (more, fourth) in [("", "2"), ("connections_max = 1", "1")] {
        let (shrunk, has_shrunk) = channel();
        let (answer, go_on) = channel();
        let backend = allows_fewer(shrunk, go_on);
        let gateway = before_address(backend.address(), more);
        let under_way = [(); 3].map(|()| ask(&gateway));
        has_shrunk.recv().expect("the backend lives");
        let mut late = ask(&gateway);
        match fourth {
            "2" => assert_eq!(late.response().text(), "2"),
            _ => gateway.wait_metric("foregate_requests_in_flight", &[], 4.0),
        }
        answer.send(()).expect("the backend lives");
        for mut client in under_way {
            assert_eq!(client.response().text(), "1");
        }
        if fourth == "1" {
            assert_eq!(late.response().text(), "1");
        }
        assert_eq!(backend.troubles(), []);
        for line in gateway.log_lines(4) {
            assert_eq!((line.status(), line.reason()), (200, "proxied".to_owned()));
        }
        drop(late);
        gateway.assert_no_leaks();
    }
}

/// Goes away in the middle of its third request, having taken up the first two.
fn goes_away() -> Backend {
    Backend::start(move |visit: &mut Visit| {
        greet(&mut visit.connection)?;
        let name = visit.number.to_string();
        if visit.number == 1 {
            let taken = [next_request(visit)?, next_request(visit)?];
            let unseen = next_request(visit)?;
            let last = taken[1].to_be_bytes();
            visit.send(frame(kind::GOAWAY, 0, 0, &[&last[..], &[0; 4]].concat()))?;
            assert!(unseen > taken[1]);
            settled(visit)?;
            for stream in taken {
                answer(visit, stream, &name)?;
            }
            visit.drain();
            return Ok(());
        }
        loop {
            let stream = next_request(visit)?;
            answer(visit, stream, &name)?;
        }
    })
}

/// The ones below its last stream are finished on the connection, the one above goes to another, though it may not be
/// repeated: the backend has not looked at it.
#[test]
fn a_backend_that_goes_away_finishes_what_it_has_taken_up() {
    let backend = goes_away();
    let gateway = before_address(backend.address(), "");
    let mut client = Http2Client::connect(gateway.address());
    let streams = [(); 3].map(|()| client.request("POST", "/", &[], true));
    let mut answers = streams.map(|stream| client.answer(stream).text());
    answers.sort();
    assert_eq!(answers, ["1", "1", "2"]);
    // Its connection is closed when it has nothing more to say.
    backend.wait_connections_open(1);
    assert_eq!(client.get("/").text(), "2");
    assert_eq!(backend.connections_accepted(), 2);
    for line in gateway.log_lines(4) {
        assert_eq!((line.status(), line.reason()), (200, "proxied".to_owned()));
    }
    drop(client);
    gateway.assert_no_leaks();
}

/// A body of small pieces with much padding: more than the windows hold, if the padding is not given back.
fn pads() -> Backend {
    Backend::start(move |visit: &mut Visit| {
        greet(&mut visit.connection)?;
        // What both windows begin with: the connection's is opened further at once.
        let mut room = [65_535; 2];
        let stream = loop {
            let came = take_frame(&mut visit.connection)?;
            match came.kind {
                kind::HEADERS => break came.stream,
                _ => room[0] += came.window_bytes().unwrap_or(0),
            }
        };
        let head = padded(&STATUS_200, 100);
        visit.send(frame(kind::HEADERS, END_HEADERS | PADDED, stream, &head))?;
        for piece in Random::seeded(22).bytes(200_000).chunks(100) {
            let payload = padded(piece, 255);
            while room.iter().any(|&bytes| bytes < payload.len()) {
                let came = take_frame(&mut visit.connection)?;
                room[usize::from(came.stream != 0)] += came.window_bytes().unwrap_or(0);
            }
            visit.send(frame(kind::DATA, PADDED, stream, &payload))?;
            room = room.map(|bytes| bytes - payload.len());
        }
        let end = padded(b"", 9);
        visit.send(frame(kind::DATA, PADDED | END_STREAM, stream, &end))?;
        visit.drain();
        Ok(())
    })
}

#[test]
fn padding_is_given_back_to_the_windows() {
    let backend = pads();
    let gateway = before_address(backend.address(), "");
    let response = gateway.get("a", "/");
    assert_eq!(response.status, 200);
    assert!(response.body == Random::seeded(22).bytes(200_000));
    assert_eq!(gateway.only_log_line().reason(), "proxied");
    gateway.assert_no_leaks();
}
