//! Answers that go on, piece by piece.

use foregate_testkit::http2::{END_HEADERS, END_STREAM, block, frame, greet, kind, take_frame};
use foregate_testkit::{Backend, Gateway, Http2Client, Transport, Visit};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

const EVENTS: [&str; 3] = ["data: 1\n\n", "data: two\n\n", "data: the third\n\n"];

/// Answers with a stream of events, and sends each when it is told to.
fn tells_events() -> (Backend, Sender<()>) {
    let (next, wanted) = channel();
    let wanted = Mutex::new(wanted);
    let backend = Backend::start(move |visit: &mut Visit| {
        greet(&mut visit.connection)?;
        loop {
            let came = take_frame(&mut visit.connection)?;
            if came.kind != kind::HEADERS {
                continue;
            }
            let head = block(&[(":status", "200"), ("content-type", "text/event-stream")]);
            visit.send(frame(kind::HEADERS, END_HEADERS, came.stream, &head))?;
            let wanted = wanted.lock().expect("no panic");
            for event in EVENTS {
                let _ = wanted.recv();
                visit.send(frame(kind::DATA, 0, came.stream, event.as_bytes()))?;
            }
            let _ = wanted.recv();
            visit.send(frame(kind::DATA, END_STREAM, came.stream, b""))?;
        }
    });
    (backend, next)
}

/// No event waits for the one behind it, nor the head for the first.
#[test]
fn each_event_is_seen_before_the_next_is_sent() {
    for transport in [Transport::Cleartext, Transport::tls()] {
        let (backend, next) = tells_events();
        let gateway = Gateway::new(
            "[sites.\"*\"]\nupstream = \"app\"\n\
             [upstreams.app]\nservers = [\"{backend}\"]\nprotocol = \"h2\"\n",
        )
        .fill("backend", backend.address())
        .over(&transport)
        .start();
        let go_on = || next.send(()).expect("the backend waits");

        let mut http1 = gateway.connect();
        http1.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = http1.try_head(false).expect("the head");
        assert_eq!(head.field("content-type"), Some("text/event-stream"));
        for event in EVENTS {
            go_on();
            let chunk = format!("{:x}\r\n{event}\r\n", event.len());
            let seen = http1.connection().take(chunk.len());
            assert_eq!(seen, Ok(chunk.into_bytes()));
        }
        go_on();
        let end = b"0\r\n\r\n";
        assert_eq!(http1.connection().take(end.len()), Ok(end.to_vec()));

        let mut http2 = Http2Client::connect(gateway.target());
        let stream = http2.request("GET", "/", &[], true);
        http2.until(stream, |answer| answer.status == 200);
        let mut expected = String::new();
        for event in EVENTS {
            go_on();
            expected.push_str(event);
            http2.until(stream, |answer| answer.text() == expected);
        }
        go_on();
        assert!(http2.answer(stream).ended);
        drop((http1, http2));
        for line in gateway.log_lines(2) {
            assert_eq!((line.status(), line.reason()), (200, "proxied".to_owned()));
        }
        gateway.assert_no_leaks();
    }
}
