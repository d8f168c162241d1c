//! The same clients, where what they leave undone is one of many streams of HTTP/2.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use foregate_testkit::http2::code::{CANCEL, ENHANCE_YOUR_CALM, NO_ERROR};
use foregate_testkit::http2::{END_HEADERS, END_STREAM, block, frame, kind};
use foregate_testkit::{
    Answer, Answers, Backend, BlackHole, Echo, Gateway, Goaway, Http2Client, Request, Target,
    eventually,
};
use foregate_tests::metric;

use crate::clients::impatient;
use crate::road::Road;

on_roads!([http2, http2_tls] [
    slow_loris,
    slow_body,
    never_reader,
    resetter,
    resetter_at_any_moment,
    half_closer,
    half_closer_who_reads_late,
    half_closer_whose_backend_is_silent,
    half_closer_whose_windows_are_closed,
    asks_for_much_and_leaves,
    huge_head,
    all_of_them_at_once_while_others_are_served,
]);

/// SETTINGS_INITIAL_WINDOW_SIZE as wide as it can be.
const WIDE: (u16, u32) = (4, 0x7fff_ffff);

const GROWTH_MAX_KIB: u64 = 6144;

/// A whole request's head, which a frame without END_HEADERS does not end.
const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "a"),
    (":path", "/"),
];

/// Sends the bytes of `pieces` with a pause behind each, until the gateway has had enough; how it ends the connection.
fn trickle(target: Target, pause: Duration, pieces: impl Iterator<Item = Vec<u8>>) -> Goaway {
    let mut client = Http2Client::connect(target);
    // An acknowledgement must not come between the bytes of a frame.
    client.acknowledges = false;
    for piece in pieces {
        if client.connection().send(piece).is_err() || !client.is_quiet() {
            break;
        }
        thread::sleep(pause);
    }
    client.goaway()
}

/// A head of which the frame comes byte by byte.
fn bytes_of_a_head(target: Target) -> Goaway {
    let long = "x".repeat(4_000);
    let lines = [&GET[..], &[("x-long", &long)]].concat();
    let head = frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &block(&lines));
    let bytes = head.into_iter().map(|byte| vec![byte]);
    trickle(target, Duration::from_millis(10), bytes)
}

/// A head that comes line by line, in frames that are whole.
fn frames_of_a_head(target: Target) -> Goaway {
    let begin = frame(kind::HEADERS, END_STREAM, 1, &block(&GET));
    let line = frame(kind::CONTINUATION, 0, 1, &block(&[("a", "b")]));
    let lines = std::iter::repeat_n(line, 10);
    let pieces = [begin].into_iter().chain(lines);
    trickle(target, Duration::from_millis(70), pieces)
}

fn slow_loris(road: &Road) {
    for attack in [bytes_of_a_head, frames_of_a_head] {
        let backend = road.backend(Echo);
        let gateway = impatient(road, &backend);
        let goaway = attack(gateway.target());
        assert_eq!(
            (goaway.code, goaway.debug.as_str()),
            (NO_ERROR, "head-timeout")
        );
        wait_failed(&gateway, "head-timeout");
        assert_eq!(backend.requests_total(), 0);
        gateway.assert_no_leaks();
    }
}

fn wait_failed(gateway: &Gateway, reason: &str) {
    let reason = [("reason", reason)];
    gateway.wait_metric(metric::HTTP2_CONNECTIONS_FAILED, &reason, 1.0);
}

/// Sends a body so slowly that it is taken for none; the answer's status.
fn slow_upload(client: &mut Http2Client) -> u16 {
    let stream = client.request("POST", "/", &[("content-length", "1000000")], false);
    let answered = |client: &mut Http2Client| {
        client.connection().set_patience(Duration::from_millis(10));
        let waited = client.connection().wait_readable();
        client.connection().set_patience(foregate_testkit::PATIENCE);
        waited == Ok(true)
    };
    loop {
        client.send_frame(kind::DATA, 0, stream, b"12345678");
        while answered(client) {
            client.read_frame().expect("a frame");
            let seen = client.until(stream, |_| true);
            if seen.status > 0 {
                return seen.status;
            }
        }
    }
}

fn slow_body(road: &Road) {
    let backend = road.backend(Echo);
    let gateway = impatient(road, &backend);
    let mut client = Http2Client::connect(gateway.target());
    assert_eq!(slow_upload(&mut client), 408);
    // Its connection serves on.
    assert_eq!(client.get("/").status, 200);
    drop(client);
    let reasons = reasons(&gateway, 2);
    assert_eq!(reasons, ["body-too-slow", "proxied"]);
    gateway.assert_no_leaks();
}

fn reasons(gateway: &Gateway, count: usize) -> Vec<String> {
    let lines = gateway.log_lines(count);
    lines.iter().map(|line| line.reason()).collect()
}

/// Asks for more than sockets hold, has its windows wide open and reads none of it.
fn never_reads(target: Target, path: &str) -> Http2Client {
    let mut client = Http2Client::connect_narrow(target, 4096, &[WIDE]);
    client.open_window(0, 0x7000_0000);
    client.request("GET", path, &[], true);
    client
}

fn never_reader(road: &Road) {
    let backend = road.backend(Answers(|_: &Request| Answer::ok(vec![b'x'; 20_000_000])));
    let gateway = impatient(road, &backend);
    let before = gateway.rss_kib();
    let peer = never_reads(gateway.target(), "/");
    assert_eq!(gateway.only_log_line().reason(), "write-timeout");
    backend.wait_connections_open(0);
    wait_failed(&gateway, "write-timeout");
    assert!(gateway.rss_kib() < before + GROWTH_MAX_KIB);
    gateway.assert_no_leaks();
    drop(peer);
}

fn reset(mut client: Http2Client) {
    client.connection().reset_on_close();
}

fn resetter(road: &Road) {
    let backend = road.backend(BlackHole);
    let gateway = impatient(road, &backend);
    let mut client = Http2Client::connect(gateway.target());
    for _ in 0..20 {
        client.request("GET", "/", &[], true);
    }
    let upload = client.request("POST", "/", &[("content-length", "10")], false);
    client.data(upload, b"half", false);
    backend.wait_connections_open(21);
    reset(client);
    assert_eq!(reasons(&gateway, 21), ["client-gone"; 21]);
    backend.wait_connections_open(0);
    gateway.assert_no_leaks();
}

fn resetter_at_any_moment(road: &Road) {
    let backend = road.backend(Answers(|_: &Request| Answer::ok(vec![b'x'; 100_000])));
    let gateway = impatient(road, &backend);
    let head = frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &block(&GET));
    for sent in [0, 5, 9, 15, head.len(), head.len()].repeat(10) {
        let mut client = Http2Client::connect(gateway.target());
        client.connection().send(&head[..sent]).expect("it is read");
        reset(client);
    }
    gateway.assert_no_leaks();
    assert_eq!(road.get(&gateway).status, 200);
}

/// Shuts its sending side: neither acknowledgements nor windows can follow.
fn half_close(client: &mut Http2Client) {
    client.acknowledges = false;
    client.gives_windows = false;
    client.connection().finish_sending();
}

/// A gateway that waits for a client which has shut its sending side for longer than any story takes.
fn patient(road: &Road, backend: &Backend) -> Gateway {
    let gateway = road.gateway(
        r#"
        [client]
        half_close_timeout = "1m"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        {tls}
        "#,
    );
    gateway.fill("backend", backend.address()).start()
}

/// Asks, and asks no more; what it has asked for is answered.
fn half_closer(road: &Road) {
    let (answer, answers) = channel::<()>();
    let answers = Mutex::new(answers);
    let backend = road.backend(Answers(move |_: &Request| {
        let _ = answers.lock().expect("no panic").recv();
        Answer::ok(vec![b'x'; 20_000])
    }));
    let gateway = patient(road, &backend);
    let mut client = Http2Client::connect(gateway.target());
    let whole = [(); 3].map(|()| client.request("GET", "/", &[], true));
    let upload = client.request("POST", "/", &[("content-length", "10")], false);
    client.data(upload, b"half", false);
    half_close(&mut client);
    // Nothing more can come, and it is known by that.
    let goaway = client.first_goaway();
    assert_eq!((goaway.code, goaway.last_stream), (NO_ERROR, upload));
    for _ in whole {
        answer.send(()).expect("the backend waits");
    }
    for stream in whole {
        let answer = client.answer(stream);
        assert_eq!((answer.status, answer.body.len()), (200, 20_000));
    }
    assert_eq!(client.answer(upload).reset, Some(CANCEL));
    assert_eq!(client.connection().take_rest(), Ok(Vec::new()));
    let mut reasons = reasons(&gateway, 4);
    reasons.sort();
    assert_eq!(reasons, ["client-gone", "proxied", "proxied", "proxied"]);
    assert_eq!(gateway.metric(metric::HTTP2_CONNECTIONS_FAILED, &[]), 0.0);
    gateway.assert_no_leaks();
}

/// Whether so many answers are as good as written before long.
fn are_served(gateway: &Gateway, count: usize) -> bool {
    let deadline = Instant::now() + Duration::from_millis(300);
    while Instant::now() < deadline {
        if gateway.metric(metric::OUTCOMES, &[("reason", "proxied")]) >= count as f64 {
            return true;
        }
    }
    false
}

/// It shuts its sending side when its answer is over for whoever served it, and a part of that has not left yet: of sizes this
/// close to each other one is always a little more than what the sockets hold.
fn half_closer_who_reads_late(road: &Road) {
    const STEP: usize = 32 * 1024;
    let backend = road.backend(Answers(|request: &Request| {
        let size = request.target.trim_start_matches('/').parse();
        Answer::ok(vec![b'x'; size.expect("a size")])
    }));
    let gateway = patient(road, &backend);
    for (count, size) in (1..).map(|step| (step, step * STEP)) {
        let mut client = never_reads(gateway.target(), &format!("/{size}"));
        let is_served = are_served(&gateway, count);
        half_close(&mut client);
        let answer = client.answer(1);
        assert_eq!((answer.status, answer.body.len()), (200, size));
        if !is_served {
            break;
        }
    }
    gateway.assert_no_leaks();
}

fn half_closer_whose_backend_is_silent(road: &Road) {
    let backend = road.backend(BlackHole);
    let gateway = impatient(road, &backend);
    let mut client = Http2Client::connect(gateway.target());
    client.request("GET", "/", &[], true);
    backend.wait_requests(1);
    half_close(&mut client);
    assert_eq!(client.goaway().code, NO_ERROR);
    backend.wait_connections_open(0);
    assert_eq!(reasons(&gateway, 1), ["client-gone"]);
    gateway.assert_no_leaks();
}

/// It can't open them any more.
fn half_closer_whose_windows_are_closed(road: &Road) {
    let backend = road.backend(Answers(|_: &Request| Answer::ok(vec![b'x'; 1_000_000])));
    let gateway = impatient(road, &backend);
    let mut client = Http2Client::connect(gateway.target());
    let stream = client.request("GET", "/", &[], true);
    half_close(&mut client);
    client.until(stream, |answer| answer.body.len() == 65_535);
    assert_eq!(client.goaway().code, NO_ERROR);
    backend.wait_connections_open(0);
    let reasons = reasons(&gateway, 1);
    assert!(
        ["client-gone", "window-stalled"].contains(&reasons[0].as_str()),
        "{reasons:?}"
    );
    gateway.assert_no_leaks();
}

/// Has so many requests under way, and closes the connection in order.
fn asks_for_much_and_leaves(road: &Road) {
    let backend = road.backend(BlackHole);
    // Whoever has left altogether is not waited for.
    let gateway = patient(road, &backend);
    for round in 1..=2 {
        let mut client = Http2Client::connect(gateway.target());
        for _ in 0..50 {
            client.request("GET", "/", &[], true);
        }
        backend.wait_requests(50 * round);
        // What it leaves unread would make its close a reset.
        client.settle();
        drop(client);
        backend.wait_connections_open(0);
    }
    assert_eq!(reasons(&gateway, 100), ["client-gone"; 100]);
    gateway.assert_no_leaks();
}

/// Begins a head of ten megabytes.
fn sends_a_huge_head(target: Target) -> Goaway {
    let mut client = Http2Client::connect(target);
    client.acknowledges = false;
    let piece = "h".repeat(16_000);
    let line = block(&[("x-huge", &piece)]);
    client.send_frame(kind::HEADERS, END_STREAM, 1, &block(&GET));
    for _ in 0..640 {
        if !client.send_frame_if_taken(kind::CONTINUATION, 0, 1, &line) || !client.is_quiet() {
            break;
        }
    }
    client.goaway()
}

fn huge_head(road: &Road) {
    let backend = road.backend(Echo);
    let gateway = impatient(road, &backend);
    let before = gateway.rss_kib();
    let goaway = sends_a_huge_head(gateway.target());
    assert_eq!(
        (goaway.code, goaway.debug.as_str()),
        (ENHANCE_YOUR_CALM, "request-head-too-large")
    );
    wait_failed(&gateway, "request-head-too-large");
    assert!(gateway.rss_kib() < before + GROWTH_MAX_KIB);
    gateway.assert_no_leaks();
}

/// One of each, by HTTP/2.
fn misbehave(gateway: &Gateway) {
    let target = gateway.target();
    thread::scope(|scope| {
        scope.spawn(|| bytes_of_a_head(target.clone()));
        scope.spawn(|| frames_of_a_head(target.clone()));
        scope.spawn(|| sends_a_huge_head(target.clone()));
        scope.spawn(|| {
            let mut client = Http2Client::connect(target.clone());
            assert_eq!(slow_upload(&mut client), 408);
        });
        scope.spawn(|| {
            let peer = never_reads(target.clone(), "/big");
            eventually("it is let go of", || {
                let reason = [("reason", "write-timeout")];
                let ended = gateway.metric(metric::HTTP2_CONNECTIONS_FAILED, &reason);
                (ended >= 1.0).then_some(())
            });
            drop(peer);
        });
        scope.spawn(|| {
            let mut client = Http2Client::connect(target.clone());
            let streams = [(); 20].map(|()| client.request("GET", "/big", &[], true));
            client.until(streams[0], |answer| answer.status > 0);
            reset(client);
        });
        scope.spawn(|| {
            let mut client = Http2Client::connect(target.clone());
            let stream = client.request("GET", "/", &[], true);
            half_close(&mut client);
            assert_eq!(client.answer(stream).text(), "fine");
        });
        scope.spawn(|| {
            let mut client = Http2Client::connect(target.clone());
            for _ in 0..100 {
                client.request("GET", "/big", &[], true);
            }
        });
    });
}

fn all_of_them_at_once_while_others_are_served(road: &Road) {
    let backend = road.backend(Answers(|request: &Request| match request.target.as_str() {
        "/big" => Answer::ok(vec![b'x'; 5_000_000]),
        _ => Answer::ok("fine"),
    }));
    // Whoever behaves has time enough on a machine that has much to do.
    let gateway = road
        .gateway(
            r#"
            [client]
            head_timeout = "1s"
            body_rate_min = "10KiB"
            body_rate_grace = "400ms"
            write_timeout = "1s"
            half_close_timeout = "1m"
            [sites."*"]
            upstream = "app"
            [upstreams.app]
            servers = ["{backend}"]
            idle_timeout = "500ms"
            {tls}
            "#,
        )
        .fill("backend", backend.address())
        .start();
    let warm = gateway.rss_kib();
    thread::scope(|scope| {
        let attacks = [(); 3].map(|()| scope.spawn(|| misbehave(&gateway)));
        let mut http2 = Http2Client::connect(gateway.target());
        while !attacks.iter().all(|attack| attack.is_finished()) {
            assert_eq!(http2.get("/").text(), "fine");
            assert_eq!(road.get(&gateway).text(), "fine");
            assert_eq!(gateway.get("a", "/").text(), "fine");
        }
    });
    eventually("memory is given back, or was never taken", || {
        (gateway.rss_kib() < warm + 16_384).then_some(())
    });
    gateway.assert_no_leaks();
    for name in [
        "foregate_connections",
        "foregate_requests_in_flight",
        "foregate_endpoint_in_flight",
        "foregate_endpoint_connections",
    ] {
        gateway.wait_metric(name, &[], 0.0);
    }
}
