//! Which backend gets which request.

use std::collections::BTreeMap;

use foregate_testkit::{Answer, Backend, BlackHole, Echo, Gateway};

fn balanced(servers: &str, balance: &str) -> Gateway {
    Gateway::new(&format!(
        "workers = 1\n[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [{servers}]\nbalance = \"{balance}\"\n"
    ))
    .start()
}

fn named(name: &'static str) -> Backend {
    Backend::answering(move |_| Answer::ok(name))
}

/// How many of `count` requests each backend answered, by the name in its answer.
fn shares(gateway: &Gateway, count: usize) -> BTreeMap<String, usize> {
    let mut client = gateway.connect();
    let mut shares = BTreeMap::new();
    for _ in 0..count {
        *shares
            .entry(client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text())
            .or_default() += 1;
    }
    shares
}

#[test]
fn round_robin_gives_everyone_the_same() {
    let (a, b, c) = (named("a"), named("b"), named("c"));
    let gateway = balanced(
        &format!(
            "\"{}\", \"{}\", \"{}\"",
            a.address(),
            b.address(),
            c.address()
        ),
        "round-robin",
    );
    let shares = shares(&gateway, 30);
    assert_eq!(shares.into_values().collect::<Vec<_>>(), [10, 10, 10]);
}

#[test]
fn weights_are_honoured_smoothly() {
    let (a, b) = (named("a"), named("b"));
    let servers = format!(
        "{{ address = \"{}\", weight = 3 }}, \"{}\"",
        a.address(),
        b.address()
    );
    let gateway = balanced(&servers, "round-robin");
    for _ in 0..5 {
        let shares = shares(&gateway, 4);
        assert_eq!((shares["a"], shares["b"]), (3, 1), "in every round of four");
    }
}

#[test]
fn least_requests_avoids_the_busy_one() {
    let (busy, idle) = (Backend::start(BlackHole), Backend::start(Echo));
    let gateway = balanced(
        &format!("\"{}\", \"{}\"", busy.address(), idle.address()),
        "least-requests",
    );
    // Until one request hangs at the black hole.
    let mut waiting = Vec::new();
    while busy.requests_total() == 0 {
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        foregate_testkit::eventually("the request arrives", || {
            (busy.requests_total() + idle.requests_total() > waiting.len()).then_some(())
        });
        waiting.push(client);
    }
    for _ in 0..20 {
        assert_eq!(gateway.get("a", "/").status, 200);
    }
    assert_eq!(busy.requests_total(), 1);
}

#[test]
fn two_choices_and_chance_reach_everyone() {
    for balance in ["power-of-two", "random"] {
        let (a, b, c) = (named("a"), named("b"), named("c"));
        let gateway = balanced(
            &format!(
                "\"{}\", \"{}\", \"{}\"",
                a.address(),
                b.address(),
                c.address()
            ),
            balance,
        );
        let shares = shares(&gateway, 120);
        // Ten of an expected forty: missed once in some hundred million runs.
        assert!(
            shares.len() == 3 && shares.values().all(|share| *share >= 10),
            "{balance}: {shares:?}"
        );
    }
}
