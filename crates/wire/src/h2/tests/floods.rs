//! Peers that would exhaust a naive engine. Each is stopped with a reason of its own, and nothing that they make us
//! keep grows meanwhile.

use super::*;
use foregate_message::{Fault, Reason};

/// Feeds what `attack` makes, round after round, until the connection ends. How many rounds it took.
fn rounds(
    bench: &mut Bench,
    mut attack: impl FnMut(u32) -> Vec<u8>,
    mut serve: impl FnMut(&mut Bench),
) -> (u32, Failure) {
    for round in 0..100_000 {
        let outcome = bench.feed(&attack(round));
        assert!(bench.connection.streams_held() <= 256);
        if let Err(failure) = outcome {
            let last = bench.said().pop().unwrap();
            assert!(last.contains(failure.code.name()), "{last}");
            return (round, failure);
        }
        serve(bench);
        bench.written();
    }
    panic!("nobody stopped it");
}

#[track_caller]
fn check(reason: Reason, rounds_max: u32, attack: impl FnMut(u32) -> Vec<u8>) {
    let mut bench = Bench::server(Limits::default());
    let (rounds, failure) = rounds(&mut bench, attack, Bench::answer_all);
    assert_eq!(failure.reason, reason);
    assert_eq!(failure.code, ErrorCode::ENHANCE_YOUR_CALM);
    assert!(rounds <= rounds_max, "{rounds}");
}

fn rst(stream: u32, code: ErrorCode) -> Vec<u8> {
    frame(Kind::RST_STREAM, 0, stream, &code.0.to_be_bytes())
}

fn update(stream: u32, increment: u32) -> Vec<u8> {
    frame(Kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

/// A request that is cancelled at once.
fn cancelled(stream: u32) -> Vec<u8> {
    [headers(stream, END, &get()), rst(stream, ErrorCode::CANCEL)].concat()
}

/// Answers the request that came last with so much body.
fn answer(bench: &mut Bench, bytes: usize) {
    let key = bench.asked();
    let head = ResponseHead::new(Status::OK);
    bench.connection.respond(key, &head, BodyLength::Unknown);
    let body = Chunk::copy_of(&vec![0; bytes]);
    bench.connection.send(key, body).unwrap();
    bench.connection.finish(key, None).unwrap();
}

#[test]
fn rapid_reset() {
    check(Reason::RapidReset, 300, |round| {
        let id = 2 * round + 1;
        [headers(id, END, &get()), rst(id, ErrorCode::CANCEL)].concat()
    });
}

#[test]
fn rapid_reset_of_an_application_that_is_slow_to_let_go() {
    let mut bench = Bench::server(Limits::default());
    let attack = |round: u32| {
        let id = 2 * round + 1;
        [headers(id, END, &get()), rst(id, ErrorCode::CANCEL)].concat()
    };
    let (rounds, failure) = rounds(&mut bench, attack, |_| {});
    assert_eq!(failure.code, ErrorCode::ENHANCE_YOUR_CALM);
    assert!(rounds < 600, "{rounds}");
}

/// Answers are let out byte by byte, so that each frame of ours could pay for one of theirs.
#[test]
fn resets_are_not_paid_for_by_cutting_answers_into_bytes() {
    let mut bench = Bench::server(Limits::default());
    let mut payload = vec![0, 4];
    payload.extend([0; 4]);
    bench.feed(&frame(Kind::SETTINGS, 0, 0, &payload)).unwrap();
    bench.feed(&update(0, 1 << 24)).unwrap();
    let streams: Vec<u32> = (0..100).map(|at| 2 * at + 1).collect();
    for &id in &streams {
        bench.feed(&headers(id, END, &get())).unwrap();
        answer(&mut bench, 100_000);
    }
    let attack = |round: u32| {
        let mut attack: Vec<u8> = streams.iter().flat_map(|&id| update(id, 1)).collect();
        for at in 0..10 {
            attack.extend(cancelled(201 + 20 * round + 2 * at));
        }
        attack
    };
    let (rounds, failure) = rounds(&mut bench, attack, Bench::answer_all);
    assert_eq!(failure.code, ErrorCode::ENHANCE_YOUR_CALM);
    // 200 points a round.
    assert!(rounds <= 16, "{rounds}");
}

/// Full frames leave as fast as the client lets them, and its resets cost as much as without them.
#[test]
fn resets_are_not_paid_for_by_large_answers() {
    let mut bench = Bench::server(Limits::default());
    bench.feed(&update(0, 1 << 30)).unwrap();
    bench.feed(&headers(1, END, &get())).unwrap();
    answer(&mut bench, 32 << 20);
    let attack = |round: u32| [update(1, 1 << 16), cancelled(2 * round + 3)].concat();
    let (rounds, failure) = rounds(&mut bench, attack, Bench::answer_all);
    assert_eq!(failure.reason, Reason::RapidReset);
    assert!(rounds <= 300, "{rounds}");
}

/// The server has answered before the request's body came, and the client goes on sending it.
#[test]
fn resets_are_not_paid_for_by_body_that_nobody_wants() {
    let mut bench = Bench::server(Limits::default());
    bench.feed(&headers(1, 0, &request("POST", &[]))).unwrap();
    bench.answer_all();
    let attack = |round: u32| {
        let unwanted = frame(Kind::DATA, 0, 1, &[0; 512]).repeat(10);
        [unwanted, cancelled(2 * round + 3)].concat()
    };
    let (rounds, failure) = rounds(&mut bench, attack, Bench::answer_all);
    assert_eq!(failure.code, ErrorCode::ENHANCE_YOUR_CALM);
    assert!(rounds <= 300, "{rounds}");
}

#[test]
fn body_that_nobody_wants_pays_for_nothing() {
    let mut bench = Bench::server(Limits::default());
    bench.feed(&headers(1, 0, &request("POST", &[]))).unwrap();
    bench.answer_all();
    let attack = |_| frame(Kind::DATA, 0, 1, &[0; 16_384]);
    let (rounds, failure) = rounds(&mut bench, attack, |_| {});
    assert_eq!(failure.reason, Reason::IdleFrameFlood);
    // What its window allowed is free.
    assert!(rounds <= 16 + 3_000, "{rounds}");
}

/// Nor does an upload pay for them that is taken.
#[test]
fn resets_are_not_paid_for_by_uploads() {
    let mut bench = Bench::server(Limits::default());
    bench.feed(&headers(1, 0, &request("POST", &[]))).unwrap();
    let key = bench.asked();
    let attack = |round: u32| {
        let upload = frame(Kind::DATA, 0, 1, &[0; 16_384]);
        [upload, cancelled(2 * round + 3)].concat()
    };
    let serve = |bench: &mut Bench| {
        bench.body(key);
        bench.answer_all();
    };
    let (rounds, failure) = rounds(&mut bench, attack, serve);
    assert_eq!(failure.reason, Reason::RapidReset);
    assert!(rounds <= 300, "{rounds}");
}

/// A download whose client opens both windows as soon as it has read a few KiB.
#[test]
fn a_download_pays_for_its_window_updates() {
    let mut bench = Bench::server(Limits::default());
    bench.feed(&headers(1, END, &get())).unwrap();
    answer(&mut bench, 64 << 20);
    let mut unread = 0;
    let mut read = 0;
    while read < 64 << 20 {
        let bytes = bench.written().len();
        assert!(bytes > 0);
        read += bytes;
        unread += bytes as u32;
        let pieces = unread / 4096;
        unread %= 4096;
        for _ in 0..pieces {
            let both = [update(0, 4096), update(1, 4096)].concat();
            bench.feed(&both).unwrap();
        }
    }
}

#[test]
fn cancelling_now_and_then_is_no_abuse() {
    let mut bench = Bench::server(Limits::default());
    for round in 0..10_000u32 {
        let id = 8 * round + 1;
        for served in [id, id + 2, id + 4] {
            bench.feed(&headers(served, END, &get())).unwrap();
            bench.answer_all();
        }
        let cancelled = [headers(id + 6, END, &get()), rst(id + 6, ErrorCode::CANCEL)];
        bench.feed(&cancelled.concat()).unwrap();
        bench.answer_all();
        bench.written();
    }
}

#[test]
fn made_you_reset() {
    check(Reason::ProvokedResets, 300, |round| {
        let id = 2 * round + 1;
        let window = frame(Kind::WINDOW_UPDATE, 0, id, &[0; 4]);
        [headers(id, END, &get()), window].concat()
    });
}

#[test]
fn malformed_heads() {
    check(Reason::ProvokedResets, 300, |round| {
        headers(2 * round + 1, END, &request("GET", &[("A", "b")]))
    });
}

#[test]
fn streams_beyond_the_limit() {
    let mut bench = Bench::server(Limits::default());
    let attack = |round: u32| headers(2 * round + 1, END, &get());
    let (rounds, failure) = rounds(&mut bench, attack, |_| {});
    assert_eq!(failure.reason, Reason::StreamFlood);
    assert!(rounds <= 128 + 300, "{rounds}");
}

#[test]
fn settings() {
    check(Reason::SettingsFlood, 300, |_| {
        frame(Kind::SETTINGS, 0, 0, &[])
    });
    // The same in one frame.
    let lines = [0, 3, 0, 0, 0, 100].repeat(2_000);
    check(Reason::SettingsFlood, 3, |_| {
        frame(Kind::SETTINGS, 0, 0, &lines)
    });
}

#[test]
fn pings() {
    check(Reason::PingFlood, 1_000, |_| {
        frame(Kind::PING, 0, 0, &[0; 8])
    });
}

#[test]
fn empty_and_tiny_data() {
    for payload in [&b""[..], b"x"] {
        let mut bench = Bench::server(Limits::default());
        bench.feed(&headers(1, 0, &request("POST", &[]))).unwrap();
        let attack = |_| frame(Kind::DATA, 0, 1, payload);
        let (rounds, failure) = rounds(&mut bench, attack, |_| {});
        assert_eq!(failure.reason, Reason::TinyDataFlood);
        assert!(rounds <= 3_000, "{rounds}");
    }
}

#[test]
fn priorities() {
    check(Reason::PriorityFlood, 3_000, |_| {
        frame(Kind::PRIORITY, 0, 3, &[0, 0, 0, 1, 16])
    });
    check(Reason::PriorityFlood, 3_000, |_| {
        frame(Kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x03u=1")
    });
}

#[test]
fn window_updates() {
    check(Reason::WindowUpdateFlood, 3_000, |_| {
        frame(Kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])
    });
}

#[test]
fn unknown_frames() {
    check(Reason::IdleFrameFlood, 3_000, |_| {
        frame(Kind(0xbe), 0, 0, b"")
    });
}

#[test]
fn continuations() {
    check(Reason::ContinuationFlood, 100, |round| match round {
        0 => frame(Kind::HEADERS, 0, 1, &get()),
        _ => frame(Kind::CONTINUATION, 0, 1, b""),
    });
    // Large ones meet the limit of a block before that of their number.
    check(Reason::Request(Fault::HeadTooLarge), 5, |round| {
        let filler = vec![0; 16_000];
        match round {
            0 => frame(Kind::HEADERS, 0, 1, &filler),
            _ => frame(Kind::CONTINUATION, 0, 1, &filler),
        }
    });
}

/// One long line in the table, named again and again: hundreds of bytes of head for each byte of block.
#[test]
fn a_bomb_of_compression() {
    let mut bench = Bench::server(Limits::default());
    let mut bomb = get();
    // Literal with incremental indexing: a name of 1 and a value of 3,000 bytes.
    bomb.extend([0x40, 1, b'a', 0x7f]);
    bomb.extend([
        (3_000u32 - 127) as u8 & 0x7f | 0x80,
        ((3_000 - 127) >> 7) as u8,
    ]);
    bomb.extend([b'x'; 3_000]);
    bomb.extend([0x80 | 62; 10_000]);
    bench.feed(&headers(1, END, &bomb)).unwrap();
    let Some(Event::Request { facts, head, .. }) = bench.events.pop() else {
        panic!("the application is told");
    };
    assert_eq!(facts, Err(Reason::Request(Fault::HeadTooLarge)));
    let kept: usize = head.fields.iter().map(|line| line.value.len()).sum();
    assert!(kept <= 32 * 1024, "{kept}");
}

/// A peer that makes us write and never reads: nothing more is read from it, so nothing more is written for it.
#[test]
fn a_peer_that_does_not_read() {
    for attack in [
        frame(Kind::PING, 0, 0, &[0; 8]),
        frame(Kind::SETTINGS, 0, 0, &[]),
        frame(Kind::WINDOW_UPDATE, 0, 1, &[0; 4]),
    ] {
        let limits = Limits {
            abuse_points_max: u32::MAX,
            ..Limits::default()
        };
        let mut bench = Bench::server(limits);
        bench.feed(&headers(1, END, &get())).unwrap();
        for _ in 0..20_000 {
            bench.feed(&attack).unwrap();
        }
        let queued = bench.connection.output().len();
        assert!(queued <= 256 * 1024, "{queued}");
        if queued > 100 * 1024 {
            assert!(bench.connection.is_congested() && !bench.input.is_empty());
        }
    }
}

#[test]
fn answers_for_a_peer_that_does_not_read() {
    let mut bench = Bench::server(Limits::default());
    for round in 0..50_000u32 {
        bench.feed(&headers(2 * round + 1, END, &get())).unwrap();
        bench.answer_all();
        if bench.connection.is_congested() {
            break;
        }
    }
    let queued = bench.connection.output().len();
    assert!(bench.connection.is_congested());
    assert!(queued <= 256 * 1024, "{queued}");
}

/// A backend is held to the same law.
#[test]
fn a_flooding_backend() {
    let mut bench = Bench::client(Limits::default());
    let attack = |_| frame(Kind::PING, 0, 0, &[0; 8]);
    let (_, failure) = rounds(&mut bench, attack, |_| {});
    assert_eq!(failure.reason, Reason::UpstreamProtocol);

    let mut bench = Bench::client(Limits::default());
    let key = bench.open(BodyLength::Empty);
    for _ in 0..17 {
        let hint = block(&[(":status", "103")]);
        bench.feed(&headers(1, 0, &hint)).unwrap();
    }
    let said = bench.said();
    assert!(
        said.contains(&"RST_STREAM 1 ENHANCE_YOUR_CALM".to_owned()),
        "{said:?}"
    );
    assert!(bench.connection.fate(key).is_some());
}

/// Small messages of a conversation, each taken before the next one comes.
#[test]
fn a_chat_is_no_flood() {
    let mut bench = Bench::server(Limits::default());
    bench.feed(&headers(1, 0, &request("POST", &[]))).unwrap();
    let key = bench.asked();
    for _ in 0..20_000 {
        bench.feed(&frame(Kind::DATA, 0, 1, b"hi")).unwrap();
        assert_eq!(bench.body(key), b"hi");
        bench.written();
    }
}

/// A peer that is sent messages and answers each with `frames`. Why it was stopped, if it was.
fn after_messages(frames: &[u8]) -> [Option<Failure>; 2] {
    let mut server = Bench::server(Limits::default());
    server.feed(&headers(1, 0, &request("POST", &[]))).unwrap();
    let key = server.asked();
    let head = ResponseHead::new(Status::OK);
    server.connection.respond(key, &head, BodyLength::Unknown);
    let mut client = Bench::client(Limits::default());
    client.open(BodyLength::Unknown);
    [server, client].map(|mut bench| {
        (0..20_000).find_map(|_| {
            let message = Chunk::copy_of(b"0123456789abcde");
            bench.connection.send(key, message).unwrap();
            bench.written();
            bench.feed(frames).err()
        })
    })
}

/// As those do that measure the delay and the width of their connection, at both ends of it: grpc-go for one.
#[test]
fn a_measured_conversation_is_no_flood() {
    let ping = frame(Kind::PING, 0, 0, b"measured");
    let answer = [ping, update(0, 15), update(1, 15)].concat();
    assert_eq!(after_messages(&answer), [None, None]);
}

#[test]
fn a_message_pays_for_one_ping_only() {
    let answer = frame(Kind::PING, 0, 0, b"measured").repeat(2);
    let reasons = after_messages(&answer).map(|failure| failure.map(|failure| failure.reason));
    let expected = [Reason::PingFlood, Reason::UpstreamProtocol];
    assert_eq!(reasons, expected.map(Some));
}

/// Long-lived honest use never comes near the budget.
#[test]
fn busy_honest_peers_are_left_alone() {
    let mut bench = Bench::server(Limits::default());
    for round in 0..20_000u32 {
        let id = 2 * round + 1;
        bench.feed(&headers(id, END, &get())).unwrap();
        let key = bench.asked();
        let head = ResponseHead::new(Status::OK);
        bench.connection.respond(key, &head, BodyLength::Unknown);
        bench
            .connection
            .send(key, Chunk::copy_of(&[0; 1_000]))
            .unwrap();
        bench.connection.finish(key, None).unwrap();
        bench.connection.release(key);
        bench.written();
        let update = 1_000u32.to_be_bytes();
        bench
            .feed(&frame(Kind::WINDOW_UPDATE, 0, 0, &update))
            .unwrap();
        bench
            .feed(&frame(Kind::WINDOW_UPDATE, 0, id, &update))
            .unwrap();
        if round.is_multiple_of(10) {
            bench.feed(&frame(Kind::PING, 0, 0, &[0; 8])).unwrap();
        }
    }
}
