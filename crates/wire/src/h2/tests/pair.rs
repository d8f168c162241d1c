//! Our client and our server over a pipe that passes on as much as it likes.

use super::*;
use foregate_message::{FieldId, Fields};
use proptest::prelude::*;
use std::collections::HashMap;

/// One exchange: sizes of both bodies, and whether each has trailers.
#[derive(Clone, Debug)]
struct Plan {
    up: usize,
    down: usize,
    up_trailers: bool,
    down_trailers: bool,
}

fn plan() -> impl Strategy<Value = Plan> {
    let size = prop_oneof![Just(0usize), 1usize..300, 1usize..40_000];
    (size.clone(), size, any::<bool>(), any::<bool>()).prop_map(
        |(up, down, up_trailers, down_trailers)| Plan {
            up,
            down,
            up_trailers,
            down_trailers,
        },
    )
}

/// One direction of one stream, at the end that sends.
#[derive(Debug)]
struct Sending {
    left: usize,
    trailers: bool,
    ended: bool,
}

impl Sending {
    fn new(bytes: usize, trailers: bool) -> Sending {
        Sending {
            left: bytes,
            trailers,
            ended: false,
        }
    }

    /// Queues a piece if the last one has left.
    fn step(&mut self, connection: &mut Connection, key: StreamKey, piece: usize) {
        while !self.ended && connection.is_flushed(key) {
            if self.left > 0 {
                let bytes = self.left.min(piece);
                self.left -= bytes;
                let chunk = Chunk::copy_of(&vec![self.left as u8; bytes]);
                connection.send(key, chunk).unwrap();
                continue;
            }
            self.ended = true;
            let mut trailers = Fields::new();
            trailers.append_line(b"x-end", b"1");
            let trailers = self.trailers.then_some(&trailers);
            connection.finish(key, trailers).unwrap();
        }
    }
}

/// What has come of one direction.
#[derive(Debug, Default)]
struct Receiving {
    bytes: usize,
    trailers: bool,
    ended: bool,
}

impl Receiving {
    fn step(&mut self, connection: &mut Connection, key: StreamKey) {
        while !self.ended {
            match connection.take(key).expect("nobody resets") {
                Some(Frame::Data(chunk)) => self.bytes += chunk.len(),
                Some(Frame::Trailers(fields)) => {
                    self.trailers = !fields.is_empty();
                    self.ended = true;
                }
                Some(_) => self.ended = true,
                None => return,
            }
        }
    }
}

/// Passes up to `max` bytes on.
fn pass(from: &mut Bench, to: &mut Bench, max: usize) -> bool {
    let bytes = from.connection.output();
    let bytes = bytes[..bytes.len().min(max)].to_vec();
    from.connection.wrote(bytes.len());
    to.feed(&bytes).unwrap();
    !bytes.is_empty()
}

fn run(plans: &[Plan], limits: Limits, piece: usize, pass_max: usize) {
    let mut client = Bench::of(Connection::client(limits, 0));
    let mut server = Bench::of(Connection::server(limits, 0));
    let mut asked: Vec<(StreamKey, Sending, Receiving, bool)> = Vec::new();
    let mut answers: HashMap<u32, (StreamKey, Sending, Receiving)> = HashMap::new();
    let mut waiting = plans.iter().enumerate();
    let mut next = waiting.next();
    let mut finished = 0;
    for _ in 0..200_000 {
        while let Some((at, plan)) = next.filter(|_| client.connection.streams_free() > 0) {
            let key = client.open(BodyLength::Unknown);
            assert_eq!(key.id() as usize, 2 * at + 1);
            let sending = Sending::new(plan.up, plan.up_trailers);
            asked.push((key, sending, Receiving::default(), false));
            next = waiting.next();
        }
        for (key, sending, receiving, headed) in &mut asked {
            sending.step(&mut client.connection, *key, piece);
            *headed |= client.connection.take_head(*key).is_some();
            receiving.step(&mut client.connection, *key);
        }
        asked.retain(|(key, sending, receiving, headed)| {
            let over = sending.ended && receiving.ended && client.connection.is_flushed(*key);
            if over {
                let plan = &plans[(key.id() / 2) as usize];
                assert!(headed);
                assert_eq!(receiving.bytes, plan.down);
                assert_eq!(receiving.trailers, plan.down_trailers);
                client.connection.release(*key);
                finished += 1;
            }
            !over
        });
        for event in std::mem::take(&mut server.events) {
            if let Event::Request { key, .. } = event {
                let head = ResponseHead::new(Status::OK);
                server.connection.respond(key, &head, BodyLength::Unknown);
                let plan = &plans[(key.id() / 2) as usize];
                let sending = Sending::new(plan.down, plan.down_trailers);
                answers.insert(key.id(), (key, sending, Receiving::default()));
            }
        }
        answers.retain(|_, (key, sending, receiving)| {
            receiving.step(&mut server.connection, *key);
            sending.step(&mut server.connection, *key, piece);
            let over = sending.ended && receiving.ended;
            if over {
                let plan = &plans[(key.id() / 2) as usize];
                assert_eq!(receiving.bytes, plan.up);
                assert_eq!(receiving.trailers, plan.up_trailers);
                server.connection.release(*key);
            }
            !over
        });
        let up = pass(&mut client, &mut server, pass_max);
        let down = pass(&mut server, &mut client, pass_max);
        if !up && !down && finished == plans.len() {
            assert_eq!(client.connection.streams_held(), 0);
            assert_eq!(server.connection.streams_held(), 0);
            return;
        }
    }
    panic!("it never ended: {asked:?} {answers:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_exchange_comes_whole(
        plans in prop::collection::vec(plan(), 1..12),
        streams_max in 1u32..8,
        stream_window_bytes in 20u32..70_000,
        piece in 1usize..80_000,
        pass_max in prop_oneof![50usize..500, 1_000usize..200_000],
    ) {
        let limits = Limits {
            streams_max,
            stream_window_bytes,
            connection_window_bytes: 65_535,
            abuse_points_max: 1_000_000,
            ..Limits::default()
        };
        run(&plans, limits, piece.max(64), pass_max);
    }
}

/// Its table has forgotten what we take for known; both sizes are said (RFC 7541 §4.2).
#[test]
fn a_table_that_was_small_for_a_moment_is_emptied() {
    let mut bench = Bench::server(Limits::default());
    let ask = |bench: &mut Bench, id| {
        bench.feed(&headers(id, END, &get())).unwrap();
        let key = bench.asked();
        let mut head = ResponseHead::new(Status::OK);
        head.fields.append(FieldId::Server, b"backend/1.0");
        bench.connection.respond(key, &head, BodyLength::Empty);
        bench.connection.release(key);
        bench.written()[9..].to_vec()
    };
    let whole = ask(&mut bench, 1);
    assert!(ask(&mut bench, 3).len() < whole.len());
    let sizes = [[0, 1, 0, 0, 0, 0], [0, 1, 0, 0, 0x10, 0]].concat();
    bench.feed(&frame(Kind::SETTINGS, 0, 0, &sizes)).unwrap();
    bench.written();
    let updates = [0x20, 0x3f, 0xe1, 0x1f];
    assert_eq!(ask(&mut bench, 5), [&updates[..], &whole].concat());
}
