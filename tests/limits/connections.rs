//! Limits on connections and on requests that wait for one.

use foregate_testkit::{Backend, BlackHole, Gateway, Trouble, eventually};
use foregate_tests::metric;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HELLO: &str =
    "[sites.\"*\"]\n[[sites.\"*\".routes]]\nrespond = { status = 200, body = \"hello\" }\n";

fn listener(limit: &str) -> Gateway {
    Gateway::new(&format!(
        "[listeners.public]\naddress = \"127.0.0.1:0\"\n{limit}\n{HELLO}"
    ))
    .start()
}

/// A connection over a limit is answered with `status`, or just closed.
fn assert_turned_away(gateway: &Gateway, from: &str, status: u16) {
    let mut client = gateway.connect_from(from);
    client.send_if_taken(GET);
    match client.try_response(false) {
        Ok(response) => assert_eq!(response.status, status),
        Err(trouble) => assert!(
            matches!(trouble, Trouble::Closed | Trouble::Reset),
            "{trouble:?}"
        ),
    }
    client.assert_closed();
}

#[test]
fn a_full_listener_turns_connections_away() {
    let gateway = listener("connections_max = 2");
    let (mut first, mut second) = (gateway.connect(), gateway.connect());
    assert_eq!(
        (first.exchange(GET).status, second.exchange(GET).status),
        (200, 200)
    );
    assert_turned_away(&gateway, "127.0.0.1", 503);
    assert_eq!(
        first.exchange(GET).status,
        200,
        "those inside are not disturbed"
    );
    drop(second);
    eventually("there is room again", || {
        let mut client = gateway.connect();
        client.send_if_taken(GET);
        client
            .try_response(false)
            .ok()
            .filter(|response| response.status == 200)
    });
    drop(first);
    gateway.wait_metric(metric::CONNECTIONS, &[], 0.0);
    gateway.assert_no_leaks();
}

#[test]
fn one_client_cannot_take_all_connections() {
    let gateway = listener("connections_per_client_max = 2");
    let mut greedy: Vec<_> = (0..2).map(|_| gateway.connect_from("127.0.0.5")).collect();
    for client in &mut greedy {
        assert_eq!(client.exchange(GET).status, 200);
    }
    assert_turned_away(&gateway, "127.0.0.5", 429);
    assert_eq!(
        gateway.connect_from("127.0.0.6").exchange(GET).status,
        200,
        "another client is served"
    );
    drop(greedy);
    gateway.assert_no_leaks();
}

#[test]
fn requests_wait_for_a_connection_in_bounded_number() {
    let backend = Backend::start(BlackHole);
    let gateway = Gateway::new(
        r#"
        workers = 1
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        connections_max = 1
        requests_pending_max = 1
        "#,
    )
    .fill("backend", backend.address())
    .start();
    let mut running = gateway.connect();
    running.send(GET);
    backend.wait_requests(1);
    let mut waiting = gateway.connect();
    waiting.send(GET);
    let refused = eventually("a request is one too many", || {
        // Until the waiting request is queued, one more would take its place; it is given back by leaving.
        let mut one_more = gateway.connect();
        one_more.send(GET);
        one_more
            .connection()
            .set_patience(std::time::Duration::from_millis(500));
        one_more.try_response(false).ok()
    });
    assert_eq!(refused.status, 503);
    let lines = gateway.raw_log_lines(1);
    assert!(
        lines.iter().any(|line| line.contains("pending-full")),
        "{lines:?}"
    );
    assert_eq!(
        (backend.connections_accepted(), backend.requests_total()),
        (1, 1)
    );
    drop((running, waiting));
    backend.wait_connections_open(0);
    gateway.assert_no_leaks();
}

#[test]
fn waiting_requests_are_served_in_turn() {
    let backend =
        Backend::answering(|request| foregate_testkit::Answer::ok(request.target.clone()));
    let gateway = Gateway::new(
        r#"
        workers = 1
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        connections_max = 1
        "#,
    )
    .fill("backend", backend.address())
    .start();
    let mut clients: Vec<_> = (0..20).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        client.send(GET);
    }
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(backend.connections_accepted(), 1);
    drop(clients);
    gateway.assert_no_leaks();
}

#[test]
fn a_request_does_not_wait_for_a_connection_forever() {
    let backend = Backend::start(BlackHole);
    let gateway = Gateway::new(
        r#"
        workers = 1
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        connections_max = 1
        timeouts = { connect = "300ms" }
        "#,
    )
    .fill("backend", backend.address())
    .start();
    let mut running = gateway.connect();
    running.send(GET);
    backend.wait_requests(1);
    assert_eq!(gateway.get("a", "/").status, 504);
    assert_eq!(gateway.only_log_line().reason(), "pending-timeout");
    drop(running);
    backend.wait_connections_open(0);
    gateway.assert_no_leaks();
}
