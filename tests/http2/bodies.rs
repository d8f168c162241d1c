//! Long bodies, slow readers, and the memory they may cost.

use crate::{gateway_over, transports};
use foregate_testkit::http2::code::CANCEL;
use foregate_testkit::http2::{END_HEADERS, END_STREAM, block, frame, kind};
use foregate_testkit::{
    Answer, Backend, Echo, Gateway, Http2Client, NeverAccepts, NeverReads, Random, Transport,
    Visit, WindowStall, eventually, fingerprint, holds_for,
};
use foregate_tests::metric;
use std::time::{Duration, Instant};

/// More than windows and socket buffers hold, much more than a gateway may keep.
const MANY_BYTES: usize = 50_000_000;
const GROWTH_MAX_KIB: u64 = 6144;

/// Answers with many bytes, as fast as they are taken.
fn endless() -> Backend {
    Backend::start(|visit: &mut Visit| {
        while visit.next_request()?.is_some() {
            visit.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {MANY_BYTES}\r\n\r\n"
            ))?;
            let block = vec![b'x'; 100_000];
            for _ in 0..MANY_BYTES / block.len() {
                visit.send(&block)?;
            }
        }
        Ok(())
    })
}

#[test]
fn a_long_answer_comes_whole() {
    let body = Random::seeded(3).bytes(3_000_000);
    let sent = body.clone();
    let backend = Backend::answering(move |_| Answer::ok(sent.clone()));
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    let streams = [(); 3].map(|()| client.request("GET", "/", &[], true));
    for stream in streams {
        assert!(client.answer(stream).body == body);
    }
    drop(client);
    gateway.assert_no_leaks();
}

#[test]
fn a_long_upload_goes_whole() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    let body = Random::seeded(4).bytes(1_500_000);
    let stream = client.request("POST", "/", &[], false);
    // What both windows begin with; the gateway opens them as the backend takes the body.
    let mut room = [65_535; 2];
    let mut sent = 0;
    while sent < body.len() {
        let piece = (body.len() - sent).min(room[0]).min(room[1]).min(16_384);
        if piece == 0 {
            let (opened, bytes) = next_window(&mut client);
            room[usize::from(opened != 0)] += bytes;
            continue;
        }
        client.data(stream, &body[sent..sent + piece], false);
        sent += piece;
        room = room.map(|bytes| bytes - piece);
    }
    client.data(stream, b"", true);
    let answer = client.answer(stream);
    assert!(
        answer.text().contains(&fingerprint(&body)),
        "{}",
        answer.text()
    );
    drop(client);
    gateway.assert_no_leaks();
}

/// Reads until a window is opened: the stream it is of, 0 for the connection's, and by how many bytes.
fn next_window(client: &mut Http2Client) -> (u32, usize) {
    loop {
        let frame = client
            .read_frame()
            .expect("the gateway gives the window back");
        if let Some(bytes) = frame.window_bytes() {
            return (frame.stream, bytes);
        }
    }
}

#[test]
fn a_closed_window_stops_the_backend_and_costs_little_memory() {
    for transport in transports() {
        closed_windows_over(&transport);
    }
}

fn closed_windows_over(transport: &Transport) {
    let backend = endless();
    let gateway = gateway_over(transport, &backend, "");
    let before = gateway.rss_kib();
    let mut stalled: Vec<WindowStall> = (0..10)
        .map(|_| WindowStall::start(gateway.target(), "/", 1000))
        .collect();
    for peer in &mut stalled {
        let client = peer.client();
        client.until(1, |answer| answer.body.len() == 1000);
    }
    holds_for(Duration::from_millis(500), "memory stays flat", || {
        gateway.rss_kib() < before + GROWTH_MAX_KIB
    });
    drop(stalled);
    backend.wait_connections_open(0);
    gateway.assert_no_leaks();
}

#[test]
fn a_window_that_stays_closed_ends_the_stream_and_no_other() {
    for transport in transports() {
        window_stays_closed_over(&transport);
    }
}

fn window_stays_closed_over(transport: &Transport) {
    let backend = endless();
    let gateway = gateway_over(transport, &backend, "write_timeout = \"1s\"");
    let mut peer = WindowStall::start(gateway.target(), "/", 1000);
    assert_eq!(peer.wait_reset(), Some(CANCEL));
    backend.wait_connections_open(0);
    let client = peer.client();
    let stream = client.request("TRACE", "/", &[], true);
    assert_eq!(client.until(stream, |answer| answer.status > 0).status, 405);
    drop(peer);
    gateway.wait_metric(metric::OUTCOMES, &[("reason", "window-stalled")], 1.0);
    gateway.assert_no_leaks();
}

/// The window and a request come in the same read, and the request's backend can't be reached yet.
#[test]
fn an_answer_goes_on_beside_a_request_that_has_to_wait() {
    let backend = endless();
    let stuck = NeverAccepts::start();
    let gateway = Gateway::new(&format!(
        "workers = 1\n[sites.\"*\"]\n[[sites.\"*\".routes]]\npath = \"/stuck\"\nupstream = \"stuck\"\n\
         [[sites.\"*\".routes]]\nupstream = \"app\"\n\
         [upstreams.app]\nservers = [\"{}\"]\n\
         [upstreams.stuck]\nservers = [\"{}\"]\n",
        backend.address(),
        stuck.address()
    ))
    .start();
    let mut peer = WindowStall::start(gateway.address(), "/", 1000);
    let client = peer.client();
    client.until(1, |answer| answer.body.len() == 1000);
    let began = Instant::now();
    for round in 1..=10 {
        let request = block(&[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/stuck"),
            (":authority", "a"),
        ]);
        let stream = client.take_stream();
        let both = [
            frame(kind::WINDOW_UPDATE, 0, 1, &1000u32.to_be_bytes()),
            frame(kind::HEADERS, END_STREAM | END_HEADERS, stream, &request),
        ];
        client.connection().send(both.concat()).expect("it is read");
        client.until(1, |answer| answer.body.len() == 1000 * (round + 1));
    }
    // Without that it is only looked after once a second.
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[test]
fn an_upload_that_others_hold_back_is_not_too_slow() {
    let unread = Backend::start(NeverReads);
    let backend = Backend::start(Echo);
    let gateway = Gateway::new(
        r#"
        [client]
        body_rate_min = "10KiB"
        body_rate_grace = "400ms"
        [client.http2]
        stream_window_bytes = "256KiB"
        connection_window_bytes = "64KiB"
        [[sites."*".routes]]
        path = "/unread"
        upstream = "unread"
        [[sites."*".routes]]
        upstream = "app"
        [upstreams.unread]
        servers = ["{unread}"]
        [upstreams.app]
        servers = ["{backend}"]
        "#,
    )
    .fill("unread", unread.address())
    .fill("backend", backend.address())
    .start();
    let mut client = Http2Client::connect(gateway.address());
    let long = [("content-length", "50000000")];
    let greedy = client.request("POST", "/unread", &long, false);
    let mut open = 65_535;
    client.connection().set_patience(Duration::from_millis(300));
    // Everything that the connection has room for, until nobody takes anything any more. The stream's own window is so
    // much larger that it always has room for as much: both are told of at moments of their own.
    loop {
        client.data(greedy, &vec![b'x'; open], false);
        open = 0;
        while open == 0
            && let Ok(frame) = client.read_frame()
        {
            open += frame
                .window_bytes()
                .filter(|_| frame.stream == 0)
                .unwrap_or(0);
        }
        if open == 0 {
            break;
        }
    }
    client.connection().set_patience(foregate_testkit::PATIENCE);
    let held = client.request("POST", "/", &[("content-length", "5")], false);
    holds_for(
        Duration::from_millis(1500),
        "the other request is waited for",
        || client.is_quiet(),
    );
    client.reset(greedy, CANCEL);
    // What nobody wants any more is given back to the connection.
    while !client
        .read_frame()
        .is_ok_and(|frame| frame.stream == 0 && frame.window_bytes().is_some())
    {}
    client.data(held, b"hello", true);
    assert_eq!(client.answer(held).status, 200);
    // And a client that may send is to send.
    let slow = client.request("POST", "/", &[("content-length", "5")], false);
    assert_eq!(client.answer(slow).status, 408);
}

#[test]
fn an_upload_that_nobody_reads_is_held_by_its_window() {
    let backend = Backend::start(NeverReads);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    let before = gateway.rss_kib();
    let stream = client.request("POST", "/", &[("content-length", "50000000")], false);
    client.data(stream, &[b'x'; 65_535], false);
    let mut opened = 0;
    // Whatever the gateway gives back is used, until it gives nothing any more.
    client.connection().set_patience(Duration::from_millis(500));
    while let Ok(frame) = client.read_frame() {
        if frame.stream == stream
            && let Some(bytes) = frame.window_bytes()
        {
            opened += bytes;
            client.data(stream, &vec![b'x'; bytes], false);
        }
    }
    assert!(
        opened < 40_000_000,
        "{opened} bytes are gone though nobody reads"
    );
    assert!(gateway.rss_kib() < before + GROWTH_MAX_KIB);
    drop(client);
    eventually("the backend connection is given up", || {
        gateway.upstream_sockets().is_empty().then_some(())
    });
    gateway.assert_no_leaks();
}
