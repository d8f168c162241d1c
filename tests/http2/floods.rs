//! Clients that would exhaust a naive server: told to calm down, counted, and without effect on anyone else.

use foregate_testkit::http2::code::ENHANCE_YOUR_CALM;
use foregate_testkit::{
    Backend, BlackHole, ContinuationFlood, EmptyData, Goaway, Http2Client, MadeYouReset, PingFlood,
    RapidReset, SettingsFlood, Target, Transport,
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
