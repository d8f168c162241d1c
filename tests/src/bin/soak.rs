//! The soak: `soak [--seconds N] [--seed N]` plays mixed load while backends die and come back; `soak --changes SECONDS`
//! reloads ten times a second for so long, and then upgrades once a second for as long again. Ends with 1 when anything
//! undocumented went wrong.

use std::process::ExitCode;
use std::time::Duration;

use foregate_tests::changes::{self, Change};
use foregate_tests::soak::{Plan, run};

fn main() -> ExitCode {
    if let Some(seconds) = seconds_of_changes() {
        return change_for(seconds);
    }
    let Some((seconds, seed)) = arguments() else {
        eprintln!("usage: soak [--seconds N] [--seed N] | soak --changes SECONDS");
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
