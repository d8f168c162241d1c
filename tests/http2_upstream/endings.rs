//! How streams and connections end before their time, and what is tried again.

use crate::before;
use foregate_testkit::{Backend, Gateway, Http2Answer, Http2Backend, Visit};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Does `first` with the first request and answers the others.
fn once(first: Http2Answer) -> Http2Backend {
    let count = AtomicUsize::new(0);
    Http2Backend::answering(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => first.clone(),
        _ => Http2Answer::ok("again"),
    })
}

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";

#[test]
fn what_was_refused_unseen_is_sent_again_whatever_its_method() {
    for first in [Http2Answer::Refuse, Http2Answer::GoAway] {
        let backend = once(first.clone());
        let gateway = before(&backend, "");
        let response = gateway.exchange(POST);
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, "again"),
            "{first:?}"
        );
        assert_eq!(backend.requests().len(), 2);
        assert_eq!(gateway.only_log_line().reason(), "proxied");
    }
}

#[test]
fn a_backend_that_goes_away_is_asked_on_a_new_connection() {
    let backend = once(Http2Answer::GoAway);
    let gateway = before(&backend, "");
    assert_eq!(gateway.get("a", "/").text(), "again");
    let seen: Vec<usize> = backend.requests().iter().map(|it| it.connection).collect();
    assert_eq!(seen[0], 0);
    assert_eq!(gateway.get("a", "/").status, 200);
}

#[test]
fn a_reset_stream_is_not_sent_again_and_harms_no_other() {
    let backend = once(Http2Answer::Reset);
    let gateway = before(&backend, "");
    assert_eq!(gateway.exchange(POST).status, 502);
    assert_eq!(gateway.get("a", "/").text(), "again");
    assert_eq!(backend.connections(), 1);
    let reasons: Vec<String> = gateway
        .log_lines(2)
        .iter()
        .map(|line| line.reason())
        .collect();
    assert_eq!(reasons, ["upstream-reset", "proxied"]);
}

#[test]
fn an_answer_that_is_reset_in_its_middle_does_not_look_whole() {
    let backend = once(Http2Answer::ResetAfterHead);
    let gateway = before(&backend, "");
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.try_response(false).is_err());
    assert_eq!(gateway.only_log_line().reason(), "upstream-reset");
}

#[test]
fn a_backend_that_does_not_speak_it_is_named() {
    let backend = Backend::start(|visit: &mut Visit| {
        visit.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")?;
        visit.drain();
        Ok(())
    });
    let gateway = Gateway::new(&format!(
        "[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"{}\"]\nprotocol = \"h2\"\n",
        backend.address()
    ))
    .start();
    assert_eq!(gateway.exchange(POST).status, 502);
    assert_eq!(gateway.only_log_line().reason(), "upstream-protocol-error");
}
