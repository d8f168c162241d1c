//! A client that has said all it will say.

use super::*;
use foregate_message::Reason;

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
