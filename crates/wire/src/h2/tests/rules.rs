//! RFC 9113 §5.1 and §6, rule by rule: what a server says to frames in every state of a stream.

use super::*;
use foregate_message::{Fault, Reason};

const BAD_WINDOW: [u8; 4] = [0x7f, 255, 255, 255];

fn data(stream: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    frame(Kind::DATA, flags, stream, payload)
}

fn rst(stream: u32) -> Vec<u8> {
    frame(Kind::RST_STREAM, 0, stream, &8u32.to_be_bytes())
}

fn window(stream: u32, increment: u32) -> Vec<u8> {
    frame(Kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

fn priority(stream: u32, on: u32) -> Vec<u8> {
    let mut payload = on.to_be_bytes().to_vec();
    payload.push(16);
    frame(Kind::PRIORITY, 0, stream, &payload)
}

fn ends(code: ErrorCode) -> Vec<String> {
    vec![format!("GOAWAY 1 {}", code.name())]
}

fn resets(code: ErrorCode) -> Vec<String> {
    vec![format!("RST_STREAM 1 {}", code.name())]
}

/// A stream of a server in each state that a client can bring about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Before {
    Idle,
    Open,
    HalfClosedRemote,
    HalfClosedLocal,
    /// Both ended, and the application has let go of it.
    Ended,
    /// We reset it.
    ResetByUs,
    /// The client reset it.
    ResetByPeer,
}

fn bench(before: Before) -> Bench {
    let mut bench = Bench::server(Limits::default());
    let ended = matches!(before, Before::HalfClosedRemote | Before::Ended);
    if before != Before::Idle {
        let flags = if ended { flag::END_STREAM } else { 0 };
        let method = if ended { "GET" } else { "POST" };
        bench
            .feed(&headers(1, flags, &request(method, &[])))
            .unwrap();
        let key = bench.asked();
        match before {
            Before::Ended | Before::HalfClosedLocal => {
                let head = ResponseHead::new(Status::OK);
                bench.connection.respond(key, &head, BodyLength::Empty);
                if ended {
                    bench.connection.release(key);
                }
            }
            Before::ResetByUs => {
                bench.connection.reset(key, ErrorCode::CANCEL);
                bench.connection.release(key);
            }
            Before::ResetByPeer => {
                bench.feed(&rst(1)).unwrap();
                bench.connection.release(key);
            }
            _ => {}
        }
    }
    bench.written();
    bench
}

/// Feeds each frame to a server with a stream in the state before, and compares what it says.
fn judge(rows: impl IntoIterator<Item = (Before, Vec<u8>, Vec<String>)>) {
    for (before, bytes, expected) in rows {
        let mut bench = bench(before);
        let _ = bench.feed(&bytes);
        let said = bench.said();
        assert_eq!(said, expected, "{before:?} {:?}", words(&bytes));
    }
}

#[test]
fn idle_and_open_streams() {
    use Before::*;
    let idle_protocol = || vec!["GOAWAY 0 PROTOCOL_ERROR".to_owned()];
    judge([
        // §5.1, idle: anything but HEADERS and PRIORITY is a connection error PROTOCOL_ERROR.
        (Idle, data(1, 0, b"12345678"), idle_protocol()),
        (Idle, rst(1), idle_protocol()),
        (Idle, window(1, 1), idle_protocol()),
        (Idle, priority(1, 3), nothing()),
        (Idle, headers(1, 0, &get()), nothing()),
        (Idle, headers(2, 0, &get()), idle_protocol()),
        // §5.1, open: everything goes.
        (Open, data(1, 0, b"12345678"), nothing()),
        (Open, window(1, 1), nothing()),
        (Open, priority(1, 3), nothing()),
        (Open, rst(1), nothing()),
        (Open, headers(1, END, &block(&[("a", "b")])), nothing()),
        // §8.1: a second head that does not end the stream.
        (
            Open,
            headers(1, 0, &block(&[("a", "b")])),
            resets(ErrorCode::PROTOCOL_ERROR),
        ),
    ]);
}

#[test]
fn half_closed_streams() {
    use Before::*;
    let stream_closed = || resets(ErrorCode::STREAM_CLOSED);
    judge([
        // §5.1, half closed (remote): only WINDOW_UPDATE, PRIORITY, RST_STREAM.
        (HalfClosedRemote, data(1, 0, b"12345678"), stream_closed()),
        (HalfClosedRemote, headers(1, END, &get()), stream_closed()),
        (HalfClosedRemote, window(1, 1), nothing()),
        (HalfClosedRemote, priority(1, 3), nothing()),
        (HalfClosedRemote, rst(1), nothing()),
        // §5.1, half closed (local): everything goes.
        (HalfClosedLocal, data(1, 0, b"12345678"), nothing()),
        (HalfClosedLocal, window(1, 1), nothing()),
        (HalfClosedLocal, rst(1), nothing()),
    ]);
}

#[test]
fn closed_streams() {
    use Before::*;
    let closed = || ends(ErrorCode::STREAM_CLOSED);
    let stream_closed = || resets(ErrorCode::STREAM_CLOSED);
    judge([
        // §5.1, closed: after END_STREAM, DATA and HEADERS are errors; WINDOW_UPDATE and RST_STREAM may be late.
        (Ended, data(1, 0, b"12345678"), stream_closed()),
        (Ended, headers(1, END, &get()), closed()),
        (Ended, window(1, 1), nothing()),
        (Ended, rst(1), nothing()),
        (Ended, priority(1, 3), nothing()),
        // What was on its way when we reset is let pass.
        (ResetByUs, data(1, flag::END_STREAM, b"x"), nothing()),
        (ResetByUs, headers(1, END, &get()), nothing()),
        (ResetByUs, window(1, 1), nothing()),
        (ResetByUs, rst(1), nothing()),
        // After its own RST_STREAM a peer sends nothing but PRIORITY.
        (ResetByPeer, data(1, 0, b"12345678"), stream_closed()),
        (ResetByPeer, headers(1, END, &get()), closed()),
        (ResetByPeer, priority(1, 3), nothing()),
    ]);
}

#[test]
fn frames_that_are_wrong_in_every_state() {
    use Before::*;
    let protocol = || ends(ErrorCode::PROTOCOL_ERROR);
    judge([
        // §5.3.1 of RFC 7540, §6.3: dependencies on itself and wrong sizes.
        (Open, priority(1, 1), resets(ErrorCode::PROTOCOL_ERROR)),
        (
            Open,
            frame(Kind::PRIORITY, 0, 1, &[0; 4]),
            resets(ErrorCode::FRAME_SIZE_ERROR),
        ),
        // §6.9, §6.9.1: increments of zero, and windows beyond 2^31-1.
        (Open, window(1, 0), resets(ErrorCode::PROTOCOL_ERROR)),
        (Open, window(0, 0), protocol()),
        (
            Open,
            frame(Kind::WINDOW_UPDATE, 0, 1, &BAD_WINDOW),
            resets(ErrorCode::FLOW_CONTROL_ERROR),
        ),
        (
            Open,
            frame(Kind::WINDOW_UPDATE, 0, 0, &BAD_WINDOW),
            ends(ErrorCode::FLOW_CONTROL_ERROR),
        ),
        // §8.4: only servers push, and this is one.
        (Open, frame(Kind::PUSH_PROMISE, 4, 1, &[0; 4]), protocol()),
        // §6.10: CONTINUATION without a block.
        (Open, frame(Kind::CONTINUATION, 4, 1, b""), protocol()),
        // §4.1, §5.5: unknown types and flags are passed over.
        (Open, frame(Kind(0xfe), 0xff, 1, b"whatever"), nothing()),
        // §4.2: frames beyond the size that was announced.
        (
            Open,
            frame(Kind::DATA, 0, 1, &[0; 16_385]),
            ends(ErrorCode::FRAME_SIZE_ERROR),
        ),
        // §4.3: a block that can't be decoded.
        (
            Open,
            headers(1, END, &[0x80]),
            ends(ErrorCode::COMPRESSION_ERROR),
        ),
    ]);
}

#[test]
fn the_preface_comes_first_and_settings_behind_it() {
    for (bytes, expected) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), true),
        (b"PRI * HTTP/2.0\r\n\r\nSN".to_vec(), true),
        ([&PREFACE[..], &headers(1, END, &get())].concat(), true),
        (
            [&PREFACE[..], &frame(Kind::SETTINGS, flag::ACK, 0, b"")].concat(),
            true,
        ),
        (PREFACE[..20].to_vec(), false),
    ] {
        let mut bench = Bench::before_preface(Limits::default());
        let failed = bench.feed(&bytes).is_err();
        assert_eq!(failed, expected);
    }
}

#[test]
fn streams_count_up() {
    let mut bench = Bench::server(Limits::default());
    bench.feed(&headers(5, END, &get())).unwrap();
    let key = bench.asked();
    assert_eq!(key.id(), 5);
    // 3 was skipped, and is closed now (RFC 9113 §5.1.1).
    assert!(bench.feed(&headers(3, END, &get())).is_err());
    assert_eq!(bench.said(), ["GOAWAY 5 STREAM_CLOSED"]);
    let fate = bench.connection.fate(key).unwrap();
    assert_eq!(fate.reason, Reason::Http2Protocol);
}

#[test]
fn nothing_comes_between_the_frames_of_a_block() {
    let open = frame(Kind::HEADERS, flag::END_STREAM, 1, &get());
    for between in [
        frame(Kind::PING, 0, 0, &[0; 8]),
        frame(Kind::CONTINUATION, 0, 3, b""),
        frame(Kind(0xfe), 0, 0, b""),
        headers(1, END, &get()),
    ] {
        let mut bench = Bench::server(Limits::default());
        bench.feed(&open).unwrap();
        assert!(bench.feed(&between).is_err());
        assert_eq!(bench.said(), ["GOAWAY 0 PROTOCOL_ERROR"]);
    }
    let mut bench = Bench::server(Limits::default());
    let whole = get();
    let (front, back) = whole.split_at(10);
    bench
        .feed(&frame(Kind::HEADERS, flag::END_STREAM, 1, front))
        .unwrap();
    bench
        .feed(&frame(Kind::CONTINUATION, 0, 1, &back[..5]))
        .unwrap();
    assert!(bench.events.is_empty());
    let last = frame(Kind::CONTINUATION, flag::END_HEADERS, 1, &back[5..]);
    bench.feed(&last).unwrap();
    assert_eq!(bench.asked().id(), 1);
}

#[test]
fn content_length_must_be_right() {
    let wrong = Reason::Request(Fault::Length);
    for (length, pieces, right) in [
        ("3", &[&b"abc"[..]][..], true),
        ("3", &[b"ab", b"c"], true),
        ("3", &[b"ab"], false),
        ("3", &[b"ab", b"cd"], false),
        ("0", &[b""], true),
        ("0", &[b"a"], false),
    ] {
        let mut bench = Bench::server(Limits::default());
        let head = request("POST", &[("content-length", length)]);
        bench.feed(&headers(1, 0, &head)).unwrap();
        let key = bench.asked();
        for (at, piece) in pieces.iter().enumerate() {
            let last = at + 1 == pieces.len();
            let flags = if last { flag::END_STREAM } else { 0 };
            bench.feed(&data(1, flags, piece)).unwrap();
        }
        let expected = if right {
            nothing()
        } else {
            resets(ErrorCode::PROTOCOL_ERROR)
        };
        assert_eq!(bench.said(), expected, "{length} {pieces:?}");
        let fate = bench.connection.fate(key).map(|fate| fate.reason);
        assert_eq!(fate, (!right).then_some(wrong));
    }
}

fn nothing() -> Vec<String> {
    Vec::new()
}

#[test]
fn a_body_and_its_trailers_reach_the_application() {
    let mut bench = Bench::server(Limits::default());
    bench.feed(&headers(1, 0, &request("POST", &[]))).unwrap();
    let key = bench.asked();
    assert!(matches!(bench.connection.take(key), Ok(None)));
    bench
        .feed(&data(1, flag::PADDED, b"\x03abc\0\0\0"))
        .unwrap();
    assert_eq!(bench.connection.next_ready(), Some(key));
    assert_eq!(bench.connection.next_ready(), None);
    bench.feed(&data(1, 0, b"def")).unwrap();
    bench
        .feed(&headers(1, END, &block(&[("x-sum", "1")])))
        .unwrap();
    assert_eq!(bench.body(key), b"abcdef");
    let Ok(Some(Frame::End | Frame::Trailers(_))) = bench.connection.take(key) else {
        panic!("the body has ended");
    };
}

#[test]
fn malformed_requests_are_reset_and_told_for_the_log() {
    let mut bench = Bench::server(Limits::default());
    let upper = request("GET", &[("X-Upper", "1")]);
    bench.feed(&headers(1, END, &upper)).unwrap();
    assert_eq!(bench.said(), resets(ErrorCode::PROTOCOL_ERROR));
    let Some(Event::Request { key, facts, .. }) = bench.events.pop() else {
        panic!("the application is told");
    };
    let reason = facts.unwrap_err();
    assert!(matches!(reason, Reason::Request(_)), "{reason:?}");
    assert_eq!(bench.connection.fate(key).unwrap().reason, reason);
    bench.connection.release(key);
    assert_eq!(bench.connection.streams_held(), 0);
}

#[test]
fn a_head_over_its_limit_can_be_answered() {
    let mut limits = Limits::default();
    limits.head.head_bytes_max = 300;
    let mut bench = Bench::server(limits);
    let long = "x".repeat(120);
    let head = request("GET", &[("a", &long), ("b", &long)]);
    bench.feed(&headers(1, END, &head)).unwrap();
    let Some(Event::Request { key, facts, .. }) = bench.events.pop() else {
        panic!("the application is told");
    };
    assert_eq!(facts, Err(Reason::Request(Fault::HeadTooLarge)));
    let head = ResponseHead::new(Status::new(431).unwrap());
    bench.connection.respond(key, &head, BodyLength::Empty);
    bench.connection.release(key);
    assert_eq!(bench.said(), ["HEADERS 1 end"]);
}

#[test]
fn streams_beyond_the_limit_are_refused() {
    let limits = Limits {
        streams_max: 2,
        ..Limits::default()
    };
    let mut bench = Bench::server(limits);
    for id in [1, 3, 5] {
        bench.feed(&headers(id, END, &get())).unwrap();
    }
    assert_eq!(bench.said(), ["RST_STREAM 5 REFUSED_STREAM"]);
    bench.answer_all();
    bench.feed(&headers(7, END, &get())).unwrap();
    assert_eq!(bench.said(), ["HEADERS 1 end", "HEADERS 3 end"]);
    assert_eq!(bench.asked().id(), 7);
}

#[test]
fn an_answer_before_the_end_of_the_request_stops_it() {
    let mut bench = Bench::server(Limits::default());
    bench.feed(&headers(1, 0, &request("POST", &[]))).unwrap();
    bench.answer_all();
    assert_eq!(bench.said(), ["HEADERS 1 end", "RST_STREAM 1 NO_ERROR"]);
    bench.feed(&data(1, flag::END_STREAM, b"late")).unwrap();
    assert_eq!(bench.said(), nothing());
    assert_eq!(bench.connection.streams_held(), 0);
}

#[test]
fn a_request_that_nobody_answers_is_reset() {
    let mut bench = Bench::server(Limits::default());
    bench.feed(&headers(1, END, &get())).unwrap();
    let key = bench.asked();
    bench.connection.release(key);
    assert_eq!(bench.said(), resets(ErrorCode::INTERNAL_ERROR));
}

#[test]
fn bodies_must_have_the_length_that_was_announced() {
    let mut bench = Bench::server(Limits::default());
    for id in [1, 3] {
        bench.feed(&headers(id, END, &get())).unwrap();
        let key = bench.asked();
        let head = ResponseHead::new(Status::OK);
        let connection = &mut bench.connection;
        connection.respond(key, &head, BodyLength::Known(3));
        if id == 1 {
            assert!(connection.send(key, Chunk::copy_of(b"abcd")).is_err());
        } else {
            connection.send(key, Chunk::copy_of(b"ab")).unwrap();
            assert!(connection.finish(key, None).is_err());
        }
        let reset = format!("RST_STREAM {id} INTERNAL_ERROR");
        assert_eq!(bench.said(), [format!("HEADERS {id}"), reset]);
    }
}

#[test]
fn draining_promises_everything_first_and_then_what_came() {
    let mut bench = Bench::server(Limits::default());
    bench.feed(&headers(1, END, &get())).unwrap();
    bench.connection.drain(0);
    assert_eq!(bench.said(), ["GOAWAY 2147483647 NO_ERROR", "PING"]);
    // A request that was under way is served.
    bench.feed(&headers(3, END, &get())).unwrap();
    bench
        .feed(&frame(Kind::PING, flag::ACK, 0, b"draining"))
        .unwrap();
    assert_eq!(bench.said(), ["GOAWAY 3 NO_ERROR"]);
    bench.feed(&headers(5, END, &get())).unwrap();
    assert_eq!(bench.events.len(), 2);
    assert!(!bench.connection.is_finished());
    bench.answer_all();
    assert_eq!(bench.said(), ["HEADERS 1 end", "HEADERS 3 end"]);
    assert!(bench.connection.is_finished());
}

#[test]
fn draining_does_not_wait_for_a_peer_that_never_answers() {
    let mut bench = Bench::server(Limits::default());
    bench.connection.drain(0);
    bench.written();
    bench.connection.tick(999).unwrap();
    assert_eq!(bench.said(), nothing());
    bench.connection.tick(1_000).unwrap();
    assert_eq!(bench.said(), ["GOAWAY 0 NO_ERROR"]);
    assert!(bench.connection.is_finished());
}

#[test]
fn what_is_not_acknowledged_in_time_ends_the_connection() {
    let mut bench = Bench::before_preface(Limits::default());
    bench.connection.tick(9_999).unwrap();
    let failure = bench.connection.tick(10_000).unwrap_err();
    assert_eq!(failure.code, ErrorCode::SETTINGS_TIMEOUT);
    assert_eq!(failure.reason, Reason::SettingsTimeout);

    let mut bench = Bench::server(Limits::default());
    bench.connection.ping(20_000);
    assert_eq!(bench.said(), ["PING"]);
    bench.connection.tick(29_999).unwrap();
    bench
        .feed(&frame(Kind::PING, flag::ACK, 0, b"alive?.."))
        .unwrap();
    bench.connection.tick(40_000).unwrap();
    bench.feed(&headers(1, END, &get())).unwrap();
    bench.connection.ping(50_000);
    let failure = bench.connection.tick(60_000).unwrap_err();
    assert_eq!(failure.reason, Reason::PingTimeout);
}

#[test]
fn a_clients_goaway_lets_its_streams_finish() {
    let mut bench = Bench::server(Limits::default());
    bench.feed(&headers(1, END, &get())).unwrap();
    bench.feed(&frame(Kind::GOAWAY, 0, 0, &[0; 8])).unwrap();
    assert!(bench.connection.is_ending() && !bench.connection.is_finished());
    bench.answer_all();
    bench.written();
    assert!(bench.connection.is_finished());
}

#[test]
fn a_servers_goaway_gives_back_what_it_did_not_look_at() {
    let mut bench = Bench::client(Limits::default());
    let first = bench.open(BodyLength::Empty);
    let second = bench.open(BodyLength::Empty);
    let mut payload = 1u32.to_be_bytes().to_vec();
    payload.extend([0; 4]);
    bench.feed(&frame(Kind::GOAWAY, 0, 0, &payload)).unwrap();
    assert_eq!(bench.connection.streams_free(), 0);
    assert!(bench.connection.fate(first).is_none());
    let fate = bench.connection.fate(second).unwrap();
    assert!(fate.unprocessed && fate.reason == Reason::UpstreamRefused);
    bench
        .feed(&headers(1, END, &block(&[(":status", "200")])))
        .unwrap();
    assert!(bench.connection.take_head(first).is_some());
}

#[test]
fn a_clients_rules() {
    let ok = block(&[(":status", "200")]);
    for (bytes, expected) in [
        // DATA before a head.
        (data(1, 0, b"12345678"), "RST_STREAM 1 PROTOCOL_ERROR"),
        // A head from a server for a stream that nobody opened, of either parity.
        (headers(3, END, &ok), "GOAWAY 0 PROTOCOL_ERROR"),
        (headers(2, END, &ok), "GOAWAY 0 PROTOCOL_ERROR"),
        // Push was not allowed (§8.4).
        (
            frame(Kind::PUSH_PROMISE, 4, 1, &[0, 0, 0, 2]),
            "GOAWAY 0 PROTOCOL_ERROR",
        ),
        // RFC 9218 §7.1.
        (
            frame(Kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1"),
            "GOAWAY 0 PROTOCOL_ERROR",
        ),
        // A response without status.
        (
            headers(1, END, &block(&[("a", "b")])),
            "RST_STREAM 1 PROTOCOL_ERROR",
        ),
        // An interim head that ends the stream.
        (
            headers(1, END, &block(&[(":status", "103")])),
            "RST_STREAM 1 PROTOCOL_ERROR",
        ),
    ] {
        let mut bench = Bench::client(Limits::default());
        let key = bench.open(BodyLength::Empty);
        bench.written();
        let _ = bench.feed(&bytes);
        assert_eq!(bench.said(), [expected]);
        let reason = bench.connection.fate(key).unwrap().reason;
        let named = matches!(reason, Reason::UpstreamProtocol | Reason::Response(_));
        assert!(named, "{reason:?}");
    }
}

#[test]
fn a_server_that_has_answered_may_stop_the_request() {
    let mut bench = Bench::client(Limits::default());
    let key = bench.open(BodyLength::Unknown);
    bench
        .feed(&headers(1, END, &block(&[(":status", "200")])))
        .unwrap();
    bench.feed(&frame(Kind::RST_STREAM, 0, 1, &[0; 4])).unwrap();
    assert!(bench.connection.fate(key).is_none());
    assert!(bench.connection.take_head(key).is_some());
    assert!(matches!(bench.connection.take(key), Ok(Some(Frame::End))));
    bench.written();
    bench.connection.send(key, Chunk::copy_of(b"late")).unwrap();
    assert_eq!(bench.said(), nothing());
    bench.connection.release(key);
    assert_eq!(bench.connection.streams_held(), 0);
}

#[test]
fn refused_streams_can_be_sent_again_and_others_not() {
    for (code, reason, unprocessed) in [
        (ErrorCode::REFUSED_STREAM, Reason::UpstreamRefused, true),
        (ErrorCode::CANCEL, Reason::UpstreamReset, false),
        (
            ErrorCode::HTTP_1_1_REQUIRED,
            Reason::UpstreamHttp1Required,
            true,
        ),
    ] {
        let mut bench = Bench::client(Limits::default());
        let key = bench.open(BodyLength::Empty);
        bench
            .feed(&frame(Kind::RST_STREAM, 0, 1, &code.0.to_be_bytes()))
            .unwrap();
        let fate = bench.connection.fate(key).unwrap();
        assert_eq!((fate.reason, fate.unprocessed), (reason, unprocessed));
    }
}

#[test]
fn a_connection_at_rest_holds_hardly_anything() {
    let mut bench = Bench::server(Limits::default());
    for id in (1..400).step_by(2) {
        bench.feed(&headers(id, END, &get())).unwrap();
        bench.answer_all();
        bench.written();
    }
    bench.connection.rest();
    assert_eq!(bench.connection.streams_held(), 0);
    assert!(
        size_of::<Connection>() < 1_024,
        "{}",
        size_of::<Connection>()
    );
    bench.feed(&headers(401, END, &get())).unwrap();
    bench.answer_all();
    assert_eq!(bench.said(), ["HEADERS 401 end"]);
}
