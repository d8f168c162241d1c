//! Backends whose connection carries the streams of many clients.

use super::*;
use foregate_message::{Fault, Reason};

/// Servers of gRPC close the connection at the third PING since they last sent HEADERS or DATA (`too_many_pings`).
#[test]
fn a_silence_is_asked_about_once() {
    let mut bench = Bench::client(Limits::default());
    bench.open(BodyLength::Empty);
    bench.written();
    for (at_ms, ends_silence) in [
        (20_000, None),
        (60_000, Some(headers(1, 0, &block(&[(":status", "200")])))),
        (100_000, Some(frame(Kind::DATA, 0, 1, &[0; 100]))),
    ] {
        if let Some(bytes) = ends_silence {
            bench.feed(&bytes).unwrap();
        }
        bench.connection.ping(at_ms);
        assert_eq!(bench.said(), ["PING"]);
        bench
            .feed(&frame(Kind::PING, flag::ACK, 0, b"alive?.."))
            .unwrap();
        // Neither what acknowledges nor what opens windows counts with those servers.
        bench
            .feed(&frame(Kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]))
            .unwrap();
        bench.connection.ping(at_ms + 15_000);
        bench.connection.tick(at_ms + 30_000).unwrap();
        assert_eq!(bench.said(), Vec::<String>::new());
    }
}

fn reason(bench: &Bench, key: StreamKey) -> Option<Reason> {
    bench.connection.fate(key).map(|fate| fate.reason)
}

fn ok() -> Vec<u8> {
    block(&[(":status", "200")])
}

/// A block that takes so many bytes, and the line that it puts into the table: `a: b`.
fn huge(bytes: usize) -> Vec<u8> {
    let mut huge = ok();
    huge.extend([0x40, 1, b'a', 1, b'b']);
    while huge.len() < bytes {
        huge.extend(block(&[("filler", &"x".repeat(120))]));
    }
    huge
}

/// The block on a stream, in as many frames as it takes.
fn in_pieces(stream: u32, block: &[u8]) -> Vec<u8> {
    let mut pieces = block.chunks(16_000).peekable();
    let first = pieces.next().unwrap();
    let mut bytes = frame(Kind::HEADERS, flag::END_STREAM, stream, first);
    while let Some(piece) = pieces.next() {
        let flags = if pieces.peek().is_none() {
            flag::END_HEADERS
        } else {
            0
        };
        bytes.extend(frame(Kind::CONTINUATION, flags, stream, piece));
    }
    bytes
}

#[test]
fn a_head_beyond_all_limits_ends_its_own_stream_only() {
    let mut limits = Limits::default();
    limits.head.fields_max = usize::MAX;
    for bytes in [100_000, 1_000_000] {
        let mut bench = Bench::client(limits);
        let [huge_one, other] = [(); 2].map(|()| bench.open(BodyLength::Empty));
        bench.feed(&in_pieces(1, &huge(bytes))).unwrap();
        let too_large = Reason::Response(Fault::HeadTooLarge);
        assert_eq!(reason(&bench, huge_one), Some(too_large));
        assert!(bench.said().contains(&"RST_STREAM 1 PROTOCOL_ERROR".into()));
        // What it has put into the table is there for the others.
        let answer = [ok(), vec![0x80 | 62]].concat();
        bench.feed(&headers(3, END, &answer)).unwrap();
        let (head, _) = bench.connection.take_head(other).unwrap();
        let lines: Vec<_> = head
            .fields
            .iter()
            .map(|line| (line.name, line.value))
            .collect();
        assert_eq!(lines, [(&b"a"[..], &b"b"[..])]);
    }
}

#[test]
fn so_are_trailers() {
    let mut bench = Bench::client(Limits::default());
    let key = bench.open(BodyLength::Empty);
    bench.feed(&headers(1, 0, &ok())).unwrap();
    bench
        .feed(&in_pieces(1, &huge(100_000)[ok().len()..]))
        .unwrap();
    let too_large = Reason::Response(Fault::TrailersTooLarge);
    assert_eq!(reason(&bench, key), Some(too_large));
}

/// Beyond a MiB nobody goes on collecting. Those that did not cause it may be sent again, as when the connection is lost.
#[test]
fn a_connection_that_one_answer_has_ended_is_lost_to_the_others() {
    let mut bench = Bench::client(Limits::default());
    let [huge_one, silent, begun] = [(); 3].map(|()| bench.open(BodyLength::Empty));
    bench.feed(&headers(5, 0, &ok())).unwrap();
    let failure = bench.feed(&in_pieces(1, &huge(1_200_000))).unwrap_err();
    let too_large = Reason::Response(Fault::HeadTooLarge);
    assert_eq!(failure.reason, too_large);
    let reasons = [huge_one, silent, begun].map(|key| reason(&bench, key));
    let expected = [too_large, Reason::UpstreamClosed, Reason::UpstreamTruncated];
    assert_eq!(reasons, expected.map(Some));
}

/// It is the backend's fault, and no answer's more than another's.
#[test]
fn a_connection_that_ends_for_no_streams_fault_says_why_to_all() {
    let mut bench = Bench::client(Limits::default());
    let [gone, key] = [(); 2].map(|()| bench.open(BodyLength::Empty));
    bench.connection.release(gone);
    bench.feed(&frame(Kind::SETTINGS, 0, 0, b"x")).unwrap_err();
    assert_eq!(reason(&bench, key), Some(Reason::UpstreamProtocol));
}

/// Each costs a request of ours. One client may ask for such answers as often as it likes.
#[test]
fn malformed_answers_cost_their_connection_nothing() {
    let mut bench = Bench::client(Limits::default());
    bench.open(BodyLength::Empty);
    for round in 0..2_000 {
        let key = bench.open(BodyLength::Empty);
        let bad = block(&[(":status", "200"), ("connection", "close")]);
        bench.feed(&headers(2 * round + 3, END, &bad)).unwrap();
        let refused = Reason::Response(Fault::ConnectionField);
        assert_eq!(reason(&bench, key), Some(refused));
        bench.connection.release(key);
        bench.written();
    }
}

/// They cost nobody a request.
#[test]
fn frames_behind_an_answer_are_a_flood() {
    let mut bench = Bench::client(Limits::default());
    let _sending = bench.open(BodyLength::Unknown);
    bench.feed(&headers(1, END, &ok())).unwrap();
    let more = frame(Kind::DATA, 0, 1, &[0; 8]);
    let ended = (0..5_000).find_map(|_| {
        bench.written();
        bench.feed(&more).err()
    });
    assert_eq!(
        ended.map(|failure| failure.code),
        Some(ErrorCode::ENHANCE_YOUR_CALM)
    );
}
