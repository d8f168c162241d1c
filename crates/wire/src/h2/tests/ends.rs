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
