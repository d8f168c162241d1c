//! Too much to do: what is given up first, what is served to the end, and that it all comes back.

use foregate_testkit::{Backend, BlackHole, Gateway, Http2Client, RawClient, Response, eventually};
use foregate_tests::metric;
use std::time::Duration;

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn gateway(overload: &str, backend: &Backend) -> Gateway {
    Gateway::new(&format!(
        r#"
        workers = 1
        [listeners.public]
        address = "127.0.0.1:0"
        connections_per_client_max = "off"
        [overload]
        {overload}
        [[sites."*".routes]]
        path = {{ prefix = "/report" }}
        importance = "background"
        respond = {{ status = 200 }}
        [[sites."*".routes]]
        path = {{ prefix = "/login" }}
        importance = "critical"
        respond = {{ status = 200 }}
        [[sites."*".routes]]
        path = {{ prefix = "/page" }}
        respond = {{ status = 200 }}
        [[sites."*".routes]]
        upstream = "app"
        [upstreams.app]
        servers = ["{{backend}}"]
        "#
    ))
    .fill("backend", backend.address())
    .start()
}

/// Requests that are never answered.
fn hold(gateway: &Gateway, count: usize) -> Vec<RawClient> {
    let ask = |_| {
        let mut client = gateway.connect();
        client.send(get("/"));
        client
    };
    (0..count).map(ask).collect()
}

fn rung(gateway: &Gateway) -> String {
    let status = gateway.admin_send("GET", "/status", "").json();
    status["overload"]["rung"]
        .as_str()
        .expect("a rung is named")
        .to_owned()
}

/// The answer to the first request that is, which takes workers a moment.
fn turned_away(gateway: &Gateway, path: &str) -> Response {
    eventually("requests are turned away", || {
        let response = gateway.get("a", path);
        (response.status == 503).then_some(response)
    })
}

#[test]
fn requests_are_given_up_in_the_order_of_their_importance() {
    let backend = Backend::start(BlackHole);
    let keys = "requests_max = 20\nrequests_always = 1\nretry_after = '7s'";
    let gateway = gateway(keys, &backend);
    let status = |path: &str| gateway.get("a", path).status;
    let mut held = hold(&gateway, 10);
    backend.wait_requests(10);
    assert_eq!([status("/report"), status("/page")], [200, 200]);

    held.extend(hold(&gateway, 7));
    gateway.wait_metric(metric::OVERLOAD_RUNG, &[], 2.0);
    let answer = turned_away(&gateway, "/report");
    assert_eq!(answer.field("retry-after"), Some("7"));
    assert_eq!([status("/page"), status("/login")], [200, 200]);

    held.extend(hold(&gateway, 2));
    gateway.wait_metric(metric::OVERLOAD_RUNG, &[], 3.0);
    turned_away(&gateway, "/page");
    assert_eq!([status("/report"), status("/login")], [503, 200]);
    assert_eq!(rung(&gateway), "shed-normal");
    assert_eq!(
        gateway.metric(metric::OUTCOMES, &[("reason", "overloaded")]),
        3.0
    );

    drop(held);
    gateway.wait_metric(metric::OVERLOAD_RUNG, &[], 0.0);
    eventually("all is served again", || {
        ([status("/report"), status("/page")] == [200, 200]).then_some(())
    });
    gateway.assert_no_leaks();
}

#[test]
fn more_requests_than_there_may_be_are_turned_away_at_once() {
    let backend = Backend::start(BlackHole);
    let gateway = gateway("requests_max = 2\nrequests_always = 100", &backend);
    let held = hold(&gateway, 2);
    backend.wait_requests(2);
    let response = gateway.get("a", "/login");
    assert_eq!(response.status, 503);
    assert_eq!(response.field("retry-after"), Some("2"));
    assert_eq!(gateway.only_log_line().reason(), "requests-full");
    drop(held);
    eventually("there is room again", || {
        (gateway.get("a", "/login").status == 200).then_some(())
    });
    gateway.assert_no_leaks();
}

/// Clients that do not read that they were turned away are not what there is too much of.
#[test]
fn those_who_were_turned_away_take_no_room() {
    const INITIAL_WINDOW_SIZE: u16 = 4;
    let backend = Backend::start(BlackHole);
    let gateway = gateway("requests_max = 2\nrequests_always = 100", &backend);
    let mut held = hold(&gateway, 2);
    backend.wait_requests(2);
    let mut client = Http2Client::connect_with(gateway.target(), &[(INITIAL_WINDOW_SIZE, 0)]);
    for _ in 0..5 {
        let stream = client.request("GET", "/login", &[], true);
        let answer = client.until(stream, |answer| answer.status != 0);
        assert_eq!((answer.status, answer.ended), (503, false));
    }
    held.pop();
    eventually("there is room for one", || {
        (gateway.get("a", "/login").status == 200).then_some(())
    });
}

/// One whose listener has room for ten connections, and has none of its own accord.
fn nearly_full() -> Gateway {
    Gateway::new(
        r#"
        workers = 1
        [client]
        head_timeout = "1h"
        [listeners.public]
        address = "127.0.0.1:0"
        connections_max = 10
        [[sites."*".routes]]
        respond = { status = 200 }
        "#,
    )
    .start()
}

/// Has one more client come and ask; nobody else than one that waits makes room for it.
fn ask_for_room(gateway: &Gateway) -> RawClient {
    gateway.wait_metric(metric::CONNECTIONS, &[], 7.0);
    let mut busy = gateway.connect();
    busy.send("GET / HTTP/1.1\r\nHost:");
    // Room is made for others, and no more of it than they need.
    gateway.wait_metric(metric::CONNECTIONS_ACCEPTED, &[], 8.0);
    gateway.wait_metric(metric::CONNECTIONS, &[], 7.0);
    busy.send(" a\r\n\r\n");
    assert_eq!(busy.response().status, 200, "who was asking is served");
    busy
}

#[test]
fn connections_that_never_asked_for_anything_make_room() {
    let gateway = nearly_full();
    let silent: Vec<_> = (0..7).map(|_| gateway.connect()).collect();
    drop((ask_for_room(&gateway), silent));
    gateway.assert_no_leaks();
}

#[test]
fn idle_connections_make_room_in_a_listener_that_is_nearly_full() {
    let gateway = nearly_full();
    let mut idle: Vec<_> = (0..7).map(|_| gateway.connect()).collect();
    for client in &mut idle {
        assert_eq!(client.exchange(get("/")).status, 200);
    }
    let busy = ask_for_room(&gateway);
    assert_eq!(rung(&gateway), "calm");
    let is_served = |client: &mut RawClient| {
        client.send(get("/"));
        (client.try_response(false)).is_ok_and(|answer| answer.status == 200)
    };
    let served: Vec<bool> = idle.iter_mut().map(is_served).collect();
    let served = served.into_iter().filter(|served| *served).count();
    assert_eq!(served, 6);
    drop((busy, idle));
    gateway.assert_no_leaks();
}

/// Whoever was told that room has been made is told again when it is wanted again.
#[test]
fn room_is_made_as_often_as_it_is_wanted() {
    let gateway = Gateway::new(
        r#"
        workers = 1
        [client]
        idle_timeout = "1h"
        head_timeout = "1h"
        [listeners.public]
        address = "127.0.0.1:0"
        connections_max = 20
        [[sites."*".routes]]
        respond = { status = 200 }
        "#,
    )
    .start();
    let mut clients: Vec<RawClient> = Vec::new();
    for _ in 0..15 {
        let mut client = gateway.connect();
        assert_eq!(client.exchange(get("/")).status, 200);
        clients.push(client);
    }
    for accepted in 16..=22 {
        // At once, so that hardly any look of the gateway sees the room there is in between.
        gateway.wait_metric(metric::CONNECTIONS, &[], 15.0);
        let mut busy = gateway.connect();
        busy.send("GET / HTTP/1.1\r\nHost:");
        gateway.wait_metric(metric::CONNECTIONS_ACCEPTED, &[], f64::from(accepted));
        clients.push(busy);
    }
    gateway.wait_metric(metric::CONNECTIONS, &[], 15.0);
    drop(clients);
    gateway.assert_no_leaks();
}

/// A connection that pauses between requests for less than half a second is not spare, also over HTTP/2.
#[test]
fn a_short_pause_costs_no_connection_when_a_listener_is_full() {
    let gateway = Gateway::new(
        r#"
        [listeners.public]
        address = "127.0.0.1:0"
        connections_max = 1
        [[sites."*".routes]]
        respond = { status = 200 }
        "#,
    )
    .start();
    let mut client = Http2Client::connect(gateway.target());
    for _ in 0..20 {
        assert_eq!(client.get("/").status, 200);
        assert!(client.is_quiet());
    }
    assert_eq!(client.goaway().code, 0, "then it makes room");
}

#[test]
fn connections_wait_in_the_queue_while_memory_is_short_but_some_are_always_served() {
    let backend = Backend::start(BlackHole);
    let gateway = gateway("memory_max = '1MiB'\nrequests_always = 2", &backend);
    gateway.wait_metric(metric::OVERLOAD_RUNG, &[], 4.0);
    let mut idle = gateway.connect();
    assert_eq!(idle.exchange(get("/page")).status, 200);
    // Workers have heard of it once they close those who wait.
    idle.assert_closed();
    let mut asking: Vec<_> = (0..3).map(|_| gateway.connect()).collect();
    for client in &mut asking {
        client.send("GET /page HTTP/1.1\r\nHost:");
    }
    gateway.wait_metric(metric::CONNECTIONS, &[], 3.0);
    let mut waiting = gateway.connect();
    waiting.send(get("/page"));
    waiting.assert_silent_for(Duration::from_millis(300));
    assert_eq!(gateway.metric(metric::CONNECTIONS, &[]), 3.0);
    assert_eq!(rung(&gateway), "pause");
    drop(asking.pop());
    assert_eq!(waiting.response().status, 200);
    drop((asking, waiting));
    gateway.assert_no_leaks();
}

/// Bytes of heads that never end, one connection each.
const FLOOD_HEAD_BYTES: usize = 30_000;
const FLOOD_CONNECTIONS: usize = 3_000;
const MEMORY_MAX_MIB: u64 = 40;
/// What those are still reading who were let in before the last look.
const OVERSHOOT_MAX_MIB: u64 = 15;

#[test]
fn memory_has_a_ceiling_under_a_flood_of_heads() {
    let backend = Backend::start(BlackHole);
    let gateway = gateway(&format!("memory_max = '{MEMORY_MAX_MIB}MiB'"), &backend);
    let head = format!("GET /page HTTP/1.1\r\nX: {}", "x".repeat(FLOOD_HEAD_BYTES));
    let flood: Vec<_> = (0..FLOOD_CONNECTIONS)
        .map(|_| {
            let mut client = gateway.connect();
            client.send_if_taken(&head);
            client
        })
        .collect();
    gateway.wait_metric(metric::OVERLOAD_RUNG, &[], 4.0);
    assert_eq!(rung(&gateway), "pause");
    // Those in the queue are let in as others go, and the ceiling holds through all of it.
    let mut highest = 0;
    let mut flood = flood.into_iter();
    while flood.by_ref().take(100).count() > 0 {
        highest = highest.max(gateway.anonymous_kib() / 1024);
    }
    // Without a ceiling the flood takes 90 MiB and more.
    assert!(
        highest < MEMORY_MAX_MIB + OVERSHOOT_MAX_MIB,
        "{highest} MiB were taken, {MEMORY_MAX_MIB} may be"
    );
    eventually("others are served again", || {
        (gateway.get("a", "/page").status == 200).then_some(())
    });
    gateway.assert_no_leaks();
}
