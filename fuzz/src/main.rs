//! The smoke driver: every fuzz target on its corpus and on seeded mutations, within a bounded time, on stable Rust.

use foregate_fuzz::{TARGETS, Target, smoke};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: foregate-fuzz [--seconds N] [--target NAME] [--seed N] [--input FILE]
  --seconds N    how long each target runs (default 5; --smoke N is the same)
  --target NAME  one target instead of all
  --seed N       where the randomness starts (default 0)
  --input FILE   run one target on one input, such as a failing one";

struct Options {
    seconds: u64,
    targets: Vec<&'static Target>,
    seed: u64,
    input: Option<String>,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if let Some(path) = &options.input {
        return one_input(&options, path);
    }
    // A panic is caught and told below, once.
    std::panic::set_hook(Box::new(|_| {}));
    let plan = smoke::Plan {
        seed: options.seed,
        time: Duration::from_secs(options.seconds),
        inputs_max: u64::MAX,
    };
    let mut failed = 0;
    for target in &options.targets {
        match smoke::run(target, &plan) {
            Ok(count) => println!("{}: {count} inputs", target.name),
            Err(failure) => {
                failed += 1;
                println!("{}: FAILED: {}", target.name, failure.message);
                println!("  input: {}", failure.input.display());
            }
        }
    }
    println!("{} passed, {failed} failed", options.targets.len() - failed);
    ExitCode::from(u8::from(failed > 0))
}

/// Runs a target on one file and lets it panic, with its trace.
fn one_input(options: &Options, path: &str) -> ExitCode {
    let [target] = options.targets.as_slice() else {
        eprintln!("--input needs --target\n{USAGE}");
        return ExitCode::from(2);
    };
    match std::fs::read(path) {
        Ok(input) => {
            (target.run)(&input);
            println!("1 passed, 0 failed");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{path}: {error}");
            ExitCode::from(2)
        }
    }
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        seconds: 5,
        targets: TARGETS.iter().collect(),
        seed: 0,
        input: None,
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("{text} is not a number"));
        match arg.as_str() {
            "--seconds" | "--smoke" => options.seconds = number(value()?)?,
            "--seed" => options.seed = number(value()?)?,
            "--input" => options.input = Some(value()?),
            "--target" => {
                let name = value()?;
                options.targets.retain(|target| target.name == name);
                if options.targets.is_empty() {
                    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
                    return Err(format!("no target {name}; there are {}", names.join(", ")));
                }
            }
            _ => return Err(format!("{arg} is not known")),
        }
    }
    Ok(options)
}
