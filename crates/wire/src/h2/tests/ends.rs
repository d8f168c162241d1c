//! Ends of requests and clients that can still be answered.

use super::*;
use foregate_message::{Fault, Reason};

/// It has shut its sending side: nothing that is still due of it will come.
#[test]
fn a_client_that_has_finished_is_answered_what_came_whole() {
    let mut bench = Bench::before_preface(Limits::default());
    bench.feed(PREFACE).unwrap();
    bench.feed(&frame(Kind::SETTINGS, 0, 0, &[])).unwrap();
    bench.feed(&headers(1, END, &get())).unwrap();
    bench.feed(&headers(3, 0, &get())).unwrap();
    let upload = bench.asked();
    bench.said();
    bench.connection.finished_by_peer(5);
    let fate = bench.connection.fate(upload).unwrap();
    assert_eq!((fate.reason, fate.unprocessed), (Reason::ClientGone, false));
    bench.connection.release(upload);
    // Another GOAWAY must not promise more, and no acknowledgement is waited for.
    bench.connection.drain(6);
    assert!(bench.connection.tick(100_000).is_ok());
    assert_eq!(bench.said(), ["GOAWAY 3 NO_ERROR", "RST_STREAM 3 CANCEL"]);
    assert!(!bench.connection.is_finished());
    bench.answer_all();
    assert_eq!(bench.said(), ["HEADERS 1 end"]);
    assert!(bench.connection.is_finished());
}

/// What has been told before is told again by a PING: who has left altogether answers it with a reset.
#[test]
fn a_client_that_has_finished_always_hears_something() {
    let mut bench = Bench::server(Limits::default());
    bench.feed(&headers(1, END, &get())).unwrap();
    bench.asked();
    bench.connection.drain(1);
    bench.said();
    bench
        .feed(&frame(Kind::PING, flag::ACK, 0, b"draining"))
        .unwrap();
    assert_eq!(bench.said(), ["GOAWAY 1 NO_ERROR"]);
    bench.connection.finished_by_peer(5);
    assert_eq!(bench.said(), ["PING"]);
    assert!(bench.connection.tick(100_000).is_ok());
}

/// Those cost what a reset does, and the answer none.
#[test]
fn trailers_over_their_limit_are_not_free() {
    let mut bench = Bench::server(Limits {
        abuse_points_max: 100,
        ..Limits::default()
    });
    let mut answered = 0;
    let failure = loop {
        let stream = 1 + 2 * answered;
        bench
            .feed(&headers(stream, 0, &request("POST", &[])))
            .unwrap();
        let key = bench.asked();
        let trailers = headers(stream, END, &block(&[("a", "b"); 40]));
        if let Err(failure) = bench.feed(&trailers) {
            break failure;
        }
        let head = ResponseHead::new(Status::new(431).unwrap());
        bench.connection.respond(key, &head, BodyLength::Empty);
        bench.connection.release(key);
        bench.said();
        answered += 1;
        assert!(answered < 100);
    };
    assert_eq!(failure.reason, Reason::ProvokedResets);
    assert!((10..20).contains(&answered), "{answered}");
}

/// A backend may have a part of it.
#[test]
fn bodies_that_are_too_long_are_not_free() {
    let mut bench = Bench::server(Limits {
        abuse_points_max: 100,
        ..Limits::default()
    });
    // The first SETTINGS have cost as much.
    for _ in 0..9 {
        bench.connection.charge_overlong_body(0);
    }
    assert!(bench.connection.failure().is_none());
    bench.connection.charge_overlong_body(0);
    let failure = bench.connection.failure().map(|failure| failure.reason);
    assert_eq!(failure, Some(Reason::ProvokedResets));
    assert_eq!(bench.said(), ["GOAWAY 0 ENHANCE_YOUR_CALM"]);
}

/// As a head that is.
#[test]
fn trailers_over_their_limit_can_be_answered() {
    let mut bench = Bench::server(Limits::default());
    bench.feed(&headers(1, 0, &request("POST", &[]))).unwrap();
    let key = bench.asked();
    bench
        .feed(&frame(Kind::DATA, 0, 1, b"before them"))
        .unwrap();
    bench
        .feed(&headers(1, END, &block(&[("a", "b"); 40])))
        .unwrap();
    assert_eq!(bench.body(key), b"before them");
    let fate = bench.connection.take(key).err();
    let reason = Reason::Request(Fault::TrailersTooLarge);
    assert_eq!(fate.map(|fate| fate.reason), Some(reason));
    assert!(bench.connection.fate(key).is_none());
    let head = ResponseHead::new(Status::new(431).unwrap());
    bench.connection.respond(key, &head, BodyLength::Empty);
    bench.connection.release(key);
    assert_eq!(bench.said(), ["HEADERS 1 end"]);
    // Those that are cut short are malformed besides.
    let short = request("POST", &[("content-length", "5")]);
    bench.feed(&headers(3, 0, &short)).unwrap();
    bench
        .feed(&headers(3, END, &block(&[("a", "b"); 40])))
        .unwrap();
    assert_eq!(bench.said(), ["RST_STREAM 3 PROTOCOL_ERROR"]);
}
