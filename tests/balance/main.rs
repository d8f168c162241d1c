//! Stories about balancing: hashes, tiers, zones, subsets, splits, latency.

mod hashing;
mod latency;
mod levels;
mod mirror;
mod split;
mod sticky;

use foregate_testkit::{Answer, Backend, Gateway};
use std::collections::BTreeMap;

/// A backend that answers with its name.
fn named(name: &'static str) -> Backend {
    Backend::answering(move |_| Answer::ok(name))
}

/// How many of `count` requests each backend answered, by the name in its answer.
fn shares(
    gateway: &Gateway,
    count: usize,
    request: impl Fn(usize) -> String,
) -> BTreeMap<String, usize> {
    let mut client = gateway.connect();
    let mut shares = BTreeMap::new();
    for number in 0..count {
        let answer = client.exchange(request(number));
        assert_eq!(answer.status, 200);
        *shares.entry(answer.text()).or_default() += 1;
    }
    shares
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// What `foregate explain` says of a request.
fn explained(gateway: &Gateway, arguments: &[&str]) -> String {
    let config = gateway.config_path().display().to_string();
    let mut whole = vec!["explain", "-c", &config];
    whole.extend(arguments);
    let run = foregate_testkit::foregate(&whole);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    run.stdout
}
