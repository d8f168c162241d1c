//! Malformed requests: each gets its status and reason, the connection closes, and no backend sees a request of it.
//!
//! A row reads `status reasons <- bytes`. Reasons are written without `request-`; `|` separates names that are all right.

use foregate_testkit::{Backend, Echo, Gateway};

/// All of a request.
fn whole(text: &str) -> String {
    text.to_owned()
}

/// A field line (without its CRLF) in an otherwise good GET.
fn line(line: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\nX-Last: 1\r\n\r\n")
}

/// Field lines that frame the body `hello`, in an otherwise good POST.
fn framed(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\nhello")
}

/// A chunked body.
fn chunked(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

/// Runs every row against one gateway.
fn check(request: fn(&str) -> String, rows: &[&str]) {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    for (number, row) in rows.iter().enumerate() {
        let (expected, bytes) = row.split_once(" <- ").expect("a row has an arrow");
        let (status, reasons) = expected.split_once(' ').expect("a row has a status");
        let bytes = request(bytes);
        let mut client = gateway.connect();
        // A request that would be served if the malformed one were skipped over.
        client.send(format!("{bytes}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"));
        let response = client
            .try_response(false)
            .unwrap_or_else(|trouble| panic!("{trouble:?} after {bytes:?}"));
        let reason = gateway.log_lines(number + 1)[number].reason();
        let known = reasons
            .split('|')
            .any(|expected| reason == format!("request-{expected}"));
        let seen = response.status;
        assert!(
            seen.to_string() == status && known,
            "{bytes:?}: {seen} {reason}, expected {expected}"
        );
        assert!(
            response.says_close(),
            "{bytes:?}: the answer does not say close"
        );
        client.assert_closed();
        let reached = backend.requests();
        assert_eq!(reached, [], "{bytes:?} reached the backend");
    }
    gateway.assert_no_leaks();
}

#[test]
fn request_lines() {
    check(
        whole,
        &[
            "400 bad-start-line|bad-version|bad-target <- GET / HTTP/1.1 x\r\nHost: a\r\n\r\n",
            "400 bad-start-line|bad-target <- GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 bad-start-line|bad-method <-  GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 bad-start-line|bad-method|control-character <- GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n",
            "400 bad-start-line|bad-version <- GET /\r\nHost: a\r\n\r\n",
            "400 bad-start-line|bad-method <- GET\r\nHost: a\r\n\r\n",
            "400 bad-method <- G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 bare-lf <- GET / HTTP/1.1\nHost: a\r\n\r\n",
            "400 bare-cr|bad-version|bad-start-line <- GET / HTTP/1.1\rHost: a\r\n\r\n",
            "505 version-unsupported <- GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            "505 version-unsupported <- GET / HTTP/0.9\r\nHost: a\r\n\r\n",
            "400 bad-version <- GET / HTTP/1.10\r\nHost: a\r\n\r\n",
            "400 bad-version|bad-start-line <- GET / http/1.1\r\nHost: a\r\n\r\n",
            "400 bad-version|bad-start-line <- GET / HTTP/11\r\nHost: a\r\n\r\n",
            "400 bad-version|bad-start-line <- GET / HTTP/1.\r\nHost: a\r\n\r\n",
            "400 bad-version|bad-start-line <- GET / FTP/1.1\r\nHost: a\r\n\r\n",
            "400 bad-start-line|bad-method|control-character <- \x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\r\n\r\n",
        ],
    );
}

#[test]
fn targets() {
    check(
        whole,
        &[
            "400 bad-target <- GET a HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 bad-start-line|bad-version|bad-target <- GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 bad-target|control-character|bad-start-line <- GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 bad-target|control-character|bad-start-line <- GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 bad-target|control-character|bad-start-line <- GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 bad-target <- GET /a#fragment HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 bad-target|host-mismatch|bad-host <- GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 bad-target|host-mismatch|bad-host <- GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 bad-target <- GET ?x HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 host-mismatch <- GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n",
        ],
    );
}

#[test]
fn hosts() {
    check(
        whole,
        &[
            "400 host-missing <- GET / HTTP/1.1\r\n\r\n",
            "400 host-several <- GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "400 host-several <- GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
            "400 bad-host <- GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "400 bad-host <- GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
            "400 bad-host <- GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "400 bad-host <- GET / HTTP/1.1\r\nHost: user@a\r\n\r\n",
            "400 bad-host <- GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
            "400 bad-host <- GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n",
            "400 bad-host <- GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
            "400 bad-host <- GET / HTTP/1.1\r\nHost: http://a\r\n\r\n",
        ],
    );
}

#[test]
fn field_lines() {
    check(
        line,
        &[
            "400 space-before-colon <- X : 1",
            "400 space-before-colon <- X\t: 1",
            "400 space-before-colon <- Content-Length : 5",
            "400 obs-fold <- X: 1\r\n folded",
            "400 obs-fold <- X: 1\r\n\tfolded",
            "400 obs-fold <- Transfer-Encoding:\r\n chunked",
            "400 bad-field-name <- : no name",
            "400 bad-field-name <- no-colon",
            "400 bad-field-name|space-before-colon <- X Y: 1",
            "400 bad-field-name <- X@Y: 1",
            "400 bad-field-name <- X(Y): 1",
            "400 bad-field-name <- \u{e9}: 1",
            "400 bad-field-name|control-character <- X\0: 1",
            "400 control-character|bad-field-value <- X: a\0b",
            "400 control-character|bad-field-value <- X: a\x0bb",
            "400 control-character|bad-field-value <- X: a\x7fb",
            "400 bare-cr <- X: a\rb",
            "400 bare-cr <- X: a\r",
            "400 bare-lf <- X: a\nY: b",
            "400 bare-lf <- X: a\n",
        ],
    );
    check(
        whole,
        &[
            "400 obs-fold|bad-field-name <- GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            "400 bare-lf <- GET / HTTP/1.1\r\nHost: a\r\n\nGET /hidden HTTP/1.1\r\n\r\n",
        ],
    );
}

#[test]
fn lengths() {
    check(
        framed,
        &[
            "400 length-and-coding <- Content-Length: 5\r\nTransfer-Encoding: chunked",
            "400 length-and-coding <- Transfer-Encoding: chunked\r\nContent-Length: 5",
            "400 lengths-differ <- Content-Length: 5\r\nContent-Length: 6",
            "400 lengths-differ|bad-length <- Content-Length: 5, 6",
            "400 bad-length <- Content-Length: 5, 5",
            "400 bad-length <- Content-Length: +5",
            "400 bad-length <- Content-Length: -5",
            "400 bad-length <- Content-Length: 5 5",
            "400 bad-length <- Content-Length: 0x5",
            "400 bad-length <- Content-Length: 5e0",
            "400 bad-length <- Content-Length: 5.0",
            "400 bad-length <- Content-Length: five",
            "400 bad-length <- Content-Length:",
            "400 bad-length <- Content-Length: 99999999999999999999",
            "400 bad-length <- Content-Length: 18446744073709551617",
        ],
    );
}

#[test]
fn transfer_codings() {
    check(
        framed,
        &[
            "501 coding-unknown <- Transfer-Encoding: gzip",
            "501 coding-unknown <- Transfer-Encoding: gzip, chunked",
            "501 coding-unknown <- Transfer-Encoding: identity",
            "501 coding-unknown <- Transfer-Encoding: xchunked",
            "501 coding-unknown <- Transfer-Encoding: chunkedx",
            "400 chunked-not-last <- Transfer-Encoding: chunked, chunked",
            "400 chunked-not-last <- Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "501 coding-unknown <- Transfer-Encoding: \"chunked\"",
            "400 control-character|bad-field-value <- Transfer-Encoding: \x0bchunked",
            "400 chunked-not-last <- Transfer-Encoding: chunked, gzip",
            "501 coding-unknown <- Transfer-Encoding: chunked;q=1",
        ],
    );
    check(
        whole,
        &[
            "400 coding-in-http10 <- POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ],
    );
}

#[test]
fn chunks() {
    check(
        chunked,
        &[
            "400 bad-chunk-size <- g\r\nhello\r\n0\r\n\r\n",
            "400 bad-chunk-size <- -5\r\nhello\r\n0\r\n\r\n",
            "400 bad-chunk-size <- +5\r\nhello\r\n0\r\n\r\n",
            "400 bad-chunk-size <- 0x5\r\nhello\r\n0\r\n\r\n",
            "400 bad-chunk-size <- 5_\r\nhello\r\n0\r\n\r\n",
            "400 bad-chunk-size <-  5\r\nhello\r\n0\r\n\r\n",
            "400 bad-chunk-size|bad-chunk-extension|bad-chunk-end <- 5 \r\nhello\r\n0\r\n\r\n",
            "400 bad-chunk-size <- \r\nhello\r\n0\r\n\r\n",
            "400 bad-chunk-size <- 10000000000000005\r\nhello\r\n0\r\n\r\n",
            "400 bad-chunk-size <- ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
            "400 bare-lf|bad-chunk-size|bad-chunk-end <- 5\nhello\r\n0\r\n\r\n",
            "400 bare-cr|bad-chunk-size|bad-chunk-end <- 5\rhello\r\n0\r\n\r\n",
            "400 bad-chunk-end <- 5\r\nhelloo\r\n0\r\n\r\n",
            "400 bad-chunk-end|bare-lf <- 5\r\nhello\n0\r\n\r\n",
            "400 bad-chunk-end <- 5\r\nhello0\r\n\r\n",
        ],
    );
}

#[test]
fn chunk_extensions() {
    check(
        chunked,
        &[
            "400 bad-chunk-extension <- 5;\r\nhello\r\n0\r\n\r\n",
            "400 bad-chunk-extension <- 5;;a\r\nhello\r\n0\r\n\r\n",
            "400 bad-chunk-extension <- 5;=b\r\nhello\r\n0\r\n\r\n",
            "400 bad-chunk-extension <- 5;a=\r\nhello\r\n0\r\n\r\n",
            "400 bad-chunk-extension <- 5;a@b\r\nhello\r\n0\r\n\r\n",
            "400 bad-chunk-extension <- 5;a=\"open\r\nhello\r\n0\r\n\r\n",
            "400 bad-chunk-extension|control-character <- 5;a=\x01\r\nhello\r\n0\r\n\r\n",
            "400 bad-chunk-extension|bare-lf|bad-chunk-end <- 5;a\nb\r\nhello\r\n0\r\n\r\n",
            "400 bad-chunk-extension|bare-cr|bad-chunk-end <- 5;a\rb\r\nhello\r\n0\r\n\r\n",
        ],
    );
}

#[test]
fn trailers() {
    check(
        chunked,
        &[
            "400 space-before-colon|bad-trailer <- 5\r\nhello\r\n0\r\nX : 1\r\n\r\n",
            "400 bad-field-name|bad-trailer <- 5\r\nhello\r\n0\r\nno-colon\r\n\r\n",
            "400 obs-fold|bad-trailer <- 5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n",
            "400 bare-lf|bad-trailer <- 5\r\nhello\r\n0\r\nX: a\nY: b\r\n\r\n",
        ],
    );
}
