//! Clients that would exhaust a naive server: told to calm down, counted, and without effect on anyone else.

use foregate_testkit::http2::code::{ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, REFUSED_STREAM};
use foregate_testkit::http2::{frame, kind, settings};
use foregate_testkit::{
    Answer, Backend, BlackHole, ContinuationFlood, EmptyData, Goaway, Http2Client, MadeYouReset,
    PingFlood, Priorities, RapidReset, SettingsFlood, StreamsOverLimit, Target, TinyData,
    Transport, UnknownFrames, WindowUpdates,
};
use foregate_tests::metric;

use crate::{gateway_over, transports};

#[track_caller]
fn calmed(attack: impl Fn(Target) -> Goaway, reason: &str) {
    for transport in transports() {
        calmed_over(&transport, &attack, reason);
    }
}

#[track_caller]
fn calmed_over(transport: &Transport, attack: impl Fn(Target) -> Goaway, reason: &str) {
    let backend = Backend::start(BlackHole);
    let gateway = gateway_over(transport, &backend, "");
    let before = gateway.rss_kib();
    let goaway = attack(gateway.target());
    assert_eq!(
        (goaway.code, goaway.debug.as_str()),
        (ENHANCE_YOUR_CALM, reason)
    );
    gateway.wait_metric(metric::HTTP2_CONNECTIONS_FAILED, &[("reason", reason)], 1.0);
    backend.wait_connections_open(0);
    assert!(
        gateway.rss_kib() < before + 8192,
        "{} KiB before, {} after",
        before,
        gateway.rss_kib()
    );
    // Everybody else is served as before.
    let mut other = Http2Client::connect(gateway.target());
    let stream = other.request("TRACE", "/", &[], true);
    assert_eq!(other.answer(stream).status, 405);
    drop(other);
    gateway.assert_no_leaks();
}

#[test]
fn rapid_reset() {
    calmed(|target| RapidReset.attack(target), "rapid-reset");
}

#[test]
fn made_you_reset() {
    calmed(|target| MadeYouReset.attack(target), "provoked-resets");
}

#[test]
fn continuation_flood() {
    calmed(
        |target| ContinuationFlood.attack(target),
        "continuation-flood",
    );
}

#[test]
fn settings_flood() {
    calmed(|target| SettingsFlood.attack(target), "settings-flood");
}

#[test]
fn ping_flood() {
    calmed(|target| PingFlood.attack(target), "ping-flood");
}

#[test]
fn empty_data() {
    calmed(|target| EmptyData.attack(target), "tiny-data-flood");
}

#[test]
fn tiny_data() {
    calmed(|target| TinyData.attack(target), "tiny-data-flood");
}

#[test]
fn priorities() {
    for update in [false, true] {
        let attack = |target| Priorities { update }.attack(target);
        calmed(attack, "priority-flood");
    }
}

#[test]
fn window_updates() {
    for connection in [false, true] {
        let attack = |target| WindowUpdates { connection }.attack(target);
        calmed(attack, "window-update-flood");
    }
}

#[test]
fn frames_of_an_unknown_type() {
    calmed(|target| UnknownFrames.attack(target), "idle-frame-flood");
}

#[test]
fn streams_over_the_limit() {
    calmed(|target| StreamsOverLimit.attack(target), "stream-flood");
}

/// How many times ten PINGs a gateway bears, up to `max`.
fn pings_borne(client: &mut Http2Client, max: usize) -> usize {
    let ten = frame(kind::PING, 0, 0, &[0; 8]).repeat(10);
    for count in 0..max {
        let _ = client.connection().send(&ten);
        // All of them are acknowledged before the next ones go.
        let mut acknowledged = 0;
        while acknowledged < 10 {
            match client.read_frame() {
                Ok(frame) if frame.kind == kind::PING => acknowledged += 1,
                Ok(frame) if frame.kind != kind::GOAWAY => {}
                _ => return count,
            }
        }
    }
    max
}

/// A PING costs three points.
#[test]
fn the_budget_is_as_large_as_it_is_configured() {
    let backend = Backend::answering(|_| Answer::ok("fine"));
    let gateway = |points: &str| {
        let client = format!("abuse_points_per_minute_max = {points}");
        gateway_over(&Transport::Cleartext, &backend, &client)
    };
    let strict = gateway("300");
    let mut client = Http2Client::connect(strict.address());
    let borne = pings_borne(&mut client, 100);
    assert!((5..20).contains(&borne), "{borne}");
    assert_eq!(client.goaway().debug, "ping-flood");
    let reason = [("reason", "ping-flood")];
    strict.wait_metric(metric::HTTP2_CONNECTIONS_FAILED, &reason, 1.0);
    let lenient = gateway("100000");
    let mut client = Http2Client::connect(lenient.address());
    assert_eq!(pings_borne(&mut client, 100), 100);
    assert_eq!(client.get("/").text(), "fine");
}

/// They are told to the client, and hold whether it listens or not.
#[test]
fn streams_and_windows_are_as_many_and_as_large_as_they_are_configured() {
    let backend = Backend::start(BlackHole);
    let http2 = "head_bytes_max = \"20KiB\"\n[client.http2]\nstreams_max = 3\n\
                 stream_window_bytes = \"1KiB\"\nconnection_window_bytes = \"100KiB\"";
    let gateway = gateway_over(&Transport::Cleartext, &backend, http2);
    let mut client = Http2Client::connect(gateway.address());
    let told = client.read_frame().expect("SETTINGS come first");
    let lines = [(3, 3), (4, 1024), (6, 20 * 1024)];
    for line in lines {
        let line = settings(&[line]);
        assert!(told.payload.chunks(6).any(|it| it == line), "{told:?}");
    }
    let opened = client.read_frame().expect("the connection's window");
    assert_eq!(opened.window_bytes(), Some(100 * 1024 - 65_535));
    // The fourth is refused, and may be sent again; the third's body is longer than its window.
    client.request("GET", "/", &[], true);
    client.request("GET", "/", &[], true);
    let third = client.request("POST", "/", &[], false);
    let fourth = client.request("GET", "/", &[], true);
    assert_eq!(client.answer(fourth).reset, Some(REFUSED_STREAM));
    client.data(third, &[b'x'; 1025], false);
    assert_eq!(client.answer(third).reset, Some(FLOW_CONTROL_ERROR));
    backend.wait_requests(2);
    // Its place is free again.
    let fifth = client.request("TRACE", "/", &[], true);
    assert_eq!(client.answer(fifth).status, 405);
    drop(client);
    gateway.assert_no_leaks();
}
