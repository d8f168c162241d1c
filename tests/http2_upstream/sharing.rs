//! How requests share connections.

use crate::before;
use foregate_testkit::{Http2Backend, Http2Client, Http2Reply, Http2Setup, Random, eventually};
use std::thread;

/// Sends `count` requests at once that the backend does not answer, and waits until it has `expected` of them.
fn hold(gateway: &foregate_testkit::Gateway, count: usize) -> Vec<foregate_testkit::RawClient> {
    (0..count)
        .map(|_| {
            let mut client = gateway.connect();
            client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        })
        .collect()
}

/// Breaks the connection off, so that nobody takes it for a client that only has nothing more to say.
fn leave(client: foregate_testkit::RawClient) {
    client.into_connection().reset();
}

fn patient(request: &foregate_testkit::Http2Request) -> Http2Reply {
    match request.path.as_str() {
        "/wait" => Http2Reply::Silence,
        _ => Http2Reply::ok("fine"),
    }
}

#[test]
fn many_requests_at_once_share_one_connection() {
    let backend = Http2Backend::answering(patient);
    let gateway = before(&backend, "");
    let clients = hold(&gateway, 30);
    eventually("all are at the backend", || {
        (backend.streams() == 30).then_some(())
    });
    assert_eq!(backend.connections(), 1);
    assert_eq!(gateway.get("a", "/").body, b"fine");
    assert_eq!(backend.connections(), 1);
    // Clients that leave take their streams with them, and the connection stays.
    clients.into_iter().for_each(leave);
    eventually("streams are cancelled", || {
        (backend.streams() == 0).then_some(())
    });
    assert_eq!(gateway.get("a", "/").body, b"fine");
    assert_eq!((backend.connections(), backend.connections_open()), (1, 1));
    gateway.assert_no_leaks();
}

/// What they leave unread fills the windows of their streams, and nothing of anybody else's.
#[test]
fn clients_that_read_nothing_hold_up_nobody_elses_answers() {
    let body = Random::seeded(9).bytes(2_000_000);
    let sent = body.clone();
    let backend = Http2Backend::answering(move |_| Http2Reply::ok(sent.clone()));
    let gateway = before(&backend, "");
    let initial_window = (4, 0);
    let mut idle = Http2Client::connect_with(gateway.address(), &[initial_window]);
    let streams = [(); 60].map(|()| idle.request("GET", "/", &[], true));
    for stream in streams {
        idle.until(stream, |answer| answer.status == 200);
    }
    for _ in 0..3 {
        assert!(gateway.get("a", "/").body == body);
    }
    assert_eq!(backend.connections(), 1);
    drop(idle);
    gateway.assert_no_leaks();
}

#[test]
fn a_connection_takes_no_more_than_the_backend_or_the_configuration_allows() {
    for (setup, more, per_connection) in [
        (
            Http2Setup {
                streams_max: 3,
                ..Default::default()
            },
            "",
            3,
        ),
        (Http2Setup::default(), "streams_per_connection_max = 4", 4),
    ] {
        let backend = Http2Backend::start(setup, patient);
        let gateway = before(&backend, more);
        assert_eq!(gateway.get("a", "/").status, 200);
        let clients = hold(&gateway, 12);
        eventually("all are at the backend", || {
            (backend.streams() == 12).then_some(())
        });
        assert_eq!(backend.connections(), 12 / per_connection);
        drop(clients);
    }
}

#[test]
fn requests_wait_for_a_place_when_no_connection_may_be_opened() {
    let setup = Http2Setup {
        streams_max: 2,
        ..Default::default()
    };
    let backend = Http2Backend::start(setup, patient);
    let gateway = before(&backend, "connections_max = 1");
    assert_eq!(gateway.get("a", "/").status, 200);
    let mut clients = hold(&gateway, 2);
    eventually("both are at the backend", || {
        (backend.streams() == 2).then_some(())
    });
    let waiting = thread::scope(|scope| {
        let waiting = scope.spawn(|| gateway.get("a", "/"));
        eventually("one leaves", || clients.pop().map(leave));
        waiting.join().expect("no panic")
    });
    assert_eq!((waiting.status, backend.connections()), (200, 1));
}

#[test]
fn an_idle_connection_is_closed() {
    let backend = Http2Backend::answering(patient);
    let gateway = before(&backend, "idle_timeout = \"1s\"");
    assert_eq!(gateway.get("a", "/").status, 200);
    eventually("it is closed", || {
        (backend.connections_open() == 0).then_some(())
    });
    assert_eq!(gateway.get("a", "/").status, 200);
    assert_eq!(backend.connections(), 2);
}

#[test]
fn a_connection_carries_as_many_requests_as_it_may() {
    let backend = Http2Backend::answering(patient);
    let gateway = before(&backend, "requests_per_connection_max = 2");
    for _ in 0..6 {
        assert_eq!(gateway.get("a", "/").status, 200);
    }
    assert_eq!(backend.connections(), 3);
    eventually("spent ones are closed", || {
        (backend.connections_open() <= 1).then_some(())
    });
}

#[test]
fn a_crowd_of_which_some_leave_early_keeps_its_bodies_apart() {
    let setup = Http2Setup {
        streams_max: 7,
        window_bytes: 3_000,
        ..Default::default()
    };
    let backend = Http2Backend::start(setup, |_| Http2Reply::Echo);
    let gateway = before(&backend, "connections_max = 3\nrequests_pending_max = 1000");
    thread::scope(|scope| {
        for seed in 0..24 {
            let gateway = &gateway;
            scope.spawn(move || {
                for round in 0..8 {
                    let body = Random::seeded(seed * 100 + round).bytes(20_000);
                    let mut request = format!(
                        "POST /{seed}/{round} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
                        body.len()
                    )
                    .into_bytes();
                    let mut client = gateway.connect();
                    if (seed + round) % 4 == 0 {
                        request.extend_from_slice(&body[..10_000]);
                        client.send(&request);
                        leave(client);
                        continue;
                    }
                    request.extend_from_slice(&body);
                    client.send(&request);
                    let response = client.response();
                    assert_eq!(response.status, 200, "{seed} {round}");
                    assert!(response.body == body, "{seed} {round}");
                }
            });
        }
    });
    assert!(backend.connections() <= 3);
    assert!(backend.streams_peak() <= 21);
    eventually("all streams end", || (backend.streams() == 0).then_some(()));
    gateway.assert_no_leaks();
}
