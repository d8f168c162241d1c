//! Backends that misbehave, as an HTTP/2 client sees them.

use foregate_testkit::http2::code::INTERNAL_ERROR;
use foregate_testkit::{
    Backend, BadChunks, BlackHole, BothLengths, ClosesIdle, Gateway, Http2Client, HttpOneZero,
    HugeHeadBackend, LiesAboutLengthShort, ObsFolder, Refuser, ResetAfterHead, Script, SlowHead,
    TalksGarbage, Visit,
};

fn impatient(server: impl std::fmt::Display) -> Gateway {
    Gateway::new(&format!(
        r#"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{server}"]
        timeouts = {{ connect = "400ms", first_byte = "400ms", between_bytes = "400ms" }}
        "#
    ))
    .start()
}

/// The client gets `status`, the log says `reason`, and the connection goes on.
#[track_caller]
fn answered(script: impl Script, status: u16, reason: &str) {
    let backend = Backend::start(script);
    let gateway = impatient(backend.address());
    let mut client = Http2Client::connect(gateway.address());
    assert_eq!(client.get("/").status, status);
    let stream = client.request("TRACE", "/", &[], true);
    assert_eq!(client.answer(stream).status, 405);
    drop(client);
    let lines = gateway.log_lines(2);
    assert_eq!(lines[0].reason(), reason);
    backend.wait_connections_open(0);
    gateway.assert_no_leaks();
}

/// The client gets a stream that is reset and can't be taken for a good one; the log says `reason`.
#[track_caller]
fn cut_off(script: impl Script, reason: &str) {
    let backend = Backend::start(script);
    let gateway = impatient(backend.address());
    let mut client = Http2Client::connect(gateway.address());
    let answer = client.get("/");
    // If the fault came before anything was sent, an answer is better than an end.
    assert!(
        answer.reset == Some(INTERNAL_ERROR) && !answer.ended || answer.status == 502,
        "{answer:?}"
    );
    drop(client);
    assert_eq!(gateway.only_log_line().reason(), reason);
    backend.wait_connections_open(0);
    gateway.assert_no_leaks();
}

#[test]
fn refuser() {
    let refuser = Refuser::start();
    let gateway = impatient(refuser.address());
    assert_eq!(Http2Client::connect(gateway.address()).get("/").status, 502);
}

#[test]
fn black_hole() {
    answered(BlackHole, 504, "first-byte-timeout");
}

#[test]
fn closes_at_once() {
    answered(|_: &mut Visit| Ok(()), 502, "upstream-closed");
}

#[test]
fn talks_garbage() {
    answered(TalksGarbage, 502, "response-control-character");
}

#[test]
fn both_lengths() {
    answered(BothLengths, 502, "response-length-and-coding");
}

#[test]
fn obs_folder() {
    answered(ObsFolder, 502, "response-obs-fold");
}

#[test]
fn huge_head() {
    answered(HugeHeadBackend, 502, "response-head-too-large");
}

#[test]
fn slow_head() {
    answered(SlowHead, 504, "first-byte-timeout");
}

#[test]
fn bad_chunks() {
    cut_off(BadChunks, "response-bad-chunk-size");
}

#[test]
fn lies_about_length() {
    cut_off(LiesAboutLengthShort, "between-bytes-timeout");
}

#[test]
fn reset_after_head() {
    cut_off(ResetAfterHead, "upstream-truncated");
}

#[test]
fn http_one_zero() {
    let backend = Backend::start(HttpOneZero);
    let gateway = impatient(backend.address());
    assert_eq!(
        Http2Client::connect(gateway.address()).get("/").text(),
        "from the nineties"
    );
}

#[test]
fn closes_idle() {
    let backend = Backend::start(ClosesIdle { reset: false });
    let gateway = impatient(backend.address());
    let mut client = Http2Client::connect(gateway.address());
    for _ in 0..20 {
        assert_eq!(client.get("/").status, 200);
    }
}
