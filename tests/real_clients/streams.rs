//! Answers that come piece by piece reach curl piece by piece, over every protocol.

use std::process::Command;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use foregate_testkit::{Backend, PATIENCE, Visit};
use foregate_tests::foreign::Program;
use foregate_tests::secure::Certificates;

use crate::both_listeners;

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// A backend that sends an event, and another one when it is told to.
fn told_backend() -> (Backend, Sender<()>) {
    let (tell, told) = channel();
    let told = Mutex::new(told);
    let backend = Backend::start(move |visit: &mut Visit| {
        while visit.next_request()?.is_some() {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            visit.send(format!("{head}{}", chunk("data: first\n\n")))?;
            let told = told.lock().expect("nobody panics with it");
            told.recv_timeout(PATIENCE)
                .expect("the first event has reached the client");
            visit.send(format!("{}0\r\n\r\n", chunk("data: second\n\n")))?;
        }
        Ok(())
    });
    (backend, tell)
}

#[test]
fn the_first_event_is_seen_before_the_second_is_sent() {
    let certificates = Certificates::new();
    let (backend, tell) = told_backend();
    let gateway = both_listeners(&certificates, &backend);
    let (plain, secure) = (gateway.address(), gateway.listener("secure"));
    let ca = certificates.path("ca.pem");
    let resolve = format!("client.example:{}:127.0.0.1", secure.port());
    let over_tls = format!("https://client.example:{}/", secure.port());
    let in_clear = format!("http://{plain}/");
    for (protocol, url) in [
        ("--http1.1", &in_clear),
        ("--http2-prior-knowledge", &in_clear),
        ("--http1.1", &over_tls),
        ("--http2", &over_tls),
    ] {
        let mut curl = Program::start(
            Command::new("curl")
                .args(["--silent", "--show-error", "--no-buffer", "--noproxy", "*"])
                .args(["--cacert", &ca, "--resolve", &resolve, protocol, url]),
        );
        assert_eq!(curl.line("data: "), "first", "{protocol} {url}");
        tell.send(()).expect("the backend listens");
        assert_eq!(curl.line("data: "), "second", "{protocol} {url}");
        curl.finish();
    }
    gateway.assert_no_leaks();
}
