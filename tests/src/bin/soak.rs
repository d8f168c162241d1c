//! The soak: `soak [--seconds N] [--seed N]` plays mixed load while backends die and come back; `soak --changes SECONDS`
//! reloads ten times a second for so long, and then upgrades once a second for as long again; `soak --large-reload [RELOADS]`
//! reloads 10,000 routes with 10,000 endpoints under a steady load. Ends with 1 when anything undocumented went wrong, or
//! a large reload is slow or is felt.

use std::process::ExitCode;
use std::time::Duration;

use foregate_tests::changes::{self, Change};
use foregate_tests::large;
use foregate_tests::soak::{Plan, run};

fn main() -> ExitCode {
    if let Some(seconds) = seconds_of_changes() {
        return change_for(seconds);
    }
    if let Some(reloads) = large_reloads() {
        return reload_large(reloads);
    }
    let Some((seconds, seed)) = arguments() else {
        eprintln!(
            "usage: soak [--seconds N] [--seed N] | soak --changes SECONDS | soak --large-reload [RELOADS]"
        );
        return ExitCode::from(2);
    };
    println!("{seconds} seconds with seed {seed}");
    let summary = run(&Plan {
        time: Duration::from_secs(seconds),
        seed,
        clients: 16,
        backends: 3,
    });
    print!("{summary}");
    if summary.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What `--changes` says, if it is the first word.
fn seconds_of_changes() -> Option<u64> {
    let mut arguments = std::env::args().skip(1);
    arguments.next().filter(|name| name == "--changes")?;
    arguments.next()?.parse().ok()
}

fn change_for(seconds: u64) -> ExitCode {
    let mut all_good = true;
    for change in [Change::Reload, Change::Upgrade] {
        let summary = changes::run(change, Duration::from_secs(seconds));
        print!("{summary}");
        all_good &= summary.is_good();
    }
    match all_good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// What `--large-reload` says, if it is the first word.
fn large_reloads() -> Option<u32> {
    let mut arguments = std::env::args().skip(1);
    arguments.next().filter(|name| name == "--large-reload")?;
    match arguments.next() {
        Some(reloads) => reloads.parse().ok(),
        None => Some(30),
    }
}

fn reload_large(reloads: u32) -> ExitCode {
    let plan = large::Plan {
        hosts: 1000,
        routes_per_host: 10,
        upstreams: 1000,
        endpoints_per_upstream: 10,
        reloads,
        interval: Duration::from_secs(1),
    };
    let mut all_good = true;
    for change in [large::Change::OneRoute, large::Change::Everything] {
        let summary = large::run(&plan, change);
        print!("{summary}");
        all_good &= summary.is_within(Duration::from_millis(500), Duration::from_millis(5));
    }
    match all_good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Seconds and seed.
fn arguments() -> Option<(u64, u64)> {
    let (mut seconds, mut seed) = (600, 1);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next()?.parse().ok()?;
        match name.as_str() {
            "--seconds" => seconds = value,
            "--seed" => seed = value,
            _ => return None,
        }
    }
    Some((seconds, seed))
}
