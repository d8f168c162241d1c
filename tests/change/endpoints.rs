//! Endpoints that come, go and change through the admin API.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};

use foregate_testkit::{Answer, Backend, Gateway, Signal, eventually};
use serde_json::Value;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

const APP: &str = "workers = 2\n[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nbalance = \"round-robin\"\nservers = [{servers}]\n";

fn named(name: &'static str) -> Backend {
    Backend::answering(move |_| Answer::ok(name))
}

/// A gateway with two workers before these backends.
fn before(backends: &[&Backend]) -> Gateway {
    let servers: Vec<String> = backends
        .iter()
        .map(|backend| format!("\"{}\"", backend.address()))
        .collect();
    Gateway::new(APP)
        .fill("servers", servers.join(", "))
        .start()
}

fn add(gateway: &Gateway, address: SocketAddr) -> Value {
    let body = format!("{{\"address\":\"{address}\"}}");
    let answer = gateway.admin_send("POST", "/upstreams/app/endpoints", &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

fn change(gateway: &Gateway, method: &str, address: SocketAddr, body: &str) -> u16 {
    let target = format!("/upstreams/app/endpoints/{address}");
    gateway.admin_send(method, &target, body).status
}

/// How many of 20 requests, each on a connection of its own, each backend answered.
fn shares(gateway: &Gateway) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..20 {
        let answer = gateway.get("a", "/");
        assert_eq!(answer.status, 200, "{}", answer.text());
        *shares.entry(answer.text()).or_default() += 1;
    }
    shares
}

/// A backend that answers each request once it is let.
fn holding(name: &'static str) -> (Backend, Sender<()>) {
    let (release, held) = channel();
    let held = std::sync::Mutex::new(held);
    let backend = Backend::answering(move |_| {
        let _ = held.lock().expect("nobody panics with it").recv();
        Answer::ok(name)
    });
    (backend, release)
}

#[test]
fn an_endpoint_that_was_added_takes_requests_at_once_and_those_that_stay_keep_connections() {
    let (a, b) = (named("a"), named("b"));
    let gateway = Gateway::new(&APP.replace("workers = 2", "workers = 1"))
        .fill("servers", format!("\"{}\"", a.address()))
        .start();
    let mut client = gateway.connect();
    assert_eq!(client.exchange(GET).text(), "a");
    let shown = add(&gateway, b.address());
    assert_eq!(shown["endpoints"][1]["origin"], "api", "{shown}");
    let mut seen: Vec<String> = (0..4).map(|_| client.exchange(GET).text()).collect();
    seen.sort();
    assert_eq!(seen, ["a", "a", "b", "b"]);
    assert_eq!((a.connections_accepted(), b.connections_accepted()), (1, 1));
    gateway.wait_metric("foregate_upstream_endpoints", &[("upstream", "app")], 2.0);
    drop(client);
    gateway.assert_no_leaks();
}

#[test]
fn an_endpoint_that_was_removed_finishes_what_it_has_and_gets_nothing_more() {
    let (slow, release) = holding("slow");
    let other = named("other");
    let gateway = before(&[&slow]);
    let mut client = gateway.connect();
    client.send(GET);
    slow.wait_requests(1);
    add(&gateway, other.address());
    assert_eq!(change(&gateway, "DELETE", slow.address(), ""), 204);
    assert_eq!(shares(&gateway), BTreeMap::from([("other".to_owned(), 20)]));
    release.send(()).unwrap();
    assert_eq!(client.response().text(), "slow");
    slow.wait_connections_open(0);
    assert_eq!(slow.requests_total(), 1);
    let shown = gateway.admin_send("GET", "/upstreams/app", "").json();
    assert_eq!(
        shown["endpoints"].as_array().map(Vec::len),
        Some(1),
        "{shown}"
    );
    drop(client);
    gateway.assert_no_leaks();
}

#[test]
fn idle_connections_of_a_removed_endpoint_are_closed() {
    let (a, b) = (named("a"), named("b"));
    let gateway = before(&[&a, &b]);
    shares(&gateway);
    assert!(b.connections_open() > 0);
    assert_eq!(change(&gateway, "DELETE", b.address(), ""), 204);
    b.wait_connections_open(0);
    let labels = [("endpoint", &*b.address().to_string())];
    let metrics = gateway.scrape();
    assert_eq!(metrics.sum("foregate_endpoint_available", &labels), 0.0);
    gateway.assert_no_leaks();
}

#[test]
fn a_draining_endpoint_finishes_what_it_has_and_comes_back_when_it_is_enabled() {
    let (slow, release) = holding("slow");
    let other = named("other");
    let gateway = before(&[&slow]);
    let mut client = gateway.connect();
    client.send(GET);
    slow.wait_requests(1);
    add(&gateway, other.address());
    let draining = r#"{"state":"draining"}"#;
    assert_eq!(change(&gateway, "PATCH", slow.address(), draining), 200);
    assert_eq!(shares(&gateway), BTreeMap::from([("other".to_owned(), 20)]));
    let shown = gateway.admin_send("GET", "/upstreams/app", "").json();
    let one = &shown["endpoints"][0];
    assert_eq!(
        (&one["state"], &one["in_flight"]),
        (&"draining".into(), &1.into())
    );
    drop(release);
    assert_eq!(client.response().text(), "slow");
    let enabled = r#"{"state":"enabled"}"#;
    assert_eq!(change(&gateway, "PATCH", slow.address(), enabled), 200);
    assert_eq!(shares(&gateway).len(), 2);
}

#[test]
fn a_weight_is_in_force_at_once() {
    let (a, b) = (named("a"), named("b"));
    let gateway = Gateway::new(&APP.replace("workers = 2", "workers = 1"))
        .fill(
            "servers",
            format!("\"{}\", \"{}\"", a.address(), b.address()),
        )
        .start();
    assert_eq!(
        change(&gateway, "PATCH", a.address(), r#"{"weight":4}"#),
        200
    );
    let shares = shares(&gateway);
    assert_eq!((shares["a"], shares["b"]), (16, 4));
}

#[test]
fn what_makes_no_sense_is_refused_with_its_cause() {
    let a = named("a");
    let gateway = before(&[&a]);
    let own = format!("{{\"address\":\"{}\"}}", a.address());
    for (method, target, body, status, cause) in [
        (
            "POST",
            "/upstreams/app/endpoints",
            own.as_str(),
            409,
            "already",
        ),
        (
            "POST",
            "/upstreams/app/endpoints",
            r#"{"address":"x"}"#,
            422,
            "ip:port",
        ),
        (
            "POST",
            "/upstreams/ap/endpoints",
            own.as_str(),
            404,
            "no upstream `ap`",
        ),
        (
            "DELETE",
            "/upstreams/app/endpoints/10.0.0.9:1",
            "",
            404,
            "no endpoint",
        ),
        (
            "PATCH",
            "/upstreams/app/endpoints/10.0.0.9:1",
            "{}",
            400,
            "neither",
        ),
    ] {
        let answer = gateway.admin_send(method, target, body);
        assert_eq!(
            answer.status,
            status,
            "{method} {target}: {}",
            answer.text()
        );
        let detail = answer.json()["detail"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(detail.contains(cause), "{method} {target}: {detail}");
    }
    assert_eq!(shares(&gateway), BTreeMap::from([("a".to_owned(), 20)]));
}

#[test]
fn changes_outlive_a_reload() {
    let (a, b) = (named("a"), named("b"));
    let gateway = before(&[&a]);
    add(&gateway, b.address());
    assert_eq!(change(&gateway, "DELETE", a.address(), ""), 204);
    gateway.signal(Signal::Hup);
    gateway.wait_stderr("configuration reloaded");
    assert_eq!(shares(&gateway), BTreeMap::from([("b".to_owned(), 20)]));
}

#[test]
fn changes_survive_a_restart_where_a_state_file_is_named_and_nowhere_else() {
    let (a, b) = (named("a"), named("b"));
    let kept = foregate_testkit::Scratch::new();
    let run = |admin: &str| {
        let text = format!("{APP}[admin]\naddress = \"127.0.0.1:0\"\n{admin}");
        Gateway::new(&text)
            .fill("servers", format!("\"{}\"", a.address()))
            .start()
    };
    let forgetful = run("");
    add(&forgetful, b.address());
    drop(forgetful);
    assert_eq!(shares(&run("")).len(), 1);

    let file = kept.path().join("state.json");
    let keeping = format!("state_file = {file:?}\n");
    let gateway = run(&keeping);
    add(&gateway, b.address());
    assert_eq!(
        change(&gateway, "PATCH", a.address(), r#"{"state":"disabled"}"#),
        200
    );
    drop(gateway);
    let gateway = run(&keeping);
    assert_eq!(shares(&gateway), BTreeMap::from([("b".to_owned(), 20)]));
    drop(gateway);

    std::fs::write(&file, "{").unwrap();
    let text = format!("{APP}[admin]\naddress = \"127.0.0.1:0\"\n{keeping}");
    let run = Gateway::new(&text)
        .fill("servers", format!("\"{}\"", a.address()))
        .run_to_end();
    assert!(run.stderr.contains("move the file away"), "{}", run.stderr);
}

#[test]
fn an_endpoint_by_name_that_does_not_resolve_harms_nobody() {
    let a = named("a");
    let gateway = before(&[&a]);
    let body = r#"{"address":"nowhere.invalid:80"}"#;
    assert_eq!(
        gateway
            .admin_send("POST", "/upstreams/app/endpoints", body)
            .status,
        201
    );
    assert_eq!(shares(&gateway), BTreeMap::from([("a".to_owned(), 20)]));
    let localhost = format!("localhost:{}", a.address().port());
    let body = format!("{{\"address\":\"{localhost}\"}}");
    assert_eq!(
        gateway
            .admin_send("POST", "/upstreams/app/endpoints", &body)
            .status,
        201
    );
    eventually("the name is resolved", || {
        let shown = gateway.admin_send("GET", "/upstreams/app", "").json();
        let all = shown["endpoints"].as_array()?.clone();
        let found = all
            .iter()
            .any(|one| one["endpoint"] == localhost && one["address"] == a.address().to_string());
        found.then_some(())
    });
}
