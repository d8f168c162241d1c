//! A short run of the soak, so that it never rots; the long run is `cargo run --release -p foregate-tests --bin soak`.

use std::time::Duration;

use foregate_tests::changes::{self, Change};
use foregate_tests::large;
use foregate_tests::soak::{Plan, run};

#[test]
fn reloads_ten_times_a_second_fail_nobody() {
    let summary = changes::run(Change::Reload, Duration::from_secs(5));
    println!("{summary}");
    summary.assert_good();
}

#[test]
fn upgrades_once_a_second_fail_nobody() {
    let summary = changes::run(Change::Upgrade, Duration::from_secs(6));
    println!("{summary}");
    summary.assert_good();
}

#[test]
fn a_large_reload_is_hardly_felt() {
    let plan = large::Plan {
        hosts: 100,
        routes_per_host: 10,
        upstreams: 100,
        endpoints_per_upstream: 10,
        reloads: 4,
        interval: Duration::from_millis(700),
    };
    let summary = large::run(&plan, large::Change::Everything);
    println!("{summary}");
    // Generous: this is no optimized build, and the machine may be busy. Whoever blocks workers is found out all the same.
    let is_within = summary.is_within(Duration::from_secs(5), Duration::from_millis(150));
    assert!(is_within, "{summary}");
}

#[test]
fn some_seconds_of_mixed_load_with_backends_killed_and_restarted() {
    let summary = run(&Plan {
        time: Duration::from_secs(8),
        seed: 1,
        clients: 6,
        backends: 3,
    });
    println!("{summary}");
    summary.assert_good();
}
