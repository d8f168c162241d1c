//! One story for each way in which a backend can be wrong.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use foregate_testkit::{
    Answer, AnswersBeforeAsked, AnswersEarlyAndCloses, BadChunks, BlackHole, BothLengths,
    ClosesIdle, DiesMidBody, Gateway, HttpOneZero, HugeHeadBackend, LiesAboutLengthLong,
    LiesAboutLengthShort, NeverAccepts, ObsFolder, Refuser, ResetAfterHead, Script, SlowHead,
    TalksGarbage, Trickler, Trouble, Visit, eventually,
};
use foregate_tests::assert_outcome;

use crate::road::Road;

on_roads!([cleartext, tls, http2, http2_tls] [
    refuser,
    never_accepts,
    black_hole,
    closes_at_once,
    reads_and_closes,
    dies_mid_head,
    dies_mid_body,
    dies_mid_chunk,
    reset_after_head,
    lies_about_length_short,
    lies_about_length_long,
    talks_garbage,
    answers_before_asked,
    answers_on_connecting,
    answers_early_and_closes,
    trickler,
    slow_head,
    both_lengths,
    bad_chunks,
    obs_folder,
    huge_head,
    closes_idle,
    http_one_zero,
    endless_interim_answers,
]);

/// A gateway that does not wait for long.
pub(crate) fn impatient(road: &Road, server: impl std::fmt::Display) -> Gateway {
    road.gateway(
        r#"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{server}"]
        timeouts = { connect = "400ms", first_byte = "400ms", between_bytes = "400ms" }
        {tls}
        "#,
    )
    .fill("server", server)
    .start()
}

/// The client gets `status`, the log says `reason`, and the gateway drops the backend connection.
#[track_caller]
fn answered(road: &Road, script: impl Script, status: u16, reason: &str) {
    let backend = road.backend(script);
    let gateway = impatient(road, backend.address());
    let mut client = road.connect(&gateway);
    let seen = client.get("/");
    assert_eq!(seen.status, status, "{}", seen.text());
    assert!(
        !seen.fields.has("connection") && client.goes_on(),
        "a backend's fault does not cost the client its connection"
    );
    drop(client);
    assert_outcome(&gateway, status, reason);
    backend.wait_connections_open(0);
}

/// The client gets the head and then an end that cannot be taken for a good one; the log says `reason`.
#[track_caller]
pub(crate) fn cut_off(road: &Road, script: impl Script, reason: &str) {
    let backend = road.backend(script);
    let gateway = impatient(road, backend.address());
    let mut client = road.connect(&gateway);
    match client.try_get("/") {
        Err(Trouble::Closed | Trouble::Reset) => {}
        // The fault came with the head, before anything was sent to the client: an answer is better than an end.
        Ok(seen) => assert_eq!(seen.status, 502),
        Err(trouble) => panic!("{trouble:?}"),
    }
    drop(client);
    assert_eq!(gateway.only_log_line().reason(), reason);
    gateway.wait_metric(foregate_tests::metric::OUTCOMES, &[("reason", reason)], 1.0);
    backend.wait_connections_open(0);
    gateway.assert_no_leaks();
}

fn refuser(road: &Road) {
    let refuser = Refuser::start();
    let gateway = impatient(road, refuser.address());
    assert_eq!(road.get(&gateway).status, 502);
    assert_outcome(&gateway, 502, "connect-failed");
}

fn never_accepts(road: &Road) {
    let peer = NeverAccepts::start();
    let gateway = impatient(road, peer.address());
    assert_eq!(road.get(&gateway).status, 504);
    assert_outcome(&gateway, 504, "connect-timeout");
}

fn black_hole(road: &Road) {
    answered(road, BlackHole, 504, "first-byte-timeout");
}

fn closes_at_once(road: &Road) {
    answered(road, |_: &mut Visit| Ok(()), 502, "upstream-closed");
}

fn reads_and_closes(road: &Road) {
    answered(
        road,
        |visit: &mut Visit| visit.next_request().map(drop),
        502,
        "upstream-closed",
    );
}

fn dies_mid_head(road: &Road) {
    answered(
        road,
        |visit: &mut Visit| {
            visit.next_request()?;
            visit.send("HTTP/1.1 200 OK\r\nContent-Le")
        },
        502,
        "upstream-truncated",
    );
}

fn dies_mid_body(road: &Road) {
    cut_off(road, DiesMidBody, "upstream-truncated");
}

fn dies_mid_chunk(road: &Road) {
    cut_off(
        road,
        |visit: &mut Visit| {
            visit.next_request()?;
            visit.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100\r\nonly this")
        },
        "upstream-truncated",
    );
}

fn reset_after_head(road: &Road) {
    cut_off(road, ResetAfterHead, "upstream-truncated");
}

fn lies_about_length_short(road: &Road) {
    cut_off(road, LiesAboutLengthShort, "between-bytes-timeout");
}

fn lies_about_length_long(road: &Road) {
    let backend = road.backend(LiesAboutLengthLong);
    let gateway = impatient(road, backend.address());
    let mut client = road.connect(&gateway);
    for _ in 0..5 {
        let seen = client.get("/");
        assert_eq!(
            (seen.text().as_str(), seen.fields.get("x-smuggled")),
            (LiesAboutLengthLong::BODY, None)
        );
    }
    assert_eq!(
        backend.connections_accepted(),
        5,
        "a connection with bytes left over is not used again"
    );
    backend.wait_connections_open(0);
    drop(client);
    gateway.assert_no_leaks();
}

fn talks_garbage(road: &Road) {
    let backend = road.backend(TalksGarbage);
    let gateway = impatient(road, backend.address());
    let response = road.get(&gateway);
    assert_eq!(response.status, 502);
    assert!(
        !response.text().contains("garbage"),
        "nothing unparsed is forwarded"
    );
    let reason = gateway.only_log_line().reason();
    assert!(reason.starts_with("response-"), "{reason}");
    assert_outcome(&gateway, 502, &reason);
    backend.wait_connections_open(0);
}

fn answers_before_asked(road: &Road) {
    let script = AnswersBeforeAsked::default();
    let has_spoken = Arc::clone(&script.has_spoken);
    let backend = road.backend(script);
    let gateway = impatient(road, backend.address());
    let mut client = road.connect(&gateway);
    for _ in 0..5 {
        let seen = client.get("/");
        assert_eq!(
            (seen.text().as_str(), seen.fields.get("x-unasked")),
            ("asked", None)
        );
        eventually("it speaks unasked", || {
            has_spoken.load(Ordering::SeqCst).then_some(())
        });
    }
    drop(client);
    gateway.assert_no_leaks();
}

fn answers_on_connecting(road: &Road) {
    let backend = road.backend(|visit: &mut Visit| {
        visit.send("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nX-Unasked: yes\r\n\r\nunasked")?;
        visit.drain();
        Ok(())
    });
    let gateway = impatient(road, backend.address());
    // Whether the greeting is there before the request is sent is a race; taken for an answer it is at most one's own.
    for _ in 0..5 {
        assert!([200, 502, 504].contains(&road.get(&gateway).status));
    }
    gateway.assert_no_leaks();
}

fn answers_early_and_closes(road: &Road) {
    let backend = road.backend(AnswersEarlyAndCloses);
    let gateway = impatient(road, backend.address());
    let mut client = road.connect(&gateway);
    let seen = client.post_partly(&[b'x'; 200_000]).expect("an answer");
    assert_eq!((seen.status, seen.text().as_str()), (403, "early"));
    drop(client);
    assert_outcome(&gateway, 403, "proxied");
    backend.wait_connections_open(0);
}

fn trickler(road: &Road) {
    let backend = road.backend(Trickler {
        pause: Duration::from_millis(2),
    });
    let gateway = impatient(road, backend.address());
    assert_eq!(road.get(&gateway).text(), "drop by drop");
    assert_outcome(&gateway, 200, "proxied");
}

fn slow_head(road: &Road) {
    let backend = road.backend(SlowHead);
    let gateway = impatient(road, backend.address());
    assert_eq!(road.get(&gateway).status, 504);
    let reason = gateway.only_log_line().reason();
    assert!(
        ["first-byte-timeout", "between-bytes-timeout"].contains(&reason.as_str()),
        "{reason}"
    );
    assert_outcome(&gateway, 504, &reason);
    backend.wait_connections_open(0);
}

fn both_lengths(road: &Road) {
    answered(road, BothLengths, 502, "response-length-and-coding");
}

fn bad_chunks(road: &Road) {
    answered(road, BadChunks, 502, "response-bad-chunk-size");
}

fn obs_folder(road: &Road) {
    answered(road, ObsFolder, 502, "response-obs-fold");
}

fn huge_head(road: &Road) {
    answered(road, HugeHeadBackend, 502, "response-head-too-large");
}

fn closes_idle(road: &Road) {
    for reset in [false, true] {
        let backend = road.backend(ClosesIdle { reset });
        let gateway = impatient(road, backend.address());
        for _ in 0..5 {
            assert_eq!(road.get(&gateway).status, 200);
        }
        gateway.assert_no_leaks();
    }
}

fn http_one_zero(road: &Road) {
    let backend = road.backend(HttpOneZero);
    let gateway = impatient(road, backend.address());
    assert_eq!(road.get(&gateway).text(), "from the nineties");
    assert_outcome(&gateway, 200, "proxied");
}

fn endless_interim_answers(road: &Road) {
    let backend = road.backend(|visit: &mut Visit| {
        let Some(request) = visit.next_request()? else {
            return Ok(());
        };
        if request.target != "/endless" {
            return visit.answer(&request, &Answer::ok("fine"));
        }
        let hint = "HTTP/1.1 103 Early Hints\r\nX-Filler: ffffffffffffffffffffffffffff\r\n\r\n";
        loop {
            visit.send(hint.repeat(100))?;
        }
    });
    let gateway = road
        .gateway(
            r#"
        workers = 1
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        timeouts = { request = "1s" }
        {tls}
        "#,
        )
        .fill("backend", backend.address())
        .start();
    let before = gateway.rss_kib();
    let mut client = road.connect(&gateway);
    let endless = client.begin("/endless");
    assert_eq!(
        road.get(&gateway).text(),
        "fine",
        "the worker serves others meanwhile"
    );
    match client.finish(endless) {
        Ok(seen) => assert!([502, 504].contains(&seen.status), "{}", seen.status),
        Err(trouble) => assert!(
            matches!(trouble, Trouble::Closed | Trouble::Reset),
            "{trouble:?}"
        ),
    }
    // Buffers and the allocator's own ways, not what the backend has sent in that second, which is far more.
    let grown = gateway.rss_kib().saturating_sub(before);
    assert!(grown < 8_192, "{grown} KiB");
    drop(client);
    backend.wait_connections_open(0);
    gateway.assert_no_leaks();
}
