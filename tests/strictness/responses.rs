//! Malformed answers of backends: the client gets 502, the log the reason, and the connection is not used again.

use foregate_testkit::{Backend, Gateway, Trouble, Visit};

/// Runs every row against one gateway whose backend answers with the row. Reasons are written without `response-`.
fn check(rows: &'static [(&'static str, &'static str)]) {
    let backend = Backend::start(move |visit: &mut Visit| {
        while let Some(request) = visit.next_request()? {
            let row: usize = request
                .target
                .trim_start_matches('/')
                .parse()
                .expect("targets are row numbers");
            visit.send(rows[row].0)?;
            // Stays open, as if the answer had been fine; the gateway must not trust the connection again.
            visit.drain();
        }
        Ok(())
    });
    let gateway = Gateway::new(
        r#"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        ejection = { consecutive_failures = "off", consecutive_gateway_errors = "off" }
        "#,
    )
    .fill("backend", backend.address())
    .start();
    for (number, (bytes, reasons)) in rows.iter().enumerate() {
        let mut client = gateway.connect();
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
        match client.try_response(false) {
            Ok(response) => assert!(response.status == 502, "{bytes:?} gave {response:?}"),
            Err(trouble) => panic!("{bytes:?}: {trouble:?}"),
        }
        drop(client);
        let reason = gateway.log_lines(number + 1)[number].reason();
        let known = reasons
            .split('|')
            .any(|expected| reason == format!("response-{expected}"));
        assert!(
            known,
            "{bytes:?} was logged as {reason}, expected {reasons}"
        );
        backend.wait_connections_open(0);
    }
    gateway.assert_no_leaks();
}

#[test]
fn heads() {
    check(&[
        ("HELLO\r\n\r\n", "bad-start-line|bad-version"),
        ("HTTP/1.1\r\n\r\n", "bad-start-line|bad-version|bad-status"),
        (
            "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            "version-unsupported",
        ),
        (
            "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
            "bad-status|bad-start-line",
        ),
        (
            "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
            "bad-status|bad-start-line",
        ),
        (
            "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
            "bad-status|bad-start-line",
        ),
        (
            "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n",
            "bad-status|bad-start-line",
        ),
        (
            "HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n",
            "control-character|bad-start-line",
        ),
        ("HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "bare-lf"),
        (
            "HTTP/1.1 200 OK\r\nX: 1\nContent-Length: 0\r\n\r\n",
            "bare-lf",
        ),
        (
            "HTTP/1.1 200 OK\r\nX: 1\rY\r\nContent-Length: 0\r\n\r\n",
            "bare-cr",
        ),
        (
            "HTTP/1.1 200 OK\r\nX : 1\r\nContent-Length: 0\r\n\r\n",
            "space-before-colon",
        ),
        (
            "HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\nContent-Length: 0\r\n\r\n",
            "obs-fold",
        ),
        (
            "HTTP/1.1 200 OK\r\nX Y: 1\r\nContent-Length: 0\r\n\r\n",
            "bad-field-name|space-before-colon",
        ),
        (
            "HTTP/1.1 200 OK\r\n: 1\r\nContent-Length: 0\r\n\r\n",
            "bad-field-name",
        ),
        (
            "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
            "control-character|bad-field-value",
        ),
    ]);
}

#[test]
fn framings() {
    check(&[
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "length-and-coding",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            "lengths-differ",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
            "bad-length",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
            "bad-length|lengths-differ",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
            "bad-length",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
            "coding-unknown",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "coding-unknown",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            "chunked-not-last",
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "coding-in-http10",
        ),
    ]);
}

#[test]
fn bodies_that_go_wrong_are_cut_off_visibly() {
    // The head is out; all that is left is an end that the client cannot take for a good one.
    let good = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    for (rest, reasons) in [
        ("x\r\n", "bad-chunk-size"),
        ("-1\r\n", "bad-chunk-size"),
        (
            "5 \r\nhello\r\n",
            "bad-chunk-size|bad-chunk-extension|bad-chunk-end",
        ),
        ("5;\r\nhello\r\n", "bad-chunk-extension"),
        ("5\r\nhelloo\r\n", "bad-chunk-end"),
        ("ffffffffffffffffff\r\n", "bad-chunk-size"),
        ("0\r\nno-colon\r\n\r\n", "bad-field-name|bad-trailer"),
    ] {
        let backend = Backend::start(move |visit: &mut Visit| {
            visit.next_request()?;
            visit.send(good)?;
            // In a piece of its own, so that the head is out before the fault is seen.
            std::thread::sleep(std::time::Duration::from_millis(50));
            visit.send(rest)?;
            visit.drain();
            Ok(())
        });
        let gateway = Gateway::before(&[backend.address()]);
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let outcome = client.try_response(false);
        assert!(
            matches!(outcome, Err(Trouble::Closed | Trouble::Reset)),
            "{rest:?} gave {outcome:?}"
        );
        let reason = gateway.only_log_line().reason();
        let known = reasons
            .split('|')
            .any(|expected| reason == format!("response-{expected}"));
        assert!(known, "{rest:?} was logged as {reason}, expected {reasons}");
        backend.wait_connections_open(0);
        drop(client);
        gateway.assert_no_leaks();
    }
}
