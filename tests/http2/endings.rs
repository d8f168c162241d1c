//! How streams and connections end.

use foregate_testkit::http2::code::{CANCEL, INTERNAL_ERROR, NO_ERROR};
use foregate_testkit::http2::{END_STREAM, frame, kind};
use foregate_testkit::{
    Answer, Backend, BlackHole, DiesMidBody, Echo, Gateway, Http2Client, Signal, eventually,
    holds_for,
};
use foregate_tests::assert_outcome;
use std::time::Duration;

fn gateway(backend: &Backend, client: &str) -> Gateway {
    Gateway::new(&format!(
        "drain_timeout = \"30s\"\n[client]\n{client}\n[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"{}\"]\n",
        backend.address()
    ))
    .start()
}

#[test]
fn a_cancelled_stream_cancels_the_work_and_no_other() {
    let backend = Backend::start(BlackHole);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    let first = client.request("GET", "/1", &[], true);
    let _second = client.request("GET", "/2", &[], true);
    backend.wait_requests(2);
    client.reset(first, CANCEL);
    backend.wait_connections_open(1);
    assert_eq!(gateway.log_lines(1)[0].reason(), "client-gone");
    drop(client);
    backend.wait_connections_open(0);
    gateway.assert_no_leaks();
}

#[test]
fn an_answer_that_breaks_off_is_reset() {
    let backend = Backend::start(DiesMidBody);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    let answer = client.get("/");
    assert_eq!(
        (answer.status, answer.ended, answer.reset),
        (200, false, Some(INTERNAL_ERROR))
    );
    drop(client);
    assert_eq!(gateway.only_log_line().reason(), "upstream-truncated");
    gateway.assert_no_leaks();
}

#[test]
fn an_early_answer_makes_the_rest_of_the_request_needless() {
    let backend = Backend::start(Echo);
    let gateway = gateway(&backend, "");
    let mut client = Http2Client::connect(gateway.address());
    let stream = client.request("TRACE", "/", &[], false);
    let answer = client.until(stream, |answer| answer.reset.is_some());
    assert_eq!(
        (answer.status, answer.ended, answer.reset),
        (405, true, Some(NO_ERROR))
    );
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn a_body_over_the_limit_is_answered() {
    let backend = Backend::start(Echo);
    let gateway = gateway(&backend, "body_bytes_max = \"1KiB\"");
    let mut client = Http2Client::connect(gateway.address());
    let announced = client.request("POST", "/", &[("content-length", "2000")], false);
    assert_eq!(client.until(announced, |answer| answer.ended).status, 413);
    let grown = client.request("POST", "/", &[], false);
    client.data(grown, &[b'x'; 2000], false);
    assert_eq!(client.until(grown, |answer| answer.ended).status, 413);
    assert_eq!(client.get("/").status, 200);
    drop(client);
    gateway.assert_no_leaks();
}

#[test]
fn a_stop_loses_no_request() {
    let backend = Backend::answering(|request| {
        if request.target == "/slow" {
            std::thread::sleep(Duration::from_millis(600));
        }
        Answer::ok("finished")
    });
    let mut gateway = gateway(&backend, "");
    let mut client = Http2Client::connect(gateway.address());
    let slow = client.request("GET", "/slow", &[], true);
    backend.wait_requests(1);
    // Before this, a request that crosses the GOAWAY must still be served.
    client.acknowledges = false;
    gateway.signal(Signal::Term);
    let first = client.first_goaway();
    assert_eq!((first.code, first.last_stream), (NO_ERROR, 0x7fff_ffff));
    let crossing = client.request("GET", "/crossing", &[], true);
    assert_eq!(client.answer(crossing).text(), "finished");
    assert_eq!(client.answer(slow).text(), "finished");
    let last = client.goaway();
    assert_eq!((last.code, last.last_stream), (NO_ERROR, crossing));
    assert_eq!(gateway.wait_exit().code(), Some(0));
    assert_eq!(gateway.log_lines(2).len(), 2);
}

/// It takes nothing more that the gateway would begin, and says nothing of its own requests (RFC 9113 §6.8).
#[test]
fn a_client_that_goes_away_is_answered_what_it_has_asked_for() {
    let (answer, answers) = std::sync::mpsc::channel::<()>();
    let answers = std::sync::Mutex::new(answers);
    let backend = Backend::answering(move |_| {
        let _ = answers.lock().expect("no panic").recv();
        Answer::ok("finished")
    });
    let gateway = gateway(&backend, "");
    let mut client = Http2Client::connect(gateway.address());
    let before = [(); 2].map(|()| client.request("GET", "/", &[], true));
    client.send_frame(kind::GOAWAY, 0, 0, &[0; 8]);
    let behind = client.request("GET", "/", &[], true);
    backend.wait_requests(2);
    for _ in 0..3 {
        answer.send(()).expect("the backend waits");
    }
    for stream in [before[0], before[1], behind] {
        assert_eq!(client.answer(stream).text(), "finished");
    }
    // It has closed the connection when nothing was left to do.
    client.connection().take_rest().expect("an end in order");
    for line in gateway.log_lines(3) {
        assert_eq!((line.status(), line.reason()), (200, "proxied".to_owned()));
    }
    gateway.assert_no_leaks();
}

#[test]
fn a_connection_that_serves_enough_goes_away() {
    let backend = Backend::start(Echo);
    let gateway = gateway(&backend, "requests_per_connection_max = 3");
    let mut client = Http2Client::connect(gateway.address());
    for _ in 0..3 {
        assert_eq!(client.get("/").status, 200);
    }
    let last = client.goaway();
    assert_eq!((last.code, last.last_stream), (NO_ERROR, 5));
    drop(client);
    gateway.assert_no_leaks();
}

#[test]
fn an_idle_connection_goes_away() {
    let backend = Backend::start(Echo);
    let gateway = gateway(
        &backend,
        "idle_timeout = \"500ms\"\nhead_timeout = \"500ms\"",
    );
    let mut used = Http2Client::connect(gateway.address());
    assert_eq!(used.get("/").status, 200);
    assert_eq!(used.goaway().code, NO_ERROR);
    let mut unused = Http2Client::connect(gateway.address());
    assert_eq!(unused.goaway().code, NO_ERROR);
    drop((used, unused));
    assert_outcome(&gateway, 200, "proxied");
}

#[test]
fn a_head_that_is_never_ended() {
    let backend = Backend::start(Echo);
    let gateway = gateway(&backend, "head_timeout = \"500ms\"");
    let mut client = Http2Client::connect(gateway.address());
    assert_eq!(client.get("/").status, 200);
    // In the middle of a head nothing else may be said, not even the answer to a PING.
    client.acknowledges = false;
    let stream = client.take_stream();
    client.send_frame(
        1,
        1,
        stream,
        &foregate_testkit::http2::block(&[(":method", "GET")]),
    );
    assert_eq!(client.goaway().code, NO_ERROR);
    drop(client);
    let reason = [("reason", "head-timeout")];
    gateway.wait_metric(
        foregate_tests::metric::HTTP2_CONNECTIONS_FAILED,
        &reason,
        1.0,
    );
}

/// Nothing that the client says can be read as long as its head has not ended: no window for the answer that is under way,
/// and no other request.
#[test]
fn a_head_that_is_never_ended_beside_another_stream() {
    let backend = Backend::start(BlackHole);
    let gateway = gateway(&backend, "head_timeout = \"500ms\"");
    let mut client = Http2Client::connect(gateway.address());
    client.request("GET", "/", &[], true);
    backend.wait_requests(1);
    client.acknowledges = false;
    let stream = client.take_stream();
    let begun = foregate_testkit::http2::block(&[(":method", "GET")]);
    client.send_frame(kind::HEADERS, END_STREAM, stream, &begun);
    assert_eq!(client.goaway().code, NO_ERROR);
    assert_eq!(gateway.only_log_line().reason(), "head-timeout");
    backend.wait_connections_open(0);
    gateway.wait_metric(
        foregate_tests::metric::HTTP2_CONNECTIONS_FAILED,
        &[("reason", "head-timeout")],
        1.0,
    );
    drop(client);
    gateway.assert_no_leaks();
}

/// Each piece ends within a frame, so that one is always incomplete: never the same for long.
#[test]
fn frames_that_are_cut_all_the_time_are_no_head_that_never_ends() {
    let backend = Backend::start(Echo);
    let gateway = gateway(&backend, "head_timeout = \"400ms\"");
    let mut client = Http2Client::connect(gateway.address());
    let stream = client.request("POST", "/", &[], false);
    // Nor windows given back: it would come within a frame.
    client.acknowledges = false;
    client.gives_windows = false;
    let piece = frame(kind::DATA, 0, stream, b"x");
    let (front, back) = piece.split_at(5);
    let sent = |client: &mut Http2Client, bytes: &[u8]| {
        client.connection().send(bytes).expect("it is taken");
    };
    sent(&mut client, front);
    let pieces = [back, front].concat();
    holds_for(Duration::from_millis(900), "it goes on", || {
        sent(&mut client, &pieces);
        client.is_quiet()
    });
    sent(&mut client, back);
    client.data(stream, b"", true);
    assert_eq!(client.answer(stream).status, 200);
    drop(client);
    gateway.assert_no_leaks();
}

#[test]
fn a_connection_at_rest_serves_again() {
    let backend = Backend::start(Echo);
    let gateway = gateway(&backend, "");
    let mut client = Http2Client::connect(gateway.address());
    for _ in 0..3 {
        assert_eq!(client.get("/").status, 200);
        // Long enough for its state to be freed.
        foregate_testkit::holds_for(Duration::from_millis(200), "it stays open", || {
            gateway.metric(
                foregate_tests::metric::CONNECTIONS,
                &[("listener", "public")],
            ) == 1.0
        });
    }
    drop(client);
    eventually("it closes", || {
        let open = gateway.metric(
            foregate_tests::metric::CONNECTIONS,
            &[("listener", "public")],
        );
        (open == 0.0).then_some(())
    });
    gateway.assert_no_leaks();
}
