//! Bodies that pass through the kernel: every byte arrives, and no exchange ever sees another's.

use foregate_testkit::{
    Answer, Backend, Gateway, NeverReader, Random, Trouble, Visit, eventually, fingerprint,
};

/// Far more than the length from which a body is left in the kernel, and more than sockets hold.
const LONG_BYTES: usize = 8_000_000;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A body that differs by the path asked for.
fn body_of(target: &str) -> Vec<u8> {
    let seed = target.bytes().map(u64::from).sum();
    Random::seeded(seed).bytes(LONG_BYTES)
}

#[test]
fn long_bodies_arrive_whole_and_the_connections_are_used_again() {
    let backend = Backend::answering(|request| Answer::ok(body_of(&request.target)));
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    for target in ["/a", "/b", "/c"] {
        let response = client.exchange(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(
            fingerprint(&response.body),
            fingerprint(&body_of(target)),
            "{target}"
        );
    }
    assert_eq!(backend.connections_accepted(), 1);
}

/// Answers of the size that the path names, which is what decides how the next head is read.
#[test]
fn answers_of_all_sizes_follow_each_other() {
    let size = |target: &str| -> usize { target[1..].parse().unwrap_or(0) };
    let body = move |target: &str| Random::seeded(size(target) as u64).bytes(size(target));
    let backend = Backend::answering(move |request| {
        // Longer than what is read at once where a long body is expected.
        let long = "h".repeat(6_000);
        Answer::ok(body(&request.target)).field("X-Long", &long)
    });
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    for bytes in [
        65_536, 65_536, 0, 1, 65_536, 4_096, 40_000, 200_000, 3, 32_768, 32_767, 65_536, 36_864,
        5_000,
    ] {
        let target = format!("/{bytes}");
        let response = client.exchange(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(response.field("x-long").map(str::len), Some(6_000));
        assert_eq!(
            fingerprint(&response.body),
            fingerprint(&body(&target)),
            "{bytes}"
        );
    }
    assert_eq!(backend.connections_accepted(), 1);
}

#[test]
fn bytes_behind_a_body_that_stayed_in_the_kernel_end_the_connection() {
    let backend = Backend::start(|visit: &mut Visit| {
        while visit.next_request().is_ok() {
            let body = "b".repeat(65_536);
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n";
            visit.send(format!(
                "{head}{body}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
            ))?;
        }
        Ok(())
    });
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    for _ in 0..4 {
        assert_eq!(client.exchange(GET).body, "b".repeat(65_536).as_bytes());
    }
    assert_eq!(backend.connections_accepted(), 4, "none is trusted again");
}

#[test]
fn a_head_answer_of_a_long_body_has_none() {
    let backend = Backend::answering(|request| Answer::ok(body_of(&request.target)));
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    let response = client.exchange("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(response.field("content-length"), Some("8000000"));
    assert_eq!(client.exchange(GET).body.len(), LONG_BYTES);
    assert_eq!(backend.connections_accepted(), 1);
}

#[test]
fn a_long_body_that_breaks_off_is_not_taken_as_whole() {
    let backend = Backend::start(|visit: &mut Visit| {
        visit.next_request()?;
        visit.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {LONG_BYTES}\r\n\r\n"
        ))?;
        visit.send(&body_of("/")[..LONG_BYTES / 2])
    });
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    client.send(GET);
    assert!(matches!(
        client.try_response(false),
        Err(Trouble::Closed | Trouble::Reset)
    ));
    assert_eq!(gateway.only_log_line().reason(), "upstream-truncated");
    backend.wait_connections_open(0);
    gateway.assert_no_leaks();
}

#[test]
fn what_a_client_left_unread_is_never_another_ones() {
    let backend = Backend::answering(|request| Answer::ok(body_of(&request.target)));
    let gateway = Gateway::before(&[backend.address()]);
    let sent = || gateway.metric("foregate_sent_bytes_total", &[]);
    for _ in 0..4 {
        let before = sent();
        let leaver = NeverReader::start(gateway.address(), "GET /left HTTP/1.1\r\nHost: a\r\n\r\n");
        // Its answer has begun, and is stuck behind what it does not read.
        eventually("bytes are on their way to the client", || {
            (sent() > before).then_some(())
        });
        drop(leaver);
        backend.wait_connections_open(0);
        let response = gateway.get("a", "/own");
        assert_eq!(fingerprint(&response.body), fingerprint(&body_of("/own")));
    }
    gateway.assert_no_leaks();
}

#[test]
fn long_uploads_arrive_whole_and_the_connections_are_used_again() {
    let backend = Backend::answering(|request| Answer::ok(fingerprint(&request.body)));
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    for target in ["/a", "/b", "/c"] {
        let body = body_of(target);
        client.send(format!(
            "PUT {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {LONG_BYTES}\r\n\r\n"
        ));
        client.send(&body);
        let response = client.response();
        assert_eq!(response.text(), fingerprint(&body), "{target}");
    }
    assert_eq!(backend.connections_accepted(), 1);
    drop(client);
    gateway.assert_no_leaks();
}

#[test]
fn a_long_upload_that_breaks_off_is_not_taken_as_whole() {
    let backend = Backend::answering(|_| Answer::ok("never"));
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    client.send(format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {LONG_BYTES}\r\n\r\n"
    ));
    client.send(&body_of("/")[..LONG_BYTES / 2]);
    client.connection().finish_sending();
    assert_eq!(client.response().status, 400);
    assert_eq!(gateway.only_log_line().reason(), "request-truncated");
    backend.wait_connections_open(0);
    drop(client);
    gateway.assert_no_leaks();
}

#[test]
fn a_long_upload_over_the_limit_is_refused() {
    let backend = Backend::answering(|_| Answer::ok("never"));
    let gateway = Gateway::new(&format!(
        "[client]\nbody_bytes_max = \"1MiB\"\n[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"{}\"]\n",
        backend.address()
    ))
    .start();
    let mut client = gateway.connect();
    client.send(format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {LONG_BYTES}\r\n\r\n"
    ));
    assert_eq!(client.response().status, 413);
    assert_eq!(gateway.only_log_line().reason(), "request-body-too-large");
}
