//! How streams and connections end before their time, and what is tried again.

use crate::before;
use foregate_testkit::http2::{frame, kind};
use foregate_testkit::{
    Backend, Gateway, Http2Backend, Http2Reply, Script, Trouble, Visit, eventually,
};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Does `first` with the first request and answers the others.
fn once(first: Http2Reply) -> Http2Backend {
    let count = AtomicUsize::new(0);
    Http2Backend::answering(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => first.clone(),
        _ => Http2Reply::ok("again"),
    })
}

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";

#[test]
fn what_was_refused_unseen_is_sent_again_whatever_its_method() {
    for first in [Http2Reply::Refuse, Http2Reply::GoAway] {
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
    let backend = once(Http2Reply::GoAway);
    let gateway = before(&backend, "");
    assert_eq!(gateway.get("a", "/").text(), "again");
    let seen: Vec<usize> = backend.requests().iter().map(|it| it.connection).collect();
    assert_eq!(seen[0], 0);
    assert_eq!(gateway.get("a", "/").status, 200);
}

#[test]
fn a_reset_stream_is_not_sent_again_and_harms_no_other() {
    let backend = once(Http2Reply::Reset);
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
    let backend = once(Http2Reply::ResetAfterHead);
    let gateway = before(&backend, "");
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.try_response(false).is_err());
    assert_eq!(gateway.only_log_line().reason(), "upstream-reset");
}

/// Lets the gateway send as much as it likes, and reads none of it.
struct Deaf;

impl Script for Deaf {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        let wide = 1u32 << 30;
        let initial_window = [&[0, 4][..], &wide.to_be_bytes()].concat();
        visit.send(frame(kind::SETTINGS, 0, 0, &initial_window))?;
        visit.send(frame(kind::WINDOW_UPDATE, 0, 0, &wide.to_be_bytes()))?;
        visit.hold();
        Ok(())
    }

    fn receive_buffer_bytes(&self) -> Option<usize> {
        Some(4096)
    }
}

/// Its sockets' buffers are full of an upload, so that not even GOAWAY leaves.
#[test]
fn a_connection_to_a_backend_that_does_not_read_is_closed() {
    let backend = Backend::start(Deaf);
    let gateway = Gateway::new(&format!(
        "workers = 1\n[client.http2]\nack_timeout = \"500ms\"\n[sites.\"*\"]\nupstream = \"app\"\n\
         [upstreams.app]\nservers = [\"{}\"]\nprotocol = \"h2\"\n",
        backend.address()
    ))
    .start();
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n");
    let mut socket = client.connection().stream().try_clone().expect("a clone");
    let upload = std::thread::spawn(move || {
        let _ = std::io::Write::write_all(&mut socket, &vec![b'x'; 50_000_000]);
    });
    assert_eq!(gateway.only_log_line().reason(), "upstream-silent");
    eventually("the connection is given up", || {
        let open = gateway.metric("foregate_endpoint_connections", &[]);
        (open == 0.0).then_some(())
    });
    drop(client);
    assert!(upload.join().is_ok());
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
