//! Flow control and the schedule, both ways (RFC 9113 §5.2, §6.9; RFC 9218).

use super::*;
use foregate_message::Reason;
use proptest::prelude::*;

fn window(stream: u32, increment: u32) -> Vec<u8> {
    frame(Kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

fn initial_window(bytes: u32) -> Vec<u8> {
    let mut payload = vec![0, 4];
    payload.extend(bytes.to_be_bytes());
    frame(Kind::SETTINGS, 0, 0, &payload)
}

fn ask(bench: &mut Bench, id: u32, priority: &str) -> StreamKey {
    let head = request("GET", &[("priority", priority)]);
    bench.feed(&headers(id, END, &head)).unwrap();
    bench.asked()
}

fn respond(bench: &mut Bench, key: StreamKey, bytes: usize) {
    let head = ResponseHead::new(Status::OK);
    bench.connection.respond(key, &head, BodyLength::Unknown);
    let body = Chunk::copy_of(&vec![b'x'; bytes]);
    bench.connection.send(key, body).unwrap();
    bench.connection.finish(key, None).unwrap();
}

#[test]
fn data_keeps_to_both_windows() {
    let mut bench = Bench::server(Limits::default());
    bench.feed(&initial_window(10)).unwrap();
    let key = ask(&mut bench, 1, "");
    bench.written();
    respond(&mut bench, key, 25);
    assert_eq!(bench.said(), ["HEADERS 1", "DATA 1 10"]);
    assert!(bench.connection.is_window_blocked(key));
    assert_eq!(bench.connection.backlog_bytes(key), 15);
    bench.feed(&window(1, 5)).unwrap();
    assert_eq!(bench.said(), ["DATA 1 5"]);
    // A larger initial window counts for streams that are open (§6.9.2), a smaller one makes theirs negative.
    bench.feed(&initial_window(12)).unwrap();
    assert_eq!(bench.said(), ["SETTINGS ack", "DATA 1 2"]);
    bench.feed(&initial_window(0)).unwrap();
    bench.feed(&window(1, 12)).unwrap();
    assert_eq!(bench.said(), ["SETTINGS ack"]);
    bench.feed(&window(1, 100)).unwrap();
    assert_eq!(bench.said(), ["DATA 1 8 end"]);
    bench.connection.release(key);
    assert_eq!(bench.connection.streams_held(), 0);
}

#[test]
fn data_that_a_window_sets_free_is_output_before_it_is_framed() {
    let mut bench = Bench::server(Limits::default());
    bench.feed(&initial_window(10)).unwrap();
    let key = ask(&mut bench, 1, "");
    respond(&mut bench, key, 25);
    bench.written();
    assert!(!bench.connection.has_output());
    bench.feed(&window(1, 5)).unwrap();
    assert!(bench.connection.is_written() && bench.connection.has_output());
    bench.written();
    assert!(!bench.connection.has_output());
}

#[test]
fn the_connections_window_holds_all_streams_back() {
    let mut bench = Bench::server(Limits::default());
    let first = ask(&mut bench, 1, "i");
    let second = ask(&mut bench, 3, "i");
    bench.feed(&initial_window(1 << 20)).unwrap();
    bench.written();
    respond(&mut bench, first, 65_535);
    respond(&mut bench, second, 20);
    let said = bench.said();
    assert!(said.contains(&"DATA 3 20 end".to_owned()), "{said:?}");
    assert!(bench.connection.is_window_blocked(first));
    bench.feed(&window(0, 19)).unwrap();
    assert_eq!(bench.said(), ["DATA 1 19"]);
    // One that is reset meanwhile leaves nothing behind.
    let third = ask(&mut bench, 5, "i");
    bench.feed(&window(0, 1)).unwrap();
    assert_eq!(bench.said(), ["DATA 1 1 end"]);
    respond(&mut bench, third, 10);
    assert_eq!(bench.said(), ["HEADERS 5"]);
    bench.connection.reset(third, ErrorCode::CANCEL);
    bench.connection.release(third);
    bench.feed(&window(0, 100)).unwrap();
    assert_eq!(bench.said(), ["RST_STREAM 5 CANCEL"]);
}

#[test]
fn an_end_needs_no_window() {
    let mut bench = Bench::server(Limits::default());
    bench.feed(&initial_window(0)).unwrap();
    let key = ask(&mut bench, 1, "");
    bench.written();
    respond(&mut bench, key, 0);
    assert_eq!(bench.said(), ["HEADERS 1", "DATA 1 0 end"]);
    let key = ask(&mut bench, 3, "");
    let head = ResponseHead::new(Status::OK);
    bench.connection.respond(key, &head, BodyLength::Unknown);
    let mut trailers = foregate_message::Fields::new();
    trailers.append_line(b"x-sum", b"1");
    bench.connection.finish(key, Some(&trailers)).unwrap();
    assert_eq!(bench.said(), ["HEADERS 3", "HEADERS 3 end"]);
}

#[test]
fn a_peer_that_overruns_a_window_is_stopped() {
    let limits = Limits {
        stream_window_bytes: 20,
        ..Limits::default()
    };
    let mut bench = Bench::server(limits);
    bench.feed(&headers(1, 0, &request("POST", &[]))).unwrap();
    bench.feed(&frame(Kind::DATA, 0, 1, &[0; 20])).unwrap();
    assert_eq!(bench.said(), Vec::<String>::new());
    bench.feed(&frame(Kind::DATA, 0, 1, &[0; 1])).unwrap();
    assert_eq!(bench.said(), ["RST_STREAM 1 FLOW_CONTROL_ERROR"]);

    let limits = Limits {
        connection_window_bytes: 65_535,
        stream_window_bytes: 1 << 20,
        ..Limits::default()
    };
    let mut bench = Bench::server(limits);
    bench.feed(&headers(1, 0, &request("POST", &[]))).unwrap();
    for _ in 0..3 {
        bench.feed(&frame(Kind::DATA, 0, 1, &[0; 16_384])).unwrap();
    }
    let failure = bench.feed(&frame(Kind::DATA, 0, 1, &[0; 16_384]));
    assert_eq!(failure.unwrap_err().reason, Reason::Http2FlowControl);
    assert_eq!(bench.said(), ["GOAWAY 1 FLOW_CONTROL_ERROR"]);
}

#[test]
fn windows_open_as_the_application_takes() {
    let limits = Limits {
        stream_window_bytes: 1_000,
        connection_window_bytes: 65_535,
        ..Limits::default()
    };
    let mut bench = Bench::server(limits);
    bench.feed(&headers(1, 0, &request("POST", &[]))).unwrap();
    let key = bench.asked();
    bench.feed(&frame(Kind::DATA, 0, 1, &[0; 400])).unwrap();
    assert_eq!(bench.body(key).len(), 400);
    assert_eq!(bench.said(), Vec::<String>::new(), "less than half");
    bench.feed(&frame(Kind::DATA, 0, 1, &[0; 400])).unwrap();
    assert_eq!(bench.said(), Vec::<String>::new(), "nobody has taken it");
    assert_eq!(bench.body(key).len(), 400);
    assert_eq!(bench.said(), ["WINDOW_UPDATE 1 800"]);
    // The end needs no more credit for its stream.
    bench
        .feed(&frame(Kind::DATA, flag::END_STREAM, 1, &[0; 600]))
        .unwrap();
    bench.body(key);
    assert_eq!(bench.said(), Vec::<String>::new());
}

#[test]
fn padding_and_what_nobody_takes_is_credited_too() {
    let limits = Limits {
        stream_window_bytes: 1 << 20,
        connection_window_bytes: 65_535,
        ..Limits::default()
    };
    let mut bench = Bench::server(limits);
    bench.feed(&headers(1, 0, &request("POST", &[]))).unwrap();
    let key = bench.asked();
    let mut padded = vec![255];
    padded.extend([0; 255 + 8]);
    for _ in 0..200 {
        bench
            .feed(&frame(Kind::DATA, flag::PADDED, 1, &padded))
            .unwrap();
    }
    let said = bench.said();
    assert!(
        said.iter().any(|it| it.starts_with("WINDOW_UPDATE 0")),
        "{said:?}"
    );
    bench.connection.reset(key, ErrorCode::CANCEL);
    bench.connection.release(key);
    for _ in 0..10 {
        bench.feed(&frame(Kind::DATA, 0, 1, &[0; 16_384])).unwrap();
    }
    let said = bench.said();
    assert!(
        said.iter().any(|it| it.starts_with("WINDOW_UPDATE 0")),
        "{said:?}"
    );
}

#[test]
fn small_pieces_share_buffers() {
    let mut bench = Bench::server(Limits::default());
    bench.feed(&headers(1, 0, &request("POST", &[]))).unwrap();
    let key = bench.asked();
    for _ in 0..1_000 {
        bench.feed(&frame(Kind::DATA, 0, 1, b"12345678")).unwrap();
    }
    let mut pieces = 0;
    while let Ok(Some(Frame::Data(_))) = bench.connection.take(key) {
        pieces += 1;
    }
    assert!(pieces < 10, "{pieces}");
}

#[test]
fn the_urgent_answer_leaves_first() {
    let mut bench = Bench::server(Limits::default());
    let low = ask(&mut bench, 1, "u=5");
    let high = ask(&mut bench, 3, "u=1");
    let later = ask(&mut bench, 5, "u=6");
    // PRIORITY_UPDATE counts more than the field, also before its stream (RFC 9218 §7).
    let update = frame(Kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x07u=0");
    bench.feed(&update).unwrap();
    let first = ask(&mut bench, 7, "u=7");
    for key in [low, high, later, first] {
        respond(&mut bench, key, 10_000);
    }
    let said: Vec<String> = bench.said();
    let order: Vec<&String> = said.iter().filter(|it| it.starts_with("DATA")).collect();
    assert_eq!(
        order,
        [
            "DATA 7 10000 end",
            "DATA 3 10000 end",
            "DATA 1 10000 end",
            "DATA 5 10000 end"
        ]
    );
}

#[test]
fn head_body_and_end_leave_in_one_write() {
    let mut bench = Bench::server(Limits::default());
    let key = ask(&mut bench, 1, "");
    respond(&mut bench, key, 1_000);
    let bytes = bench.connection.output().to_vec();
    assert_eq!(words(&bytes), ["HEADERS 1", "DATA 1 1000 end"]);
    assert!(bench.connection.is_flushed(key));
    assert_eq!(bench.connection.next_ready(), Some(key));
}

#[test]
fn a_client_that_never_opens_its_window_loses_its_stream() {
    let mut bench = Bench::server(Limits::default());
    bench.feed(&initial_window(0)).unwrap();
    let key = ask(&mut bench, 1, "");
    respond(&mut bench, key, 100);
    bench.written();
    bench.connection.tick(59_999).unwrap();
    assert!(bench.connection.fate(key).is_none());
    bench.connection.tick(60_000).unwrap();
    assert_eq!(bench.said(), ["RST_STREAM 1 CANCEL"]);
    let fate = bench.connection.fate(key).unwrap();
    assert_eq!(fate.reason, Reason::WindowStalled);
    bench.connection.release(key);
    assert_eq!(bench.connection.streams_held(), 0);
}

/// What our client has on one connection, with a backend that sends everything it is allowed to.
struct Readers {
    client: Bench,
    server: Bench,
    keys: Vec<StreamKey>,
    body: usize,
}

impl Readers {
    /// `count` requests, each answered with a body of `body` bytes.
    fn new(count: u32, stream_window_bytes: u32, body: usize) -> Readers {
        let limits = Limits {
            streams_max: count,
            stream_window_bytes,
            connection_window_bytes: 65_535,
            abuse_points_max: u32::MAX,
            ..Limits::default()
        };
        let mut client = Bench::of(Connection::client(limits, 0));
        let mut server = Bench::of(Connection::server(limits, 0));
        let keys = (0..count).map(|_| client.open(BodyLength::Empty)).collect();
        server.feed(&client.written()).unwrap();
        for event in std::mem::take(&mut server.events) {
            if let Event::Request { key, .. } = event {
                respond(&mut server, key, body);
            }
        }
        let mut readers = Readers {
            client,
            server,
            keys,
            body,
        };
        readers.pass();
        readers
    }

    /// Passes on what both have to say, until neither has anything; whether there was something.
    fn pass(&mut self) -> bool {
        let mut passed = false;
        loop {
            let down = self.server.written();
            self.client.feed(&down).unwrap();
            let up = self.client.written();
            self.server.feed(&up).unwrap();
            if down.is_empty() && up.is_empty() {
                return passed;
            }
            passed = true;
        }
    }

    /// The reader of a stream takes the next piece that has come; its length.
    fn take(&mut self, reader: usize) -> usize {
        match self.client.connection.take(self.keys[reader]) {
            Ok(Some(Frame::Data(chunk))) => chunk.len(),
            _ => 0,
        }
    }

    /// One reads on while all others stand still: whether it gets everything.
    fn comes_whole(&mut self, reader: usize, mut taken: usize) -> bool {
        loop {
            let bytes = self.take(reader);
            taken += bytes;
            if bytes > 0 {
                continue;
            }
            if self.client.connection.is_body_here(self.keys[reader]) {
                return taken == self.body;
            }
            if !self.pass() {
                return false;
            }
        }
    }
}

#[test]
fn readers_that_stand_still_with_full_windows_cost_the_others_nothing() {
    let window = 16 * 1024;
    let mut readers = Readers::new(100, window, 8 * window as usize);
    // Ninety-nine have taken a piece and then nothing more.
    for reader in 0..99 {
        readers.take(reader);
    }
    readers.pass();
    assert!(readers.comes_whole(99, 0));
}

#[test]
fn what_readers_left_does_not_keep_a_client_from_the_rest_of_the_window() {
    let limits = Limits {
        stream_window_bytes: 1 << 20,
        connection_window_bytes: 100_000,
        ..Limits::default()
    };
    let mut bench = Bench::server(limits);
    for id in [1, 3] {
        bench.feed(&headers(id, 0, &request("POST", &[]))).unwrap();
    }
    let key = bench.asked();
    // Nobody takes the first one's: 88 % of the connection's window.
    for _ in 0..8 {
        bench.feed(&frame(Kind::DATA, 0, 1, &[0; 11_000])).unwrap();
    }
    let mut credit = 12_000u32;
    for _ in 0..100 {
        let bytes = credit.min(11_000);
        assert!(bytes >= 6_000, "half of what is left is open: {bytes}");
        let piece = vec![0; bytes as usize];
        bench.feed(&frame(Kind::DATA, 0, 3, &piece)).unwrap();
        credit -= bytes;
        bench.body(key);
        for word in bench.said() {
            if let Some(increment) = word.strip_prefix("WINDOW_UPDATE 0 ") {
                credit += increment.parse::<u32>().unwrap();
            }
        }
    }
}

/// One stream's body was taken and not told of yet when another's fills the rest of the window.
#[test]
fn what_was_taken_is_told_of_when_the_window_closes() {
    let limits = Limits {
        stream_window_bytes: 1 << 20,
        connection_window_bytes: 100_000,
        ..Limits::default()
    };
    let mut bench = Bench::server(limits);
    for id in [1, 3] {
        bench.feed(&headers(id, 0, &request("POST", &[]))).unwrap();
    }
    let key = bench.asked();
    for _ in 0..4 {
        bench.feed(&frame(Kind::DATA, 0, 3, &[0; 10_000])).unwrap();
    }
    assert_eq!(bench.body(key).len(), 40_000);
    assert!(bench.said().is_empty(), "less than half");
    for _ in 0..6 {
        bench.feed(&frame(Kind::DATA, 0, 1, &[0; 10_000])).unwrap();
    }
    assert_eq!(bench.said(), ["WINDOW_UPDATE 0 40000"]);
}

#[test]
fn a_client_opens_no_more_streams_than_have_room_in_a_window() {
    let limits = Limits {
        streams_max: 100,
        stream_window_bytes: 1 << 29,
        ..Limits::default()
    };
    let bench = Bench::client(limits);
    assert_eq!(bench.connection.streams_free(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However many readers took however much before they stopped, one that reads on gets its whole body.
    #[test]
    fn a_reader_waits_for_no_other(
        count in 2u32..12,
        window in 1u32..40_000,
        turns in prop::collection::vec((any::<prop::sample::Index>(), 0usize..8), 0..60),
        reader in any::<prop::sample::Index>(),
    ) {
        let mut readers = Readers::new(count, window, 5 * window as usize + 1);
        let reader = reader.index(count as usize);
        let mut taken = 0;
        for (who, pieces) in turns {
            let who = who.index(count as usize);
            for _ in 0..pieces {
                let bytes = readers.take(who);
                taken += if who == reader { bytes } else { 0 };
            }
            if pieces % 2 == 0 {
                readers.pass();
            }
        }
        prop_assert!(readers.comes_whole(reader, taken));
    }
}
