//! Nobody's slowness is paid with the gateway's memory.

use std::time::Duration;

use foregate_testkit::{
    Backend, Gateway, NeverReader, NeverReads, Visit, eventually, fingerprint, holds_for,
};

/// More than socket buffers hold, much more than a gateway may keep.
const MANY_BYTES: usize = 200_000_000;
/// What a gateway may grow by while it holds one such exchange.
const GROWTH_MAX_KIB: u64 = 4096;

/// Waits until `bytes` stands still, that is: until everybody in the chain waits for the next one.
fn settled(what: &str, bytes: impl Fn() -> u64) -> u64 {
    let mut last = (u64::MAX, 0);
    eventually(what, || {
        let now = bytes();
        last = if now == last.0 {
            (now, last.1 + 1)
        } else {
            (now, 0)
        };
        (last.1 >= 40).then_some(now)
    })
}

#[test]
fn a_client_that_does_not_read_stops_the_backend() {
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counter = std::sync::Arc::clone(&sent);
    let backend = Backend::start(move |visit: &mut Visit| {
        visit.next_request()?;
        visit.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {MANY_BYTES}\r\n\r\n"
        ))?;
        let block = vec![b'x'; 100_000];
        for _ in 0..MANY_BYTES / block.len() {
            visit.send(&block)?;
            counter.fetch_add(block.len() as u64, std::sync::atomic::Ordering::SeqCst);
        }
        Ok(())
    });
    let gateway = Gateway::before(&[backend.address()]);
    let before = gateway.rss_kib();
    let peer = NeverReader::start(gateway.address(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let stalled_at = settled("the backend is stopped", || {
        sent.load(std::sync::atomic::Ordering::SeqCst)
    });
    assert!(
        stalled_at < MANY_BYTES as u64 / 2,
        "{stalled_at} bytes are gone though nobody reads"
    );
    holds_for(Duration::from_millis(500), "memory stays flat", || {
        gateway.rss_kib() < before + GROWTH_MAX_KIB
    });
    drop(peer);
    backend.wait_connections_open(0);
    assert_eq!(gateway.only_log_line().reason(), "client-gone");
    gateway.assert_no_leaks();
}

#[test]
fn a_client_that_reads_late_gets_every_byte() {
    let body = foregate_testkit::Random::seeded(3).bytes(20_000_000);
    let expected = fingerprint(&body);
    let backend = Backend::answering(move |_| foregate_testkit::Answer::ok(body.clone()));
    let gateway = Gateway::before(&[backend.address()]);
    let peer = NeverReader::start(gateway.address(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    backend.wait_requests(1);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(fingerprint(&peer.relent().response().body), expected);
    gateway.assert_no_leaks();
}

#[test]
fn a_backend_that_does_not_read_stops_the_client() {
    let backend = Backend::start(NeverReads);
    let gateway = Gateway::before(&[backend.address()]);
    let before = gateway.rss_kib();
    let mut client = gateway.connect();
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {MANY_BYTES}\r\n\r\n"
    ));
    let sent = client
        .connection()
        .send_some(&vec![b'x'; MANY_BYTES], Duration::from_millis(500));
    assert!(
        sent < MANY_BYTES / 2,
        "{sent} bytes are gone though nobody reads"
    );
    holds_for(Duration::from_millis(300), "memory stays flat", || {
        gateway.rss_kib() < before + GROWTH_MAX_KIB
    });
    // An orderly close would queue behind all that was sent and not arrive; a reset does.
    client.into_connection().reset();
    assert_eq!(gateway.only_log_line().reason(), "client-gone");
    eventually("the backend connection is given up", || {
        gateway.upstream_sockets().is_empty().then_some(())
    });
    gateway.assert_no_leaks();
}

#[test]
fn a_long_pipeline_is_not_read_ahead_without_bound() {
    let backend = Backend::start(foregate_testkit::BlackHole);
    let gateway = Gateway::before(&[backend.address()]);
    let before = gateway.rss_kib();
    let mut client = gateway.connect();
    let pipeline = "GET /again HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3_000_000);
    let sent = client
        .connection()
        .send_some(pipeline.as_bytes(), Duration::from_millis(500));
    assert!(
        sent < pipeline.len() / 2,
        "{sent} bytes of a pipeline are gone though its first request waits"
    );
    assert!(gateway.rss_kib() < before + GROWTH_MAX_KIB);
    assert_eq!(backend.requests_total(), 1);
    // An orderly close would queue behind all that was sent and not arrive; a reset does.
    client.into_connection().reset();
    gateway.assert_no_leaks();
}
