//! Connections to backends are kept, and a stale one fails nobody.

use std::time::Duration;

use foregate_testkit::{Answer, Backend, ClosesIdle, Echo, Gateway, Trouble, Visit};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn clients_share_pooled_connections() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    for _ in 0..10 {
        assert_eq!(gateway.get("a", "/").status, 200);
    }
    assert_eq!(backend.connections_accepted(), 1);
    gateway.assert_no_leaks();
}

#[test]
fn an_idle_connection_that_the_backend_closed_is_not_used() {
    let backend = Backend::start(|visit: &mut Visit| {
        if let Some(request) = visit.next_request()? {
            visit.answer(&request, &Answer::ok("once"))?;
        }
        Ok(())
    });
    let gateway = Gateway::before(&[backend.address()]);
    for _ in 0..10 {
        assert_eq!(
            gateway
                .exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
                .text(),
            "once"
        );
        backend.wait_connections_open(0);
    }
    assert_eq!(backend.connections_accepted(), 10);
    gateway.assert_no_leaks();
}

#[test]
fn a_get_on_a_connection_that_just_closed_is_sent_again() {
    for reset in [false, true] {
        let backend = Backend::start(ClosesIdle { reset });
        let gateway = Gateway::before(&[backend.address()]);
        let mut client = gateway.connect();
        for _ in 0..10 {
            assert_eq!(client.exchange(GET).status, 200, "reset: {reset}");
        }
        assert_eq!(
            gateway
                .log_lines(10)
                .iter()
                .filter(|line| line.reason() == "proxied")
                .count(),
            10
        );
        drop(client);
        gateway.assert_no_leaks();
    }
}

#[test]
fn a_post_that_may_have_been_acted_on_is_not_sent_again() {
    // The backend reads the second request whole and dies without an answer: nobody knows what it did.
    let backend = Backend::start(|visit: &mut Visit| {
        if let Some(request) = visit.next_request()? {
            visit.answer(&request, &Answer::ok("first"))?;
        }
        visit.next_request()?;
        Ok(())
    });
    let gateway = Gateway::before(&[backend.address()]);
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    let mut client = gateway.connect();
    assert_eq!(client.exchange(post).text(), "first");
    assert_eq!(client.exchange(post).status, 502);
    assert_eq!(backend.requests_total(), 2);
    assert_eq!(gateway.log_lines(2)[1].reason(), "upstream-closed");
    drop(client);
    gateway.assert_no_leaks();
}

#[test]
fn idle_connections_are_closed_after_their_time() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::new(
        r#"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        idle_timeout = "300ms"
        "#,
    )
    .fill("backend", backend.address())
    .start();
    assert_eq!(gateway.get("a", "/").status, 200);
    assert_eq!(backend.connections_open(), 1);
    backend.wait_connections_open(0);
    gateway.assert_no_leaks();
}

#[test]
fn the_pool_is_bounded() {
    let backend = Backend::answering(|_| {
        std::thread::sleep(Duration::from_millis(100));
        Answer::ok("x")
    });
    let gateway = Gateway::new(
        r#"
        workers = 1
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        connections_idle_max = 2
        "#,
    )
    .fill("backend", backend.address())
    .start();
    let mut clients: Vec<_> = (0..8).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        client.send(GET);
    }
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    backend.wait_connections_open(2);
}

#[test]
fn a_connection_is_retired_after_its_requests() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::new(
        r#"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        requests_per_connection_max = 2
        "#,
    )
    .fill("backend", backend.address())
    .start();
    let mut client = gateway.connect();
    let connections: Vec<_> = (0..6)
        .map(|_| client.exchange(GET).json()["connection"].clone())
        .collect();
    assert_eq!(connections, [1, 1, 2, 2, 3, 3]);
}

#[test]
fn answers_are_never_mixed_up_between_clients() {
    let backend = Backend::start(Echo);
    let gateway = std::sync::Arc::new(Gateway::before(&[backend.address()]));
    let clients: Vec<_> = (0..8)
        .map(|client| {
            let gateway = std::sync::Arc::clone(&gateway);
            std::thread::spawn(move || {
                let mut connection = gateway.connect();
                for n in 0..100 {
                    let seen = connection
                        .exchange(format!("GET /{client}/{n} HTTP/1.1\r\nHost: a\r\n\r\n"))
                        .json();
                    assert_eq!(seen["target"], format!("/{client}/{n}"));
                }
            })
        })
        .collect();
    for client in clients {
        assert!(client.join().is_ok());
    }
    assert!(
        backend
            .troubles()
            .iter()
            .all(|trouble| *trouble == Trouble::Closed),
        "{:?}",
        backend.troubles()
    );
    gateway.assert_no_leaks();
}
