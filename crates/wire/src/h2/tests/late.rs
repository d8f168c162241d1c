//! Frames that come too late or are out of place: what is let pass, what is not, and what it costs.

use super::*;

fn data(stream: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    frame(Kind::DATA, flags, stream, payload)
}

/// A backend has not seen yet that requests were cancelled, however many: its answers are let pass, and others' go on.
#[test]
fn late_answers_to_cancelled_requests_end_nobody_elses() {
    let limits = Limits {
        streams_max: 101,
        stream_window_bytes: 64 * 1024,
        abuse_points_max: 300,
        ..Limits::default()
    };
    let mut bench = Bench::client(limits);
    let ok = block(&[(":status", "200")]);
    let other = bench.open(BodyLength::Empty);
    let cancelled: Vec<StreamKey> = (0..100).map(|_| bench.open(BodyLength::Empty)).collect();
    for &key in &cancelled {
        bench.connection.release(key);
    }
    bench.written();
    for &key in &cancelled {
        bench.feed(&headers(key.id(), 0, &ok)).unwrap();
        for _ in 0..16 {
            bench.feed(&data(key.id(), 0, &[0; 4096])).unwrap();
        }
    }
    let said = bench.said();
    let gives_back = |it: &String| it.starts_with("WINDOW_UPDATE 0 ");
    assert!(!said.is_empty() && said.iter().all(gives_back), "{said:?}");
    bench.feed(&headers(1, END, &ok)).unwrap();
    assert!(bench.connection.fate(other).is_none());
    assert!(bench.connection.take_head(other).is_some());
    // Windows that were never given out are no excuse.
    let mut rounds = 0..1_000;
    let stopped = rounds.find(|_| bench.feed(&data(3, 0, &[0; 4096])).is_err());
    assert!(stopped.is_some());
}

/// A backend that ends a stream and goes on sending on it breaks a rule all the same.
#[test]
fn an_answer_ends_once() {
    let mut bench = Bench::client(Limits::default());
    let key = bench.open(BodyLength::Unknown);
    bench.written();
    let ok = block(&[(":status", "200")]);
    bench.feed(&headers(1, END, &ok)).unwrap();
    bench.feed(&data(1, 0, b"12345678")).unwrap();
    assert_eq!(bench.said(), ["RST_STREAM 1 STREAM_CLOSED"]);
    bench.connection.release(key);
}

/// As many requests as a client may have were reset at once, and twice that: what it had sent before it knew is let
/// pass.
#[test]
fn late_frames_on_streams_that_the_server_reset_are_let_pass() {
    let limits = Limits {
        streams_max: 100,
        ..Limits::default()
    };
    let mut bench = Bench::server(limits);
    for half in [0, 200] {
        for at in 0..100 {
            let post = request("POST", &[]);
            bench.feed(&headers(half + 2 * at + 1, 0, &post)).unwrap();
        }
        bench.answer_all();
    }
    bench.written();
    for id in (1..400).step_by(2) {
        bench.feed(&data(id, 0, &[0; 1_000])).unwrap();
        bench
            .feed(&headers(id, END, &block(&[("a", "b")])))
            .unwrap();
    }
    assert!(bench.said().is_empty());
}

#[test]
fn the_last_stream_of_goaway_never_rises() {
    let mut bench = Bench::server(Limits::default());
    bench.feed(&headers(1, END, &get())).unwrap();
    bench.connection.drain(0);
    bench.connection.tick(1_000).unwrap();
    let said = bench.said();
    assert!(said.contains(&"GOAWAY 1 NO_ERROR".to_owned()), "{said:?}");
    // One that was under way when it was said, and then an end by force.
    bench.feed(&headers(7, END, &get())).unwrap();
    assert!(bench.feed(&data(9, 0, b"12345678")).is_err());
    assert_eq!(bench.said(), ["GOAWAY 1 PROTOCOL_ERROR"]);
}

#[test]
fn requests_behind_the_final_goaway_are_no_free_work() {
    let mut bench = Bench::server(Limits::default());
    bench.feed(&headers(1, END, &get())).unwrap();
    bench.connection.drain(0);
    bench.connection.tick(1_000).unwrap();
    let mut ids = (3..20_000).step_by(2);
    let stopped = ids.find(|&id| bench.feed(&headers(id, END, &get())).is_err());
    assert!(stopped.is_some_and(|id| id <= 3 + 2 * 3_000), "{stopped:?}");
    assert_eq!(bench.said().last().unwrap(), "GOAWAY 1 ENHANCE_YOUR_CALM");
}

#[test]
fn a_tunnel_has_no_trailers() {
    let trailers = headers(1, END, &block(&[("a", "b")]));
    let mut bench = Bench::server(Limits::default());
    let connect = block(&[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a.example"),
    ]);
    bench.feed(&headers(1, 0, &connect)).unwrap();
    let key = bench.asked();
    let head = ResponseHead::new(Status::OK);
    bench.connection.respond(key, &head, BodyLength::Tunnel);
    bench.written();
    bench.feed(&trailers).unwrap();
    assert_eq!(bench.said(), ["RST_STREAM 1 PROTOCOL_ERROR"]);
    assert!(bench.connection.take(key).is_err());

    let mut bench = Bench::client(Limits::default());
    let framing = heads::RequestOut {
        scheme: Scheme::Http,
        length: BodyLength::Tunnel,
        protocol: Some(b"websocket"),
    };
    let head = request_head("GET");
    let key = bench.connection.request(&head, b"/", framing, 0).unwrap();
    bench.written();
    let ok = block(&[(":status", "200")]);
    bench.feed(&headers(1, 0, &ok)).unwrap();
    bench.feed(&trailers).unwrap();
    assert_eq!(bench.said(), ["RST_STREAM 1 PROTOCOL_ERROR"]);
    assert!(bench.connection.take(key).is_err());
}

/// Of anything else than a tunnel, a part of the request is missing; with any other code, the client has failed.
#[test]
fn a_tunnel_that_we_have_ended_may_be_cancelled() {
    for (protocol, code, ends) in [
        (Some("websocket"), ErrorCode::CANCEL, true),
        (Some("websocket"), ErrorCode::NO_ERROR, true),
        (Some("websocket"), ErrorCode::INTERNAL_ERROR, false),
        (None, ErrorCode::CANCEL, false),
    ] {
        let mut bench = Bench::server(Limits::default());
        let head = match protocol {
            Some(protocol) => block(&[
                (":method", "CONNECT"),
                (":protocol", protocol),
                (":scheme", "http"),
                (":path", "/"),
                (":authority", "a.example"),
            ]),
            None => request("POST", &[]),
        };
        bench.feed(&headers(1, 0, &head)).unwrap();
        let key = bench.asked();
        let answer = ResponseHead::new(Status::OK);
        let length = match protocol {
            Some(_) => BodyLength::Tunnel,
            None => BodyLength::Unknown,
        };
        bench.connection.respond(key, &answer, length);
        bench.connection.finish(key, None).unwrap();
        bench.written();
        let reset = frame(Kind::RST_STREAM, 0, 1, &code.0.to_be_bytes());
        bench.feed(&reset).unwrap();
        let taken = bench.connection.take(key);
        assert_eq!(
            matches!(taken, Ok(Some(Frame::End))),
            ends,
            "{protocol:?} {}",
            code.name()
        );
        assert_eq!(bench.connection.fate(key).is_none(), ends);
    }
}
