//! The soak: `soak [--seconds N] [--seed N]`; ends with 1 when anything undocumented went wrong.

use std::process::ExitCode;
use std::time::Duration;

use foregate_tests::soak::{Plan, run};

fn main() -> ExitCode {
    let Some((seconds, seed)) = arguments() else {
        eprintln!("usage: soak [--seconds N] [--seed N]");
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
