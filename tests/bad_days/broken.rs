//! Answers that turn out to be broken behind their head: as long as nothing of one has left, the client is told so; what
//! has left is followed by all that was good, and then by an end that nobody can take for a good one.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use foregate_testkit::{Answer, Backend, Gateway, Http2Client, RawClient, Script, Trouble, Visit};
use foregate_tests::{assert_outcome, metric};

use crate::backends::impatient;
use crate::road::Road;

on_roads!([cleartext, tls, http2, http2_tls] [
    a_body_that_is_broken_in_the_first_read_is_answered,
    a_body_that_is_missing_is_answered_or_cut_off_and_the_log_knows_which,
]);

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Answers every request with the same text.
struct Says(String);

impl Script for Says {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        while visit.next_request()?.is_some() {
            visit.send(&self.0)?;
        }
        Ok(())
    }
}

fn a_body_that_is_broken_in_the_first_read_is_answered(road: &Road) {
    let trailers = format!("5\r\nhello\r\n0\r\n{}\r\n", "X-T: y\r\n".repeat(300));
    let bodies = [
        ("zz\r\n", "response-bad-chunk-size"),
        ("5\r\nhello\r\nzz\r\n", "response-bad-chunk-size"),
        ("5 \r\nhello\r\n0\r\n\r\n", "response-bad-chunk-size"),
        ("5\r\nhelloXX0\r\n\r\n", "response-bad-chunk-end"),
        ("5;=\r\nhello\r\n0\r\n\r\n", "response-bad-chunk-extension"),
        (
            "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
            "response-bad-trailer",
        ),
        (trailers.as_str(), "response-too-many-fields"),
    ];
    for (body, reason) in bodies {
        let backend = road.backend(Says(format!("{CHUNKED}{body}")));
        let gateway = impatient(road, backend.address());
        let mut client = road.connect(&gateway);
        let seen = client.get("/");
        assert_eq!(seen.status, 502, "{body:?}: {}", seen.text());
        assert!(!seen.text().contains("hello"), "{}", seen.text());
        assert!(!seen.fields.has("connection") && client.goes_on());
        drop(client);
        assert_outcome(&gateway, 502, reason);
        let line = gateway.only_log_line();
        assert_eq!(line.number("bytes_out") as usize, seen.text().len());
        gateway.wait_metric(metric::REQUESTS, &[("class", "5xx")], 1.0);
        assert_eq!(gateway.metric(metric::REQUESTS, &[("class", "2xx")]), 0.0);
        backend.wait_connections_open(0);
    }
}

/// Whether the end is there when the head is read is a race, and either end of it is good.
fn a_body_that_is_missing_is_answered_or_cut_off_and_the_log_knows_which(road: &Road) {
    for _ in 0..10 {
        let backend = road.backend(|visit: &mut Visit| {
            visit.next_request()?;
            visit.connection.cut_on_close();
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        });
        let gateway = impatient(road, backend.address());
        let mut client = road.connect(&gateway);
        let status = match client.try_get("/") {
            Ok(seen) => {
                assert_eq!(seen.status, 502);
                502
            }
            Err(Trouble::Closed | Trouble::Reset) => 200,
            Err(trouble) => panic!("{trouble:?}"),
        };
        drop(client);
        assert_outcome(&gateway, status, "upstream-truncated");
    }
}

#[test]
fn requests_behind_a_broken_answer_are_served() {
    let backend = Backend::start(|visit: &mut Visit| {
        while let Some(request) = visit.next_request()? {
            match request.target.as_str() {
                "/bad" => visit.send(format!("{CHUNKED}zz\r\n"))?,
                _ => visit.answer(&request, &Answer::ok("fine"))?,
            }
        }
        Ok(())
    });
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    client.send(["/1", "/bad", "/3"].map(get).concat());
    let statuses = [(); 3].map(|()| client.response().status);
    assert_eq!(statuses, [200, 502, 200]);
    let lines = gateway.log_lines(3);
    let logged: Vec<u16> = lines.iter().map(|line| line.status()).collect();
    assert_eq!(logged, statuses);
    drop(client);
    gateway.assert_no_leaks();
}

#[test]
fn a_client_of_http_1_0_is_told_too() {
    let backend = Backend::start(Says(format!("{CHUNKED}5\r\nhello\r\nzz\r\n")));
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().status, 502);
    client.assert_closed();
    assert_outcome(&gateway, 502, "response-bad-chunk-size");
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// A backend that sends the second part once it is told to.
fn in_two_parts(second: &'static str) -> (Backend, Sender<()>) {
    let (go, wait) = channel();
    let wait: Mutex<Receiver<()>> = Mutex::new(wait);
    let backend = Backend::start(move |visit: &mut Visit| {
        visit.next_request()?;
        visit.send(format!("{CHUNKED}5\r\nhello\r\n"))?;
        let _ = wait.lock().expect("no panic before").recv();
        visit.send(second)?;
        visit.drain();
        Ok(())
    });
    (backend, go)
}

const WORLD: &str = "5\r\nworld\r\nzz\r\n5\r\nagain\r\n0\r\n\r\n";

#[test]
fn what_is_good_is_sent_before_the_end() {
    let (backend, go) = in_two_parts(WORLD);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client: RawClient = gateway.connect();
    client.send(get("/"));
    assert_eq!(client.try_head(false).map(|head| head.status), Ok(200));
    assert_eq!(client.connection().take(10), Ok(b"5\r\nhello\r\n".to_vec()));
    go.send(()).expect("the backend waits");
    let rest = client.connection().take_rest();
    assert_eq!(rest, Ok(b"5\r\nworld\r\n".to_vec()));
    ended_after_ten_bytes(&gateway, &backend);
}

#[test]
fn what_is_good_is_sent_before_a_reset_of_the_stream() {
    let (backend, go) = in_two_parts(WORLD);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = Http2Client::connect(gateway.address());
    let stream = client.request("GET", "/", &[], true);
    client.until(stream, |answer| answer.text() == "hello");
    go.send(()).expect("the backend waits");
    let answer = client.answer(stream);
    assert_eq!((answer.status, answer.text().as_str()), (200, "helloworld"));
    assert!(answer.reset.is_some() && !answer.ended);
    drop(client);
    ended_after_ten_bytes(&gateway, &backend);
}

#[track_caller]
fn ended_after_ten_bytes(gateway: &Gateway, backend: &Backend) {
    assert_outcome(gateway, 200, "response-bad-chunk-size");
    assert_eq!(gateway.only_log_line().number("bytes_out"), 10.0);
    backend.wait_connections_open(0);
}
