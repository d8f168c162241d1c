//! Consul's health endpoint, with blocking queries.

use foregate_testkit::{Answer, Backend, ConsulAgent, Gateway, Transport, eventually};
use std::sync::{Arc, Mutex};

use crate::{check, finding, named, shown, text, wait_for};

fn asking(agent: &ConsulAgent) -> Gateway {
    let address = agent.address();
    finding(&format!(
        "consul = {{ service = \"web app\", address = \"{address}\", tag = \"blue\", token = \"s3cret\" }}"
    ).replace("web app", "web"))
    .start()
}

#[test]
fn instances_come_and_go_with_the_agents_answers() {
    let (a, b) = (named("a"), named("b"));
    let agent = ConsulAgent::start("s3cret");
    agent.set(&[(a.address(), 1)]);
    let gateway = asking(&agent);
    check(&gateway, &["a"]);
    agent.set(&[(a.address(), 1), (b.address(), 7)]);
    wait_for(&gateway, &["a", "b"]);
    let weights: Vec<_> = shown(&gateway)["endpoints"]
        .as_array()
        .map(|all| all.iter().map(|one| one["weight"].as_u64()).collect())
        .unwrap_or_default();
    assert!(weights.contains(&Some(7)), "{weights:?}");
    agent.set(&[(b.address(), 1)]);
    wait_for(&gateway, &["b"]);
    let questions = agent.questions();
    assert_eq!(questions[0], "/v1/health/service/web?passing=1&tag=blue");
    assert!(questions[1].contains("&index=2&wait=60s"), "{questions:?}");
    agent.set(&[]);
    wait_for(&gateway, &["503"]);
}

#[test]
fn an_agent_is_asked_over_tls() {
    let a = named("a");
    let transport = Transport::tls();
    let agent = ConsulAgent::start_over(&transport, "s3cret");
    agent.set(&[(a.address(), 3)]);
    let asking = |agent: &ConsulAgent, tls: &str| {
        finding(&format!(
            "consul = {{ service = \"web\", address = \"{}\", token = \"s3cret\", {tls} }}",
            agent.address()
        ))
    };
    let gateway = asking(&agent, "{tls}").upstream_over(&transport).start();
    check(&gateway, &["a"]);
    assert_eq!(agent.questions()[0], "/v1/health/service/web?passing=1");
    // Whoever is certified by nobody who is trusted hears no token.
    let other = ConsulAgent::start_over(&transport, "s3cret");
    let gateway = asking(&other, "tls = true").start();
    gateway.wait_stderr("tls-unknown-issuer");
    check(&gateway, &["503"]);
    assert_eq!(other.questions().len(), 0);
}

#[test]
fn metadata_and_tags_say_where_instances_stand() {
    let (a, b) = (named("a"), named("b"));
    let agent = ConsulAgent::start("s3cret");
    let instance = |address: std::net::SocketAddr, about: &str| {
        format!(
            r#"{{"Service":{{"Address":"{}","Port":{},{about}}}}}"#,
            address.ip(),
            address.port()
        )
    };
    let first = instance(a.address(), r#""Meta":{"zone":"east","version":"v2"}"#);
    let second = instance(b.address(), r#""Tags":["backup","zone=west"]"#);
    agent.say(&format!("[{first},{second}]"));
    let gateway = asking(&agent);
    check(&gateway, &["a"]);
    let view = shown(&gateway);
    let one = |address: std::net::SocketAddr| {
        let all = view["endpoints"].as_array().cloned().unwrap_or_default();
        let mut found = all.into_iter();
        let found = found.find(|one| one["endpoint"] == address.to_string());
        found.expect("the endpoint is shown")
    };
    let (a, b) = (one(a.address()), one(b.address()));
    assert_eq!((&a["zone"], &a["backup"]), (&"east".into(), &false.into()));
    assert_eq!(a["labels"]["version"], "v2");
    assert_eq!((&b["zone"], &b["backup"]), (&"west".into(), &true.into()));
}

#[test]
fn an_agent_in_trouble_takes_nothing_away() {
    let (a, b) = (named("a"), named("b"));
    let agent = ConsulAgent::start("s3cret");
    agent.set(&[(a.address(), 1)]);
    let gateway = asking(&agent);
    check(&gateway, &["a"]);
    agent.refuse(500);
    gateway.wait_stderr("it answers with 500");
    check(&gateway, &["a"]);
    agent.say("{ not json");
    eventually("the odd answer is told", || {
        let trouble = shown(&gateway)["discovery"]["trouble"].clone();
        trouble
            .as_str()?
            .contains("its answer is odd")
            .then_some(())
    });
    check(&gateway, &["a"]);
    agent.set(&[(b.address(), 1)]);
    wait_for(&gateway, &["b"]);
    gateway.wait_stderr("endpoints are found again");
}

/// Something between them may leave the version out: then no question is kept, and all would be answered at once.
#[test]
fn an_agent_that_tells_no_version_is_asked_now_and_then() {
    let (a, b) = (named("a"), named("b"));
    let one = |address: std::net::SocketAddr| {
        let (ip, port) = (address.ip(), address.port());
        format!(r#"[{{"Service":{{"Address":"{ip}","Port":{port}}}}}]"#)
    };
    let said = Arc::new(Mutex::new(one(a.address())));
    let shared = Arc::clone(&said);
    let agent = Backend::answering(move |_| Answer::ok(shared.lock().expect("no panics").clone()));
    let address = agent.address();
    let gateway = finding(&format!(
        "consul = {{ service = \"web\", address = \"{address}\" }}"
    ))
    .start();
    check(&gateway, &["a"]);
    *said.lock().expect("no panics") = one(b.address());
    wait_for(&gateway, &["b"]);
    let asked = agent.requests_total();
    assert!(asked <= 4, "{asked} questions in a few seconds");
}

#[test]
fn whoever_is_not_believed_is_told_so() {
    let agent = ConsulAgent::start("another");
    let gateway = asking(&agent);
    check(&gateway, &["503"]);
    let log = gateway.wait_stderr("it answers with 403");
    assert!(!log.contains("s3cret"), "{log}");
}

/// Has the gateway ask this agent for another service, or with another token.
fn ask_for(gateway: &mut Gateway, agent: &ConsulAgent, service: &str, token: &str) {
    let address = agent.address();
    let asking = format!(
        "consul = {{ service = \"{service}\", address = \"{address}\", tag = \"blue\", token = \"{token}\" }}"
    );
    gateway.rewrite_config(&text(&asking), &[]);
    let answer = gateway.admin_send("POST", "/reload", "");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn what_was_found_for_one_service_is_nothing_for_another() {
    let (a, b) = (named("a"), named("b"));
    let agent = ConsulAgent::start("s3cret");
    agent.set(&[(a.address(), 1)]);
    let mut gateway = asking(&agent);
    check(&gateway, &["a"]);
    agent.refuse(500);
    // How it is asked has changed, not what for: what was found is as good as before.
    ask_for(&mut gateway, &agent, "web", "another");
    check(&gateway, &["a"]);
    ask_for(&mut gateway, &agent, "billing", "s3cret");
    check(&gateway, &["503"]);
    let endpoints = shown(&gateway)["endpoints"].clone();
    assert_eq!(endpoints.as_array().map(Vec::len), Some(0), "{endpoints}");
    agent.set(&[(b.address(), 1)]);
    wait_for(&gateway, &["b"]);
}
