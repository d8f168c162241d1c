//! Backends whose connection carries the streams of many clients.

use super::*;

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
