//! Clients that would exhaust a naive server: told to calm down, counted, and without effect on anyone else.

use foregate_testkit::http2::code::ENHANCE_YOUR_CALM;
use foregate_testkit::{
    Backend, BlackHole, ContinuationFlood, EmptyData, Gateway, Goaway, Http2Client, MadeYouReset,
    PingFlood, RapidReset, SettingsFlood,
};
use foregate_tests::metric;
use std::net::SocketAddr;

#[track_caller]
fn calmed(attack: impl FnOnce(SocketAddr) -> Goaway, reason: &str) {
    let backend = Backend::start(BlackHole);
    let gateway = Gateway::before(&[backend.address()]);
    let before = gateway.rss_kib();
    let goaway = attack(gateway.address());
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
    let mut other = Http2Client::connect(gateway.address());
    let stream = other.request("TRACE", "/", &[], true);
    assert_eq!(other.answer(stream).status, 405);
    drop(other);
    gateway.assert_no_leaks();
}

#[test]
fn rapid_reset() {
    calmed(|address| RapidReset.attack(address), "rapid-reset");
}

#[test]
fn made_you_reset() {
    calmed(|address| MadeYouReset.attack(address), "provoked-resets");
}

#[test]
fn continuation_flood() {
    calmed(
        |address| ContinuationFlood.attack(address),
        "continuation-flood",
    );
}

#[test]
fn settings_flood() {
    calmed(|address| SettingsFlood.attack(address), "settings-flood");
}

#[test]
fn ping_flood() {
    calmed(|address| PingFlood.attack(address), "ping-flood");
}

#[test]
fn empty_data() {
    calmed(|address| EmptyData.attack(address), "tiny-data-flood");
}
