//! One story for each way in which a backend can be wrong.

use std::time::Duration;

use foregate_testkit::{
    Answer, AnswersBeforeAsked, AnswersEarlyAndCloses, Backend, BadChunks, BlackHole, BothLengths,
    ClosesIdle, DiesMidBody, Gateway, HttpOneZero, HugeHeadBackend, LiesAboutLengthLong,
    LiesAboutLengthShort, NeverAccepts, ObsFolder, Refuser, ResetAfterHead, Script, SlowHead,
    TalksGarbage, Trickler, Trouble, Visit,
};
use foregate_tests::assert_outcome;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A gateway that does not wait for long.
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

/// The client gets `status`, the log says `reason`, and the gateway drops the backend connection.
fn answered(script: impl Script, status: u16, reason: &str) {
    let backend = Backend::start(script);
    let gateway = impatient(backend.address());
    let mut client = gateway.connect();
    let response = client.exchange(GET);
    assert_eq!(response.status, status, "{}", response.text());
    assert!(
        !response.says_close(),
        "a backend's fault does not cost the client its connection"
    );
    drop(client);
    assert_outcome(&gateway, status, reason);
    backend.wait_connections_open(0);
}

/// The client gets the head and then an end that cannot be taken for a good one; the log says `reason`.
fn cut_off(script: impl Script, reason: &str) {
    let backend = Backend::start(script);
    let gateway = impatient(backend.address());
    let mut client = gateway.connect();
    client.send(GET);
    match client.try_response(false) {
        Err(Trouble::Closed | Trouble::Reset) => {}
        // The fault came with the head, before anything was sent to the client: an answer is better than an end.
        Ok(response) => assert_eq!(response.status, 502),
        Err(trouble) => panic!("{trouble:?}"),
    }
    drop(client);
    assert_eq!(gateway.only_log_line().reason(), reason);
    gateway.wait_metric(foregate_tests::metric::OUTCOMES, &[("reason", reason)], 1.0);
    backend.wait_connections_open(0);
    gateway.assert_no_leaks();
}

#[test]
fn refuser() {
    let refuser = Refuser::start();
    let gateway = impatient(refuser.address());
    assert_eq!(gateway.get("a", "/").status, 502);
    assert_outcome(&gateway, 502, "connect-failed");
}

#[test]
fn never_accepts() {
    let peer = NeverAccepts::start();
    let gateway = impatient(peer.address());
    assert_eq!(gateway.get("a", "/").status, 504);
    assert_outcome(&gateway, 504, "connect-timeout");
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
fn reads_and_closes() {
    answered(
        |visit: &mut Visit| visit.next_request().map(drop),
        502,
        "upstream-closed",
    );
}

#[test]
fn dies_mid_head() {
    answered(
        |visit: &mut Visit| {
            visit.next_request()?;
            visit.send("HTTP/1.1 200 OK\r\nContent-Le")
        },
        502,
        "upstream-truncated",
    );
}

#[test]
fn dies_mid_body() {
    cut_off(DiesMidBody, "upstream-truncated");
}

#[test]
fn dies_mid_chunk() {
    cut_off(
        |visit: &mut Visit| {
            visit.next_request()?;
            visit.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100\r\nonly this")
        },
        "upstream-truncated",
    );
}

#[test]
fn reset_after_head() {
    cut_off(ResetAfterHead, "upstream-truncated");
}

#[test]
fn lies_about_length_short() {
    cut_off(LiesAboutLengthShort, "between-bytes-timeout");
}

#[test]
fn lies_about_length_long() {
    let backend = Backend::start(LiesAboutLengthLong);
    let gateway = impatient(backend.address());
    let mut client = gateway.connect();
    for _ in 0..5 {
        let response = client.exchange(GET);
        assert_eq!(
            (response.text().as_str(), response.field("x-smuggled")),
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

#[test]
fn talks_garbage() {
    let backend = Backend::start(TalksGarbage);
    let gateway = impatient(backend.address());
    let response = gateway.get("a", "/");
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

#[test]
fn answers_before_asked() {
    let backend = Backend::start(AnswersBeforeAsked);
    let gateway = impatient(backend.address());
    let mut client = gateway.connect();
    for _ in 0..5 {
        let response = client.exchange(GET);
        assert_eq!(
            (response.text().as_str(), response.field("x-unasked")),
            ("asked", None)
        );
    }
    drop(client);
    gateway.assert_no_leaks();
}

#[test]
fn answers_on_connecting() {
    let backend = Backend::start(|visit: &mut Visit| {
        visit.send("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nX-Unasked: yes\r\n\r\nunasked")?;
        visit.drain();
        Ok(())
    });
    let gateway = impatient(backend.address());
    // Whether the greeting is there before the request is sent is a race; taken for an answer it is at most one's own.
    for _ in 0..5 {
        assert!([200, 502, 504].contains(&gateway.get("a", "/").status));
    }
    gateway.assert_no_leaks();
}

#[test]
fn answers_early_and_closes() {
    let backend = Backend::start(AnswersEarlyAndCloses);
    let gateway = impatient(backend.address());
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    client
        .connection()
        .send_some(&[b'x'; 200_000], Duration::from_millis(500));
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (403, "early"));
    drop(client);
    assert_outcome(&gateway, 403, "proxied");
    backend.wait_connections_open(0);
}

#[test]
fn trickler() {
    let backend = Backend::start(Trickler {
        pause: Duration::from_millis(2),
    });
    let gateway = impatient(backend.address());
    assert_eq!(gateway.get("a", "/").text(), "drop by drop");
    assert_outcome(&gateway, 200, "proxied");
}

#[test]
fn slow_head() {
    let backend = Backend::start(SlowHead);
    let gateway = impatient(backend.address());
    assert_eq!(gateway.get("a", "/").status, 504);
    let reason = gateway.only_log_line().reason();
    assert!(
        ["first-byte-timeout", "between-bytes-timeout"].contains(&reason.as_str()),
        "{reason}"
    );
    assert_outcome(&gateway, 504, &reason);
    backend.wait_connections_open(0);
}

#[test]
fn both_lengths() {
    answered(BothLengths, 502, "response-length-and-coding");
}

#[test]
fn bad_chunks() {
    cut_off(BadChunks, "response-bad-chunk-size");
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
fn closes_idle() {
    for reset in [false, true] {
        let backend = Backend::start(ClosesIdle { reset });
        let gateway = impatient(backend.address());
        for _ in 0..5 {
            assert_eq!(gateway.get("a", "/").status, 200);
        }
        gateway.assert_no_leaks();
    }
}

#[test]
fn http_one_zero() {
    let backend = Backend::start(HttpOneZero);
    let gateway = impatient(backend.address());
    assert_eq!(gateway.get("a", "/").text(), "from the nineties");
    assert_outcome(&gateway, 200, "proxied");
}

#[test]
fn endless_interim_answers() {
    let backend = Backend::start(|visit: &mut Visit| {
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
    let gateway = Gateway::new(
        r#"
        workers = 1
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        timeouts = { request = "1s" }
        "#,
    )
    .fill("backend", backend.address())
    .start();
    let before = gateway.rss_kib();
    let mut client = gateway.connect();
    client.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        gateway.get("a", "/").text(),
        "fine",
        "the worker serves others meanwhile"
    );
    match client.try_response(false) {
        Ok(response) => assert!([502, 504].contains(&response.status), "{}", response.status),
        Err(trouble) => assert!(
            matches!(trouble, Trouble::Closed | Trouble::Reset),
            "{trouble:?}"
        ),
    }
    assert!(gateway.rss_kib() < before + 4096);
    drop(client);
    backend.wait_connections_open(0);
    gateway.assert_no_leaks();
}
