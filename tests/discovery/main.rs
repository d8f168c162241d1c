//! Stories about endpoints that others know: name servers, files, Consul, Docker.

mod consul;
mod docker;
mod files;
mod names;

use std::collections::BTreeSet;

use foregate_testkit::{Answer, Backend, Gateway, GatewayConfig, eventually};

/// A gateway, yet to be started, whose one upstream has its endpoints found like this.
fn finding(discovery: &str) -> GatewayConfig {
    Gateway::new(&text(discovery))
}

fn text(discovery: &str) -> String {
    format!(
        "workers = 2\n[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\ntries_max = 1\n[upstreams.app.discovery]\n{discovery}\n"
    )
}

fn named(name: &'static str) -> Backend {
    Backend::answering(move |_| Answer::ok(name))
}

/// Who answers at present: twelve requests, each on a connection of its own; a refusal is its status.
fn who_answers(gateway: &Gateway) -> BTreeSet<String> {
    let ask = |_| {
        let answer = gateway.get("a", "/");
        match answer.status {
            200 => answer.text(),
            status => status.to_string(),
        }
    };
    (0..12).map(ask).collect()
}

#[track_caller]
fn check(gateway: &Gateway, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(who_answers(gateway), expected);
}

/// Waits until these answer and no others.
#[track_caller]
fn wait_for(gateway: &Gateway, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|&name| name.to_owned()).collect();
    eventually(&format!("{expected:?} answer"), || {
        (who_answers(gateway) == expected).then_some(())
    });
}

/// The upstream as the admin API shows it.
fn shown(gateway: &Gateway) -> serde_json::Value {
    gateway.admin_send("GET", "/upstreams/app", "").json()
}
