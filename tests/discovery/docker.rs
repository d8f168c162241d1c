//! Docker's interface: a list, and events that say when to look at it.

use foregate_testkit::{DockerEngine, Gateway, Scratch, eventually};

use crate::{check, finding, named, shown, wait_for};

fn asking(folder: &Scratch) -> (DockerEngine, Gateway) {
    let socket = folder.join("docker.sock");
    let engine = DockerEngine::start(&socket);
    let gateway = finding(&format!(
        "docker = {{ label = \"foregate.upstream=app\", socket = {socket:?} }}"
    ))
    .start();
    (engine, gateway)
}

#[test]
fn containers_come_and_go_with_events() {
    let (a, b) = (named("a"), named("b"));
    let folder = Scratch::new();
    let (engine, gateway) = asking(&folder);
    check(&gateway, &["503"]);
    engine.set(&[(a.address(), "")]);
    wait_for(&gateway, &["a"]);
    engine.set(&[
        (a.address(), ""),
        (b.address(), "\"foregate.weight\":\"2\""),
    ]);
    wait_for(&gateway, &["a", "b"]);
    engine.set(&[(b.address(), "")]);
    wait_for(&gateway, &["b"]);
    let questions = engine.questions();
    assert!(
        questions[0].starts_with("/v1.41/events?filters="),
        "{questions:?}"
    );
    assert!(
        questions[1].starts_with("/v1.41/containers/json?filters="),
        "{questions:?}"
    );
    assert!(
        questions[1].contains("foregate.upstream%3Dapp"),
        "{questions:?}"
    );
}

#[test]
fn labels_say_what_containers_are() {
    let (a, b) = (named("a"), named("b"));
    let folder = Scratch::new();
    let (engine, gateway) = asking(&folder);
    let labels = r#""foregate.weight":"2","foregate.zone":"east","foregate.label.version":"v2""#;
    engine.set(&[
        (a.address(), labels),
        (b.address(), r#""foregate.backup":"true""#),
    ]);
    wait_for(&gateway, &["a"]);
    let view = shown(&gateway);
    let all = view["endpoints"].as_array().cloned().unwrap_or_default();
    let is_a = |one: &&serde_json::Value| one["endpoint"] == a.address().to_string();
    let (a, others): (Vec<_>, Vec<_>) = all.iter().partition(is_a);
    assert_eq!(
        (&a[0]["zone"], &a[0]["weight"]),
        (&"east".into(), &2.into())
    );
    assert_eq!(a[0]["labels"]["version"], "v2");
    assert_eq!(others[0]["backup"], true);
}

#[test]
fn an_engine_that_goes_and_comes_back_takes_nothing_away() {
    let (a, b) = (named("a"), named("b"));
    let folder = Scratch::new();
    let (engine, gateway) = asking(&folder);
    engine.set(&[(a.address(), "")]);
    wait_for(&gateway, &["a"]);
    engine.hang_up();
    gateway.wait_stderr("the Docker engine");
    check(&gateway, &["a"]);
    eventually("it is listened to again", || {
        let listened = |question: &&String| question.contains("/events");
        (engine.questions().iter().filter(listened).count() >= 2).then_some(())
    });
    engine.set(&[(b.address(), "")]);
    wait_for(&gateway, &["b"]);
}
