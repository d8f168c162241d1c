//! Consul's health endpoint, with blocking queries.

use foregate_testkit::{ConsulAgent, Gateway, eventually};

use crate::{check, finding, named, shown, wait_for};

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

#[test]
fn whoever_is_not_believed_is_told_so() {
    let agent = ConsulAgent::start("another");
    let gateway = asking(&agent);
    check(&gateway, &["503"]);
    let log = gateway.wait_stderr("it answers with 403");
    assert!(!log.contains("s3cret"), "{log}");
}
